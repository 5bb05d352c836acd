/* The newest end of a series in packed form, as it stands beside its state: what the mergers need of it, so that a new
 * observation needs no look at the old ones. Taking in a row and packing again gives the same as packing the whole
 * series, in whatever order its rows come (contract attribution 9); only a row that is taken away needs the series read
 * anew.
 *
 * It is written anew with each observation of its series, so it says nothing twice. Layout, doubles little-endian, sizes
 * in bytes of seven bits, the lowest first, all but the last with the high bit set:
 *
 *   u8 2, the version
 *   u8 number of rows, each, oldest first:
 *     f64 ts, u8 kind, with the high bit when the value is that of the row before
 *     size of what evidence_ref has in common with that of the row before, size and bytes of the rest
 *     unless it is that of the row before: size and bytes of the value as JSON
 *   size: number of hashes, each, newest first: f64 ts, 16 bytes of the SHA-256 of the value's key */
#pragma once

#include "mergers.h"

#define SERIES_HASH_BYTES 16

/* Takes rows of kind hash into the values that are told apart; nulls are none. */
void series_offer_hashes(Arena *arena, AttributionSeries *series, const AttributionRow *rows, size_t n);

/* Appends the packed form. Hashes that left the window, or that are beyond those that are told apart, are left out, also
 * of @series. */
void series_pack(AttributionSeries *series, Buf *out);

/* *ret borrows from @packed and @arena; n is left to the caller. -EBADMSG when the bytes are no such form, or that of
 * another release: the series has to be read anew. */
int series_unpack(Arena *arena, Str packed, AttributionSeries *ret) must_check;
