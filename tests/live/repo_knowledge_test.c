/* The schema and what is read out of it as a whole: migrations, dump, summary, listings, dead letters. */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "pg_harness.h"
#include "repo/attackers.h"
#include "repo/dead_letters.h"
#include "repo/dump.h"
#include "repo/listings.h"
#include "repo/logs.h"
#include "repo/migrate.h"
#include "repo/summary.h"

#define A "00000000-0000-5000-8000-00000000000a"
#define B "00000000-0000-5000-8000-00000000000b"
#define C "00000000-0000-5000-8000-00000000000c"

static Repo *repo;
static char *conninfo;
static Arena *arena;

static void connect_to_it(void)
{
    conninfo = harness_pg_conninfo();
    arena = arena_new();
    repo = repo_new(&(RepoOptions){.conninfo = conninfo, .application_name = "repo_knowledge_test"});
    cr_assert_eq(repo_connect(repo), 0, "%s", repo_error_text(repo));
}

static void setup(void)
{
    harness_pg_start();
    connect_to_it();
}

static void setup_empty(void)
{
    harness_pg_start_empty();
    connect_to_it();
}

static void teardown(void)
{
    repo_free(repo);
    arena_free(arena);
    free(conninfo);
    harness_pg_stop();
}

#define expect_ok(call) cr_assert_eq(call, 0, "%s", repo_error_text(repo))

/* --- migrations --- */

typedef struct Seen {
    int n, pending, applied, changed;
} Seen;

static void count(void *arg, const Migration *m, MigrationState state, int64_t applied_at_us)
{
    Seen *seen = arg;
    cr_expect_eq(m, &migrations[seen->n]);
    cr_expect_eq(applied_at_us == TIME_NONE, state == MIGRATION_PENDING);
    seen->n++;
    seen->pending += state == MIGRATION_PENDING;
    seen->applied += state == MIGRATION_APPLIED;
    seen->changed += state == MIGRATION_CHANGED;
}

static Seen status(int want)
{
    Seen seen = {0};
    int r = migrate_status(repo, count, &seen);
    cr_expect_eq(r, want, "%d: %s", r, repo_error_text(repo));
    return seen;
}

static void expect_refused(int r, const char *words)
{
    cr_expect_eq(r, REPO_E_OPERATOR);
    cr_expect(strstr(repo_error(repo)->message, words), "%s", repo_error_text(repo));
    cr_expect_neq(*repo_error(repo)->hint, '\0', "an operator wants to know what to do");
}

Test(migrate, from_nothing_and_again, .init = setup_empty, .fini = teardown, .timeout = 60)
{
    Seen seen = {0};

    cr_expect_eq(status(0).pending, n_migrations);
    expect_refused(migrate_check(repo), "001_main_way is not applied");
    expect_ok(migrate_up(repo, count, &seen));
    cr_expect_eq(seen.applied, n_migrations);
    expect_ok(migrate_check(repo));
    cr_expect_eq(status(0).applied, n_migrations);
    seen = (Seen){0};
    expect_ok(migrate_up(repo, count, &seen));
    cr_expect_eq(seen.n, 0, "a second time there is nothing to do");
}

Test(migrate, what_does_not_fit_is_refused, .init = setup, .fini = teardown, .timeout = 60)
{
    Seen seen = {0};

    harness_sql("UPDATE schema_version SET checksum = 'other' WHERE version = 1");
    expect_refused(migrate_check(repo), "001_main_way was applied with another text");
    expect_refused(migrate_up(repo, count, &seen), "another text");
    cr_expect_eq(status(REPO_E_OPERATOR).changed, 1);

    harness_sql("DELETE FROM schema_version WHERE version = 1");
    expect_refused(migrate_check(repo), "is not applied");

    harness_sql("INSERT INTO schema_version (version, min_worker, name, checksum) VALUES (9998, 1, 'later', 'x')");
    cr_expect_eq(status(0).pending, n_migrations > 0, "a newer schema that still takes us");
    harness_sql("INSERT INTO schema_version (version, min_worker, name, checksum) VALUES (9999, 9999, 'later', 'x')");
    expect_refused(migrate_check(repo), "needs programs of version 9999");
    expect_refused(migrate_up(repo, count, &seen), "needs programs of version 9999");
    cr_expect_eq(seen.n, 0, "nothing was applied");
}

