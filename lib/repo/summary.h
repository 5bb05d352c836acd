/* What the database knows at a glance. Read-only; each function in the caller's transaction. */
#pragma once

#include "repo.h"

typedef struct SummaryCounts {
    int64_t lines; /* rows of logs that came from a line: session_recorded ones are our own */
    int64_t attackers, sessions, commands, tags;
    int64_t announced; /* sessions of which at least one part was published */
} SummaryCounts;
int summary_counts(Repo *repo, SummaryCounts *ret) must_check;

typedef struct SummaryTechnique {
    Str technique_id, sub_technique_id; /* sub absent: none */
    Str tactic;
    int64_t tags, attackers;
    Str example;    /* a command that showed it, as the attacker typed it: mask before showing; absent: none */
    Str example_id; /* uuid of that tag; absent: none */
} SummaryTechnique;
/* By technique, sub-technique and tactic; ordered by tactic, then most tags first. Text in @arena. */
int summary_techniques(Repo *repo, Arena *arena, SummaryTechnique **ret, size_t *ret_n) must_check;

typedef struct SummaryAttacker {
    Str ip;
    int64_t sessions, commands, tags, techniques;
    int64_t first_seen_us, last_seen_us;
} SummaryAttacker;
/* The @limit attackers with the most tags, then the most sessions. */
int summary_busiest(Repo *repo, Arena *arena, int64_t limit, SummaryAttacker **ret, size_t *ret_n) must_check;
