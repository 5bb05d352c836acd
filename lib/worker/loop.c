/* The loop: fill a batch, commit it, give work() its turn, serve everything else while waiting. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/log.h"
#include "internal.h"

enum {
    IDLE_POLL_MS = 200,
    DEFERRAL_EVERY_US = 1000000,
    HOLD_FIRST_MS = 100,
    HOLD_MAX_MS = 30000,
    DRAIN_MS = 4000, /* of STOP_MS for what is published and not yet acknowledged */
    STATUS_EVERY_US = 5000000,
    RELAY_AGE_MS = 30000, /* decisions 2: older rows were left behind by a crash */
};

WorkerMetrics worker_metrics = {
    .records = {.name = "decnet_records_total", .help = "Records polled from Kafka.", .type = METRIC_COUNTER},
    .applied = {.name = "decnet_events_total",
                .help = "Events by what became of them.",
                .type = METRIC_COUNTER,
                .labels = "outcome=\"applied\""},
    .deferred = {.name = "decnet_events_total",
                 .help = "Events by what became of them.",
                 .type = METRIC_COUNTER,
                 .labels = "outcome=\"deferred\""},
    .dead = {.name = "decnet_events_total",
             .help = "Events by what became of them.",
             .type = METRIC_COUNTER,
             .labels = "outcome=\"dead_letter\""},
    .batches = {.name = "decnet_batches_total", .help = "Transactions committed.", .type = METRIC_COUNTER},
    .retries = {.name = "decnet_batch_retries_total",
                .help = "Batches run again after a transient fault.",
                .type = METRIC_COUNTER},
    .bisections = {.name = "decnet_batch_bisections_total",
                   .help = "Batches halved to find a bad record.",
                   .type = METRIC_COUNTER},
    .fenced = {.name = "decnet_fenced_total",
               .help = "Transactions refused because another owns the partitions.",
               .type = METRIC_COUNTER},
    .transaction_seconds = {.name = "decnet_transaction_seconds",
                            .help = "Time of a batch in PostgreSQL.",
                            .type = METRIC_HISTOGRAM},
    .records_lag = {.name = "decnet_goal_lag_records",
                    .help = "Records up to the high watermark at the start (--once).",
                    .type = METRIC_GAUGE},
    .partitions = {.name = "decnet_partitions", .help = "Partitions that this process owns.", .type = METRIC_GAUGE},
    .deferred_waiting = {.name = "decnet_deferred_events",
                         .help = "Deferred events of the group.",
                         .type = METRIC_GAUGE},
};

static bool worker_stopping(const Worker *w)
{
    return w->stop_signals > 0;
}

void worker_set_not_ready(Worker *w, const char *reason)
{
    char *copy = reason ? strdup(reason) : NULL;
    free(w->not_ready);
    w->not_ready = copy;
    sd_notifyf(0, "STATUS=%s", reason ? reason : "running");
    if (!reason && !w->ready_sent) {
        sd_notify(0, "READY=1");
        w->ready_sent = true;
    }
}

void worker_watch_fd(Worker *w, int fd, short events, void (*fn)(Worker *w, int fd, short events, void *arg), void *arg)
{
    size_t i = 0;
    while (i < w->n_watches && w->watches[i].fd != fd)
        i++;
    assert(i < WATCH_MAX);
    w->watches[i] = (Watch){fd, events, fn, arg};
    w->n_watches = MAX(w->n_watches, i + 1);
}

void worker_unwatch_fd(Worker *w, int fd)
{
    for (size_t i = 0; i < w->n_watches; i++)
        if (w->watches[i].fd == fd)
            w->watches[i--] = w->watches[--w->n_watches];
}

/* False for one that the handler of another gave up in the same turn. */
static bool is_watched(const Worker *w, const Watch *watch)
{
    for (size_t i = 0; i < w->n_watches; i++)
        if (w->watches[i].fd == watch->fd && w->watches[i].fn == watch->fn && w->watches[i].arg == watch->arg)
            return true;
    return false;
}

