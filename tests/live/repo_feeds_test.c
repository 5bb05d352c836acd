/* What the tagger catches up on. */
#include <criterion/criterion.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>

#include "pg_harness.h"
#include "repo_support.h"

TestSuite(repo_feeds, .init = repo_test_setup, .fini = repo_test_teardown, .timeout = 120);

enum { STOP = 77 };

typedef struct Seen {
    json_object *items; /* array */
    size_t stop_after;  /* 0: never */
} Seen;

static int keep(void *arg, Str item_json)
{
    Seen *seen = arg;
    json_object *item = json_parse(item_json);

    cr_assert_not_null(item, STR_FMT, STR_ARG(item_json));
    json_object_array_add(seen->items, item);
    return json_object_array_length(seen->items) == seen->stop_after ? STOP : 0;
}

static json_object *walk(const char *method, const char *since, size_t stop_after, int want)
{
    Seen seen = {.items = json_object_new_array(), .stop_after = stop_after};
    cleanup(json_putp) json_object *params = json_object_new_object();

    json_object_object_add(params, "since", json_object_new_string(since));
    int r = repo_call_each(repo, method, params, keep, &seen);
    cr_expect_eq(r, want, "%s since %s: %d %s", method, since, r, r ? repo_error_text(repo) : "");
    return seen.items;
}

static void history(const char *ip, const char *last_seen, const char *commands)
{
    attacker(ip);
    harness_sql("UPDATE attackers SET last_seen = '%s', commands = '%s' WHERE ip = '%s'", last_seen, commands, ip);
}

Test(repo_feeds, history_of_commands)
{
    history("198.51.100.1", "2026-01-03T00:00:00Z", "[{\"command\":\"b\"},7,{\"command\":\"a\"},\"x\",null,[{}]]");
    history("198.51.100.2", "2026-01-02T00:00:00Z", "[]");
    history("198.51.100.3", "2026-01-04T00:00:00Z", "{\"no\":\"list\"}");
    history("198.51.100.4", "2026-01-04T00:00:00Z", "\"nor this\"");
    history("198.51.100.5", "2026-01-01T23:59:59.999999Z", "[{\"command\":\"old\"}]");
    cleanup(json_putp) json_object *items = walk("iter_attacker_commands_since", "2026-01-02T00:00:00Z", 0, 0);
    cr_assert_eq(json_object_array_length(items), 2);
    json_object *first = nth(items, 0), *second = nth(items, 1);
    cr_expect_eq(json_object_array_length(first), 2);
    expect_key(nth(first, 0), "ip", "198.51.100.2");
    cr_expect_eq(json_object_array_length(nth(first, 1)), 0, "nothing typed is still an item");
    expect_key(nth(second, 0), "ip", "198.51.100.1");
    expect_key(nth(second, 0), "last_seen", "2026-01-03T00:00:00.000000Z");
    cr_expect_eq(json_object_object_length(nth(second, 0)), 25, "every column of attackers, and none besides");
    cr_expect_eq(json_object_array_length(json_member(nth(second, 0), "commands")), 6, "the row as it is");
    cr_expect_str_eq(json_object_to_json_string_ext(nth(second, 1), JSON_C_TO_STRING_PLAIN),
                     "[{\"command\":\"b\"},{\"command\":\"a\"}]");

    cleanup(json_putp) json_object *listed = call("iter_attacker_commands_since", "{'since':'2026-01-02 00:00:00'}");
    cr_expect(json_object_equal(listed, items), "repo_call() gives the same as a list");
    cleanup(json_putp) json_object *later = walk("iter_attacker_commands_since", "2026-01-05T00:00:00Z", 0, 0);
    cr_expect_eq(json_object_array_length(later), 0);
}

Test(repo_feeds, equal_times_are_ordered_by_id)
{
    for (int i = 0; i < 20; i++) {
        char ip[32];
        snprintf(ip, sizeof(ip), "198.51.100.%d", i);
        history(ip, "2026-01-02T00:00:00Z", "[]");
    }
    cleanup(json_putp) json_object *items = walk("iter_attacker_commands_since", "2026-01-01T00:00:00Z", 0, 0);
    cr_assert_eq(json_object_array_length(items), 20);
    for (size_t i = 1; i < 20; i++)
        cr_expect_lt(strcmp(text_of(nth(nth(items, i - 1), 0), "uuid"), text_of(nth(nth(items, i), 0), "uuid")), 0);
}

static void trigger(int n, const char *occurred_at)
{
    harness_sql("INSERT INTO canary_triggers (uuid, token_uuid, occurred_at, src_ip, raw_headers) VALUES"
                " ('00000000-0000-4000-8000-%012d', '70000000-0000-4000-8000-000000000001', '%s', '203.0.113.%d',"
                " '{\"Zoo\":\"1\",\"A\":\"2\"}')",
                n, occurred_at, n);
}

