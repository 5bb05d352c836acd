/* decnetctl ingest cowrie: options, environment, report. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cli.h"
#include "base/limits.h"
#include "base/log.h"
#include "ingest/command.h"
#include "ingest/ingest.h"
#include "repo/migrate.h"

enum { EXIT_USAGE = 2, EXIT_OPERATOR = 78, CHUNK_LINES_MAX = 10000 };

static volatile int stop_requested;

static void on_signal(int number)
{
    (void)number;
    stop_requested = 1;
}

typedef struct Given {
    bool help, json, follow;
    const char *config_path, *idle_timeout, *grace, *batch, *batch_wait_ms, *session_events, *escapes, *decky_map;
} Given;

static void print_help(const CliOption *options, size_t n)
{
    cleanup(buf_free) Buf out = {0};
    buf_add(
        &out,
        "Usage: decnetctl ingest cowrie [OPTION]... FILE...\n"
        "Reads Cowrie JSON logs into the database and announces what the workers wait for. A FILE is a log, plain or\n"
        "gzip, a folder of logs, or - for standard input. Reading the same lines again changes nothing; an "
        "interrupted\n"
        "run goes on where it was.\n\nOptions:\n");
    cli_print_options(options, n, &out);
    buf_add(
        &out,
        "\nFiles named together are read by the time of their first event, as one log: sessions that are still open "
        "after\n"
        "the last one end there. With --follow the one FILE is followed through rotations until SIGTERM.\n"
        "\nExamples:\n"
        "  decnetctl ingest cowrie /var/log/cowrie/cowrie.json.2026-05-*.gz\n"
        "  decnetctl ingest cowrie --follow /var/log/cowrie/cowrie.json\n"
        "  zcat old.gz | decnetctl ingest cowrie --json -\n"
        "\nExit codes: 0 done (bad lines alone are no failure), 1 failed, 2 usage, 78 an operator has to act first.\n"
        "All configuration keys are options too: see decnetctl --help.\n");
    fputs(out.data, stdout);
}

static bool seconds_option(const char *name, const char *text, double fallback, int64_t *ret_us)
{
    double v = fallback;
    if (text && (!text_to_double(str_from(text), &v) || v < 0 || v > 1e9)) {
        fprintf(stderr, "decnetctl ingest: --%s=%s: expected seconds, 0 or more\n", name, text);
        return false;
    }
    *ret_us = (int64_t)(v * 1e6);
    return true;
}

static bool number_option(const char *name, const char *text, int64_t fallback, int64_t max, int64_t *ret)
{
    *ret = fallback;
    if (text && (!text_to_int64(str_from(text), ret) || *ret < 1 || *ret > max)) {
        fprintf(stderr, "decnetctl ingest: --%s=%s: expected a whole number from 1 to %lld\n", name, text,
                (long long)max);
        return false;
    }
    return true;
}

/* One of @n words; its place in *ret. */
static bool word_option(const char *name, const char *text, const char *const *words, size_t n, size_t *ret)
{
    *ret = 0;
    for (size_t i = 0; text && i < n; i++)
        if (strcmp(text, words[i]) == 0) {
            *ret = i;
            return true;
        }
    if (text)
        fprintf(stderr, "decnetctl ingest: --%s=%s: expected %s%s%s%s%s\n", name, text, words[0], n > 2 ? ", " : " or ",
                words[1], n > 2 ? " or " : "", n > 2 ? words[2] : "");
    return !text;
}

/* Lines "sensor=name"; '#' begins a comment. */
static bool read_decky_map(Arena *arena, const char *path, CowrieOptions *ret)
{
    FILE *f = fopen(path, "re");
    char line[1024];
    CowrieDeckyName *rows = NULL;
    size_t n = 0;

    if (!f) {
        fprintf(stderr, "decnetctl ingest: --decky-map=%s: %s\n", path, strerror(errno));
        return false;
    }
    for (int number = 1; fgets(line, sizeof(line), f); number++) {
        Str text = text_trim(str_from(line));
        const char *equals = text.len ? memchr(text.data, '=', text.len) : NULL;
        if (text.len == 0 || text.data[0] == '#')
            continue;
        if (!equals) {
            fprintf(stderr, "%s: line %d: expected sensor=name\n", path, number);
            fclose(f);
            return false;
        }
        CowrieDeckyName *grown = arena_calloc(arena, n + 1, sizeof(*grown));
        if (n)
            memcpy(grown, rows, n * sizeof(*rows));
        rows = grown;
        size_t at = (size_t)(equals - text.data);
        rows[n++] = (CowrieDeckyName){str_dup(arena, text_trim((Str){text.data, at})),
                                      str_dup(arena, text_trim((Str){equals + 1, text.len - at - 1}))};
    }
    fclose(f);
    ret->decky_map = rows;
    ret->n_decky_map = n;
    return true;
}

