/* Counts of the dashboard, and the deployer's state file behind two of them. */
#include "repo_support.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pg_harness.h"
#include "repo/state_file.h"

TestSuite(repo_stats, .init = repo_test_setup, .fini = repo_test_teardown, .timeout = 120);

static char state_path[] = "/tmp/decnet-state-XXXXXX";

/* A file of this test with @content, named by DECNET_STATE_FILE. */
static void state_file(const char *content)
{
    int fd = mkstemp(state_path);
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, content, strlen(content)), (ssize_t)strlen(content));
    close(fd);
    setenv("DECNET_STATE_FILE", state_path, 1);
}

static void state_file_remove(void)
{
    unlink(state_path);
    memcpy(state_path + strlen(state_path) - 6, "XXXXXX", 6);
    unsetenv("DECNET_STATE_FILE");
}

static void expect_counts(int logs, int attackers, int active, int deployed)
{
    cleanup(json_putp) json_object *row = call("get_stats_summary", "{}");
    char want[200];

    snprintf(want, sizeof(want),
             "{\"total_logs\":%d,\"unique_attackers\":%d,\"active_deckies\":%d,\"deployed_deckies\":%d}", logs,
             attackers, active, deployed);
    cr_expect_str_eq(json_object_to_json_string_ext(row, JSON_C_TO_STRING_PLAIN), want);
}

/* Three deckies inside topologies, two of which run; three logs of two addresses. */
static void fill(void)
{
    harness_sql(
        "INSERT INTO topologies (id, name, mode, config_snapshot)"
        " VALUES ('70000000-0000-4000-8000-000000000001', 't', 'unihost', '{}');"
        " INSERT INTO topology_deckies (topology_id, name, state)"
        " SELECT '70000000-0000-4000-8000-000000000001', 'd' || n, CASE WHEN n < 3 THEN 'running' ELSE 'failed' END"
        " FROM generate_series(1, 3) n;"
        " INSERT INTO logs (decky, service, event_type, attacker_ip, raw_line)"
        " SELECT 'd', 's', 'e', ip, '' FROM unnest(ARRAY['Unknown', '198.51.100.1', 'Unknown']) ip;"
        " INSERT INTO fleet_deckies (name, state) VALUES ('a', 'running'), ('b', 'failed')");
}

Test(repo_stats, nothing_counts_nothing)
{
    unsetenv("DECNET_STATE_FILE");
    expect_counts(0, 0, 0, 0);
}

Test(repo_stats, without_a_state_file_the_table_counts)
{
    unsetenv("DECNET_STATE_FILE");
    fill();
    expect_counts(3, 2, 2 + 2, 2 + 3);
    setenv("DECNET_STATE_FILE", "", 1);
    expect_counts(3, 2, 2 + 2, 2 + 3);
}

Test(repo_stats, the_state_file_counts_when_it_is_named)
{
    fill();
    setenv("DECNET_STATE_FILE", "/nonexistent/decnet-state.json", 1);
    expect_counts(3, 2, 2, 3);
    state_file("{\"config\":{\"mode\":\"unihost\",\"deckies\":[{\"name\":\"x\"},{},{},{}]},\"compose_path\":\"/c\"}");
    expect_counts(3, 2, 4 + 2, 4 + 3);
    state_file_remove();
    state_file("{\"config\":{\"deckies\":[]}}");
    expect_counts(3, 2, 2, 3);
    state_file_remove();
}

Test(repo_stats, the_state_file_keeps_its_order)
{
    json_object *deckies = NULL;

    state_file("{\"config\":{\"deckies\":[{\"name\":\"b\"},{\"name\":\"a\"}]}}");
    cr_assert_eq(state_file_read_deckies(repo, &deckies), 0);
    expect_key(nth(deckies, 0), "name", "b");
    expect_key(nth(deckies, 1), "name", "a");
    json_object_put(deckies);
    state_file_remove();
}

Test(repo_stats, a_state_file_that_is_none_is_said)
{
    static const char *const broken[] = {
        "",
        "null",
        "[]",
        "{\"config\":{\"deckies\":[{\"name\":",
        "{\"config\":{\"deckies\":{}}}",
        "{\"config\":{\"deckies\":[{},7]}}",
        "{\"config\":null}",
        "{\"deckies\":[]}",
        "\xff\xfe",
    };
    json_object *deckies = NULL;

    for (size_t i = 0; i < ARRAY_SIZE(broken); i++) {
        state_file(broken[i]);
        refuse(REPO_E_OPERATOR, state_path, "get_stats_summary", "{}");
        cr_expect_eq(state_file_read_deckies(repo, &deckies), REPO_E_OPERATOR, "%s", broken[i]);
        cr_expect_null(deckies);
        state_file_remove();
    }
    expect_counts(0, 0, 0, 0);
}

Test(repo_stats, a_state_file_that_cannot_be_read_is_said)
{
    state_file("{}");
    cr_assert_eq(truncate(state_path, INT64_C(17) * 1024 * 1024), 0);
    refuse(REPO_E_OPERATOR, "larger than 16 MiB", "get_stats_summary", "{}");
    state_file_remove();

    setenv("DECNET_STATE_FILE", "/", 1);
    refuse(REPO_E_OPERATOR, "no regular file", "get_stats_summary", "{}");

    state_file("");
    unlink(state_path);
    cr_assert_eq(mkfifo(state_path, 0600), 0);
    refuse(REPO_E_OPERATOR, "no regular file", "get_stats_summary", "{}"); /* and nobody waits for a writer */
    state_file_remove();
    expect_counts(0, 0, 0, 0);
}

Test(repo_stats, counts_are_of_one_moment_and_take_no_parameters)
{
    refuse(REPO_E_INVALID, "there is no parameter", "get_stats_summary", "{'x':1}");
    cr_assert_eq(repo_begin(repo), 0);
    harness_sql("INSERT INTO logs (decky, service, event_type, attacker_ip, raw_line) VALUES ('d','s','e','1','')");
    expect_counts(1, 1, 0, 0);
    repo_rollback(repo);
}
