/* What the tests of the attribution core share: series from short texts, and a seeded random generator. */
#pragma once

#include <criterion/criterion.h>

#include "attribution/mergers.h"

extern Arena *arena; /* of the test process; freed at its end */
void attribution_setup(void);
void attribution_teardown(void);

AttributionValue value_of(const char *json); /* fails the test when it is no JSON */

/* xorshift64*: the same sequence on every machine. */
uint64_t random_next(uint64_t *state);
size_t random_below(uint64_t *state, size_t n);

/* A whole series as a test holds it. */
typedef struct Full {
    AttributionRow rows[64]; /* in series order */
    size_t n;
} Full;

void full_add(Full *full, const char *json, double ts); /* at the end; evidence refs rise */
/* The series that a worker would fill: the ten newest rows, the distinct hashes, n. */
AttributionSeries bounded(const Full *full);
AttributionMerge merge(ValueKind kind, const Full *full);
