/* Attackers in batches: what many rows at once store, and what several writers of them do to each other. */
#include "repo/attackers.h"

#include <criterion/criterion.h>
#include <stdio.h>

#include "pg_harness.h"
#include "repo_support.h"

TestSuite(repo_attackers, .init = repo_test_setup, .fini = repo_test_teardown, .timeout = 120);

#define SECOND INT64_C(1000000)
#define T0 INT64_C(1767225600000000) /* 2026-01-01 */
#define SEEN (ATTACKER_FIRST_SEEN | ATTACKER_LAST_SEEN)
#define EVENT_COUNT ROW_BIT(7)
#define SERVICES ROW_BIT(10)
#define ASN ROW_BIT(20)
#define PTR_RECORD ROW_BIT(23)
#define EVERYTHING UINT64_MAX

static AttackerRow seen(const char *ip, int64_t first, int64_t last)
{
    return (AttackerRow){.ip = str_from(ip), .first_seen = T0 + first * SECOND, .last_seen = T0 + last * SECOND};
}

/* A row in which every column is given. */
static AttackerRow whole(const char *ip)
{
    AttackerRow row = seen(ip, 0, 60);
    row.event_count = 5;
    row.service_count = row.decky_count = 1;
    row.services = STR("[\"ssh\"]");
    row.deckies = STR("[\"d1\"]");
    row.traversal_path = STR("d1");
    row.is_traversal = TRI_YES;
    row.bounty_count = 2;
    row.credential_count = 3;
    row.fingerprints = STR("[{\"hash\": \"x\"}]");
    row.commands = STR("[{\"command\": \"id\"}]");
    row.country_code = STR("DE");
    row.country_source = STR("rir");
    row.asn = 4294967295;
    row.as_name = STR("EXAMPLE");
    row.asn_source = STR("rir");
    row.ptr_record = STR("host.example");
    row.rotation_count = 4;
    row.last_rotation_at = T0;
    row.updated_at = T0 + SECOND;
    return row;
}

static void upsert(const AttackerRow *rows, size_t n, uint64_t given, Uuid *uuids)
{
    cr_assert_eq(attackers_upsert(repo, rows, n, given, uuids), 0, "%s", repo_error_text(repo));
}

/* The tuple of a row moves when it is written. */
static char *place(const char *ip)
{
    return harness_sql_text("SELECT ctid::text FROM attackers WHERE ip = '%s'", ip);
}

Test(repo_attackers, every_column_arrives)
{
    AttackerRow row = whole("198.51.100.1");
    Uuid uuid, want = attacker_uuid("198.51.100.1");

    upsert(&row, 1, EVERYTHING, &uuid);
    cr_expect_eq(uuid_cmp(&uuid, &want), 0);
    cleanup(freep) char *stored = harness_sql_text("SELECT (to_jsonb(a) - 'uuid')::text FROM attackers a");
    cr_expect_str_eq(stored,
                     "{\"ip\": \"198.51.100.1\", \"asn\": 4294967295, \"as_name\": \"EXAMPLE\", \"deckies\": [\"d1\"],"
                     " \"commands\": [{\"command\": \"id\"}], \"services\": [\"ssh\"],"
                     " \"last_seen\": \"2026-01-01T00:01:00+00:00\", \"asn_source\": \"rir\","
                     " \"first_seen\": \"2026-01-01T00:00:00+00:00\", \"ptr_record\": \"host.example\","
                     " \"updated_at\": \"2026-01-01T00:00:01+00:00\", \"decky_count\": 1, \"event_count\": 5,"
                     " \"identity_id\": null, \"bounty_count\": 2, \"country_code\": \"DE\","
                     " \"fingerprints\": [{\"hash\": \"x\"}], \"is_traversal\": true, \"service_count\": 1,"
                     " \"country_source\": \"rir\", \"rotation_count\": 4, \"traversal_path\": \"d1\","
                     " \"credential_count\": 3, \"last_rotation_at\": \"2026-01-01T00:00:00+00:00\"}");
}