static void read_signals(Worker *w)
{
    struct signalfd_siginfo info;
    while (read(w->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (info.ssi_signo != SIGTERM && info.ssi_signo != SIGINT)
            continue;
        if (++w->stop_signals == 1) {
            w->stop_by_us = clock_monotonic_us() + STOP_MS * US_PER_MS;
            log_notice("stopping", "finishing the batch at hand");
            sd_notify(0, "STOPPING=1\nSTATUS=draining");
        } else { /* the operator does not want to wait: the open transaction dies with its connection */
            log_notice("stopped", "second signal: leaving at once");
            _exit(0);
        }
    }
    if (w->stop_by_us && clock_monotonic_us() >= w->stop_by_us) {
        log_notice("stopped", "the batch at hand takes too long: leaving it to the next run");
        _exit(0);
    }
}

static void tick_watchdog(Worker *w)
{
    int64_t now_us = clock_monotonic_us();
    if (w->watchdog_us && now_us >= w->next_watchdog_us) {
        w->next_watchdog_us = now_us + w->watchdog_us / 3;
        sd_notify(0, "WATCHDOG=1");
    }
}

/* The next transaction begins at once, and gives time to publish what the last one left while PostgreSQL works. */
static bool is_next_ready(const Worker *w)
{
    return batch_is_full(w->filling) && !w->holding && !w->paused && !worker_stopping(w);
}

/* What must go on whatever happens: signals, the watchdog, deliveries, watched descriptors. */
static void loop_serve(Worker *w, int timeout_ms)
{
    struct pollfd fds[WATCH_MAX + 1 + ARRAY_SIZE(w->consumers)];
    Watch watches[WATCH_MAX]; /* a handler may change the list */
    size_t n = 0, n_watches = w->n_watches;

    memcpy(watches, w->watches, n_watches * sizeof(*watches));
    fds[n++] = (struct pollfd){.fd = w->signal_fd, .events = POLLIN};
    for (size_t i = 0; i < w->n_topics && w->consumers[i] && !w->holding && !w->paused; i++)
        fds[n++] = (struct pollfd){.fd = bus_consumer_fd(w->consumers[i]), .events = POLLIN};
    for (size_t i = 0; i < n_watches; i++)
        fds[n + i] = (struct pollfd){.fd = watches[i].fd, .events = watches[i].events};
    tick_watchdog(w);
    if (poll(fds, n + n_watches, timeout_ms) < 0 && errno != EINTR)
        return;
    read_signals(w);
    http_serve(w->http);
    for (size_t i = 0; i < n_watches; i++)
        if (fds[n + i].revents && is_watched(w, &watches[i]))
            watches[i].fn(w, watches[i].fd, fds[n + i].revents, watches[i].arg);
    if (w->outbox && !is_next_ready(w))
        outbox_poll(w->outbox, 0);
}

/* An outcome that comes once, like an overtaken position, must not be lost because a batch is at hand just then. */
static bool fill_one_aside(Worker *w)
{
    int outcome;
    bool more = batch_fill_one(w, &outcome);
    if (outcome != 0 && outcome != BUS_E_TIMEOUT && outcome != BUS_E_AWAY && outcome != BUS_E_REBALANCE)
        w->poll_outcome = outcome;
    return more;
}

/* Keeps librdkafka served. Paused partitions give nothing; a record that slips through is kept or read again. */
static void poll_while_held(Worker *w)
{
    BusRecord *record = NULL;

    if (w->n_topics == 0 || !w->consumers[w->n_topics - 1])
        return;
    if (!batch_is_full(w->filling)) {
        fill_one_aside(w);
        (void)!rebalance_answer(w, false); /* give up what is wanted elsewhere; taking needs the database */
    } else if (intake_poll(w, &record) == 0) {
        BusPosition again = {record->topic, record->partition, record->offset};
        bus_record_free(record);
        (void)!bus_consumer_seek(intake_of(w, again.topic), &again, IDLE_POLL_MS);
    }
}

int loop_hold(Worker *w, const char *what)
{
    int64_t base_ms = HOLD_FIRST_MS;

    for (int i = 0; i < w->hold_tries && base_ms < HOLD_MAX_MS; i++)
        base_ms *= 2;
    base_ms = MIN(base_ms, (int64_t)HOLD_MAX_MS);
    w->hold_tries++;
    log_warning("holding", "%s; trying again (nothing is lost meanwhile)", what);
    worker_set_not_ready(w, what);
    if (!w->holding)
        intake_pause(w);
    w->holding = true;
    int64_t until_us = clock_monotonic_us() + (base_ms * 3 / 4 + random() % (base_ms / 2 + 1)) * US_PER_MS;
    while (clock_monotonic_us() < until_us) {
        loop_serve(w, (int)MIN((until_us - clock_monotonic_us()) / US_PER_MS + 1, (int64_t)IDLE_POLL_MS));
        if (worker_stopping(w))
            return -ECANCELED;
        poll_while_held(w);
    }
    return 0;
}

/* After a hold: partitions flow again, from where the batches being filled end. */
void loop_recovered(Worker *w)
{
    w->hold_tries = 0;
    if (!w->holding)
        return;
    w->holding = false;
    log_notice("recovered", "working again");
    worker_set_not_ready(w, w->paused ? "paused" : NULL);
    if (!w->paused)
        intake_resume(w);
}

static void stay_alive(Worker *w)
{
    tick_watchdog(w);
    read_signals(w);
    http_serve(w->http);
}

/* During any other statement of the loop: signals, the watchdog and health, nothing that touches batches or the outbox. */
static bool stay_alive_while_waiting(void *arg)
{
    stay_alive(arg);
    return false;
}

static bool may_fill(const Worker *w)
{
    return !w->holding && !w->paused && !worker_stopping(w) && w->n_topics && !batch_is_full(w->filling) &&
           !intake_rebalancing(w);
}

/* While PostgreSQL works on a batch: what apply() has left to do, then the next batch is filled, then the events of the
 * last one are published; a little of it in each call. */
static bool work_while_waiting(void *arg)
{
    Worker *w = arg;

    if (w->meanwhile && w->meanwhile(w->meanwhile_arg))
        return true;
    w->meanwhile = NULL;
    if (may_fill(w) && fill_one_aside(w))
        return true;
    stay_alive(w);
    return outbox_step(w->outbox);
}

void worker_meanwhile(Worker *w, bool (*step)(void *arg), void *arg)
{
    w->meanwhile = step;
    w->meanwhile_arg = arg;
}

static int commit_filled(Worker *w)
{
    Batch *b = w->filling;

    intake_next(w); /* one busy topic must not keep the others waiting */
    w->filling = w->applying;
    w->applying = b;
    repo_set_idle(w->repo, work_while_waiting, w);
    int64_t start_us = clock_monotonic_us();
    int r = batch_commit(w, b);
    w->busy_until_us = clock_monotonic_us();
    w->apply_s += (double)(w->busy_until_us - start_us) / 1e6;
    repo_set_idle(w->repo, stay_alive_while_waiting, w);
    batch_reset(b);
    return r;
}

static int fail_overtaken(Worker *w)
{
    BusPosition p = bus_consumer_overtaken(w->troubled);
    return worker_fail(
        w, 78,
        "retention overtook group %s on %s%s/%d at offset %lld: records were deleted before they were read; to "
        "go on with the oldest one kept: decnetctl positions forget %s %s%s",
        w->group, w->config.kafka_topic_prefix, p.topic ? p.topic->name : "?", (int)p.partition, (long long)p.offset,
        w->group, w->config.kafka_topic_prefix, p.topic ? p.topic->name : "?");
}

/* Records until the batch is full, old enough, or nothing more is there right now. */
static int fill(Worker *w)
{
    int outcome = 0;
    int64_t age_us = w->config.batch_age_ms * US_PER_MS;

    while (!w->poll_outcome && batch_fill_one(w, &outcome))
        if (clock_monotonic_us() - w->filling->first_us > age_us)
            break;
    outcome = w->poll_outcome ? w->poll_outcome : outcome;
    switch (outcome) {
    case 0:
    case BUS_E_TIMEOUT:
    case BUS_E_REBALANCE:
        return 0;
    case BUS_E_AWAY:
        if (!w->not_ready)
            log_warning("broker_away", "no Kafka broker answers: %s", intake_error(w));
        worker_set_not_ready(w, "no Kafka broker answers");
        return 0;
    case BUS_E_OVERTAKEN:
        return fail_overtaken(w);
    default:
        return worker_fail(w, outcome == BUS_E_NO_TOPIC || outcome == BUS_E_REJECTED ? 78 : 1, "Kafka: %s",
                           intake_error(w));
    }
}

/* --once: what came after the start is left to the next run, or a busy topic would never let it end. */
static bool is_goal_reached(const Worker *w)
{
    return w->once && rebalance_all_joined(w) && partitions_goal_lag(w) == 0;
}

static int consume(Worker *w)
{
    if (w->n_topics == 0)
        return 0;
    int r = rebalance_answer(w, true);
    if (r != 0 || is_goal_reached(w))
        return r;
    r = fill(w); /* also while paused: a member has to poll, and paused partitions give nothing */
    if (r == 0 && w->not_ready && !w->holding && !w->paused && !intake_is_away(w))
        worker_set_not_ready(w, NULL);
    r = r ? r : rebalance_answer(w, true);
    if (r == 0 && w->filling->n && !w->paused) {
        if (w->busy_from_us == 0)
            w->busy_from_us = w->filling->first_us;
        r = commit_filled(w);
    }
    return r;
}

static int take_up_deferred(Worker *w, bool *ret_busy)
{
    int64_t now_us = clock_monotonic_us();
    bool any = false;

    if (w->paused || now_us < w->next_deferral_us)
        return 0;
    int r = deferral_run(w, &any);
    w->next_deferral_us = any ? now_us + US_PER_MS * 50 : now_us + DEFERRAL_EVERY_US;
    *ret_busy |= any;
    return r;
}

static int give_work_its_turn(Worker *w, bool *ret_busy)
{
    int64_t now_us = clock_monotonic_us(), next_us = now_us + IDLE_POLL_MS * US_PER_MS;

    if (w->leader)
        leader_tick(w->leader);
    if (!w->spec->work || w->paused || now_us < w->next_work_us || (w->spec->leader_only && !worker_is_leader(w)))
        return 0;
    int r = w->spec->work(w, now_us, &next_us);
    w->next_work_us = next_us;
    *ret_busy |= r == 0 && next_us <= clock_monotonic_us();
    if (r == REPO_E_RETRY)
        return loop_hold(w, repo_error_text(w->repo));
    return r <= 0 ? r : worker_fail_repo(w, r);
}

static int tick_outbox(Worker *w)
{
    int64_t age_ms = w->config.solo ? 0 : RELAY_AGE_MS; /* alone: what is there and not ours was left behind */
    size_t damaged = outbox_damaged_rows(w->outbox);
    int r = (is_next_ready(w) ? outbox_upkeep : outbox_tick)(w->outbox, w->repo, age_ms);
    if (outbox_damaged_rows(w->outbox) > damaged)
        log_err("outbox_damaged",
                "%zu rows of event_outbox of group %s are damaged and stay unpublished: look at them, then delete them",
                outbox_damaged_rows(w->outbox), w->group);
    if (r == REPO_E_RETRY)
        return loop_hold(w, repo_error_text(w->repo));
    return r <= 0 ? r : worker_fail_repo(w, r);
}

static int tick_status(Worker *w)
{
    int64_t now_us = clock_monotonic_us(), n, next_us;

    if (now_us < w->next_status_us)
        return 0;
    w->next_status_us = now_us + STATUS_EVERY_US;
    metric_set(&worker_metrics.partitions, (double)w->n_partitions);
    metric_set(&worker_metrics.records_lag, (double)partitions_goal_lag(w));
    partitions_hint(w);
    if (!repo_is_connected(w->repo))
        return 0;
    int r = deferred_count(w->repo, w->group, &n, &next_us);
    if (r == 0)
        metric_set(&worker_metrics.deferred_waiting, (double)n);
    return r == 0 || r == REPO_E_RETRY ? 0 : worker_fail_repo(w, r);
}

/* --once: everything up to the goal is committed, nothing is due, nothing waits to be published. What a worker told
 * itself is part of it. */
static int caught_up(Worker *w, bool *ret)
{
    int64_t rows = 0, due_ids[1];
    size_t n_due = 0;

    *ret = false;
    if (!is_goal_reached(w) || (w->spec->work && w->next_work_us <= clock_monotonic_us()))
        return 0;
    int r = repo_connect(w->repo);
    r = r ? r : outbox_drain(w->outbox, w->repo, IDLE_POLL_MS); /* nothing to wait for: delete its rows at once */
    if (r == 0 && !outbox_is_settled(w->outbox))
        return 0;
    r = r ? r : outbox_row_count(w->repo, w->group, &rows, NULL);
    r = r ? r : deferred_due(w->repo, w->group, true, 1, due_ids, &n_due);
    *ret = r == 0 && rows <= (int64_t)outbox_damaged_rows(w->outbox) && n_due == 0;
    w->fed_itself |= outbox_take_relayed(w->outbox) > 0; /* events that another member left behind */
    if (*ret && w->fed_itself) {
        w->fed_itself = !partitions_renew_goals(w);
        *ret = false;
    }
    return r == 0 || r == REPO_E_RETRY ? 0 : worker_fail_repo(w, r);
}

static void say_deferred(Worker *w)
{
    int64_t n, next_us;
    if (deferred_count(w->repo, w->group, &n, &next_us) == 0 && n > 0)
        log_notice("deferred_left", "%lld deferred events are not yet due; they are tried again by the next run",
                   (long long)n);
    log_notice("caught_up", "caught up: %.0f events applied, %.0f deferred, %.0f dead letters",
               metric_value(&worker_metrics.applied), metric_value(&worker_metrics.deferred),
               metric_value(&worker_metrics.dead));
}

static int turn(Worker *w, bool *ret_busy)
{
    int r = breaker_check(w);
    r = r ? r : consume(w);
    r = r ? r : take_up_deferred(w, ret_busy);
    r = r ? r : give_work_its_turn(w, ret_busy);
    r = r ? r : tick_outbox(w);
    r = r ? r : partitions_tick(w);
    r = r ? r : tick_status(w);
    if (r == 0 && w->holding) /* the hold was for something that is over: work() or the outbox ran again */
        loop_recovered(w);
    *ret_busy |= w->filling->n > 0 && !w->paused && !is_goal_reached(w);
    return r;
}

static int drain(Worker *w)
{
    int64_t until_us =
        (w->stop_by_us ? w->stop_by_us - STOP_MS * US_PER_MS : clock_monotonic_us()) + DRAIN_MS * US_PER_MS;
    int r = 0;
    partitions_hint(w);
    while (r == 0 && w->outbox && repo_is_connected(w->repo) && !outbox_is_settled(w->outbox) &&
           clock_monotonic_us() < until_us) {
        r = outbox_drain(w->outbox, w->repo, IDLE_POLL_MS);
        stay_alive(w);
    }
    return r == 0 || r == REPO_E_RETRY ? 0 : r;
}

static int wait_ms(const Worker *w)
{
    bool works = w->spec->work && !w->paused && (!w->spec->leader_only || worker_is_leader(w));
    int64_t ms = works ? (w->next_work_us - clock_monotonic_us()) / US_PER_MS : IDLE_POLL_MS;
    return (int)MAX(MIN(ms, (int64_t)(w->once ? 20 : IDLE_POLL_MS)), (int64_t)0);
}

int loop_run(Worker *w)
{
    int r = 0;
    bool done = false;

    repo_set_idle(w->repo, stay_alive_while_waiting, w);
    while (r == 0 && !done && !worker_stopping(w)) {
        bool busy = false;
        loop_serve(w, 0);
        r = turn(w, &busy);
        if (r == 0 && w->once && !busy)
            r = caught_up(w, &done);
        if (r == 0 && !busy && !done)
            loop_serve(w, wait_ms(w));
    }
    if (r == -ECANCELED)
        r = 0;
    if (r == 0 && done) /* the last batch may have been the one too many */
        r = breaker_check(w);
    if (r == 0 && done)
        say_deferred(w);
    return r == 0 ? drain(w) : r;
}
