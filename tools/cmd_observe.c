/* decnetctl observe: observations of sessions that ended before there was a worker to see them. Published as events, like
 * those of the worker: it stores and judges them. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "attribution/sessions.h"
#include "base/limits.h"
#include "bus/bus.h"
#include "decnetctl.h"
#include "ingest/backlog.h"
#include "ingest/progress.h"
#include "repo/listings.h"
#include "worker/outbox.h"

enum {
    PAGE_SESSIONS = 200,
    BROKER_TIMEOUT_MS = 10000,
    PENDING_MAX_BYTES = 8 * 1024 * 1024, /* unpublished: above it reading waits */
    DRAIN_MS = 200
};

static const char producer[] = "observe"; /* whose rows of the outbox these are */

static const CtlHelp help = {
    .synopsis = "[OPTION]... --since=TIME",
    .about =
        "Compute the observations of sessions that ended at TIME or later and were announced, and publish those that\n"
        "are not stored yet, for the attribution worker to take up. For history: what a running worker has seen is\n"
        "stored already, and is not published again. It may be interrupted and repeated at will; until the worker has\n"
        "stored what was published, a repetition publishes the same events, which count once.\n\n"
        "TIME is 2026-05-01 or 2026-05-01T12:00:00Z. Needs the key kafka.bootstrap.servers, except for --dry-run.\n",
    .examples = "  decnetctl observe --since=2026-01-01 --dry-run\n"
                "  decnetctl observe --since=2026-01-01 --until=2026-02-01\n",
};

static volatile sig_atomic_t stop_requested;

static void on_signal(int number)
{
    (void)number;
    stop_requested = 1;
}

typedef struct Counts {
    int64_t sessions, observations, news, ignored;
} Counts;

typedef struct Observe {
    Ctl *ctl;
    Outbox *outbox; /* NULL: only count */
    Backlog *backlog;
    Arena *arena; /* of a page */
    int64_t until_us;
    SessionPlace at;
    Counts total, page;
    SessionPlace page_end;
    Progress progress;
} Observe;

/* --- a page of sessions, one transaction --- */

static void add_to_outbox(void *to, const char *topic, Str decnet_topic, const Uuid *event_id, Str key, Str payload)
{
    outbox_add(to, topic, decnet_topic, event_id, key, payload);
}

static int observe_page(Repo *repo, void *arg)
{
    Observe *o = arg;
    StoredSession *rows;
    size_t n, n_all = 0, n_one, n_news, ignored;

    arena_reset(o->arena);
    o->page = (Counts){0};
    o->page_end = o->at;
    if (o->outbox)
        outbox_begin(o->outbox);
    int r = sessions_announced(repo, o->arena, &o->at, o->until_us, PAGE_SESSIONS, &rows, &n);
    if (r != 0 || n == 0)
        return r;
    Observation *all = arena_calloc(o->arena, n * EXTRACTOR_PRIMITIVES, sizeof(*all));
    for (size_t i = 0; r == 0 && i < n; i++) {
        r = session_observe_stored(repo, o->arena, &rows[i], all + n_all, &n_one, &ignored);
        n_all += r ? 0 : n_one;
        o->page.ignored += r ? 0 : (int64_t)ignored;
    }
    r = r ? r
          : observations_send_news(repo, o->arena, all, n_all, o->outbox ? add_to_outbox : NULL, o->outbox, &n_news);
    r = r || !o->outbox ? r : outbox_write(o->outbox, repo);
    if (r != 0)
        return r;
    o->page.sessions = (int64_t)n;
    o->page.observations = (int64_t)n_all;
    o->page.news = (int64_t)n_news;
    o->page_end = (SessionPlace){rows[n - 1].ended_at_us, rows[n - 1].sid};
    return 0;
}

static void take_page(Observe *o)
{
    if (o->outbox)
        outbox_committed(o->outbox);
    o->at = o->page_end;
    o->total.sessions += o->page.sessions;
    o->total.observations += o->page.observations;
    o->total.news += o->page.news;
    o->total.ignored += o->page.ignored;
}

/* --- all pages --- */

