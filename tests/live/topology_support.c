#include "topology_support.h"

#include <criterion/criterion.h>
#include <stdio.h>

#include "pg_harness.h"

const char *const nobody[3] = {"nope", "", UNKNOWN};

const char *keep(json_object *id)
{
    static char all[64][UUID_TEXT_BYTES];
    static size_t n;

    cr_assert_lt(n, ARRAY_SIZE(all));
    snprintf(all[n], sizeof(all[n]), "%s", json_object_get_string(id));
    json_object_put(id);
    return all[n++];
}

const char *topology(const char *name)
{
    return keep(call("create_topology", "{'data':{'name':'%s'}}", name));
}

const char *lan(const char *of, const char *name)
{
    return keep(call("add_lan", "{'data':{'topology_id':'%s','name':'%s','subnet':'10.0.0.0/24'}}", of, name));
}

const char *decky(const char *of, const char *name)
{
    return keep(call("add_topology_decky", "{'data':{'topology_id':'%s','name':'%s'}}", of, name));
}

const char *edge(const char *of, const char *of_decky, const char *of_lan)
{
    return keep(call("add_topology_edge", "{'data':{'topology_id':'%s','decky_uuid':'%s','lan_id':'%s'}}", of, of_decky,
                     of_lan));
}

void set_status(const char *of, const char *status)
{
    json_object_put(call("update_topology_status", "{'topology_id':'%s','new_status':'%s'}", of, status));
}

int64_t version(const char *of)
{
    return harness_sql_int("SELECT version FROM topologies WHERE id = '%s'", of);
}

void expect_list(json_object *list, const char *key, const char *want)
{
    cleanup(buf_free) Buf got = {0};

    for (size_t i = 0; i < json_object_array_length(list); i++) {
        buf_add(&got, i ? " " : "");
        buf_add(&got, text_of(nth(list, i), key));
    }
    buf_add(&got, "");
    cr_expect_str_eq(got.data ? got.data : "", want);
    json_object_put(list);
}

void expect_detail(const char *want)
{
    cr_expect_str_eq(repo_error(repo)->detail_json, want);
}

int64_t parts_of(const char *id)
{
    return harness_sql_int("SELECT (SELECT count(*) FROM lans WHERE topology_id = '%s')"
                           " + (SELECT count(*) FROM topology_deckies WHERE topology_id = '%s')"
                           " + (SELECT count(*) FROM topology_edges WHERE topology_id = '%s')"
                           " + (SELECT count(*) FROM topology_status_events WHERE topology_id = '%s')"
                           " + (SELECT count(*) FROM topology_mutations WHERE topology_id = '%s')",
                           id, id, id, id, id);
}

void expect_no_deadlock(void)
{
    cr_expect(harness_sql_wait(0, 10000,
                               "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'hammer'"
                               " AND datname = current_database()"));
    cr_expect_eq(harness_sql_int("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"), 0);
}
