/* What the tests of the tagging core share: the shipped rules and catalogue, and files of their own. */
#pragma once

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "base/json.h"
#include "base/limits.h"
#include "ttp/engine.h"

/* Path of a file of the source tree (DECNET_SOURCE_ROOT); one of a few static buffers. */
const char *source_path(const char *relative);
/* The whole content of it. */
Str source_text(Arena *arena, const char *relative);

/* The engine with the shipped rules, without a cache. */
TtpEngine *shipped_engine(void);
AttackCatalog *shipped_catalog(void);

/* A folder of this test process, removed when it ends. */
const char *scratch_folder(void);
/* Write @text as @name into the scratch folder; returns the path, one of a few static buffers. */
const char *scratch_file(const char *name, Str text);

/* An engine with the rules of the scratch folder; on failure NULL and the message in *ret_error. */
TtpEngine *scratch_engine(const char *cache_dir, char **ret_error);

/* "rule technique|sub" of each tag, joined by ", ". */
const char *tags_text(Arena *arena, const TtpTags *tags);
