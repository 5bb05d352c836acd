/* Stand-ins for workers, to prove the runtime for more than ttp. DECNET_TEST_FAKE says which:
 *
 *   batch  group ttp: reads attacker.observed and stores a row for each record; a payload's further members ask for all
 *          that can happen to a record:
 *            "n": 5             column n; the table refuses negative ones (23514)
 *            "note": "text"     column note
 *            "attacker": uuid   column with a foreign key (23503 while there is no such attacker)
 *            "as_number": "x"   cast by PostgreSQL (22P02 when it is no number)
 *            "need": true       deferred until the attacker's row exists
 *            "defer": true      deferred, whatever happens
 *            "refuse": true     refused by the worker
 *            "sleep_ms": 100    PostgreSQL sleeps in the transaction
 *            "emit": 3          three ttp.tagged, of "emit_bytes" each
 *   idle   group enrich: no topics; a timer of its own wakes work(), which only the group's leader runs: a row and an
 *          event each time
 *
 * The tests create the tables fake_row and fake_tick. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/log.h"
#include "repo/attackers.h"
#include "repo/pg.h"
#include "worker/worker.h"

/* --- batch --- */

typedef struct Request {
    AttackerObserved observed;
    Str note, as_number;
    Uuid attacker;
    bool has_attacker, need, defer, refuse;
    int64_t n, sleep_ms, emit, emit_bytes;
} Request;

static int64_t number(const JsonView *payload, const char *key, int64_t otherwise)
{
    int64_t v;
    return view_get_int(payload, key, &v) ? v : otherwise;
}

static bool flag(const JsonView *payload, const char *key)
{
    bool v = false;
    return view_get_bool(payload, key, &v) && v;
}

static void batch_prepare(Worker *w, WorkerEvent *event)
{
    Request *q = arena_calloc(event->arena, 1, sizeof(*q));
    const JsonView *p = event->payload;
    EventReject reject = attacker_observed_decode(event->arena, p, &q->observed);

    event->decoded = q;
    if (reject != EVENT_OK) {
        event_refuse(event, event_reject_name(reject), "attacker.observed: refused by its decoder");
        return;
    }
    q->n = number(p, "n", 0);
    q->note = view_get_str(p, "note");
    q->as_number = view_get_str(p, "as_number");
    q->has_attacker = uuid_parse_text(view_get_str(p, "attacker"), &q->attacker);
    q->need = flag(p, "need");
    q->defer = flag(p, "defer");
    q->refuse = flag(p, "refuse");
    q->sleep_ms = number(p, "sleep_ms", 0);
    q->emit = number(p, "emit", 0);
    q->emit_bytes = number(p, "emit_bytes", 64);
}

static int defer_unknown(Worker *w, Batch *batch)
{
    size_t n = batch_count(batch);
    AttackerRef *refs = arena_calloc(worker_scratch(w), n + 1, sizeof(*refs));

    for (size_t i = 0; i < n; i++) {
        const Request *q = batch_event(batch, i)->decoded;
        if (batch_event(batch, i)->state == EVENT_LIVE)
            refs[i] = (AttackerRef){.ip = q->observed.attacker_ip,
                                    .uuid = q->observed.has_attacker_uuid ? &q->observed.attacker_uuid : NULL};
    }
    int r = attackers_resolve(worker_repo(w), refs, n);
    for (size_t i = 0; r == 0 && i < n; i++) {
        WorkerEvent *e = batch_event(batch, i);
        const Request *q = e->decoded;
        if (e->state != EVENT_LIVE)
            continue;
        if (q->refuse)
            event_refuse(e, "unwanted", "the payload asked for it");
        else if (q->defer)
            event_defer(e, NULL, NULL);
        else if (q->need && !refs[i].exists)
            event_defer(e, q->observed.attacker_ip, refs[i].uuid);
    }
    return r;
}