Test(migrate, a_migration_that_fails_leaves_nothing, .init = setup_empty, .fini = teardown, .timeout = 60)
{
    harness_sql("CREATE SCHEMA decnet; CREATE TABLE decnet.group_pause (x int)");
    int r = migrate_up(repo, NULL, NULL);
    cr_expect_eq(r, REPO_E_OPERATOR, "%s", repo_error_text(repo));
    cr_expect_str_eq(repo_error(repo)->sqlstate, "42P07");
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM pg_tables WHERE schemaname = 'decnet'"), 1);
}

/* The schema as its first release left it. */
static void apply_the_first(void)
{
    char checksum[65];

    sha256_hex(checksum, str_from(migrations[0].sql));
    harness_sql("CREATE SCHEMA decnet; CREATE TABLE decnet.schema_version (version integer PRIMARY KEY,"
                " min_worker integer NOT NULL, name text NOT NULL, checksum text NOT NULL,"
                " applied_at timestamptz NOT NULL DEFAULT now());"
                " INSERT INTO decnet.schema_version (version, min_worker, name, checksum) VALUES (1, 1, '%s', '%s')",
                migrations[0].name, checksum);
    harness_sql("%s", migrations[0].sql);
}

Test(migrate, from_the_first_schema_with_rows_in_it, .init = setup_empty, .fini = teardown, .timeout = 60)
{
    static const char *const rows =
        "SELECT md5(string_agg(t::text, '' ORDER BY t::text)) FROM (SELECT uuid::text || ip || services || first_seen"
        " FROM attackers UNION ALL SELECT id::text || raw_line || fields FROM logs UNION ALL SELECT id::text ||"
        " secret_sha256 || attempt_count FROM credentials UNION ALL SELECT uuid::text || attacker_uuid || evidence"
        " FROM ttp_tag UNION ALL SELECT uuid::text || expires_at FROM attacker_intel) t (t)";
    Seen seen = {0};

    apply_the_first();
    harness_sql("INSERT INTO attackers (ip, first_seen, last_seen, services) SELECT 'ip ' || i, '2026-01-01Z',"
                " '2026-01-01Z', '[\"ssh\"]' FROM generate_series(1, 500) i;"
                " INSERT INTO logs (decky, service, event_type, attacker_ip, raw_line, fields) SELECT 'd', 's',"
                "  'session_recorded', 'ip 1', i, '{\"sid\":\"x\"}' FROM generate_series(1, 500) i;"
                " INSERT INTO credentials (attacker_ip, decky_name, service, secret_sha256) SELECT 'ip 1', 'd', 's', i"
                "  FROM generate_series(1, 500) i;"
                " INSERT INTO attacker_intel (attacker_uuid, attacker_ip, expires_at) SELECT uuid, ip, '2026-01-02Z'"
                "  FROM attackers;"
                " INSERT INTO ttp_tag (uuid, source_kind, source_id, attacker_uuid, tactic, technique_id, confidence,"
                "  rule_id, rule_version, evidence, attack_release) SELECT gen_random_uuid(), 'command', 'x', uuid,"
                "  'TA0002', 'T1059', 0.5, 'R0010', 1, '{}', 'v' FROM attackers");
    cleanup(freep) char *before = harness_sql_text("%s", rows);
    expect_refused(migrate_check(repo), "002_");
    expect_ok(migrate_up(repo, NULL, NULL));
    expect_ok(migrate_check(repo));
    expect_ok(migrate_status(repo, count, &seen));
    cr_expect_eq(seen.applied, n_migrations);
    cleanup(freep) char *after = harness_sql_text("%s", rows);
    cr_expect_str_eq(after, before);
}

/* --- writers that go on while the schema changes under them --- */

