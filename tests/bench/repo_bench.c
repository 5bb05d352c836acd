/* repo_bench: the repository's methods beside what PostgreSQL can do at most.
 *
 *   repo_bench [--json] [--rows N] [--pairs N] [--batch N] [--only writes|reads]
 *
 * Part 1 stores rows through the function behind each hot method, many at a time: once as new rows, once more as a replay.
 * Then the same rows go by binary COPY into a fresh table of identical definition, indexes and foreign keys, the same rows
 * per commit. Pairs are interleaved; medians are shown, and the ratios against COPY, whose bar is 0.70.
 *
 * Part 2 reads: every method that only reads, on the large repository of tests/large, each combination of its parameters but
 * free text; p50 and p99 in milliseconds. The bar for a page of 50, at offset 0 and at offset 10,000, is a p99 of 20 ms.
 *
 * Needs DECNET_TEST_PG (a superuser's connection string) and DECNET_SOURCE_ROOT; `./run bench repo` sets both. What misses
 * its bar is shown and fails nothing: on a busy machine only the ratios mean something. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/time.h"
#include "repo/attackers.h"
#include "repo/attribution.h"
#include "repo/captures.h"
#include "repo/intel.h"
#include "repo/logs.h"
#include "repo/method.h"
#include "repo/observations.h"
#include "repo/pg.h"
#include "repo/tags.h"
#include "store.h"
#include "values.h"

enum { PAIRS_MAX = 64, BATCH_MAX = 5000, SAMPLES_MAX = 2000, READ_BUDGET_US = 1500000 };
#define COPY_BAR 0.70
#define PAGE_BAR_MS 20.0

typedef struct Bench {
    int64_t rows, pairs, batch;
    int64_t aside_us; /* what the present run spent on what is not measured */
    bool json;
    Repo *repo;
    Arena *arena;
    Buf out; /* the JSON */
    JsonWriter w;
} Bench;

static void die(const char *what, const char *why)
{
    fprintf(stderr, "repo_bench: %s: %s\n", what, why);
    exit(1);
}

static void check(Bench *b, int r, const char *what)
{
    if (r != 0)
        die(what, repo_error_text(b->repo));
}