Test(repo_attackers, only_given_columns_change)
{
    AttackerRow rows[] = {whole("198.51.100.2"), whole("198.51.100.1")};
    Uuid uuids[2];

    upsert(rows, 2, EVERYTHING, uuids);
    rows[0] = seen("198.51.100.2", -5, 5);
    rows[0].ptr_record = (Str){0};
    rows[0].asn = NUMBER_NONE;
    rows[1] = seen("198.51.100.3", 7, 8);
    rows[1].ptr_record = STR("new.example");
    rows[1].asn = 7;
    upsert(rows, 2, SEEN | ASN | PTR_RECORD, uuids);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM attackers WHERE ip = '198.51.100.2' AND ptr_record IS NULL"
                                 " AND asn IS NULL AND event_count = 5 AND services = '[\"ssh\"]' AND is_traversal"
                                 " AND first_seen = '2025-12-31T23:59:55Z' AND last_seen = '2026-01-01T00:01:00Z'"
                                 " AND updated_at = '2026-01-01T00:00:01Z'"),
                 1);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM attackers WHERE ip = '198.51.100.3' AND ptr_record ="
                                 " 'new.example' AND asn = 7 AND event_count = 0 AND services = '[]' AND NOT"
                                 " is_traversal AND updated_at > now() - interval '1 minute'"),
                 1);

    /* Times that are not given are those that are stored; a new row has none. */
    rows[0].event_count = rows[1].event_count = 9;
    upsert(rows, 2, EVENT_COUNT, uuids);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM attackers WHERE event_count = 9"), 2);
    AttackerRow stranger = seen("198.51.100.9", 0, 0);
    cr_expect_eq(attackers_upsert(repo, &stranger, 1, EVENT_COUNT, uuids), REPO_E_REJECTED);
    cr_expect_eq(attackers_upsert(repo, NULL, 0, EVENT_COUNT, NULL), 0);
}

Test(repo_attackers, repeats_are_folded_and_answered)
{
    AttackerRow rows[] = {seen("2001:db8::5", 5, 6), seen("198.51.100.1", 1, 2), seen("2001:db8::5", 9, 10),
                          seen("2001:db8::5", 3, 4)};
    Uuid uuids[4];

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        rows[i].event_count = (int64_t)i;
    harness_sql("INSERT INTO attackers (uuid, ip, first_seen, last_seen) VALUES"
                " ('a0000000-0000-4000-8000-000000000001', '198.51.100.1', '2027-01-01', '2020-01-01')");
    for (int round = 0; round < 2; round++) { /* written at first, then found unchanged */
        upsert(rows, ARRAY_SIZE(rows), SEEN | EVENT_COUNT, uuids);
        Uuid want = attacker_uuid("2001:db8::5");
        char text[UUID_TEXT_BYTES];
        uuid_format(text, &uuids[1]);
        cr_expect_str_eq(text, "a0000000-0000-4000-8000-000000000001", "a row keeps the id it has");
        cr_expect(uuid_cmp(&uuids[0], &want) == 0 && uuid_cmp(&uuids[2], &want) == 0 &&
                  uuid_cmp(&uuids[3], &want) == 0);
        cr_expect_eq(harness_sql_int("SELECT count(*) FROM attackers WHERE ip = '2001:db8::5' AND event_count = 3 AND"
                                     " first_seen = '2026-01-01T00:00:03Z' AND last_seen = '2026-01-01T00:00:10Z'"),
                     1);
        cr_expect_eq(harness_sql_int("SELECT count(*) FROM attackers"), 2);
    }
}

Test(repo_attackers, a_row_that_says_what_is_stored_is_not_written)
{
    AttackerRow rows[] = {whole("198.51.100.1"), whole("198.51.100.2"), whole("198.51.100.3")};
    Uuid first[3], again[3];

    upsert(rows, 3, EVERYTHING, first);
    cleanup(freep) char *one = place("198.51.100.1"), *two = place("198.51.100.2"), *three = place("198.51.100.3");
    rows[1].ptr_record = (Str){0};
    rows[2].last_seen -= SECOND; /* an older time says nothing new */
    upsert(rows, 3, EVERYTHING, again);
    for (int i = 0; i < 3; i++)
        cr_expect_eq(uuid_cmp(&first[i], &again[i]), 0);
    cleanup(freep) char *one_after = place("198.51.100.1"), *two_after = place("198.51.100.2"),
                        *three_after = place("198.51.100.3");
    cr_expect_str_eq(one_after, one);
    cr_expect_str_neq(two_after, two);
    cr_expect_str_eq(three_after, three);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM attackers WHERE ptr_record IS NULL"), 1);
}

