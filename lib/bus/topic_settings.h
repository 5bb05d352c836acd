/* What the table wants of a topic on the broker, and whether what the broker has means the same: pure. */
#pragma once

#include "bus.h"

#define BUS_TOPIC_SETTINGS_MAX 8

/* cleanup.policy, retention.ms (where the policy deletes) and the further settings of the table; returns how many.
 * Texts live in @arena or in the table. */
size_t bus_topic_settings(Arena *arena, const BusTopic *topic, NameValue out[BUS_TOPIC_SETTINGS_MAX]);

/* Lists in any order ("compact,delete"), numbers by value ("0.10"). An absent @have equals nothing. */
bool bus_setting_equal(Str want, Str have);

/* Puts "what: is A, should be B" behind what @out holds, '; ' between. */
void bus_difference_add(Buf *out, Str what, Str is, Str should);
