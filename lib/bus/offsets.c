/* See offsets.h. Compaction and transaction markers leave gaps in a log for ever; a gap that a client made is closed by
 * reading again. One look cannot tell them apart, two can. */
#include "offsets.h"

BusOffsets bus_offsets_from(int64_t start)
{
    return (BusOffsets){.expected = start >= 0 ? start : -1, .rewound_at = -1, .rewound_over = -1};
}

BusOffsetVerdict bus_offsets_check(BusOffsets *o, int64_t offset, BusConsumerStats *stats)
{
    if (o->expected >= 0 && offset < o->expected) {
        stats->repeated++;
        return BUS_OFFSET_DROP;
    }
    if (o->expected >= 0 && offset > o->expected) {
        /* Only the very same gap, seen again after reading from its start, is one of the log. */
        if (o->rewound_at != o->expected || o->rewound_over != offset) {
            o->rewound_at = o->expected;
            o->rewound_over = offset;
            stats->rewinds++;
            return BUS_OFFSET_REWIND;
        }
        stats->gaps++;
        stats->gap_offsets += (uint64_t)(offset - o->expected);
    }
    *o = bus_offsets_from(offset + 1);
    return BUS_OFFSET_TAKE;
}

void bus_offsets_rewind_failed(BusOffsets *o)
{
    o->rewound_at = o->rewound_over = -1;
}