static int store_rows(Worker *w, Batch *batch)
{
    static const Statement insert = {
        .name = "fake_row_insert",
        .shape = SHAPE_NONE,
        .sql =
            "INSERT INTO fake_row (\"partition\", \"offset\", n, note, attacker, as_number)"
            " SELECT p, o, n, t, a, x::int FROM unnest($1::int[], $2::bigint[], $3::bigint[], $4::text[], $5::uuid[],"
            "  $6::text[]) AS i (p, o, n, t, a, x)"};
    cleanup(args_free) Args args = {0};
    ArgArray *partition = arg_array(&args, PG_INT4), *offset = arg_array(&args, PG_INT8),
             *n = arg_array(&args, PG_INT8), *note = arg_array(&args, PG_TEXT), *attacker = arg_array(&args, PG_UUID),
             *as_number = arg_array(&args, PG_TEXT);

    for (size_t i = 0; i < batch_count(batch); i++) {
        const WorkerEvent *e = batch_event(batch, i);
        const Request *q = e->decoded;
        if (e->state != EVENT_LIVE)
            continue;
        array_int4(partition, e->partition);
        array_int8(offset, e->offset);
        array_int8(n, q->n);
        array_str(note, q->note);
        array_uuid(attacker, q->has_attacker ? &q->attacker : NULL);
        array_str(as_number, q->as_number);
    }
    return repo_run(worker_repo(w), &insert, &args, NULL);
}

static int sleep_there(Worker *w, int64_t ms)
{
    static const Statement nap = {
        .name = "fake_sleep", .shape = SHAPE_ROW, .sql = "SELECT pg_sleep($1 / 1000.0)::text"};
    cleanup(args_free) Args args = {0};
    arg_int8(&args, ms);
    return repo_exec(worker_repo(w), &nap, &args, NULL);
}

/* Ids rest on the record's coordinates, so that a second run publishes under the same ones. */
static void emit_events(Worker *w, const WorkerEvent *e, const Request *q)
{
    cleanup(buf_free) Buf payload = {0};

    for (int64_t i = 0; i < q->emit; i++) {
        char parts[3][24];
        Str names[3];
        for (int k = 0; k < 3; k++) {
            snprintf(parts[k], sizeof(parts[k]), "%lld", (long long)(k == 0 ? e->partition : k == 1 ? e->offset : i));
            names[k] = str_from(parts[k]);
        }
        Uuid id = event_id(STR("ttp.tagged"), names, 3);
        buf_clear(&payload);
        buf_printf(&payload, "{\"source\":\"%s/%s\",\"i\":%s,\"pad\":\"", parts[0], parts[1], parts[2]);
        for (int64_t k = (int64_t)payload.len + 2; k < q->emit_bytes; k++)
            buf_add_char(&payload, 'x');
        buf_add(&payload, "\"}");
        worker_emit(w, "ttp.tagged", STR("ttp.tagged"), &id, e->key, buf_str(&payload));
    }
}

static int batch_apply(Worker *w, Batch *batch)
{
    int64_t sleep_ms = 0;
    int r = defer_unknown(w, batch);

    r = r ? r : store_rows(w, batch);
    for (size_t i = 0; i < batch_count(batch); i++) {
        const WorkerEvent *e = batch_event(batch, i);
        const Request *q = e->decoded;
        if (e->state != EVENT_LIVE)
            continue;
        sleep_ms += q->sleep_ms;
        emit_events(w, e, q);
    }
    return r == 0 && sleep_ms ? sleep_there(w, sleep_ms) : r;
}

static const char *const batch_topics[] = {"attacker.observed", NULL};

static const WorkerSpec batch_fake = {
    .name = "ttp",
    .summary = "A fake worker of the tests: stores what it reads.",
    .topics = batch_topics,
    .prepare = batch_prepare,
    .apply = batch_apply,
};

/* --- idle --- */

enum { TICK_MS = 50 };

typedef struct Idle {
    int timer, pair[2];
    int64_t ticks;      /* of the timer */
    int64_t done;       /* stored and committed */
    bool gone_was_told; /* a handler ran after its descriptor was given up */
} Idle;

