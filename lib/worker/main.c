/* worker_main(): options, start, loop, end. */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/time.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/cli.h"
#include "base/log.h"
#include "internal.h"
#include "repo/migrate.h"

enum { EXIT_USAGE = 2, EXIT_OPERATOR = 78 };

typedef struct Options {
    bool help, version, once, print_config, check_config;
    const char *config_path;
} Options;

Repo *worker_repo(Worker *w)
{
    return w->repo;
}

const Config *worker_config(const Worker *w)
{
    return &w->config;
}

void *worker_data(const Worker *w)
{
    return w->data;
}

void worker_set_data(Worker *w, void *data)
{
    w->data = data;
}

Arena *worker_scratch(Worker *w)
{
    return w->scratch;
}

int worker_fail(Worker *w, int exit_code, const char *fmt, ...)
{
    va_list args;
    free(w->failure);
    va_start(args, fmt);
    if (vasprintf(&w->failure, fmt, args) < 0)
        w->failure = NULL;
    va_end(args);
    w->exit_code = exit_code;
    return -EINVAL;
}

int worker_fail_repo(Worker *w, int outcome)
{
    if (outcome < 0 && w->failure) /* somebody found better words already */
        return outcome;
    return worker_fail(w, outcome == REPO_E_OPERATOR ? EXIT_OPERATOR : 1, "database: %s", repo_error_text(w->repo));
}

static void bus_log(void *arg, LogLevel level, const char *facility, const char *text)
{
    LogField fields[] = {{"DECNET_FACILITY", facility}, {0}};
    (void)arg;
    log_write(MAX(level, LOG_LEVEL_WARNING), "kafka", fields, "librdkafka: %s", text);
}

static void print_help(const char *program, const WorkerSpec *spec, const CliOption *options, size_t n)
{
    cleanup(buf_free) Buf out = {0};

    buf_printf(&out, "Usage: %s [OPTION]...\n%s\n\nOptions:\n", program, spec->summary);
    cli_print_options(options, n, &out);
    buf_add(&out, "\nConfiguration keys (also in a file, or as DECNET_KEY in the environment):\n");
    config_print_help(&out);
    buf_printf(&out,
               "\nExit codes: 0 done, 1 failed, 2 usage, 78 an operator has to act first (the message says how).\n"
               "Signals: TERM and INT finish the batch at hand; a second one leaves at once.\n"
               "Example: %s --solo --once --database='dbname=decnet' --kafka.bootstrap.servers=127.0.0.1:9092\n",
               program);
    fputs(out.data, stdout);
}

static int check_database(Worker *w)
{
    for (;;) {
        int r = repo_connect(w->repo);
        r = r ? r : migrate_check(w->repo);
        if (r != REPO_E_RETRY)
            return r == 0 ? 0 : worker_fail_repo(w, r);
        r = loop_hold(w, repo_error_text(w->repo));
        if (r != 0)
            return r;
    }
}

static int open_bus(Worker *w)
{
    cleanup(freep) char *error = NULL;
    int r = outbox_new(&w->config, w->group, w->source, &w->outbox, &error);
    r = r ? r : intake_open(w, &error);
    return r == 0 ? 0 : worker_fail(w, EXIT_OPERATOR, "Kafka: %s", error ? error : strerror(-r));
}

/* Names that others see: group, source header, application_name. */
static void name_worker(Worker *w)
{
    char host[65] = "";
    gethostname(host, sizeof(host) - 1);
    w->group = bus_topic_full_name(w->config.kafka_topic_prefix, w->spec->name);
    if (asprintf(&w->source, "%s/%s@%s", w->spec->name, w->config.instance, host) < 0 ||
        asprintf(&w->application_name, "decnet-%s@%s", w->spec->name, w->config.instance) < 0)
        abort();
}

static void block_signals(Worker *w)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL); /* before any thread starts, so that all inherit it */
    signal(SIGPIPE, SIG_IGN);
    w->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

/* A counter that is not there until it counts cannot be alarmed on. */
static void show_metrics(void)
{
    Metric *const all[] = {
        &worker_metrics.records,    &worker_metrics.applied,          &worker_metrics.deferred,
        &worker_metrics.dead,       &worker_metrics.batches,          &worker_metrics.retries,
        &worker_metrics.bisections, &worker_metrics.fenced,           &worker_metrics.records_lag,
        &worker_metrics.partitions, &worker_metrics.deferred_waiting,
    };
    for (size_t i = 0; i < ARRAY_SIZE(all); i++)
        metric_add(all[i], 0);
}

