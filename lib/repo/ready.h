/* What calls by hand and calls by line have in common: a schema that fits, and words for what went wrong. */
#pragma once

#include "repo/repo.h"

/* Connects and makes sure that every migration is applied; *checked remembers it. The method that applies them does
 * without. Outcomes as migrate_check(). */
int method_ready(Repo *repo, const char *method, bool *checked) must_check;
/* What the caller can do about the last error; "" when there is nothing to say. */
const char *method_hint(const Repo *repo, int outcome);