enum { WRITERS = 4 };
typedef struct Writer {
    pthread_t thread;
    int number, committed, unexpected;
    char error[300];
} Writer;
static atomic_bool enough;

/* An attacker and a log line in one transaction, so that locks are held on one table while the other is waited for. */
static int write_both(Repo *own, void *arg)
{
    Writer *w = arg;
    char ip[IP_TEXT_BYTES];
    Uuid id = uuid_random();
    bool is_new;

    snprintf(ip, sizeof(ip), "198.51.100.%d", w->number);
    AttackerChange change = {.ip = str_from(ip),
                             .uuid = attacker_uuid(ip),
                             .first_seen_us = 1,
                             .last_seen_us = 2,
                             .events = 1,
                             .services = STR("[]"),
                             .deckies = STR("[]")};
    LogRow log = {.source_event_id = &id,
                  .timestamp_us = 1,
                  .decky = STR("d"),
                  .service = STR("s"),
                  .event_type = STR("e"),
                  .attacker_ip = str_from(ip),
                  .raw_line = STR("x"),
                  .fields = STR("{}")};
    int r = attackers_add(own, &change, 1);
    r = r ? r : logs_lock_and_compare(own, &id, 1, &is_new);
    return r ? r : logs_append(own, &log, 1);
}

static void *write_on(void *arg)
{
    Writer *w = arg;
    cleanup(repo_freep) Repo *own = repo_new(&(RepoOptions){.conninfo = conninfo, .application_name = "writer"});

    while (!atomic_load(&enough)) {
        int r = repo_connect(own);
        r = r ? r : repo_transaction(own, write_both, w);
        w->committed += r == 0;
        if (r != 0 && r != REPO_E_RETRY) {
            w->unexpected++;
            snprintf(w->error, sizeof(w->error), "%s", repo_error_text(own));
        }
    }
    return NULL;
}

Test(migrate, under_load, .init = setup_empty, .fini = teardown, .timeout = 60)
{
    Writer writers[WRITERS];
    int committed = 0, tries = 0, r;

    apply_the_first();
    for (int i = 0; i < WRITERS; i++) {
        writers[i] = (Writer){.number = i + 1};
        cr_assert_eq(pthread_create(&writers[i].thread, NULL, write_on, &writers[i]), 0);
    }
    cr_assert(harness_sql_wait(1, 20000, "SELECT CASE WHEN count(*) > 20 THEN 1 ELSE 0 END FROM logs"));
    do { /* in the way of each other: one of them tries again */
        r = migrate_up(repo, NULL, NULL);
    } while (r == REPO_E_RETRY && ++tries < 20);
    int64_t then = harness_sql_int("SELECT count(*) FROM logs");
    cr_expect(harness_sql_wait(1, 20000, "SELECT CASE WHEN count(*) > %lld THEN 1 ELSE 0 END FROM logs",
                               (long long)then + 20),
              "writing goes on");
    atomic_store(&enough, true);
    for (int i = 0; i < WRITERS; i++) {
        pthread_join(writers[i].thread, NULL);
        cr_expect_eq(writers[i].unexpected, 0, "%s", writers[i].error);
        committed += writers[i].committed;
    }
    cr_expect_eq(r, 0, "%s", repo_error_text(repo));
    expect_ok(migrate_check(repo));
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM logs"), committed);
    cr_expect_eq(harness_sql_int("SELECT sum(event_count) FROM attackers"), committed);
}

/* --- dump --- */

static int append_line(void *arg, Str json)
{
    Buf *out = arg;
    buf_add_str(out, json);
    buf_add_char(out, '\n');
    return 0;
}

/* The dump of @table (NULL: all); the caller frees. */
static char *dump(const char *table)
{
    Buf out = {0};
    expect_ok(dump_write(repo, table, append_line, &out));
    return out.data ? out.data : strdup("");
}

static void clear_tables(void)
{
    harness_sql("TRUNCATE attackers, logs, bounty, credentials, attacker_identities, campaigns, dead_letter CASCADE");
}

