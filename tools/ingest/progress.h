/* How far a long command is: one line that rewrites itself on a terminal, a line every 10 s elsewhere. */
#pragma once

#include "base/time.h"

typedef struct Progress {
    bool terminal, quiet;
    int64_t started_us, next_us;
    int64_t total_bytes, done_bytes; /* on disk, over all files; total 0: not known */
    int64_t lines, bad, sessions, announced;
    const char *waiting; /* what it waits for, NULL: it works */
} Progress;

void progress_start(Progress *p);
void progress_show(Progress *p); /* an ingest's, when it is time */
/* The same for others: true when it is time; then say on standard error how far it is, and end the line. */
bool progress_is_due(Progress *p);
void progress_line_end(const Progress *p);
void progress_end(Progress *p); /* leaves the terminal's line clean */
