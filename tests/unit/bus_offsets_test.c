/* No offset skipped, none seen twice: the judgement alone. */
#include <criterion/criterion.h>

#include "bus/offsets.h"

static BusOffsets offsets;
static BusConsumerStats stats;

static void expect(int64_t offset, BusOffsetVerdict verdict)
{
    BusOffsetVerdict got = bus_offsets_check(&offsets, offset, &stats);
    cr_assert_eq(got, verdict, "offset %lld", (long long)offset);
}

Test(bus_offsets, contiguous_ones_pass)
{
    offsets = bus_offsets_from(5);
    for (int64_t i = 5; i < 100; i++)
        expect(i, BUS_OFFSET_TAKE);
    cr_assert(stats.rewinds == 0 && stats.gaps == 0 && stats.repeated == 0);
}

Test(bus_offsets, anything_may_come_first_without_a_number)
{
    offsets = bus_offsets_from(BUS_OFFSET_BEGINNING);
    expect(77, BUS_OFFSET_TAKE);
    expect(78, BUS_OFFSET_TAKE);
    expect(77, BUS_OFFSET_DROP);
    cr_assert_eq(bus_offsets_from(BUS_OFFSET_END).expected, -1);
}

Test(bus_offsets, repeated_ones_are_dropped)
{
    offsets = bus_offsets_from(10);
    expect(9, BUS_OFFSET_DROP);
    expect(10, BUS_OFFSET_TAKE);
    expect(10, BUS_OFFSET_DROP);
    expect(3, BUS_OFFSET_DROP);
    expect(11, BUS_OFFSET_TAKE);
    cr_assert_eq(stats.repeated, 3);
}

Test(bus_offsets, gap_of_the_client_is_closed)
{
    offsets = bus_offsets_from(10);
    expect(13, BUS_OFFSET_REWIND);
    cr_assert_eq(offsets.expected, 10);
    for (int64_t i = 10; i < 20; i++)
        expect(i, BUS_OFFSET_TAKE);
    cr_assert(stats.rewinds == 1 && stats.gaps == 0);
}

Test(bus_offsets, gap_of_the_log_is_accepted_at_second_sight)
{
    offsets = bus_offsets_from(10);
    expect(13, BUS_OFFSET_REWIND);
    expect(13, BUS_OFFSET_TAKE);
    expect(14, BUS_OFFSET_TAKE);
    cr_assert(stats.rewinds == 1 && stats.gaps == 1 && stats.gap_offsets == 3);
    expect(16, BUS_OFFSET_REWIND); /* each gap for itself */
    expect(16, BUS_OFFSET_TAKE);
    cr_assert(stats.rewinds == 2 && stats.gaps == 2 && stats.gap_offsets == 4);
}

Test(bus_offsets, another_gap_at_the_place_is_not_the_same)
{
    offsets = bus_offsets_from(10);
    expect(13, BUS_OFFSET_REWIND);
    expect(14, BUS_OFFSET_REWIND); /* a straggler from before the rewind must not count as second sight */
    expect(14, BUS_OFFSET_TAKE);
    cr_assert(stats.rewinds == 2 && stats.gaps == 1);
}

Test(bus_offsets, rewind_that_failed_is_asked_for_again)
{
    offsets = bus_offsets_from(10);
    expect(13, BUS_OFFSET_REWIND);
    bus_offsets_rewind_failed(&offsets);
    expect(13, BUS_OFFSET_REWIND);
    expect(10, BUS_OFFSET_TAKE);
    cr_assert_eq(stats.gaps, 0);
}
