#include "ingest/progress.h"

#include <stdio.h>
#include <unistd.h>

enum { TERMINAL_EVERY_US = 200000, LOG_EVERY_US = 10000000 };

void progress_start(Progress *p)
{
    p->terminal = isatty(STDERR_FILENO);
    p->started_us = clock_monotonic_us();
    p->next_us = p->started_us + (p->terminal ? TERMINAL_EVERY_US : LOG_EVERY_US);
}

bool progress_is_due(Progress *p)
{
    int64_t now_us = clock_monotonic_us();

    if (p->quiet || now_us < p->next_us)
        return false;
    p->next_us = now_us + (p->terminal ? TERMINAL_EVERY_US : LOG_EVERY_US);
    fputs(p->terminal ? "\r\033[K" : "", stderr);
    return true;
}

void progress_line_end(const Progress *p)
{
    if (p->waiting)
        fprintf(stderr, " [%s]", p->waiting);
    fputs(p->terminal ? "" : "\n", stderr);
    fflush(stderr);
}

void progress_show(Progress *p)
{
    if (!progress_is_due(p))
        return;
    double seconds = (double)(clock_monotonic_us() - p->started_us) / 1e6;
    fprintf(stderr, "%lld lines", (long long)p->lines);
    if (p->total_bytes > 0 && p->done_bytes > 0) {
        double share = (double)p->done_bytes / (double)p->total_bytes;
        share = share > 1 ? 1 : share;
        fprintf(stderr, " (%.0f %%, %.0f s left)", share * 100, seconds / share - seconds);
    }
    fprintf(stderr, ", %.0f lines/s, %lld sessions, %lld announced", (double)p->lines / (seconds > 0 ? seconds : 1),
            (long long)p->sessions, (long long)p->announced);
    if (p->bad)
        fprintf(stderr, ", %lld bad", (long long)p->bad);
    progress_line_end(p);
}

void progress_end(Progress *p)
{
    if (p->terminal && !p->quiet)
        fputs("\r\033[K", stderr);
}