/* The same knowledge in pieces that can be written in any order, each with ids and processing times of its own. Even orders go backwards. */
static const char *const pieces[] = {
    "INSERT INTO logs (decky, service, event_type, attacker_ip, raw_line, source_event_id, timestamp)"
    " VALUES ('d', 's', 'e', 'i', 'one', '" A "', '2026-01-01Z'), ('d', 's', 'e', 'i', 'two', '" B "', '2026-01-01Z')",
    "INSERT INTO logs (decky, service, event_type, attacker_ip, raw_line, source_event_id, timestamp)"
    " VALUES ('d', 's', 'e', 'i', 'three', '" C "', '2026-01-01Z')",
    "INSERT INTO logs (decky, service, event_type, attacker_ip, raw_line) VALUES ('d', 's', 'e', 'i', 'has no id')",
    "INSERT INTO bounty (decky, service, attacker_ip, bounty_type, payload, timestamp) VALUES"
    " ('d', 's', 'i', 'fingerprint', '{\"a\":1}', '2026-01-01Z')",
    "INSERT INTO bounty (decky, service, attacker_ip, bounty_type, payload, timestamp) VALUES"
    " ('d', 's', 'i', 'fingerprint', '{\"a\":2}', '2026-01-01Z')",
    "INSERT INTO credentials (attacker_ip, decky_name, service, secret_sha256, principal, first_seen, last_seen)"
    " VALUES ('i', 'd', 's', 'x', NULL, '2026-01-01Z', '2026-01-01Z')",
    "INSERT INTO credentials (attacker_ip, decky_name, service, secret_sha256, principal, first_seen, last_seen)"
    " VALUES ('i', 'd', 's', 'x', '', '2026-01-01Z', '2026-01-01Z')",
    "INSERT INTO dead_letter (group_name, topic, partition, \"offset\", event_id, reason) VALUES"
    " ('g', 't', 0, (random() * 1e9)::bigint, '" A "', 'malformed')",
    "INSERT INTO dead_letter (group_name, topic, partition, \"offset\", event_id, reason) VALUES"
    " ('g', 't', 0, (random() * 1e9)::bigint, '" B "', 'schema')",
};

static void write_pieces(unsigned order)
{
    clear_tables();
    harness_sql(
        "INSERT INTO attackers (uuid, ip, first_seen, last_seen, deckies, services, fingerprints, traversal_path)"
        " VALUES ('" A "', '198.51.100.1', '2026-01-01Z', '2026-01-02Z', '%s', '[\"ftp\",\"ssh\"]', '%s', '%s')",
        order % 2 ? "[\"d1\",\"d2\"]" : "[\"d2\",\"d1\"]",
        order % 2 ? "[{\"id\":1,\"hash\":\"x\",\"timestamp\":\"t\"},{\"id\":2,\"hash\":\"y\",\"timestamp\":\"t\"}]"
                  : "[{\"id\":7,\"hash\":\"y\",\"timestamp\":\"t\"},{\"id\":8,\"hash\":\"x\",\"timestamp\":\"t\"}]",
        order % 2 ? "d1 > d2" : "d2 > d1");
    for (size_t i = 0; i < ARRAY_SIZE(pieces); i++)
        harness_sql("%s", pieces[(order % 2 ? order + i : order + ARRAY_SIZE(pieces) - 1 - i) % ARRAY_SIZE(pieces)]);
    harness_sql("INSERT INTO ttp_tag (uuid, source_kind, source_id, attacker_uuid, tactic, technique_id, confidence,"
                " rule_id, rule_version, evidence, attack_release, observed_at) VALUES"
                " ('" A "', 'intel', '" A "', '" A
                "', 'TA0011', 'T1071', %f, 'R0054', 1, '{\"score\":%u}', 'v19.1', now()),"
                " ('" B "', 'command', 'x', '" A "', 'TA0002', 'T1059', 0.5, 'R0010', 1, '{}', 'v19.1', '2026-01-01Z')",
                0.5 + order / 10.0, order);
}

