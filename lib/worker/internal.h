/* What the sources of lib/worker share. */
#pragma once

#include <sys/types.h>

#include "base/limits.h"
#include "base/metrics.h"
#include "outbox.h"
#include "repo/runtime.h"
#include "worker.h"

enum { BREAKER_WINDOW = 1000, BREAKER_DEAD_MAX = 200 }; /* design 4: more than 20 % of the last 1,000 records */
enum { STOP_MS = 5000 };                                /* design 8: from the first signal to the end */

/* Where this process stands in one partition. */
typedef struct Partition {
    const BusTopic *topic;
    const char *full_name;
    int32_t partition;
    int64_t epoch;
    int64_t next_offset;  /* committed in PostgreSQL */
    int64_t taken_offset; /* polled into a batch up to here */
    int64_t goal_offset;  /* --once: the high watermark when it was taken */
    int64_t fenced_us;    /* another took it over (clock_monotonic_us()); 0: ours */
} Partition;

struct Batch {
    Worker *worker;
    Arena *arena;
    Arena *views;        /* of the record that is being prepared */
    WorkerEvent *events; /* capacity: batch_records or LIMIT_DEFERRED_BATCH */
    size_t n, cap, bytes;
    size_t begin, end;     /* the part that apply() sees */
    int64_t first_us;      /* clock_monotonic_us() of the first record */
    int64_t *deferred_ids; /* not NULL: the events are deferred ones, one per id */
};

typedef struct Watch {
    int fd;
    short events;
    void (*fn)(Worker *w, int fd, short events, void *arg);
    void *arg;
} Watch;
enum { WATCH_MAX = 64 };

typedef struct Breaker {
    bool dead[BREAKER_WINDOW];
    size_t at, n_dead;
} Breaker;

typedef struct Leader Leader;
typedef struct Http Http;

struct Worker {
    const WorkerSpec *spec;
    Config config;
    bool once;
    char *group, *source, *application_name;
    void *data;
    Repo *repo;
    const BusTopic *topics[16]; /* of the spec, n_topics of them */
    BusConsumer *consumers[16]; /* one for each */
    size_t n_topics, speaking;  /* speaking: whom to ask first for records */
    BusConsumer *troubled;      /* whose words explain the last failure */
    bool joined[16];            /* this member has had its first assignment */
    size_t n_joining;           /* consumers that were told to join, in the order of topics */
    int64_t next_join_us;       /* when the next one is, whatever became of the one before */
    Outbox *outbox;
    Arena *scratch;
    bool (*meanwhile)(void *arg); /* worker_meanwhile() */
    void *meanwhile_arg;
    Leader *leader;
    Http *http;
    Partition *partitions;
    size_t n_partitions;
    char *full_names[BUS_TOPIC_N]; /* Kafka's names, as far as they were needed */
    Batch *filling, *applying;
    Watch watches[WATCH_MAX];
    size_t n_watches;
    Breaker breaker;
    int signal_fd;
    int stop_signals; /* TERM or INT seen so far */
    int exit_code;
    char *failure; /* why the worker has to end */
    bool ready_sent, paused, holding;
    bool fed_itself; /* emitted to a topic that it reads, since the goals were taken */
    char *not_ready; /* why /readyz is red; NULL: green */
    int hold_tries;
    int poll_outcome;   /* of a consumer, met while a batch was being written or held; fill() deals with it */
    int64_t stop_by_us; /* after the first signal: the end of patience */
    int64_t next_deferral_us, next_pause_check_us, next_watchdog_us, watchdog_us, next_work_us, next_status_us,
        next_partitions_us, next_look_us;
    double prepare_s, poll_s, apply_s;               /* time shares, for the bench and /metrics */
    int64_t started_us, busy_from_us, busy_until_us; /* first record polled, last batch done */
};

/* --- intake.c --- */
int intake_open(Worker *w, char **ret_error);
void intake_close(Worker *w);
BusConsumer *intake_of(const Worker *w, const BusTopic *topic);
int intake_poll(Worker *w, BusRecord **ret); /* outcomes of bus_consumer_poll() */
void intake_next(Worker *w);                 /* let another topic speak first */
void intake_pause(Worker *w);
void intake_resume(Worker *w);
BusConsumer *intake_rebalancing(const Worker *w); /* one whose move waits for an answer, or NULL */
bool intake_is_away(const Worker *w);
const char *intake_error(const Worker *w);

