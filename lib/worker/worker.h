/* The runtime that every worker shares. A worker is a WorkerSpec and one line:
 *
 *   int main(int argc, char **argv) { return worker_main(argc, argv, &spec); }
 *
 * One thread, one loop: records are polled and prepared one by one into a batch, also while PostgreSQL works on the
 * batch before; a batch is applied in one transaction together with its dead letters, deferrals, outgoing events and
 * positions; then its events are published. Between batches work() gets small turns. */
#pragma once

#include "base/config.h"
#include "bus/bus.h"
#include "event/event.h"
#include "repo/repo.h"

typedef struct Worker Worker;
typedef struct Batch Batch;

typedef enum EventState {
    EVENT_LIVE,     /* to be applied */
    EVENT_DEFERRED, /* waits for a row; tried again later */
    EVENT_DEAD,     /* a dead letter */
    EVENT_GONE,     /* a deferred record that another member finished meanwhile */
} EventState;

/* One record on its way. */
typedef struct WorkerEvent {
    const BusTopic *topic;
    int32_t partition;
    int64_t offset, timestamp_us;
    Str key, value;
    const EventHeader *headers;
    size_t n_headers;
    EventEnvelope envelope;
    const JsonView *payload; /* for prepare() alone: the views go when it returns, what they borrow from stays */
    Arena *arena;            /* lives as long as the batch */
    void *decoded;           /* what prepare() makes of it; apply() reads it */
    /* set through event_defer() and event_refuse() only */
    EventState state;
    char wait_ip[IP_TEXT_BYTES];
    Uuid wait_uuid;
    const char *reason, *message, *sqlstate;
    /* the runtime's own */
    EventState prepared_state;
    bool isolated; /* PostgreSQL refused it for good */
    BusRecord *record;
    int64_t deferred_id, first_seen_us;
    int attempts;
} WorkerEvent;

typedef struct WorkerSpec {
    const char *name;          /* consumer group, metrics label, role, unit name: "ttp" */
    const char *summary;       /* one line for --help */
    const char *const *topics; /* names of the topics table, NULL at the end; may be empty */
    const char *batch_records; /* default of the key of that name, where the table's does not suit */
    bool leader_only;          /* work() runs only while this process holds the group's leader lock */
    int (*start)(Worker *w);   /* load what must be loaded. 0, or a negative errno after worker_fail() */
    /* Decode one record; no database, no waiting: it runs while an earlier batch is being written. */
    void (*prepare)(Worker *w, WorkerEvent *event);
    /* Inside the transaction; may run again after a rollback, also on a part of the batch. Hands on REPO_E_*. */
    int (*apply)(Worker *w, Batch *batch);
    /* Optional: at most some 50 ms a call. *ret_next_us is when (clock_monotonic_us()) it wants to run again; now or
     * earlier means at once. Writes only through worker_transaction(). 0 or a REPO_E_* / negative errno. */
    int (*work)(Worker *w, int64_t now_us, int64_t *ret_next_us);
    void (*stop)(Worker *w); /* free what start() made; also after a start() that failed half way */
} WorkerSpec;

/* Runs the worker until SIGTERM or, with --once, until it has caught up. Exit codes: 0 done, 1 failed (a supervisor
 * may restart), 2 usage, 78 (EX_CONFIG) an operator has to act first. */
int worker_main(int argc, char **argv, const WorkerSpec *spec);

/* --- for the worker's own functions --- */
Repo *worker_repo(Worker *w); /* inside apply() and worker_transaction() only */
const Config *worker_config(const Worker *w);
void *worker_data(const Worker *w); /* what worker_set_data() stored */
void worker_set_data(Worker *w, void *data);
Arena *worker_scratch(Worker *w); /* emptied before every run of apply() or of a transaction function */
/* Keep a message for the log and the exit; @exit_code 78 when an operator has to act, else 1. Returns -EINVAL. */
int worker_fail(Worker *w, int exit_code, const char *fmt, ...) printf_like(3, 4);

/* Events of the batch that are still live. */
size_t batch_count(const Batch *batch);
WorkerEvent *batch_event(const Batch *batch, size_t i); /* any state: look at event->state */

/* The attacker this event speaks of is not there yet: keep the record, try again when the row appears, at the latest
 * after 2 s, 10 s, 60 s, 10 min and 1 h (jittered); then it is the dead letter `unresolved_attacker`. */
void event_defer(WorkerEvent *event, const char *wait_ip, const Uuid *wait_uuid);
/* Never to be applied: a dead letter. @reason is a short stable word, @message says more; both outlive the batch. */
void event_refuse(WorkerEvent *event, const char *reason, const char *message);

/* Collect an outgoing event of the running transaction: written to the outbox with it, published after COMMIT.
 * @payload at most LIMIT_EVENT_BYTES. @decnet_topic is the full dotted name ("ttp.rule.fired.T1110"). */
void worker_emit(Worker *w, const char *topic, Str decnet_topic, const Uuid *event_id, Str key, Str payload);
/* Forget what this run of apply() has emitted so far. */
void worker_take_back_events(Worker *w);
/* Inside apply(): @step is called again and again while statements wait for PostgreSQL, until it returns false or NULL
 * takes its place, which the caller sees to before @arg ends. It does a little in each call, and nothing in the database. */
void worker_meanwhile(Worker *w, bool (*step)(void *arg), void *arg);

/* A transaction of the worker's own, between batches: @fn may run again after a rollback, so it reads what it needs
 * inside. The events it emits are published after COMMIT. Returns 0, REPO_E_RETRY when the database is away for now
 * (the runtime goes on by itself; call again later), or what @fn returned. */
int worker_transaction(Worker *w, int (*fn)(Worker *w, void *arg), void *arg) must_check;

/* Wait on another descriptor in the loop; @fn is called when it is ready for @events (poll.h). Replaces an earlier
 * entry of the same descriptor. */
void worker_watch_fd(Worker *w, int fd, short events, void (*fn)(Worker *w, int fd, short events, void *arg),
                     void *arg);
void worker_unwatch_fd(Worker *w, int fd);
bool worker_is_leader(const Worker *w);
/* There is something to do for work() now: it gets its turn as soon as this batch is done. */
void worker_ask_for_work(Worker *w);
