/* attacker_intel: what others say of an attacker, one row each. */
#pragma once

#include "event/intel_facts.h"
#include "repo.h"

/* The stored rows of @attackers, projected to the facts that the live event carries too, so that both give the same
 * tags. @ret_facts has one entry per attacker; has_row tells whether there was a row. Text lives in @arena. */
int intel_read(Repo *repo, Arena *arena, const Uuid *attackers, size_t n, IntelFacts *ret_facts,
               bool *ret_has_row) must_check;
