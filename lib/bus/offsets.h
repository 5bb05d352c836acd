/* The check that no offset of a partition is skipped or seen twice: pure, one small state per partition. */
#pragma once

#include "bus.h"

/* Of one assigned partition; -1: unknown. */
typedef struct BusOffsets {
    int64_t expected;                 /* what has to come next */
    int64_t rewound_at, rewound_over; /* the gap that was answered by reading again: [rewound_at, rewound_over) */
} BusOffsets;

typedef enum BusOffsetVerdict {
    BUS_OFFSET_TAKE,  /* the next one, or what follows a gap of the log itself */
    BUS_OFFSET_DROP,  /* seen before */
    BUS_OFFSET_REWIND /* a gap: read again from offsets->expected, drop this one */
} BusOffsetVerdict;

/* @start as in BusPosition: a number, or BUS_OFFSET_* when anything may come first. */
BusOffsets bus_offsets_from(int64_t start);
/* Judges the next offset of the partition and counts what is odd in @stats. */
BusOffsetVerdict bus_offsets_check(BusOffsets *offsets, int64_t offset, BusConsumerStats *stats);
/* The rewind could not be done: the same gap has to ask for it again. */
void bus_offsets_rewind_failed(BusOffsets *offsets);

/* --- doors for tests, which cannot make librdkafka err at will --- */

/* The state of an assigned partition, NULL when it is not. */
BusOffsets *bus_consumer_offsets(BusConsumer *consumer, const BusTopic *topic, int32_t partition);
/* What librdkafka does when it gives a client up. */
void bus_consumer_break(BusConsumer *consumer);
void bus_producer_break(BusProducer *producer);