static int start(Worker *w)
{
    uint64_t watchdog_us = 0;
    RepoOptions repo = {.conninfo = w->config.database,
                        .application_name = w->application_name,
                        .statement_timeout_ms = w->config.statement_timeout_ms};

    show_metrics();
    w->started_us = clock_monotonic_us();
    w->watchdog_us = sd_watchdog_enabled(0, &watchdog_us) > 0 ? (int64_t)watchdog_us : 0;
    w->repo = repo_new(&repo);
    w->scratch = arena_new();
    w->filling = batch_new(w, (size_t)w->config.batch_records);
    w->applying = batch_new(w, (size_t)w->config.batch_records);
    if (w->spec->leader_only)
        w->leader = leader_new(w);
    int r = http_start(w, &w->http);
    r = r ? r : w->spec->start ? w->spec->start(w) : 0;
    r = r ? r : check_database(w);
    r = r ? r : open_bus(w);
    r = r ? r : partitions_start(w);
    if (r == 0) {
        loop_recovered(w);
        worker_set_not_ready(w, NULL);
        log_notice("started", "group %s, %s%zu partitions, ready after %lld ms", w->group,
                   w->n_topics && !w->config.solo ? "joining, " : "", w->n_partitions,
                   (long long)((clock_monotonic_us() - w->started_us) / US_PER_MS));
    }
    return r;
}

static volatile sig_atomic_t late_exit_code;

static void leave_late(int signal_number)
{
    (void)signal_number;
    _exit(late_exit_code);
}

/* All work is done, but librdkafka waits for a broker that is away before it closes, and a group that is slow may need
 * seconds until a member can leave it. */
static void limit_finish(const Worker *w)
{
    int64_t us = w->stop_by_us ? w->stop_by_us - clock_monotonic_us() : STOP_MS * US_PER_MS;
    us = MAX(us, US_PER_S / 10);
    struct itimerval at = {.it_value = {us / US_PER_S, us % US_PER_S}};

    late_exit_code = w->exit_code;
    signal(SIGALRM, leave_late);
    (void)!setitimer(ITIMER_REAL, &at, NULL);
}

static void finish(Worker *w)
{
    if (w->spec->stop)
        w->spec->stop(w);
    http_stop(w->http);
    outbox_free(w->outbox);
    batch_free(w->filling);
    batch_free(w->applying);
    intake_close(w);
    partitions_free(w);
    leader_free(w->leader);
    repo_free(w->repo);
    arena_free(w->scratch);
    free(w->group);
    free(w->source);
    free(w->application_name);
    free(w->failure);
    free(w->not_ready);
    close(w->signal_fd);
}

/* Where the time went, for whoever tunes; the benchmark reads this line. */
static void say_shares(const Worker *w)
{
    double busy_s = (double)(w->busy_until_us - w->busy_from_us) / 1e6;
    log_info(
        "time",
        "busy %.3f s from the first record to the last commit: poll %.3f, decode and match %.3f, transactions %.3f, of "
        "these waiting for PostgreSQL %.3f; %.0f batches",
        busy_s, w->poll_s, w->prepare_s, w->apply_s, w->repo ? repo_wait_seconds(w->repo) : 0.0,
        metric_value(&worker_metrics.batches));
}

static int run(Worker *w)
{
    log_init(w->spec->name, w->config.instance, w->config.log_level, w->config.log_format);
    srandom((unsigned)(clock_now_us() ^ getpid()));
    block_signals(w);
    name_worker(w);
    int r = start(w);
    r = r ? r : loop_run(w);
    if (r == -ECANCELED) /* asked to stop while waiting for the database or the broker */
        r = 0;
    if (r != 0) {
        log_err("failed", "%s", w->failure ? w->failure : strerror(-r));
        w->exit_code = w->exit_code ? w->exit_code : 1;
    } else {
        say_shares(w);
        log_notice("stopped", "done");
    }
    limit_finish(w);
    finish(w);
    return w->exit_code;
}

static int print_config(const Config *config)
{
    cleanup(buf_free) Buf out = {0};
    config_print(config, &out);
    return fwrite(out.data, 1, out.len, stdout) == out.len ? 0 : 1;
}

int worker_main(int argc, char **argv, const WorkerSpec *spec)
{
    Options o = {0};
    const CliOption options[] = {
        {"once", &o.once, NULL, "end when everything that was there at the start is done"},
        {"config", NULL, &o.config_path, "FILE\tread the configuration from FILE"},
        {"print-config", &o.print_config, NULL, "show the configuration, secrets masked, and end"},
        {"check-config", &o.check_config, NULL, "only check the configuration"},
        {"help", &o.help, NULL, "this text"},
        {"version", &o.version, NULL, "the version"},
    };
    Worker w = {.spec = spec, .signal_fd = -1};
    cleanup(freep) char *error = NULL;
    int n = 0, code = 0;

    bus_init(bus_log, NULL);
    if (spec->batch_records)
        config_default("batch_records", spec->batch_records);
    int r = cli_parse(argc, argv, options, ARRAY_SIZE(options), &w.config, &n, &error);
    if (o.help) {
        print_help(argv[0], spec, options, ARRAY_SIZE(options));
    } else if (o.version) {
        printf("decnet-%s %s\n", spec->name, DECNET_VERSION);
    } else if (r != 0 || n > 0) {
        fprintf(stderr, "%s: %s%s\n", argv[0], error ? error : "unexpected argument: ", error ? "" : n ? argv[1] : "");
        code = r == 0 ? EXIT_USAGE : EXIT_OPERATOR;
    } else if (o.print_config) {
        code = print_config(&w.config);
    } else if (!o.check_config) {
        w.once = o.once;
        code = run(&w);
    }
    config_free(&w.config);
    return code;
}