Test(dump, does_not_depend_on_the_order_of_arrival, .init = setup, .fini = teardown, .timeout = 60)
{
    write_pieces(1);
    cleanup(freep) char *first = dump(NULL);
    cr_assert(strstr(first, "\"raw_line\":\"three\"") && strstr(first, "\"table\":\"dead_letter\""), "%s", first);
    for (unsigned order = 2; order < 6; order++) {
        write_pieces(order);
        cleanup(freep) char *other = dump(NULL);
        cr_expect_str_eq(other, first, "order %u", order);
    }
}

Test(dump, shows_every_difference_of_knowledge, .init = setup, .fini = teardown, .timeout = 60)
{
    static const char *const changes[] = {
        "UPDATE attackers SET event_count = event_count + 1",
        "UPDATE attackers SET deckies = '[\"d1\"]'",
        "UPDATE attackers SET fingerprints = '[]'",
        "UPDATE logs SET raw_line = 'else' WHERE raw_line = 'one'",
        "UPDATE credentials SET attempt_count = 2 WHERE principal IS NULL",
        "UPDATE bounty SET decky = 'd9' WHERE payload = '{\"a\":1}'",
        "UPDATE ttp_tag SET confidence = 0.6 WHERE source_kind = 'command'",
        "UPDATE ttp_tag SET rule_version = 2 WHERE source_kind = 'intel'",
        "DELETE FROM dead_letter WHERE reason = 'schema'",
    };

    write_pieces(1);
    cleanup(freep) char *before = dump(NULL);
    for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
        harness_sql("%s", changes[i]);
        char *after = dump(NULL);
        cr_expect_str_neq(after, before, "%s", changes[i]);
        free(before);
        before = after;
    }
    harness_sql("UPDATE attackers SET updated_at = now(), traversal_path = 'z'; UPDATE ttp_tag SET created_at = now();"
                " UPDATE ttp_tag SET confidence = 1 WHERE source_kind = 'intel'");
    cleanup(freep) char *same = dump(NULL);
    cr_expect_str_eq(same, before, "processing times and verdicts are no knowledge");
}

Test(dump, names_identities_and_campaigns_by_their_founder, .init = setup, .fini = teardown, .timeout = 60)
{
    static const char *const ids[2][4] = {{"1", "2", "3", "9"}, {"7", "6", "5", "4"}}; /* two runs choose other ids */
    char *dumps[2];

    for (size_t run = 0; run < 2; run++) {
        clear_tables();
        const char *winner = ids[run][0], *merged = ids[run][1], *alone = ids[run][2], *campaign = ids[run][3];
        harness_sql("INSERT INTO campaigns (uuid, identity_count, ja3_hashes) VALUES ('%032d', 2, '%s')",
                    atoi(campaign), run ? "[\"a\",\"b\"]" : "[\"b\",\"a\"]");
        harness_sql("INSERT INTO attacker_identities (uuid, campaign_id, observation_count, merged_into_uuid) VALUES"
                    " ('%032d', '%032d', 2, NULL), ('%032d', NULL, 1, '%032d'), ('%032d', '%032d', 1, NULL)",
                    atoi(winner), atoi(campaign), atoi(merged), atoi(winner), atoi(alone), atoi(campaign));
        harness_sql("INSERT INTO attackers (uuid, ip, first_seen, last_seen, identity_id) VALUES"
                    " ('" A "', '198.51.100.1', '2026-01-02Z', '2026-01-02Z', '%032d'),"
                    " ('" B "', '198.51.100.2', '2026-01-01Z', '2026-01-02Z', '%032d'),"
                    " ('" C "', '198.51.100.3', '2026-01-03Z', '2026-01-03Z', '%032d')",
                    atoi(winner), atoi(merged), atoi(alone));
        dumps[run] = dump(NULL);
    }
    cr_expect_str_eq(dumps[0], dumps[1]);
    cleanup(freep) char *identities = dump("attacker_identities");
    cr_expect(strstr(identities, "\"founder\":\"" B "\",\"campaign\":\"" B "\"") && /* B is the earlier of A and B */
                  strstr(identities, "\"founder\":\"" C "\",\"campaign\":\"" B "\""),
              "%s", identities);
    cleanup(freep) char *attackers = dump("attackers");
    cr_expect(strstr(attackers, "\"ip\":\"198.51.100.1\",\"uuid\":\"" A "\",\"identity\":\"" B "\""), "%s", attackers);
    free(dumps[0]);
    free(dumps[1]);
}

