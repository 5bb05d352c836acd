/* What the codecs of this folder share: tolerant readers for members that producers spell in several ways, and the
 * members that every payload begins with. */
#pragma once

#include "event.h"

/* The id, time and version that travel in each payload, so that a record survives tools that drop headers. */
void payload_begin(JsonWriter *w, const Uuid *id, int64_t occurred_at_us);

/* Text of an id-like value: a string, or a number as it was written; absent when empty, zero, null or anything else
 * ("falsy" ids count as absent in the contract, and a boolean is never a number). */
Str payload_id_text(const JsonView *value);
/* The first of @keys (ended by NULL) that payload_id_text() has something for. */
Str payload_first_id(const JsonView *obj, const char *const *keys);

/* False when the member is missing or no uuid. */
bool payload_uuid(const JsonView *obj, const char *key, Uuid *ret);
/* Canonical address, "" when the member is missing or no address. */
void payload_ip(const JsonView *obj, const char *key, char out[IP_TEXT_BYTES]);
/* TIME_NONE when the member is missing or no time. */
int64_t payload_time(const JsonView *obj, const char *key);

/* A time as a part of an event id: microseconds, in @out. */
enum { US_TEXT_BYTES = 24 };
Str payload_us_text(char out[US_TEXT_BYTES], int64_t us);

void payload_put_uuid(JsonWriter *w, const char *key, const Uuid *uuid); /* NULL: null */
/* Nothing at all when @s is absent. */
void payload_put_optional(JsonWriter *w, const char *key, Str s);
