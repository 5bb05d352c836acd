/* Sending dead letters to their topics again. */
#pragma once

#include "decnetctl.h"

/* Replays the letters @ids (@n of them), or all of @group that were not replayed yet, or with neither only what an
 * interrupted replay left in the outbox. Prints what it did; returns the exit status. */
int dlq_replay(Ctl *ctl, const int64_t *ids, size_t n, const char *group);