static int stop_at_once(void *arg, Str json)
{
    int *n = arg;
    cr_expect_gt(json.len, 0);
    return ++*n == 3 ? -EPIPE : 0;
}

Test(dump, streams_and_stops, .init = setup, .fini = teardown, .timeout = 60)
{
    int n = 0;

    harness_sql("INSERT INTO logs (decky, service, event_type, attacker_ip, raw_line, source_event_id)"
                " SELECT 'd', 's', 'e', 'i', i, gen_random_uuid() FROM generate_series(1, 1203) i");
    cleanup(freep) char *logs = dump("logs");
    for (const char *c = logs; *c; c++)
        n += *c == '\n';
    cr_expect_eq(n, 1203, "more than two fetches");
    n = 0;
    cr_expect_eq(dump_write(repo, NULL, stop_at_once, &n), -EPIPE);
    cr_expect_eq(n, 3);
    cr_expect_eq(dump_write(repo, "lgos", stop_at_once, &n), REPO_E_INVALID);
    cleanup(freep) char *again = dump("logs"); /* the connection is whole */
    cr_expect_str_eq(again, logs);
    for (size_t i = 0; i < dump_n_tables(); i++)
        cr_expect(*dump_table(i)->name && *dump_table(i)->key);
}

/* --- summary and listings --- */

static void write_scene(void)
{
    harness_sql("INSERT INTO attackers (uuid, ip, first_seen, last_seen) VALUES"
                " ('" A "', '198.51.100.1', '2026-01-01Z', '2026-01-02Z'),"
                " ('" B "', '198.51.100.2', '2026-01-01Z', '2026-01-02Z'),"
                " ('" C "', '198.51.100.3', '2026-01-01Z', '2026-01-02Z')");
    harness_sql(
        "INSERT INTO attacker_session (sid, attacker_uuid, src_ip, decky, service, origin, origin_session,"
        " started_at, last_event_at, commands, parts_sent) VALUES"
        " ('" A "', '" A "', '198.51.100.1', 'd', 'ssh', 'cowrie', 'cafe01', '2026-01-01Z', '2026-01-01Z', 2, 1),"
        " ('" B "', '" B "', '198.51.100.2', 'd', 'ssh', 'cowrie', 'cafe02', '2026-01-01Z', '2026-01-01Z', 0, 0),"
        " ('" C "', '" B "', '198.51.100.2', 'd', 'ssh', 'cowrie', 'cafe02', '2026-01-02Z', '2026-01-02Z', 1, 1)");
    harness_sql("INSERT INTO session_command (sid, ordinal, ts, command, source_event_id)"
                " SELECT '" A "', i, now(), 'id', gen_random_uuid() FROM generate_series(0, 1) i");
    harness_sql(
        "INSERT INTO logs (decky, service, event_type, attacker_ip, raw_line) VALUES ('d', 's', 'login', 'i', ''),"
        " ('d', 's', 'session_recorded', 'i', '')");
    harness_sql("INSERT INTO ttp_tag (uuid, source_kind, source_id, attacker_uuid, session_id, tactic, technique_id,"
                " sub_technique_id, confidence, rule_id, rule_version, evidence, attack_release, observed_at) VALUES"
                " ('" A "', 'command', '1', '" A "', '" A "', 'TA0002', 'T1059', 'T1059.004', 0.5, 'R0010', 1,"
                "  '{\"command_text\":\"id\"}', 'v', '2026-01-01Z'),"
                " ('" B "', 'command', '2', '" B "', 'odd sid', 'TA0002', 'T1059', 'T1059.004', 0.5, 'R0010', 1,"
                "  '{\"command_text\":\"w\"}', 'v', '2026-01-03Z'),"
                " ('" C "', 'intel', '3', '" B "', NULL, 'TA0001', 'T1078', NULL, 0.5, 'R0054', 1, '{}', 'v', NULL)");
}

