/* Tags on both of their ways into the table: COPY for what is new, INSERT for what may be stored already. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>

#include "pg_harness.h"
#include "repo/attackers.h"
#include "repo/tags.h"

enum { ROWS = 200, WRITERS = 4, ROUNDS = 10 };

static char *conninfo;
static Repo *repo;
static Uuid attacker;

static Repo *connected(void)
{
    Repo *r = repo_new(&(RepoOptions){.conninfo = conninfo, .application_name = "repo_tags_test"});
    cr_assert_eq(repo_connect(r), 0, "%s", repo_error_text(r));
    return r;
}

static void setup(void)
{
    harness_pg_start();
    conninfo = harness_pg_conninfo_as("decnet_ttp");
    repo = connected();
    attacker = attacker_uuid("198.51.100.1");
    char text[UUID_TEXT_BYTES];
    uuid_format(text, &attacker);
    harness_sql("INSERT INTO attackers (uuid, ip, first_seen, last_seen) VALUES ('%s', '198.51.100.1', now(), now())",
                text);
}

static void teardown(void)
{
    repo_free(repo);
    free(conninfo);
    harness_pg_stop();
}

TestSuite(repo_tags, .init = setup, .fini = teardown, .timeout = 120);

static TagRow row(int i)
{
    char name[16];
    int n = snprintf(name, sizeof(name), "%d", i);
    return (TagRow){.uuid = uuid_v5(&UUID_NS_TTP_TAG, (Str){name, (size_t)n}),
                    .source_kind = STR("command"),
                    .source_id = STR("s#1"),
                    .attacker_uuid = &attacker,
                    .session_id = i % 2 ? STR("s") : (Str){0},
                    .decky_id = STR("na\0me \xff \xc3\xa9"),
                    .tactic = STR("TA0007"),
                    .technique_id = STR("T1082"),
                    .sub_technique_id = i % 3 ? (Str){0} : STR("T1082.001"),
                    .confidence = 0.85,
                    .rule_id = STR("R0001"),
                    .rule_version = 3,
                    .evidence = STR("{\"command_text\": \"uname -a\"}"),
                    .attack_release = STR("v19.1"),
                    .mitre_url = i % 5 ? STR("https://attack.mitre.org/") : (Str){0},
                    .observed_at_us = i % 7 ? INT64_C(1770000000123456) + i : TIME_NONE};
}

static void make_rows(TagRow *rows, int from, int n)
{
    for (int i = 0; i < n; i++)
        rows[i] = row(from + i);
}

static int insert(Repo *r, const TagRow *rows, size_t n, bool *is_new)
{
    int outcome = repo_begin(r);
    outcome = outcome ? outcome : tags_insert(r, rows, n, is_new);
    outcome = outcome ? outcome : repo_commit(r);
    if (outcome != 0)
        repo_rollback(r);
    return outcome;
}

static int count_new(const bool *is_new, int n)
{
    int found = 0;
    for (int i = 0; i < n; i++)
        found += is_new[i];
    return found;
}

static char *table_text(void)
{
    return harness_sql_text(
        "SELECT string_agg((to_jsonb(t) - 'created_at')::text, E'\\n' ORDER BY uuid) FROM ttp_tag t");
}

Test(repo_tags, both_ways_store_the_same)
{
    TagRow rows[ROWS];
    bool is_new[ROWS] = {0};

    make_rows(rows, 0, ROWS);
    cr_assert_eq(insert(repo, rows, ROWS, is_new), 0, "%s", repo_error_text(repo));
    cr_assert_eq(count_new(is_new, ROWS), ROWS);
    cleanup(freep) char *copied = table_text();
    harness_sql("TRUNCATE ttp_tag");
    for (int i = 0; i < ROWS; i++)
        rows[i].maybe_stored = true;
    cr_assert_eq(insert(repo, rows, ROWS, is_new), 0, "%s", repo_error_text(repo));
    cleanup(freep) char *inserted = table_text();
    cr_assert_str_eq(copied, inserted);
    cr_assert(strstr(copied, "na\xef\xbf\xbdme \xef\xbf\xbd \xc3\xa9") != NULL, "%.400s", copied);
}

Test(repo_tags, a_wrong_guess_does_no_harm)
{
    TagRow rows[ROWS];
    bool is_new[ROWS] = {0};

    make_rows(rows, 0, 1);
    cr_assert_eq(insert(repo, rows, 1, is_new), 0, "%s", repo_error_text(repo));
    harness_sql("UPDATE ttp_tag SET rule_id = 'first'");
    make_rows(rows, 0, ROWS);
    for (int i = 0; i < ROWS; i += 10)
        rows[i + 1].maybe_stored = true;
    cr_assert_eq(insert(repo, rows, ROWS, is_new), 0, "%s", repo_error_text(repo));
    cr_assert_not(is_new[0]);
    cr_assert_eq(count_new(is_new, ROWS), ROWS - 1);
    cr_assert_eq(insert(repo, rows, ROWS, is_new), 0, "%s", repo_error_text(repo));
    cr_assert_eq(count_new(is_new, ROWS), 0);
    cr_assert_eq(harness_sql_int("SELECT count(*) FROM ttp_tag"), ROWS);
    cr_assert_eq(harness_sql_int("SELECT count(*) FROM ttp_tag WHERE rule_id = 'first'"), 1);
}

Test(repo_tags, refusals_keep_their_class)
{
    TagRow rows[ROWS];
    bool is_new[ROWS] = {0};
    Uuid nobody = attacker_uuid("198.51.100.2");

    make_rows(rows, 0, ROWS);
    rows[77].attacker_uuid = &nobody;
    cr_assert_eq(insert(repo, rows, ROWS, is_new), REPO_E_FK);
    rows[77] = row(77);
    rows[78].confidence = 1.5;
    cr_assert_eq(insert(repo, rows, ROWS, is_new), REPO_E_REJECTED);
    rows[78] = row(78);
    rows[79].evidence = STR("{\"no json");
    cr_assert_eq(insert(repo, rows, ROWS, is_new), REPO_E_REJECTED);
    cr_assert_eq(harness_sql_int("SELECT count(*) FROM ttp_tag"), 0);
    rows[79] = row(79);
    cr_assert_eq(insert(repo, rows, ROWS, is_new), 0, "%s", repo_error_text(repo));
}

typedef struct Writer {
    Repo *repo;
    pthread_t thread;
    int first, n_new, failed;
} Writer;

static void *write_overlapping(void *arg)
{
    Writer *w = arg;

    for (int round = 0; round < ROUNDS; round++) {
        TagRow rows[ROWS];
        bool is_new[ROWS] = {0};
        make_rows(rows, round * ROWS + w->first, ROWS);
        for (int i = 0; i < ROWS; i++)
            rows[i].maybe_stored = (round * ROWS + w->first + i) % 4 == 0; /* all say the same of a row */
        w->failed += insert(w->repo, rows, ROWS, is_new) != 0;
        w->n_new += count_new(is_new, ROWS);
    }
    return NULL;
}

Test(repo_tags, writers_of_the_same_tags_neither_deadlock_nor_count_one_twice)
{
    Writer writers[WRITERS];
    int n_new = 0;

    for (int i = 0; i < WRITERS; i++) {
        writers[i] = (Writer){.repo = connected(), .first = i * ROWS / 8};
        cr_assert_eq(pthread_create(&writers[i].thread, NULL, write_overlapping, &writers[i]), 0);
    }
    for (int i = 0; i < WRITERS; i++) {
        pthread_join(writers[i].thread, NULL);
        cr_assert_eq(writers[i].failed, 0, "%s", repo_error_text(writers[i].repo));
        n_new += writers[i].n_new;
        repo_free(writers[i].repo);
    }
    cr_assert_eq(harness_sql_int("SELECT count(*) FROM ttp_tag"), n_new);
    cr_assert_eq(n_new, ROUNDS * ROWS + (WRITERS - 1) * ROWS / 8);
}