printf_like(2, 3) static void sql(Bench *b, const char *fmt, ...)
{
    char *text = NULL;
    va_list args;

    va_start(args, fmt);
    if (vasprintf(&text, fmt, args) < 0)
        abort();
    va_end(args);
    check(b, repo_script(b->repo, "bench", text), text);
    free(text);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The value below which @share of all lie; sorts. */
static double quantile(double *values, size_t n, double share)
{
    if (n == 0)
        return 0;
    qsort(values, n, sizeof(*values), by_value);
    double at = share * (double)(n - 1);
    size_t i = (size_t)at;
    return i + 1 < n ? values[i] + (values[i + 1] - values[i]) * (at - (double)i) : values[i];
}

/* --- rows: number i of each table, always the same --- */

static Uuid id_of(char kind, int64_t i)
{
    Uuid u = {.b = {(uint8_t)kind, 0, 0, 0, 0, 0, 0x40, 0, 0x80}};
    for (int k = 0; k < 6; k++)
        u.b[15 - k] = (uint8_t)(i >> (8 * k));
    return u;
}

static Str text_of(Bench *b, const char *prefix, int64_t i)
{
    char text[64];
    snprintf(text, sizeof(text), "%s%lld", prefix, (long long)i);
    return str_dup(b->arena, str_from(text));
}

static Str ip_of(Bench *b, int64_t i)
{
    char text[IP_TEXT_BYTES];
    snprintf(text, sizeof(text), "10.%d.%d.%d", (int)(i >> 16), (int)(i >> 8 & 255), (int)(i & 255));
    return str_dup(b->arena, str_from(text));
}

#define PARENTS 2000
static const Uuid *parent(Bench *b, char kind, int64_t i)
{
    Uuid u = id_of(kind, i % PARENTS);
    return (const Uuid *)str_dup(b->arena, (Str){.data = (const char *)u.b, .len = sizeof(u.b)}).data;
}

static int64_t time_of(int64_t i)
{
    return INT64_C(1770000000000000) + i * 1000000;
}

static void put_tags(Bench *b, int64_t from, size_t n)
{
    static TagRow rows[BATCH_MAX];
    static bool is_new[BATCH_MAX];

    for (size_t k = 0; k < n; k++) {
        int64_t i = from + (int64_t)k;
        char hash[64];
        snprintf(hash, sizeof(hash), "tag %lld", (long long)i);
        rows[k] = (TagRow){.uuid = uuid_v5(&UUID_NS_IDENTITY, str_from(hash)), /* as scattered as real ones */
                           .source_kind = STR("command"),
                           .source_id = text_of(b, "session-1234#", i / 2),
                           .attacker_uuid = parent(b, 'a', i / 8),
                           .session_id = text_of(b, "session-1234-", i / 8),
                           .decky_id = STR("decky-1"),
                           .tactic = STR("TA0002"),
                           .technique_id = text_of(b, "T1", 100 + i % 200),
                           .confidence = 0.5,
                           .rule_id = STR("R0010"),
                           .rule_version = 1,
                           .evidence = STR("{\"command_text\":\"uname -a; cat /proc/cpuinfo\"}"),
                           .attack_release = STR("v19.1"),
                           .observed_at_us = time_of(i)};
    }
    check(b, tags_insert(b->repo, rows, n, is_new), "insert_tags");
}

static void put_observations(Bench *b, int64_t from, size_t n)
{
    static StoredObservation rows[BATCH_MAX];

    for (size_t k = 0; k < n; k++) {
        int64_t i = from + (int64_t)k;
        rows[k] = (StoredObservation){.evidence_ref = text_of(b, "evidence-", i / 10),
                                      .primitive = text_of(b, "primitive.number_", i % 10),
                                      .value = STR("\"value\""),
                                      .confidence = 0.5,
                                      .window_start_ts = (double)i,
                                      .window_end_ts = (double)i + 1,
                                      .ts = (double)i,
                                      .source = STR("bench"),
                                      .envelope_v = 1,
                                      .attacker_uuid = *parent(b, 'a', i / 10)};
        rows[k].id = observation_minted_id(rows[k].evidence_ref, rows[k].primitive);
    }
    check(b, observations_upsert(b->repo, rows, n, false, b->arena), "upsert_observation");
}

static void put_states(Bench *b, int64_t from, size_t n)
{
    static StoredState rows[BATCH_MAX];

    for (size_t k = 0; k < n; k++) {
        int64_t i = from + (int64_t)k;
        rows[k] = (StoredState){.identity_uuid = *parent(b, 'd', i),
                                .primitive = text_of(b, "primitive.number_", i / PARENTS),
                                .current_value = STR("\"value\""),
                                .state = STR("stable"),
                                .confidence = 0.5,
                                .observation_count = 3,
                                .last_change_ts = (double)i,
                                .last_observation_ts = (double)i,
                                .schema_version = 1};
    }
    check(b, attribution_states_upsert(b->repo, rows, n, b->arena), "upsert_attribution_state");
}

static void put_logs(Bench *b, int64_t from, size_t n)
{
    static LogRow rows[BATCH_MAX];
    static Uuid ids[BATCH_MAX];
    static bool is_new[BATCH_MAX];
    size_t n_new = 0;

    for (size_t k = 0; k < n; k++)
        ids[k] = id_of('b', from + (int64_t)k);
    check(b, logs_lock_and_compare(b->repo, ids, n, is_new), "logs");
    for (size_t k = 0; k < n; k++) {
        int64_t i = from + (int64_t)k;
        if (!is_new[k])
            continue;
        rows[n_new++] = (LogRow){.source_event_id = &ids[k],
                                 .timestamp_us = time_of(i),
                                 .decky = STR("decky-1"),
                                 .service = STR("ssh"),
                                 .event_type = STR("command"),
                                 .attacker_ip = ip_of(b, i % PARENTS),
                                 .raw_line = text_of(b, "a line of the log of some sensor, number ", i),
                                 .fields = STR("{\"username\":\"root\",\"command\":\"uname -a\"}"),
                                 .msg = STR("a message")};
    }
    if (n_new > 0)
        check(b, logs_append(b->repo, rows, n_new), "logs");
}

static json_object *log_entries(int64_t from, size_t n)
{
    json_object *list = json_object_new_array();

    for (size_t k = 0; k < n; k++) {
        json_object *o = json_object_new_object(), *fields = json_object_new_object();
        char text[80], ip[IP_TEXT_BYTES], time[TIME_TEXT_BYTES];
        int64_t i = from + (int64_t)k;
        snprintf(text, sizeof(text), "a line of the log of some sensor, number %lld", (long long)i);
        snprintf(ip, sizeof(ip), "10.0.%d.%d", (int)(i % PARENTS >> 8), (int)(i % PARENTS & 255));
        time_format(time, time_of(i));
        json_object_object_add(o, "timestamp", json_object_new_string(time));
        json_object_object_add(o, "decky", json_object_new_string("decky-1"));
        json_object_object_add(o, "service", json_object_new_string("ssh"));
        json_object_object_add(o, "event_type", json_object_new_string("command"));
        json_object_object_add(o, "attacker_ip", json_object_new_string(ip));
        json_object_object_add(o, "raw_line", json_object_new_string(text));
        json_object_object_add(o, "msg", json_object_new_string("a message"));
        json_object_object_add(fields, "username", json_object_new_string("root"));
        json_object_object_add(fields, "command", json_object_new_string("uname -a"));
        json_object_object_add(o, "fields", fields);
        json_object_array_add(list, o);
    }
    return list;
}

/* The method itself; its caller makes the parameters, aside from the clock. It has no ids, so there is no replay of it. */
static void call_add_logs(Bench *b, int64_t from, size_t n)
{
    cleanup(buf_free) Buf result = {0};
    int64_t start_us = clock_monotonic_us();
    cleanup(json_putp) json_object *params = json_object_new_object();

    json_object_object_add(params, "log_entries", log_entries(from, n));
    b->aside_us += clock_monotonic_us() - start_us;
    check(b, repo_call(b->repo, "add_logs", params, &result), "add_logs");
}

static void put_credentials(Bench *b, int64_t from, size_t n)
{
    static StoredCredential rows[BATCH_MAX];

    for (size_t k = 0; k < n; k++) {
        int64_t i = from + (int64_t)k;
        rows[k] = (StoredCredential){.attacker_ip = ip_of(b, i / 10 % PARENTS),
                                     .attacker_uuid = parent(b, 'a', i / 10),
                                     .decky = STR("decky-1"),
                                     .service = STR("ssh"),
                                     .principal = STR("root"),
                                     .secret_kind = STR("plaintext"),
                                     .secret_sha256 = text_of(b, "5e884898da28047151d0e56f8dc6292773603d0d6aabb", i),
                                     .secret_b64 = STR("cGFzc3dvcmQ="),
                                     .secret_printable = STR("password"),
                                     .outcome = STR("failure"),
                                     .first_seen_us = time_of(i),
                                     .last_seen_us = time_of(i),
                                     .attempts = 1};
    }
    check(b, credentials_upsert(b->repo, rows, n), "upsert_credential");
}

static void put_attackers(Bench *b, int64_t from, size_t n)
{
    static AttackerRow rows[BATCH_MAX];
    static Uuid uuids[BATCH_MAX];
    uint64_t given = ATTACKER_FIRST_SEEN | ATTACKER_LAST_SEEN | ROW_BIT(7) | ROW_BIT(8) | ROW_BIT(9) | ROW_BIT(10) |
                     ROW_BIT(11) | ROW_BIT(18) | ROW_BIT(20);

    for (size_t k = 0; k < n; k++) {
        int64_t i = from + (int64_t)k;
        rows[k] = (AttackerRow){.ip = ip_of(b, 65536 + i),
                                .first_seen = time_of(i),
                                .last_seen = time_of(i + 1),
                                .event_count = 5,
                                .service_count = 1,
                                .decky_count = 1,
                                .services = STR("[\"ssh\"]"),
                                .deckies = STR("[\"decky-1\"]"),
                                .country_code = STR("NL"),
                                .asn = 64500};
    }
    check(b, attackers_upsert(b->repo, rows, n, given, uuids), "upsert_attacker");
}

/* One row for each attacker, so there are as many of those. */
static void put_intel(Bench *b, int64_t from, size_t n)
{
    static IntelRow rows[BATCH_MAX];
    static Uuid uuids[BATCH_MAX];
    uint64_t given = ROW_BIT(5) | ROW_BIT(6) | ROW_BIT(8) | ROW_BIT(9) | ROW_BIT(11) | ROW_BIT(12) | ROW_BIT(13) |
                     ROW_BIT(25) | ROW_BIT(26);

    for (size_t k = 0; k < n; k++) {
        int64_t i = from + (int64_t)k;
        rows[k] = (IntelRow){.attacker_uuid = id_of('a', i),
                             .attacker_ip = ip_of(b, i),
                             .expires_at = time_of(i + 86400),
                             .schema_version = 1,
                             .greynoise_classification = STR("malicious"),
                             .greynoise_tags = STR("[\"ssh bruteforcer\"]"),
                             .greynoise_raw = STR("{\"seen\":true,\"noise\":true}"),
                             .abuseipdb_score = 97,
                             .abuseipdb_categories = STR("[18,22]"),
                             .abuseipdb_raw = STR("{\"totalReports\":12}"),
                             .aggregate_verdict = STR("malicious"),
                             .cached_at = time_of(i)};
    }
    check(b, intel_upsert(b->repo, rows, n, given, uuids), "upsert_attacker_intel");
}

static const struct Hot {
    const char *method, *table;
    void (*put)(Bench *b, int64_t from, size_t n);
    bool once; /* a replay would store everything again */
} hot[] = {
    {"insert_tags", "ttp_tag", put_tags, false},
    {"upsert_observation", "observations", put_observations, false},
    {"upsert_attribution_state", "attribution_state", put_states, false},
    {"add_logs", "logs", call_add_logs, true},
    {"add_logs (ingest)", "logs", put_logs, false},
    {"upsert_credential", "credentials", put_credentials, false},
    {"upsert_attacker_intel", "attacker_intel", put_intel, false},
    {"upsert_attacker", "attackers", put_attackers, false},
};

/* --- part 1: writes beside COPY --- */

static double put_all(Bench *b, const struct Hot *h)
{
    int64_t start_us = clock_monotonic_us();

    b->aside_us = 0;
    for (int64_t from = 0; from < b->rows; from += b->batch) {
        check(b, repo_begin(b->repo), "begin");
        h->put(b, from, (size_t)MIN(b->batch, b->rows - from));
        check(b, repo_commit(b->repo), "commit");
        arena_reset(b->arena);
    }
    return (double)(clock_monotonic_us() - start_us - b->aside_us) / 1e6;
}

typedef struct Chunks {
    Buf *items;
    size_t n;
} Chunks;

/* The rows as binary COPY takes them, in the order in which they came, as many in a chunk as in a batch. */
static Chunks fetch_rows(Bench *b, const struct Hot *h)
{
    PGconn *c = repo_connection(b->repo);
    Chunks chunks = {.n = (size_t)((b->rows + b->batch - 1) / b->batch)};
    char text[256], *data;
    int n;

    chunks.items = calloc(chunks.n, sizeof(*chunks.items));
    if (!chunks.items)
        abort();
    PQsetnonblocking(c, 0);
    for (size_t i = 0; i < chunks.n; i++) {
        snprintf(text, sizeof(text),
                 "COPY (SELECT * FROM %s ORDER BY ctid OFFSET %lld LIMIT %lld) TO STDOUT (FORMAT binary)", h->table,
                 (long long)((int64_t)i * b->batch), (long long)b->batch);
        PQclear(PQexec(c, text));
        while ((n = PQgetCopyData(c, &data, 0)) > 0) {
            buf_append(&chunks.items[i], data, (size_t)n);
            PQfreemem(data);
        }
        while (PQgetResult(c))
            continue;
    }
    PQsetnonblocking(c, 1);
    return chunks;
}

static void free_chunks(Chunks *chunks)
{
    for (size_t i = 0; i < chunks->n; i++)
        buf_free(&chunks->items[i]);
    free(chunks->items);
}

static void copy_chunk(PGconn *c, const Buf *chunk)
{
    PQclear(PQexec(c, "COPY bench_copy FROM STDIN (FORMAT binary)"));
    if (PQputCopyData(c, chunk->data, (int)chunk->len) != 1 || PQputCopyEnd(c, NULL) != 1)
        die("COPY", PQerrorMessage(c));
    PGresult *r = PQgetResult(c);
    if (PQresultStatus(r) != PGRES_COMMAND_OK)
        die("COPY", PQerrorMessage(c));
    PQclear(r);
    while (PQgetResult(c))
        continue;
}

static double copy_all(Bench *b, const struct Hot *h, const Chunks *chunks)
{
    PGconn *c = repo_connection(b->repo);

    sql(b,
        "DROP TABLE IF EXISTS bench_copy; CREATE TABLE bench_copy (LIKE %s INCLUDING ALL);"
        "DO $$ DECLARE k text; BEGIN FOR k IN SELECT pg_get_constraintdef(oid) FROM pg_constraint"
        "  WHERE conrelid = '%s'::regclass AND contype = 'f' LOOP"
        " EXECUTE 'ALTER TABLE bench_copy ADD ' || k; END LOOP; END $$",
        h->table, h->table);
    sql(b, "CHECKPOINT");
    PQsetnonblocking(c, 0);
    int64_t start_us = clock_monotonic_us();
    for (size_t i = 0; i < chunks->n; i++)
        copy_chunk(c, &chunks->items[i]);
    double seconds = (double)(clock_monotonic_us() - start_us) / 1e6;
    PQsetnonblocking(c, 1);
    sql(b, "DROP TABLE bench_copy");
    return seconds;
}

static void write_parents(Bench *b)
{
    sql(b,
        "INSERT INTO attacker_identities (uuid) SELECT ('64000000-0000-4000-8000-' || lpad(to_hex(i), 12, '0'))::uuid"
        " FROM generate_series(0, %d) i;"
        "INSERT INTO attackers (uuid, ip, first_seen, last_seen)"
        " SELECT ('61000000-0000-4000-8000-' || lpad(to_hex(i), 12, '0'))::uuid,"
        "  '10.' || (i >> 16) || '.' || (i >> 8 & 255) || '.' || (i & 255), now(), now()"
        " FROM generate_series(0, %lld) i; ANALYZE",
        PARENTS - 1, (long long)MAX(b->rows, PARENTS) - 1);
}

static void show_write(Bench *b, const struct Hot *h, double rates[3], double ratios[2])
{
    if (b->json) {
        json_begin_object(&b->w);
        json_put_cstr(&b->w, "method", h->method);
        json_put_double(&b->w, "new_rows_per_s", rates[0]);
        if (!h->once)
            json_put_double(&b->w, "replay_rows_per_s", rates[1]);
        json_put_double(&b->w, "copy_rows_per_s", rates[2]);
        json_put_double(&b->w, "new_ratio", ratios[0]);
        if (!h->once)
            json_put_double(&b->w, "replay_ratio", ratios[1]);
        json_put_double(&b->w, "bar", COPY_BAR);
        json_end_object(&b->w);
        return;
    }
    printf("%-25s new %7.0f rows/s  replay ", h->method, rates[0]);
    h->once ? printf("%7s       ", "-") : printf("%7.0f rows/s", rates[1]);
    printf("  COPY %7.0f rows/s  ratio new %.2f", rates[2], ratios[0]);
    if (!h->once)
        printf(", replay %.2f", ratios[1]);
    printf("%s\n", ratios[0] < COPY_BAR || (!h->once && ratios[1] < COPY_BAR) ? "  below the bar" : "");
    fflush(stdout);
}

static void bench_write(Bench *b, const struct Hot *h)
{
    double seconds[3][PAIRS_MAX], ratios[2][PAIRS_MAX], rates[3], medians[2];
    size_t n = (size_t)b->pairs;

    for (size_t i = 0; i < n; i++) {
        sql(b, "TRUNCATE %s CASCADE", h->table);
        sql(b, "CHECKPOINT");
        seconds[0][i] = put_all(b, h);
        Chunks chunks = fetch_rows(b, h);
        sql(b, "CHECKPOINT");
        seconds[1][i] = h->once ? 1 : put_all(b, h);
        seconds[2][i] = copy_all(b, h, &chunks);
        free_chunks(&chunks);
        for (int k = 0; k < 2; k++)
            ratios[k][i] = seconds[2][i] / seconds[k][i];
    }
    for (int k = 0; k < 3; k++)
        rates[k] = (double)b->rows / quantile(seconds[k], n, 0.5);
    for (int k = 0; k < 2; k++)
        medians[k] = quantile(ratios[k], n, 0.5);
    show_write(b, h, rates, medians);
}

static void bench_writes(Bench *b)
{
    b->repo = empty_store("repo_bench");
    write_parents(b);
    if (!b->json)
        printf("writes: %lld rows, %lld to a commit, medians of %lld pairs; the bar of the ratios is %.2f\n",
               (long long)b->rows, (long long)b->batch, (long long)b->pairs, COPY_BAR);
    json_key(&b->w, "writes");
    json_begin_array(&b->w);
    for (size_t i = 0; i < ARRAY_SIZE(hot); i++)
        bench_write(b, &hot[i]);
    json_end_array(&b->w);
    repo_free(b->repo);
}

/* --- part 2: reads --- */

typedef struct Reading {
    Bench *b;
    bool far, paged, warm; /* only calls at an offset, of pages; the first round is not counted */
    double ms[SAMPLES_MAX];
    size_t n;
} Reading;

/* Pages of 50, without free text; the others as they are. */
static bool is_wanted(const Reading *r, const Method *m, const MethodTry *t)
{
    const MethodParam *p = method_params(m);
    bool far = false;

    for (int i = 0; i < METHOD_PARAMS_MAX && p[i].name; i++) {
        if (strcmp(p[i].name, "search") == 0 && t->values[i] && !strstr(t->values[i], "attacker:"))
            return false;
        if (strcmp(p[i].name, "limit") == 0 && !t->values[i])
            return false;
        far |= strcmp(p[i].name, "offset") == 0 && t->values[i];
    }
    return far == r->far;
}

static void read_once(void *arg, const Method *m, const MethodTry *t)
{
    Reading *r = arg;
    cleanup(buf_free) Buf result = {0};

    if (!is_wanted(r, m, t) || r->n == SAMPLES_MAX)
        return;
    int64_t start_us = clock_monotonic_us();
    check(r->b, repo_call(r->b->repo, method_name(m), t->params, &result), method_name(m));
    if (r->warm)
        r->ms[r->n++] = (double)(clock_monotonic_us() - start_us) / 1e3;
    else
        r->n++;
}

static bool has_param(const Method *m, const char *name)
{
    const MethodParam *p = method_params(m);

    for (int i = 0; i < METHOD_PARAMS_MAX && p[i].name; i++)
        if (strcmp(p[i].name, name) == 0)
            return true;
    return false;
}

static void show_read(Reading *r, const Method *m)
{
    Bench *b = r->b;
    double p50 = quantile(r->ms, r->n, 0.5), p99 = quantile(r->ms, r->n, 0.99);

    if (b->json) {
        json_begin_object(&b->w);
        json_put_cstr(&b->w, "method", method_name(m));
        json_put_int(&b->w, "offset", r->far ? 10000 : 0);
        json_put_int(&b->w, "calls", (int64_t)r->n);
        json_put_double(&b->w, "p50_ms", p50);
        json_put_double(&b->w, "p99_ms", p99);
        if (r->paged)
            json_put_double(&b->w, "bar_ms", PAGE_BAR_MS);
        json_end_object(&b->w);
        return;
    }
    printf("%-40s%s p50 %8.2f ms  p99 %8.2f ms  %4zu calls%s%s\n", method_name(m), r->far ? " at 10,000" : "          ",
           p50, p99, r->n, r->paged ? "" : "  (no page)", r->paged && p99 > PAGE_BAR_MS ? "  above the bar" : "");
    fflush(stdout);
}

static void bench_read(Bench *b, const Method *m, bool far)
{
    static Reading r;
    int64_t end_us;

    r = (Reading){.b = b, .far = far, .paged = has_param(m, "limit")};
    if (method_tries(m, read_once, &r))
        die(method_name(m), "values.c has no value for one of its parameters");
    if (r.n == 0)
        return;
    r.n = 0;
    r.warm = true;
    end_us = clock_monotonic_us() + READ_BUDGET_US;
    while (r.n < SAMPLES_MAX && clock_monotonic_us() < end_us)
        (void)method_tries(m, read_once, &r);
    show_read(&r, m);
}

static void bench_reads(Bench *b)
{
    b->repo = large_store("repo_bench");
    if (!b->json)
        printf("reads: 1,000,000 logs, 200,000 attackers, 2,000,000 tags; the bar of p99 is %.0f ms for pages of 50\n",
               PAGE_BAR_MS);
    json_key(&b->w, "reads");
    json_begin_array(&b->w);
    for (size_t i = 0; i < method_count(); i++) {
        const Method *m = method_at(i);
        if (method_writes(m) || method_streams(m)) /* a stream has no end to wait for */
            continue;
        bench_read(b, m, false);
        if (has_param(m, "offset"))
            bench_read(b, m, true);
    }
    json_end_array(&b->w);
    repo_free(b->repo);
}

static void usage(void)
{
    fputs("usage: repo_bench [--json] [--rows N] [--pairs N] [--batch N] [--only writes|reads]\n", stderr);
    exit(2);
}

static void read_options(Bench *b, int argc, char **argv, const char **ret_only)
{
    struct {
        const char *name;
        int64_t *value, min, max;
    } numbers[] = {
        {"--rows", &b->rows, 1, 200000}, {"--pairs", &b->pairs, 5, PAIRS_MAX}, {"--batch", &b->batch, 1, BATCH_MAX}};

    for (int i = 1; i < argc; i++) {
        size_t k = 0;
        if (strcmp(argv[i], "--json") == 0) {
            b->json = true;
            continue;
        }
        if (++i == argc)
            usage();
        if (strcmp(argv[i - 1], "--only") == 0) {
            *ret_only = argv[i];
            continue;
        }
        while (k < ARRAY_SIZE(numbers) && strcmp(argv[i - 1], numbers[k].name) != 0)
            k++;
        if (k == ARRAY_SIZE(numbers) || !text_to_int64(str_from(argv[i]), numbers[k].value) ||
            *numbers[k].value < numbers[k].min || *numbers[k].value > numbers[k].max)
            usage();
    }
}

int main(int argc, char **argv)
{
    Bench b = {.rows = 20000, .pairs = 5, .batch = 1000};
    const char *only = NULL;

    read_options(&b, argc, argv, &only);
    b.arena = arena_new();
    b.w.buf = &b.out;
    json_begin_object(&b.w);
    if (!only || strcmp(only, "writes") == 0)
        bench_writes(&b);
    if (!only || strcmp(only, "reads") == 0)
        bench_reads(&b);
    json_end_object(&b.w);
    if (b.json)
        printf("%s\n", b.out.data);
    buf_free(&b.out);
    arena_free(b.arena);
    return 0;
}