static void show_progress(Observe *o)
{
    char at[TIME_TEXT_BYTES];

    if (!progress_is_due(&o->progress))
        return;
    time_format(at, o->at.ended_at_us);
    fprintf(stderr, "%lld sessions, up to %.10s %.8s, %lld observations, %lld new", (long long)o->total.sessions, at,
            at + 11, (long long)o->total.observations, (long long)o->total.news);
    progress_line_end(&o->progress);
}

static bool broker_is_away(const Observe *o)
{
    return !outbox_broker_healthy(o->outbox) || backlog_is_silent(o->backlog);
}

/* Until less than @max_bytes wait for the broker, or for readers of an embedded one. */
static int wait_for_broker(Observe *o, size_t max_bytes)
{
    int r = 0;

    while (r == 0 && !stop_requested &&
           (max_bytes ? outbox_pending_bytes(o->outbox) > max_bytes : !outbox_is_settled(o->outbox))) {
        o->progress.waiting = backlog_is_blocking(o->backlog) ? "waiting for the worker" : "publishing";
        show_progress(o);
        r = outbox_drain(o->outbox, o->ctl->repo, DRAIN_MS);
        if (broker_is_away(o))
            break;
    }
    o->progress.waiting = NULL;
    return r;
}

static void say_nobody_reads(const Observe *o)
{
    if (backlog_nobody_reads(o->backlog))
        ctl_fail(o->ctl, 0,
                 "no worker has registered for attacker.observation yet: the embedded broker keeps only 5 MiB of a "
                 "partition; start decnet-attribution beside this");
}

static int observe_all(Observe *o)
{
    do {
        int r = repo_transaction(o->ctl->repo, observe_page, o);
        if (r != 0)
            return r;
        take_page(o);
        show_progress(o);
        if (!o->outbox)
            continue;
        r = wait_for_broker(o, PENDING_MAX_BYTES);
        if (r != 0)
            return r;
        say_nobody_reads(o);
        if (broker_is_away(o))
            return 0; /* more rows would only wait as well */
    } while (o->page.sessions == PAGE_SESSIONS && !stop_requested);
    return o->outbox ? wait_for_broker(o, 0) : 0;
}

/* --- what became of it --- */

static int print_report(const Observe *o)
{
    cleanup(buf_free) Buf json = {0};
    JsonWriter w = {.buf = &json};
    const Counts *c = &o->total;

    if (!o->ctl->json) {
        printf("%lld sessions, %lld observations: %lld %s, %lld stored already\n", (long long)c->sessions,
               (long long)c->observations, (long long)c->news, o->outbox ? "published" : "would be published",
               (long long)(c->observations - c->news));
        if (c->ignored)
            printf("%lld commands beyond %d of their session were not looked at\n", (long long)c->ignored,
                   LIMIT_EXTRACT_COMMANDS);
        return 0;
    }
    json_begin_object(&w);
    json_put_int(&w, "sessions", c->sessions);
    json_put_int(&w, "observations", c->observations);
    json_put_int(&w, "new", c->news);
    json_put_int(&w, "stored_already", c->observations - c->news);
    json_put_int(&w, "commands_over_limit", c->ignored);
    json_put_bool(&w, "dry_run", !o->outbox);
    json_put_int(&w, "unpublished_bytes", o->outbox ? (int64_t)outbox_pending_bytes(o->outbox) : 0);
    json_end_object(&w);
    return ctl_print_json(o->ctl, &json);
}

static int finish(Observe *o, int r)
{
    progress_end(&o->progress);
    if (r == REPO_E_IN_DOUBT)
        return ctl_fail(o->ctl, EXIT_FAILED, "the connection broke during COMMIT; run the same command again");
    if (r != 0)
        return ctl_fail_repo(o->ctl, r);
    int code = print_report(o);
    if (o->outbox && !outbox_is_settled(o->outbox))
        return ctl_fail(
            o->ctl, EXIT_FAILED,
            "not all events could be published; they wait in the outbox, and the next run publishes them and "
            "goes on: is the broker up (kafka.bootstrap.servers)?");
    return stop_requested ? ctl_fail(o->ctl, EXIT_FAILED, "interrupted; the same command goes on") : code;
}

/* --- the broker --- */

