/* The newest end of a series in packed form, as it stands beside its state: what the mergers need of it, so that a new
 * observation needs no look at the old ones. Taking in a row and packing again gives the same as packing the whole
 * series, in whatever order its rows come (contract attribution 9); only a row that is taken away needs the series read
 * anew.
 *
 * Layout, integers and doubles little-endian: u8 1, the version; u8 number of rows, each: f64 ts, u8 kind, u32 length,
 * evidence_ref, u32 length, value as JSON, oldest first; u32 number of hashes, each: f64 ts, 16 bytes of the SHA-256 of
 * the value's key, newest first. */
#pragma once

#include "mergers.h"

#define SERIES_HASH_BYTES 16

/* Takes rows of kind hash into the values that are told apart; nulls are none. */
void series_offer_hashes(Arena *arena, AttributionSeries *series, const AttributionRow *rows, size_t n);

/* Appends the packed form. Hashes that left the window, or that are beyond those that are told apart, are left out, also
 * of @series. */
void series_pack(AttributionSeries *series, Buf *out);

/* *ret borrows from @packed and @arena; n is left to the caller. -EBADMSG when the bytes are no such form: the series
 * has to be read anew. */
int series_unpack(Arena *arena, Str packed, AttributionSeries *ret) must_check;