Test(repo_attackers, one_bad_row_fails_its_batch)
{
    AttackerRow rows[] = {whole("198.51.100.1"), whole("198.51.100.2")};
    Uuid uuids[2], nobody = {{1}};

    rows[1].services = (Str){0};
    cr_expect_eq(attackers_upsert(repo, rows, 2, EVERYTHING, uuids), REPO_E_REJECTED);
    rows[1] = whole("198.51.100.2");
    rows[1].identity_id = &nobody;
    cr_expect_eq(attackers_upsert(repo, rows, 2, EVERYTHING, uuids), REPO_E_FK);
    rows[1] = whole("198.51.100.2");
    rows[1].rotation_count = INT64_C(1) << 40;
    cr_expect_eq(attackers_upsert(repo, rows, 2, EVERYTHING, uuids), REPO_E_REJECTED);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM attackers"), 0);
}

/* --- several writers --- */

enum { BATCH = 150, BATCHES = 10 };

typedef struct Batch {
    Repo *own;
    const AttackerRow *rows;
    Uuid uuids[BATCH];
} Batch;

static int write_batch(Repo *own, void *arg)
{
    Batch *b = arg;
    return attackers_upsert(own, b->rows, BATCH, SEEN | SERVICES, b->uuids);
}

static void write_batches(Repo *own, int index, void *arg)
{
    char ip[BATCH][IP_TEXT_BYTES];
    AttackerRow rows[BATCH];
    Batch batch = {.rows = rows};

    (void)arg;
    for (int round = 0; round < BATCHES; round++) {
        for (int i = 0; i < BATCH;
             i++) { /* every writer in an order of its own, over rows that slowly become new ones */
            snprintf(ip[i], sizeof(ip[i]), "10.0.%d.9", (i * 7 + index * 31) % BATCH + 20 * round);
            rows[i] = seen(ip[i], -index, index + 8 * round);
            rows[i].services = STR("[\"ssh\"]");
        }
        cr_assert_eq(repo_transaction(own, write_batch, &batch), 0, "%s", repo_error_text(own));
        for (int i = 0; i < BATCH; i++) {
            Uuid want = attacker_uuid(ip[i]);
            cr_assert_eq(uuid_cmp(&batch.uuids[i], &want), 0);
        }
    }
}

static void add_batches(Repo *own, int index, void *arg)
{
    char ip[BATCH][IP_TEXT_BYTES];
    AttackerChange changes[BATCH];

    if (index % 2) { /* the other way of writing attackers, at the same time */
        write_batches(own, index, arg);
        return;
    }
    for (int round = 0; round < BATCHES; round++) {
        for (int i = 0; i < BATCH; i++) {
            snprintf(ip[i], sizeof(ip[i]), "10.0.%d.9", (i * 11 + index * 17) % BATCH + 20 * round);
            changes[i] = (AttackerChange){.ip = str_from(ip[i]),
                                          .uuid = attacker_uuid(ip[i]),
                                          .first_seen_us = T0,
                                          .last_seen_us = T0,
                                          .events = 1,
                                          .services = STR("[\"ftp\"]"),
                                          .deckies = STR("[\"d1\"]")};
        }
        int r = REPO_E_RETRY;
        for (int tries = 0; r == REPO_E_RETRY && tries < 4; tries++) {
            cr_assert_eq(repo_begin(own), 0);
            r = attackers_add(own, changes, BATCH);
            cr_assert_str_neq(repo_error(own)->sqlstate, "40P01", "a deadlock");
            if (r != 0)
                repo_rollback(own);
            else
                r = repo_commit(own);
        }
        cr_assert_eq(r, 0, "%s", repo_error_text(own));
    }
}

static int64_t deadlocks(void)
{
    return harness_sql_int("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()");
}

Test(repo_attackers, concurrent_batches_agree)
{
    hammer_all(write_batches, NULL);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM attackers"), BATCH + 20 * (BATCHES - 1));
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM attackers WHERE services = '[\"ssh\"]' AND first_seen ="
                                 " '2025-12-31T23:59:53Z'"),
                 BATCH + 20 * (BATCHES - 1), "the earliest of all writers");
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM attackers WHERE ip = '10.0.0.9' AND last_seen ="
                                 " '2026-01-01T00:00:07Z'"),
                 1, "the latest of all writers of the only round that wrote it");
    cr_expect_eq(deadlocks(), 0);
}

Test(repo_attackers, both_ways_of_writing_keep_one_order)
{
    hammer_all(add_batches, NULL);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM attackers"), BATCH + 20 * (BATCHES - 1));
    cr_expect_eq(harness_sql_int("SELECT sum(event_count) FROM attackers"), HAMMERS / 2 * BATCH * BATCHES);
    cr_expect_eq(deadlocks(), 0);
}