Test(repo_feeds, history_of_canaries)
{
    static const char *const order[] = {"203.0.113.3", "203.0.113.1", "203.0.113.2"};

    harness_sql("INSERT INTO canary_tokens (uuid, kind, decky_name, placement_path, callback_token, secret_seed,"
                " created_by) VALUES ('70000000-0000-4000-8000-000000000001', 'http', 'd1', '/x', 'slug', 's', 'me')");
    trigger(2, "2026-01-03T00:00:00Z");
    trigger(1, "2026-01-03T00:00:00Z");
    trigger(3, "2026-01-02T00:00:00Z");
    trigger(4, "2026-01-01T23:59:59Z");
    cleanup(json_putp) json_object *items = walk("iter_canary_triggers_since", "2026-01-02T00:00:00Z", 0, 0);
    cr_assert_eq(json_object_array_length(items), 3);
    for (size_t i = 0; i < ARRAY_SIZE(order); i++)
        expect_key(nth(items, i), "src_ip", order[i]);
    json_object *row = nth(items, 0);
    cr_expect_eq(json_object_object_length(row), 9);
    expect_key(row, "attacker_id", "null");
    expect_key(row, "token_uuid", "70000000-0000-4000-8000-000000000001");
    cr_expect_str_eq(text_of(row, "raw_headers"), "{ \"Zoo\": \"1\", \"A\": \"2\" }", "headers keep their order");
}

Test(repo_feeds, a_walk_that_is_stopped_leaves_the_connection_usable)
{
    harness_sql("INSERT INTO attackers (ip, first_seen, last_seen, commands) SELECT 'ip' || n, now(), now(),"
                " '[{\"command\":\"x\"}]' FROM generate_series(1, 5000) n");
    cleanup(json_putp) json_object *items = walk("iter_attacker_commands_since", "2026-01-01T00:00:00Z", 3, STOP);
    cr_expect_eq(json_object_array_length(items), 3);
    cr_expect_eq(call_int("get_total_attackers", "{}"), 5000);
    cleanup(json_putp) json_object *all = walk("iter_attacker_commands_since", "2020-01-01T00:00:00Z", 0, 0);
    cr_expect_eq(json_object_array_length(all), 5000);
}

#ifdef __SANITIZE_ADDRESS__
size_t __sanitizer_get_current_allocated_bytes(void); /* its header is not installed with every compiler */
#endif

/* Bytes that are allocated now; what is resident says less, as a sanitizer keeps freed blocks for a while. */
static size_t live_bytes(void)
{
#ifdef __SANITIZE_ADDRESS__
    return __sanitizer_get_current_allocated_bytes();
#else
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
#endif
}

typedef struct Weighed {
    size_t n, peak;
} Weighed;

static int weigh(void *arg, Str item_json)
{
    Weighed *weighed = arg;

    cr_assert_gt(item_json.len, 200000);
    weighed->n++;
    weighed->peak = MAX(weighed->peak, live_bytes());
    return 0;
}

Test(repo_feeds, a_walk_takes_constant_memory)
{
    Weighed weighed = {0};
    cleanup(json_putp) json_object *params = json_parse(STR("{\"since\":\"2020-01-01T00:00:00Z\"}"));

    harness_sql(
        "INSERT INTO attackers (ip, first_seen, last_seen, commands) SELECT 'ip' || n, now(), now(),"
        " jsonb_build_array(jsonb_build_object('command', repeat('x', 200000))) FROM generate_series(1, 200) n");
    size_t before = live_bytes();
    cr_assert_eq(repo_call_each(repo, "iter_attacker_commands_since", params, weigh, &weighed), 0, "%s",
                 repo_error_text(repo));
    cr_expect_eq(weighed.n, 200);
    cr_expect_lt(weighed.peak - before, 8U << 20, "%zu bytes for 80 MB", weighed.peak - before);
}

static int count(void *arg, Str item_json)
{
    (void)item_json;
    ++*(size_t *)arg;
    return 0;
}

Test(repo_feeds, walks_that_are_none_are_refused)
{
    size_t n = 0;
    cleanup(json_putp) json_object *bad = json_parse(STR("{\"since\":\"yesterday\"}"));

    cr_expect_eq(repo_call_each(repo, "iter_attacker_commands_since", bad, count, &n), REPO_E_INVALID);
    cr_expect(strstr(repo_error_text(repo), "since must be a time"), "%s", repo_error_text(repo));
    cr_expect_eq(repo_call_each(repo, "iter_canary_triggers_since", NULL, count, &n), REPO_E_INVALID);
    cr_expect(strstr(repo_error_text(repo), "since is missing"), "%s", repo_error_text(repo));
    cr_expect_eq(repo_call_each(repo, "get_total_attackers", NULL, count, &n), REPO_E_INVALID);
    cr_expect_eq(n, 0);
    cr_expect_eq(call_int("get_total_attackers", "{}"), 0);
}