static bool read_options(const Given *given, Arena *arena, IngestOptions *o)
{
    static const char *const events[] = {"interactive", "all"}, *const escapes[] = {"auto", "yes", "no"};
    size_t event_choice, escape_choice;
    int64_t lines, wait_ms;

    if (!seconds_option("idle-timeout", given->idle_timeout, 3600, &o->assembly.idle_timeout_us) ||
        !seconds_option("grace", given->grace, 30, &o->assembly.grace_us) ||
        !number_option("batch", given->batch, 500, CHUNK_LINES_MAX, &lines) ||
        !number_option("batch-wait-ms", given->batch_wait_ms, 250, 60000, &wait_ms) ||
        !word_option("session-events", given->session_events, events, ARRAY_SIZE(events), &event_choice) ||
        !word_option("cowrie-escapes", given->escapes, escapes, ARRAY_SIZE(escapes), &escape_choice) ||
        (given->decky_map && !read_decky_map(arena, given->decky_map, &o->cowrie)))
        return false;
    o->assembly.announce_all = event_choice == 1;
    o->cowrie.escapes = (CowrieEscapes)escape_choice;
    o->chunk_lines = (size_t)lines;
    o->chunk_wait_us = wait_ms * US_PER_MS;
    o->follow = given->follow;
    return true;
}

static int64_t bad_lines(const IngestCounts *c)
{
    int64_t n = 0;
    for (size_t i = 0; i < ARRAY_SIZE(c->bad); i++)
        n += c->bad[i];
    return n;
}

static void report(const Ingest *g, bool json, double seconds)
{
    cleanup(buf_free) Buf out = {0};
    AssemblyCounters c = assembly_counters(g->assembly);
    JsonWriter w = {&out};

    if (!json) {
        fprintf(stderr,
                "%lld lines (%lld new, %lld bad) in %.1f s, %.0f lines/s; %lld sessions opened, %lld announced, %lld "
                "commands\n",
                (long long)g->counts.lines, (long long)g->counts.new_lines, (long long)bad_lines(&g->counts), seconds,
                (double)g->counts.lines / (seconds > 0 ? seconds : 1), (long long)c.sessions_opened,
                (long long)c.sessions_announced, (long long)c.commands);
        return;
    }
    json_begin_object(&w);
    json_put_int(&w, "lines", g->counts.lines);
    json_put_int(&w, "new_lines", g->counts.new_lines);
    json_put_int(&w, "bad_lines", bad_lines(&g->counts));
    json_key(&w, "bad");
    json_begin_object(&w);
    for (size_t i = 1; i < ARRAY_SIZE(g->counts.bad); i++)
        json_put_int(&w, cowrie_reject_name((CowrieReject)i), g->counts.bad[i]);
    json_end_object(&w);
    json_put_int(&w, "attackers", g->counts.new_attackers);
    json_put_int(&w, "sessions", c.sessions_opened);
    json_put_int(&w, "announced", c.sessions_announced);
    json_put_int(&w, "commands", c.commands);
    json_put_int(&w, "ip_mismatch", c.ip_mismatch);
    json_put_int(&w, "unpublished_bytes", (int64_t)outbox_pending_bytes(g->outbox));
    json_put_double(&w, "seconds", seconds);
    json_end_object(&w);
    printf("%s\n", out.data);
}

static int open_everything(Ingest *g)
{
    cleanup(freep) char *error = NULL;
    int r = repo_connect(g->repo);
    r = r ? r : migrate_check(g->repo);
    if (r != 0) {
        fprintf(stderr, "decnetctl ingest: database: %s\n", repo_error_text(g->repo));
        return r == REPO_E_OPERATOR ? EXIT_OPERATOR : 1;
    }
    if (outbox_new(g->config, "ingest", "ingest", &g->outbox, &error) != 0) {
        fprintf(stderr, "decnetctl ingest: Kafka: %s\n", error ? error : "cannot start");
        return EXIT_OPERATOR;
    }
    g->backlog = backlog_new(g->config, g->repo, g->outbox);
    outbox_set_gate(g->outbox, backlog_gate, g->backlog);
    g->assembly = assembly_new(&g->options->assembly);
    g->writer = writer_new(g->repo, g->outbox, g->assembly);
    return 0;
}

