/* The breaker: when more than a fifth of the last 1,000 records are dead letters, something upstream changed. The
 * group pauses, in the database, so that a restart does not go on burning records; the operator resumes it. */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "internal.h"

enum { CHECK_EVERY_US = 1000000 };

/* What PostgreSQL says of a value may quote it, and that is attacker text: the table has it, the log does not. */
static const char *spoken_cause(const WorkerEvent *e)
{
    return *e->sqlstate ? e->sqlstate : e->message;
}

void breaker_note(Worker *w, const Batch *b)
{
    Breaker *k = &w->breaker;
    for (size_t i = b->begin; i < b->end; i++) {
        EventState state = b->events[i].state;
        if (state == EVENT_GONE) /* counted by the member that finished it */
            continue;
        bool dead = state == EVENT_DEAD;
        metric_add(dead                      ? &worker_metrics.dead
                   : state == EVENT_DEFERRED ? &worker_metrics.deferred
                                             : &worker_metrics.applied,
                   1);
        if (dead) {
            LogField fields[] = {
                {"DECNET_TOPIC", b->events[i].topic->name}, {"DECNET_REASON", b->events[i].reason}, {0}};
            log_write(LOG_LEVEL_WARNING, "dead_letter", fields,
                      "a record became a dead letter: %s (%s); see: decnetctl dlq list", b->events[i].reason,
                      spoken_cause(&b->events[i]));
        }
        k->n_dead += (size_t)dead - (size_t)k->dead[k->at];
        k->dead[k->at] = dead;
        k->at = (k->at + 1) % BREAKER_WINDOW;
    }
}

static int trip(Repo *repo, void *arg)
{
    Worker *w = arg;
    char reason[128];
    snprintf(reason, sizeof(reason), "%zu of the last %d records became dead letters", w->breaker.n_dead,
             BREAKER_WINDOW);
    return pause_set(repo, w->group, reason);
}

static int look(Worker *w)
{
    cleanup(arena_freep) Arena *arena = arena_new();
    bool paused = w->paused;
    Str reason;

    int r = repo_connect(w->repo);
    r = r ? r : pause_get(w->repo, arena, w->group, &paused, &reason);
    if (r != 0)
        return r == REPO_E_RETRY ? 0 : worker_fail_repo(w, r);
    if (paused && w->once)
        return worker_fail(w, 78,
                           "group %s is paused: " STR_FMT "; look at decnetctl dlq list, then: decnetctl positions "
                           "resume %s",
                           w->group, STR_ARG(reason), w->group);
    if (paused && !w->paused) {
        log_err("paused",
                "group %s is paused: " STR_FMT "; look at decnetctl dlq list, then: decnetctl positions resume %s",
                w->group, STR_ARG(reason), w->group);
        worker_set_not_ready(w, "paused");
        intake_pause(w);
    } else if (!paused && w->paused) {
        log_notice("resumed", "group %s goes on", w->group);
        worker_set_not_ready(w, NULL);
        intake_resume(w);
    }
    w->paused = paused;
    return 0;
}

int breaker_check(Worker *w)
{
    int64_t now_us = clock_monotonic_us();

    if (w->breaker.n_dead > BREAKER_DEAD_MAX) {
        int r = repo_transaction(w->repo, trip, w);
        if (r != 0)
            return r == REPO_E_RETRY || r == REPO_E_IN_DOUBT ? 0 : worker_fail_repo(w, r);
        memset(&w->breaker, 0, sizeof(w->breaker));
        w->next_pause_check_us = 0;
    }
    if (now_us < w->next_pause_check_us || (!w->paused && w->next_pause_check_us != 0))
        return 0;
    w->next_pause_check_us = now_us + CHECK_EVERY_US;
    return look(w);
}
