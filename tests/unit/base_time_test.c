/* Times on the wire, and the clock that tests can move. */
#include <criterion/criterion.h>
#include <errno.h>
#include <time.h>

#include "base/time.h"

Test(time, parses_what_the_reference_writes)
{
    static const struct {
        Str text;
        int64_t us;
        bool no_offset;
    } rows[] = {
        {STR("1970-01-01T00:00:00.000000Z"), 0, false},
        {STR("2026-05-10T08:25:01.004512Z"), 1778401501004512, false}, /* an event id of the contract uses it */
        {STR("2026-05-10T10:25:01.004512+02:00"), 1778401501004512, false},
        {STR("2026-05-10 05:55:01.004512-0230"), 1778401501004512, false},
        {STR("2026-05-10T10:25:01.004512+02"), 1778401501004512, false},
        {STR("2026-05-10T08:25:01.004512"), 1778401501004512, true},
        {STR("2026-05-10t08:25:01z"), 1778401501000000, false},
        {STR("2026-05-10T08:25:01.5Z"), 1778401501500000, false},
        {STR("2026-05-10T08:25:01,25Z"), 1778401501250000, false},
        {STR("2026-05-10T08:25:01.004512999Z"), 1778401501004512, false}, /* cut, not rounded */
        {STR("2024-02-29T00:00:00Z"), 1709164800000000, false},
        {STR("2000-02-29T00:00:00Z"), 951782400000000, false},
        {STR("2016-12-31T23:59:60Z"), 1483228800000000, false}, /* a leap second is the next day */
        {STR("9999-12-31T23:59:59.999999Z"), 253402300799999999, false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        int64_t us = -1;
        bool no_offset = !rows[i].no_offset;
        cr_assert_eq(time_parse(rows[i].text, &us, &no_offset), 0, "row %zu", i);
        cr_assert_eq(us, rows[i].us, "row %zu: %lld", i, (long long)us);
        cr_assert_eq(no_offset, rows[i].no_offset, "row %zu", i);
        cr_assert_eq(time_parse(rows[i].text, &us, NULL), 0);
    }
}

Test(time, refuses_what_is_no_time)
{
    static const Str rows[] = {
        STR(""),
        STR("2026-05-10"),
        STR("2026-05-10T08:25"),
        STR("2026-05-10X08:25:01Z"),
        STR("2026-13-10T08:25:01Z"),
        STR("2026-00-10T08:25:01Z"),
        STR("2026-02-29T00:00:00Z"),
        STR("1900-02-29T00:00:00Z"),
        STR("2026-04-31T00:00:00Z"),
        STR("2026-05-00T00:00:00Z"),
        STR("2026-05-10T24:00:00Z"),
        STR("2026-05-10T08:60:01Z"),
        STR("2026-05-10T08:25:61Z"),
        STR("2026-05-10T08:25:01.0123456789Z"),
        STR("2026-05-10T08:25:01+24:00"),
        STR("2026-05-10T08:25:01+02:60"),
        STR("2026-05-10T08:25:01+2"),
        STR("2026-05-10T08:25:01ZZ"),
        STR("2026-05-10T08:25:01 Z"),
        STR("1969-12-31T23:59:59Z"),
        STR("1970-01-01T00:00:00+00:01"),
        STR("9999-12-31T23:59:59-00:01"),
        STR("9999-12-31T23:59:60Z"),
        STR("2O26-05-10T08:25:01Z"),
        STR("+026-05-10T08:25:01Z"),
        STR("2026-05-10T08:25:01\0Z"),
        STR("2026-05-10T08:25:01.00000000000000000000000000000000Z"),
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        int64_t us;
        cr_assert_eq(time_parse(rows[i], &us, NULL), -EINVAL, "row %zu: " STR_FMT, i, STR_ARG(rows[i]));
    }
}

Test(time, takes_a_date_alone_from_people)
{
    static const Str bad[] = {STR(""),           STR("2026-05-1"),  STR("2026-02-29"), STR("2026-05-10Z"),
                              STR("20260510  "), STR("1969-12-31"), STR("2026-05-1\0")};
    int64_t us;

    cr_assert_eq(time_or_date_parse(STR("2026-05-10"), &us), 0);
    cr_assert_eq(us, 1778371200000000);
    cr_assert_eq(time_or_date_parse(STR("2026-05-10T08:25:01.004512Z"), &us), 0);
    cr_assert_eq(us, 1778401501004512);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        cr_assert_eq(time_or_date_parse(bad[i], &us), -EINVAL, "row %zu", i);
}

Test(time, seconds_may_be_left_out_by_people)
{
    static const struct {
        Str text;
        int64_t us;
    } rows[] = {
        {STR("2026-05-10T08:25"), 1778401500000000},      {STR("2026-05-10 08:25"), 1778401500000000},
        {STR("2026-05-10T08:25Z"), 1778401500000000},     {STR("2026-05-10T10:25+02:00"), 1778401500000000},
        {STR("2026-05-10T06:25-0200"), 1778401500000000},
    };
    static const Str bad[] = {STR("2026-05-10T08"),     STR("2026-05-10T08:25.5Z"), STR("2026-05-10T08:25:Z"),
                              STR("2026-05-10T0825Z"),  STR("2026-05-10T08:2501Z"), STR("2026-05-10T08:60Z"),
                              STR("2026-05-10T08:25 Z")};
    char longest[64];
    int64_t us;

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cr_expect_eq(time_or_date_parse(rows[i].text, &us), 0, "row %zu", i);
        cr_expect_eq(us, rows[i].us, "row %zu", i);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        cr_expect_eq(time_or_date_parse(bad[i], &us), -EINVAL, "row %zu", i);
    memset(longest, 'Z', sizeof(longest));
    memcpy(longest, "2026-05-10T08:25", 16);
    for (size_t len = 18; len <= sizeof(longest); len++)
        cr_expect_eq(time_or_date_parse((Str){longest, len}, &us), -EINVAL, "%zu bytes", len);
}

Test(time, any_year_of_four_digits_but_the_first)
{
    static const struct {
        const char *text, *canonical; /* NULL: refused */
    } rows[] = {
        {"0001-01-01", "0001-01-01T00:00:00.000000Z"},
        {"0001-01-01T01:00+01:00", "0001-01-01T00:00:00.000000Z"},
        {"1969-12-31T23:59:59.999999Z", "1969-12-31T23:59:59.999999Z"},
        {"1900-02-28T12:34:56.000001Z", "1900-02-28T12:34:56.000001Z"},
        {"1970-01-01T00:00:00+00:01", "1969-12-31T23:59:00.000000Z"},
        {"9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z"},
        {"0000-12-31", NULL},
        {"0001-01-01T00:00:00+00:01", NULL},
        {"1900-02-29", NULL},
        {"-001-01-01", NULL},
        {"10000-01-01", NULL},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char text[TIME_TEXT_BYTES];
        int64_t us;
        int r = time_of_any_year_parse(str_from(rows[i].text), &us);
        cr_expect_eq(r, rows[i].canonical ? 0 : -EINVAL, "%s", rows[i].text);
        if (r != 0)
            continue;
        time_format(text, us);
        cr_expect_str_eq(text, rows[i].canonical, "%s", rows[i].text);
    }
}

Test(time, formats_six_digits_and_comes_back)
{
    static const int64_t rows[] = {0, 1, 999999, 1000000, 1778401501004512, 951782400000000, 253402300799999999};
    char text[TIME_TEXT_BYTES];

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        int64_t us;
        time_format(text, rows[i]);
        cr_assert_eq(time_parse(str_from(text), &us, NULL), 0, "%s", text);
        cr_assert_eq(us, rows[i], "%s", text);
    }
    for (int64_t day = 0; day < 2932897; day += 3) { /* up to the year 9999 */
        int64_t us = day * 86400 * US_PER_S + day % 86400 * US_PER_S + day % US_PER_S, back;
        time_format(text, us);
        cr_assert_eq(time_parse(str_from(text), &back, NULL), 0, "%s", text);
        cr_assert_eq(back, us, "%s", text);
    }
    time_format(text, 1778401501004512);
    cr_assert_str_eq(text, "2026-05-10T08:25:01.004512Z");
    time_format(text, -1);
    cr_assert_str_eq(text, "1969-12-31T23:59:59.999999Z");
    time_format(text, INT64_MAX);
    cr_assert_str_eq(text, "1970-01-01T00:00:00.000000Z");
    time_format(text, INT64_MIN);
    cr_assert_str_eq(text, "1970-01-01T00:00:00.000000Z");
}

Test(time, wall_clock_can_be_moved_and_the_other_not)
{
    int64_t wall = clock_now_us(), steady = clock_monotonic_us();

    clock_set_offset_us(3600 * US_PER_S);
    cr_assert_geq(clock_now_us() - wall, 3600 * US_PER_S);
    cr_assert_lt(clock_now_us() - wall, 3700 * US_PER_S);
    cr_assert_lt(clock_monotonic_us() - steady, 100 * US_PER_S);
    clock_set_offset_us(-US_PER_S);
    cr_assert_lt(clock_now_us(), wall + 100 * US_PER_S);
    cr_assert_geq(clock_monotonic_us(), steady);
}

Test(time, environment_moves_the_clock_of_programs)
{
    int64_t real = (int64_t)time(NULL) * US_PER_S;

    setenv("DECNET_CLOCK_OFFSET_US", "86400000000", 1);
    cr_assert_gt(clock_now_us(), real + 86000 * US_PER_S);
}