static void close_everything(Ingest *g)
{
    writer_free(g->writer);
    assembly_free(g->assembly);
    if (g->outbox)
        outbox_set_gate(g->outbox, NULL, NULL);
    outbox_free(g->outbox);
    backlog_free(g->backlog);
    repo_free(g->repo);
}

static int run(const Config *config, const IngestOptions *options, bool json, char **paths, size_t n)
{
    RepoOptions repo = {.conninfo = config->database,
                        .application_name = "decnetctl-ingest",
                        .statement_timeout_ms = config->statement_timeout_ms};
    Ingest g = {.config = config, .options = options, .repo = repo_new(&repo), .stop = &stop_requested};
    int64_t start_us = clock_monotonic_us();

    int code = open_everything(&g);
    if (code == 0) {
        int r = ingest_run(&g, paths, n);
        if (r != 0) {
            fprintf(stderr, "decnetctl ingest: %s\n", g.error);
            code = g.exit_code ? g.exit_code : 1;
        }
        report(&g, json, (double)(clock_monotonic_us() - start_us) / 1e6);
        if (code == 0 && !outbox_is_settled(g.outbox)) {
            fputs("decnetctl ingest: everything is stored, but not all events could be published: the outbox keeps "
                  "them, the "
                  "next run publishes them; is the broker up (kafka.bootstrap.servers)?\n",
                  stderr);
            code = 1;
        }
    }
    close_everything(&g);
    return code;
}

static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

int cmd_ingest(int argc, char **argv)
{
    Given given = {0};
    const CliOption options[] = {
        {"follow", &given.follow, NULL, "follow one growing log through rotations"},
        {"idle-timeout", NULL, &given.idle_timeout,
         "S\tend sessions silent for S seconds of event time (3600; 0: never)"},
        {"grace", NULL, &given.grace, "S\twait S seconds of event time for late events of an ended session (30)"},
        {"session-events", NULL, &given.session_events, "WHICH\tannounce interactive sessions, or all (interactive)"},
        {"decky-map", NULL, &given.decky_map, "FILE\tnames of sensors, lines sensor=name"},
        {"cowrie-escapes", NULL, &given.escapes, "HOW\tuser names and passwords are escaped: auto, yes, no (auto)"},
        {"batch", NULL, &given.batch, "N\tlines in one transaction (500)"},
        {"batch-wait-ms", NULL, &given.batch_wait_ms,
         "MS\t--follow: store after MS even if the batch is not full (250)"},
        {"json", &given.json, NULL, "report as one JSON object on standard output"},
        {"config", NULL, &given.config_path, "FILE\tread the configuration from FILE"},
        {"help", &given.help, NULL, "this text"},
    };
    Config config = {0};
    IngestOptions ingest = {0};
    cleanup(arena_freep) Arena *arena = arena_new();
    cleanup(freep) char *error = NULL;
    int n = 0, code = EXIT_USAGE;

    int r = cli_parse(argc, argv, options, ARRAY_SIZE(options), &config, &n, &error);
    if (given.help) {
        print_help(options, ARRAY_SIZE(options));
        code = 0;
    } else if (r != 0) {
        fprintf(stderr, "decnetctl ingest: %s\n", error);
    } else if (n < 2 || strcmp(argv[1], "cowrie") != 0) {
        fputs("decnetctl ingest: expected a format and files: decnetctl ingest cowrie FILE...; see --help\n", stderr);
    } else if (given.follow && (n != 2 || strcmp(argv[2], "-") == 0)) {
        fputs("decnetctl ingest: --follow takes one file\n", stderr);
    } else if (read_options(&given, arena, &ingest)) {
        log_init("ingest", config.instance, config.log_level, config.log_format);
        catch_signals();
        code = run(&config, &ingest, given.json, argv + 2, (size_t)n - 1);
    }
    config_free(&config);
    return code;
}