static int check_topic(const Ctl *ctl)
{
    static const BusTopic *const topics[] = {&bus_topics[BUS_ATTACKER_OBSERVATION], NULL};
    cleanup(bus_consumer_closep) BusConsumer *consumer = NULL;
    cleanup(freep) char *error = NULL;
    cleanup(freep) BusPosition *partitions = NULL;
    size_t n;

    if (bus_consumer_open(&ctl->config, producer, &consumer, &error) != 0)
        return ctl_fail(ctl, EXIT_OPERATOR, "Kafka: %s", error ? error : "cannot start");
    int r = bus_consumer_partitions(consumer, topics, BROKER_TIMEOUT_MS, &partitions, &n);
    if (r == BUS_E_NO_TOPIC)
        return ctl_fail(ctl, EXIT_OPERATOR,
                        "the broker has no topic %s%s; make it: decnetctl topics create. Nothing was published",
                        ctl->config.kafka_topic_prefix, topics[0]->name);
    if (r != 0)
        return ctl_fail(ctl, EXIT_FAILED,
                        "the broker does not answer (%s); is it up (kafka.bootstrap.servers)? Nothing was published",
                        bus_outcome_name(r));
    return 0;
}

static int open_outbox(Observe *o)
{
    cleanup(freep) char *error = NULL;

    int code = check_topic(o->ctl);
    if (code != 0)
        return code;
    if (outbox_new(&o->ctl->config, producer, "decnetctl/observe", &o->outbox, &error) != 0)
        return ctl_fail(o->ctl, EXIT_OPERATOR, "Kafka: %s", error ? error : "no producer");
    o->backlog = backlog_new(&o->ctl->config, o->ctl->repo, o->outbox);
    outbox_set_gate(o->outbox, backlog_gate, o->backlog);
    return 0;
}

static void close_outbox(Observe *o)
{
    if (o->outbox)
        outbox_set_gate(o->outbox, NULL, NULL);
    outbox_free(o->outbox);
    backlog_free(o->backlog);
}

static int observe(Ctl *ctl, int64_t since_us, int64_t until_us, bool dry_run)
{
    Observe o = {.ctl = ctl, .until_us = until_us, .at = {.ended_at_us = since_us}, .arena = ctl->arena};

    int code = ctl_connect_current(ctl);
    code = code || dry_run ? code : open_outbox(&o);
    if (code == 0) {
        progress_start(&o.progress);
        /* What an earlier run left in the outbox goes first. */
        int r = o.outbox ? outbox_tick(o.outbox, ctl->repo, 0) : 0;
        code = finish(&o, r ? r : observe_all(&o));
    }
    close_outbox(&o);
    return code;
}

static bool read_times(const Ctl *ctl, const char *since, const char *until, int64_t *ret_since_us,
                       int64_t *ret_until_us)
{
    const char *wants = "wants a time like 2026-05-01 or 2026-05-01T12:00:00Z";

    *ret_until_us = TIME_NONE;
    if (!since)
        ctl_usage(ctl, "--since is missing");
    else if (!ctl_time(since, ret_since_us))
        ctl_usage(ctl, "--since %s, not '%s'", wants, since);
    else if (until && !ctl_time(until, ret_until_us))
        ctl_usage(ctl, "--until %s, not '%s'", wants, until);
    else if (until && *ret_until_us <= *ret_since_us)
        ctl_usage(ctl, "--until has to be later than --since");
    else
        return true;
    return false;
}

int cmd_observe(int argc, char **argv)
{
    cleanup(ctl_end) Ctl ctl = {0};
    const char *since = NULL, *until = NULL;
    bool dry_run = false;
    int64_t since_us, until_us;
    const CliOption options[] = {
        {"since", NULL, &since, "TIME\tsessions that ended at TIME or later"},
        {"until", NULL, &until, "TIME\tand before this TIME"},
        {"dry-run", &dry_run, NULL, "only count; needs no broker"},
        {"json", &ctl.json, NULL, "report as one JSON object on standard output"},
    };

    if (!ctl_begin(&ctl, argc, argv, &help, options, ARRAY_SIZE(options)))
        return ctl.code;
    if (ctl.n_args > 0)
        return ctl_usage(&ctl, "unexpected argument '%s'", ctl.args[0]);
    if (!read_times(&ctl, since, until, &since_us, &until_us))
        return EXIT_USAGE;
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    return observe(&ctl, since_us, until_us, dry_run);
}