static void on_tick(Worker *w, int fd, short events, void *arg)
{
    Idle *idle = arg;
    uint64_t n;
    if (read(fd, &n, sizeof(n)) == (ssize_t)sizeof(n))
        idle->ticks += (int64_t)n;
}

/* Both descriptors are ready in the same turn: whichever comes first gives the other one up. */
static void on_pair(Worker *w, int fd, short events, void *arg)
{
    Idle *idle = arg;
    idle->gone_was_told |= idle->pair[0] < 0;
    for (size_t i = 0; i < ARRAY_SIZE(idle->pair) && idle->pair[i] >= 0; i++) {
        worker_unwatch_fd(w, idle->pair[i]);
        close(idle->pair[i]);
        idle->pair[i] = -1;
    }
}

static int idle_start(Worker *w)
{
    struct itimerspec every = {{0, TICK_MS * 1000000L}, {0, TICK_MS * 1000000L}};
    Idle *idle = calloc(1, sizeof(*idle));

    worker_set_data(w, idle);
    if (!idle || (idle->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC)) < 0 ||
        timerfd_settime(idle->timer, 0, &every, NULL) < 0)
        return worker_fail(w, 1, "cannot make the timer: %s", strerror(errno));
    worker_watch_fd(w, idle->timer, POLLIN, on_tick, idle);
    for (size_t i = 0; i < ARRAY_SIZE(idle->pair); i++) {
        idle->pair[i] = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);
        worker_watch_fd(w, idle->pair[i], POLLIN, on_pair, idle);
    }
    return 0;
}

static int store_tick(Worker *w, void *arg)
{
    static const Statement insert = {
        .name = "fake_tick_insert",
        .shape = SHAPE_ROW,
        .sql = "INSERT INTO fake_tick (instance, tick, note) VALUES ($1, $2, $3) RETURNING id"};
    cleanup(args_free) Args args = {0};
    cleanup(pgresult_freep) PGresult *result = NULL;
    cleanup(buf_free) Buf payload = {0};
    const Idle *idle = arg;
    char text[24];

    arg_cstr(&args, worker_config(w)->instance);
    arg_int8(&args, idle->ticks);
    arg_cstr(&args, idle->gone_was_told ? "a handler ran after its descriptor was given up" : "");
    int r = repo_exec(worker_repo(w), &insert, &args, &result);
    if (r != 0)
        return r;
    snprintf(text, sizeof(text), "%lld", (long long)res_int(result, 0, 0));
    Str part = str_from(text);
    Uuid id = event_id(STR("attacker.scored"), &part, 1);
    buf_printf(&payload, "{\"row\":%s}", text);
    worker_emit(w, "attacker.scored", STR("attacker.scored"), &id, part, buf_str(&payload));
    return 0;
}

static int idle_work(Worker *w, int64_t now_us, int64_t *ret_next_us)
{
    Idle *idle = worker_data(w);
    int r = 0;

    *ret_next_us = now_us + TICK_MS * US_PER_MS;
    if (idle->ticks > idle->done) {
        int64_t ticks = idle->ticks;
        r = worker_transaction(w, store_tick, idle);
        if (r == 0)
            idle->done = ticks;
    }
    return r;
}

static void idle_stop(Worker *w)
{
    Idle *idle = worker_data(w);
    if (idle)
        close(idle->timer);
    free(idle);
}

static const char *const no_topics[] = {NULL};

static const WorkerSpec idle_fake = {
    .name = "enrich",
    .summary = "A fake worker of the tests: works by the clock, without any topic.",
    .topics = no_topics,
    .leader_only = true,
    .start = idle_start,
    .work = idle_work,
    .stop = idle_stop,
};

int main(int argc, char **argv)
{
    const char *which = getenv("DECNET_TEST_FAKE");

    if (which && strcmp(which, "batch") == 0)
        return worker_main(argc, argv, &batch_fake);
    if (which && strcmp(which, "idle") == 0)
        return worker_main(argc, argv, &idle_fake);
    fprintf(stderr, "%s: DECNET_TEST_FAKE is batch or idle\n", argv[0]);
    return 2;
}
