/* The packed form of outgoing events, as they lie in event_outbox. Pure.
 *
 * A pack is a run of events, each: u32 bytes that follow; u16 topic length, topic; i32 key length (-1: no key), key;
 * u32 value length, value; u16 number of headers, each u16 name length, name, u32 value length, value. Integers are
 * little-endian. Sealed, a pack from 4 KiB on is u32 0xffffffff, u32 bytes of the pack, one LZ4 block; a smaller one is
 * as it is. Events are alike, so a sealed pack has a fifth of the bytes that go to PostgreSQL and its log. */
#pragma once

#include "event/event.h"

typedef struct PackedEvent {
    Str topic, key, value; /* topic without prefix */
    EventHeader headers[16];
    size_t n_headers;
} PackedEvent;

void pack_add(Buf *pack, const PackedEvent *event);
/* Reads the event at *at and moves it on: 1 read, 0 at the end, -EBADMSG when the bytes are no pack. *ret borrows from
 * @pack. */
int pack_next(Str pack, size_t *at, PackedEvent *ret) must_check;

/* What is stored for @pack. @ret is cleared first. */
void pack_seal(Buf *ret, Str pack);
/* The pack that was stored: 0, or -EBADMSG when a sealed one is damaged. @ret is cleared first. */
int pack_unseal(Buf *ret, Str sealed) must_check;