Test(summary, counts_and_examples, .init = setup, .fini = teardown, .timeout = 60)
{
    SummaryCounts c;
    SummaryTechnique *t;
    SummaryAttacker *a;
    size_t n;

    expect_ok(summary_counts(repo, &c));
    cr_expect(c.lines == 0 && c.attackers == 0 && c.sessions == 0 && c.tags == 0);
    expect_ok(summary_techniques(repo, arena, &t, &n));
    cr_expect_eq(n, 0);
    write_scene();
    expect_ok(summary_counts(repo, &c));
    cr_expect(c.lines == 1 && c.attackers == 3 && c.sessions == 3 && c.announced == 2 && c.commands == 2 &&
              c.tags == 3);
    expect_ok(summary_techniques(repo, arena, &t, &n));
    cr_assert_eq(n, 2);
    cr_expect(str_eq_cstr(t[0].tactic, "TA0001") && !t[0].sub_technique_id.data && !t[0].example.data);
    cr_expect(str_eq_cstr(t[1].sub_technique_id, "T1059.004") && t[1].tags == 2 && t[1].attackers == 2);
    cr_expect(str_eq_cstr(t[1].example, "id") && str_eq_cstr(t[1].example_id, A), "the smallest id gives the example");
    expect_ok(summary_busiest(repo, arena, 2, &a, &n));
    cr_assert_eq(n, 2);
    cr_expect(str_eq_cstr(a[0].ip, "198.51.100.2") && a[0].tags == 2 && a[0].techniques == 2 && a[0].sessions == 2);
    cr_expect(str_eq_cstr(a[1].ip, "198.51.100.1") && a[1].commands == 2);
}

Test(listings, find_who_is_meant, .init = setup, .fini = teardown, .timeout = 60)
{
    static const struct {
        const char *word;
        int kind;
        const char *name;
    } cases[] = {
        {"198.51.100.1", SCOPE_ATTACKER, "198.51.100.1"},
        {"::ffff:198.51.100.2", SCOPE_ATTACKER, "198.51.100.2"},
        {"0000000000005000800000000000000C", SCOPE_ATTACKER, "198.51.100.3"}, /* an attacker's id before a session's */
        {"cafe01", SCOPE_SESSION, A},
        {"cafe02", SCOPE_SESSION, C},
        {"odd sid", SCOPE_SESSION, "odd sid"},
        {"198.51.100.9", SCOPE_NOBODY, NULL},
        {"00000000-0000-5000-8000-00000000000d", SCOPE_NOBODY, NULL},
        {"", SCOPE_NOBODY, NULL},
        {"'; DROP TABLE logs; --", SCOPE_NOBODY, NULL},
    };
    ListedTag *tags;
    int64_t total;
    size_t n;

    write_scene();
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        TagScope scope;
        expect_ok(tag_scope_find(repo, arena, str_from(cases[i].word), &scope));
        cr_expect_eq((int)scope.kind, cases[i].kind, "%s", cases[i].word);
        cr_expect(!cases[i].name || str_eq_cstr(scope.name, cases[i].name), "%s: " STR_FMT, cases[i].word,
                  STR_ARG(scope.name));
    }
    TagScope b = {.kind = SCOPE_ATTACKER};
    cr_assert(uuid_parse_text(STR(B), &b.uuid));
    expect_ok(tag_list(repo, arena, &b, 10, &tags, &n, &total));
    cr_assert_eq(n, 2);
    cr_expect(tags[0].observed_at_us == TIME_NONE && str_eq_cstr(tags[1].example, "w"), "oldest first");
    expect_ok(tag_list(repo, arena, &b, 1, &tags, &n, &total));
    cr_expect(n == 1 && total == 2 && str_eq_cstr(tags[0].example, "w"), "the newest stay");
    TagScope odd = {.kind = SCOPE_SESSION, .name = STR("odd sid")};
    expect_ok(tag_list(repo, arena, &odd, 10, &tags, &n, &total));
    cr_expect_eq(n, 1);
}

