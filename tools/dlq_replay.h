/* Sending dead letters to their topics again. */
#pragma once

#include "decnetctl.h"

typedef struct DlqReplay {
    const int64_t *ids; /* these letters, n_ids of them; or */
    size_t n_ids;
    const char
        *group;  /* all of this group that were not replayed yet; or NULL: what an interrupted replay left behind */
    int wait_ms; /* for the broker, after each batch */
} DlqReplay;

/* Prints what it did; returns the exit status. */
int dlq_replay(Ctl *ctl, const DlqReplay *what);
