/* Times are int64_t microseconds since 1970-01-01 UTC. On the wire they are RFC 3339 in UTC with six digits. */
#pragma once

#include "text.h"

#define TIME_TEXT_BYTES 28 /* "YYYY-MM-DDThh:mm:ss.ffffffZ" and its NUL */
#define TIME_NONE INT64_MIN
#define US_PER_S INT64_C(1000000)
#define US_PER_MS INT64_C(1000)

/* Parse RFC 3339 and its relatives: 'T' or a space between date and time, 0 to 9 fraction digits (more precision than
 * µs is cut), 'Z', +hh:mm, +hhmm, or no offset at all, which means UTC (*ret_no_offset, may be NULL, tells).
 * Returns 0 or -EINVAL; years 1970 to 9999. */
int time_parse(Str text, int64_t *ret_us, bool *ret_no_offset) must_check;
/* The same for people: a date alone, YYYY-MM-DD, is its midnight in UTC, and seconds may be left out. */
int time_or_date_parse(Str text, int64_t *ret_us) must_check;
/* The same for years 1 to 9999, whose times are negative before 1970: what may be stored and asked for. */
int time_of_any_year_parse(Str text, int64_t *ret_us) must_check;
/* A time outside the years 0 to 9999 reads 1970-01-01T00:00:00.000000Z. */
void time_format(char out[TIME_TEXT_BYTES], int64_t us);

/* The wall clock and a clock that never jumps. Everything in the project that asks for the time asks here, so that a
 * test can make it jump: clock_set_offset_us() adds to the wall clock of this process. The environment variable
 * DECNET_CLOCK_OFFSET_US does the same for programs under test. */
int64_t clock_now_us(void);
int64_t clock_monotonic_us(void);
void clock_set_offset_us(int64_t offset_us);