Test(listings, outbox_and_pauses, .init = setup, .fini = teardown, .timeout = 60)
{
    OutboxProducer *rows;
    PausedGroup *paused;
    size_t n;

    harness_sql(
        "INSERT INTO event_outbox (producer, n, events, created_at) VALUES ('ttp', 3, 'abc', decnet_now()),"
        " ('ttp', 4, 'defg', decnet_now() - interval '90 s'), ('ingest', 1, 'x', decnet_now() + interval '1 h')");
    harness_sql("INSERT INTO group_pause (group_name, reason) VALUES ('ttp', 'too many')");
    expect_ok(outbox_list(repo, arena, &rows, &n));
    cr_assert_eq(n, 2);
    cr_expect(str_eq_cstr(rows[0].producer, "ingest") && rows[0].oldest_s == 0.0, "a row from the future is not old");
    cr_expect(rows[1].rows == 2 && rows[1].events == 7 && rows[1].bytes == 7 && rows[1].oldest_s >= 90);
    expect_ok(pause_list(repo, arena, &paused, &n));
    cr_assert_eq(n, 1);
    cr_expect(str_eq_cstr(paused[0].reason, "too many") && paused[0].since_us > 0);
}

Test(dead_letters, list_read_claim, .init = setup, .fini = teardown, .timeout = 60)
{
    DeadLetter *d, one;
    int64_t total;
    size_t n;

    harness_sql(
        "INSERT INTO dead_letter (group_name, topic, partition, \"offset\", event_id, key, value, headers, reason)"
        " SELECT 'g' || i %% 2, 't', 0, i, '" A "', 'k', E'\\\\x00ff', '[[\"a\",\"b\"]]', 'malformed'"
        " FROM generate_series(1, 6) i");
    expect_ok(dead_letter_list(repo, arena, &(DeadLetterFilter){.group = "g1"}, 2, &d, &n, &total));
    cr_assert_eq(n, 2);
    cr_expect(total == 3 && d[0].offset == 5 && d[0].value_bytes == 2 && !d[0].value.data &&
              str_eq_cstr(d[0].event_id, A));
    expect_ok(dead_letter_list(repo, arena, &(DeadLetterFilter){.reason = "schema"}, 2, &d, &n, &total));
    cr_expect(n == 0 && total == 0);
    expect_ok(dead_letter_read(repo, arena, 1, &one));
    cr_expect(str_eq(one.value, (Str){"\0\xff", 2}) && str_eq_cstr(one.key, "k"));
    cr_expect(strstr(str_cstr(arena, one.headers_json), "\"a\", \"b\""));
    cr_expect_eq(dead_letter_read(repo, arena, 99, &one), REPO_E_NO_ROW);

    expect_ok(repo_begin(repo));
    expect_ok(dead_letter_claim(repo, arena, NULL, 0, "g1", 1, 10, &d, &n));
    cr_assert_eq(n, 2, "letters of the group behind the given id");
    cr_expect(d[0].id == 3 && d[1].id == 5 && d[0].value.len == 2);
    expect_ok(dead_letter_mark_replayed(repo, d, n));
    expect_ok(repo_commit(repo));
    expect_ok(dead_letter_list(repo, arena, &(DeadLetterFilter){.group = "g1"}, 9, &d, &n, &total));
    cr_expect_eq(n, 1, "replayed ones are left out");
    expect_ok(dead_letter_list(repo, arena, &(DeadLetterFilter){.with_replayed = true}, 9, &d, &n, &total));
    cr_expect(n == 6 && d[1].replayed_at_us != TIME_NONE);
    expect_ok(repo_begin(repo));
    expect_ok(dead_letter_claim(repo, arena, (int64_t[]){5, 2, 77}, 3, NULL, 0, 10, &d, &n));
    cr_expect(n == 2 && d[0].id == 2 && d[1].id == 5, "by id also what was replayed");
    repo_rollback(repo);
}