/* --- partitions.c --- */
/* At start: --solo takes all partitions, else the process joins the group and partitions come by rebalance. */
int partitions_start(Worker *w);
/* Fence and take over @list; offset of each becomes where to begin. Waits as long as database or broker are away. */
int partitions_take(Worker *w, BusConsumer *consumer, BusPosition *list, size_t n);
/* Ours and not fenced, or NULL: a record of another partition is none of our business. */
Partition *partition_find(Worker *w, const BusTopic *topic, int32_t partition);
int partitions_resolve_doubt(Worker *w, const PositionAdvance *advances, size_t n, bool *ret_committed);
int64_t partitions_goal_lag(const Worker *w); /* records up to the goal, over all partitions */
bool partitions_renew_goals(Worker *w);       /* --once: the ends as they are now; false: not known now */
void partitions_free(Worker *w);
void partitions_hint(Worker *w); /* committed offsets for lag monitors */
/* A topic may have got more partitions, a fenced one may still be assigned to us: look now and then. */
int partitions_tick(Worker *w);

/* --- rebalance.c --- */
/* Answer the move that waits, if there is one. @may_take false: only give up, taking needs the database. */
int rebalance_answer(Worker *w, bool may_take);
/* Every member has had an assignment, be it empty; always true with --solo. */
bool rebalance_all_joined(const Worker *w);
/* After REPO_E_FENCED: find out which partitions went, and forget what we hold of them. 0 when something is left or
 * gone, negative when this process has to end. */
int rebalance_drop_fenced(Worker *w);

/* --- batch.c --- */
Batch *batch_new(Worker *w, size_t cap);
void batch_free(Batch *b);
void batch_reset(Batch *b);
bool batch_is_full(const Batch *b);
/* Take over a deferred record, at place @i: envelope, payload, prepare(). */
void batch_set_deferred(Batch *b, size_t i, const KeptRecord *kept);
/* Records of this partition are no longer ours to apply. */
void batch_drop_partition(Batch *b, const BusTopic *topic, int32_t partition);
/* Poll one record into w->filling; true when there may be more at once. Negative: *ret_error of the consumer. */
bool batch_fill_one(Worker *w, int *ret_outcome);

/* --- transaction.c --- */
/* The whole way of a batch, with retries, bisection and back-off. 0, -ECANCELED when the worker is asked to stop, or
 * negative after worker_fail(). */
int batch_commit(Worker *w, Batch *b);

/* --- kept.c --- */
int kept_write(Worker *w, Batch *b);        /* dead letters and deferrals of the part [begin, end) */
int deferral_run(Worker *w, bool *ret_any); /* take up what is due */
int64_t deferral_delay_us(int attempts);

/* --- breaker.c --- */
void breaker_note(Worker *w, const Batch *b);
int breaker_check(Worker *w); /* trips, or resumes when the operator says so */

/* --- leader.c --- */
Leader *leader_new(Worker *w);
void leader_free(Leader *l);
void leader_tick(Leader *l);

/* --- http.c --- */
int http_start(Worker *w, Http **ret);
void http_stop(Http *h);
/* Answers what is there, and ends connections that have said nothing for 10 s: at the limit of 16 nothing else would. */
void http_serve(Http *h);

/* --- loop.c --- */
int loop_run(Worker *w);
/* Wait out a fault: pauses the partitions, backs off, reconnects. 0 to try again, -ECANCELED when asked to stop. */
int loop_hold(Worker *w, const char *what);
void loop_recovered(Worker *w);
void worker_set_not_ready(Worker *w, const char *reason); /* NULL: ready */
/* An outcome of the repository that ends the worker, put into words. */
int worker_fail_repo(Worker *w, int outcome);

/* --- metrics that several sources count --- */
typedef struct WorkerMetrics {
    Metric records, applied, deferred, dead, batches, retries, bisections, fenced, transaction_seconds, records_lag,
        partitions, deferred_waiting;
} WorkerMetrics;
extern WorkerMetrics worker_metrics;
