/* Tarpit rules. */
#include <criterion/criterion.h>

#include "pg_harness.h"
#include "repo_support.h"

TestSuite(repo_tarpit, .init = repo_test_setup, .fini = repo_test_teardown, .timeout = 120);

static void set(const char *decky, const char *ports, int delay_ms)
{
    json_object_put(call("set_tarpit_rule",
                         "{'data':{'decky_name':'%s','ports':%s,'delay_ms':%d,'created_by':'unknown'}}", decky, ports,
                         delay_ms));
}

Test(repo_tarpit, a_rule_is_set_again_and_keeps_its_beginning)
{
    json_object_put(call("set_tarpit_rule",
                         "{'data':{'decky_name':'d1','ports':[22,8080],'delay_ms':500,'created_by':'u1','id':"
                         "'00000000-0000-4000-8000-000000000001','created_at':'2020-01-01T00:00:00Z','other':1}}"));
    cleanup(json_putp) json_object *first = call("get_tarpit_rule", "{'decky_name':'d1'}");
    cr_expect_eq(json_object_object_length(first), 6);
    expect_key(first, "ports", "[ 22, 8080 ]");
    expect_key(first, "delay_ms", "500");
    expect_key(first, "created_by", "u1");
    cr_expect_str_neq(text_of(first, "id"), "00000000-0000-4000-8000-000000000001", "ids are made here");
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM tarpit_rules WHERE created_at > '2020-01-02'"), 1);

    harness_pg_clock(60);
    set("d1", "'[23]'", 700);
    cleanup(json_putp) json_object *second = call("get_tarpit_rule", "{'decky_name':'d1'}");
    cr_expect_str_eq(text_of(second, "id"), text_of(first, "id"));
    cr_expect_str_eq(text_of(second, "created_at"), text_of(first, "created_at"));
    expect_key(second, "ports", "[ 23 ]");
    expect_key(second, "delay_ms", "700");
    expect_key(second, "created_by", "unknown");

    /* what is not given stays */
    json_object_put(call("set_tarpit_rule", "{'data':{'decky_name':'d1','delay_ms':100}}"));
    cleanup(json_putp) json_object *third = call("get_tarpit_rule", "{'decky_name':'d1'}");
    expect_key(third, "ports", "[ 23 ]");
    expect_key(third, "delay_ms", "100");
    expect_key(third, "created_by", "unknown");
}

Test(repo_tarpit, rules_are_listed_and_deleted)
{
    cleanup(json_putp) json_object *none = call("list_tarpit_rules", "{}");
    cr_expect_eq(json_object_array_length(none), 0);
    set("b", "[1]", 100);
    set("t:00000000-0000-4000-8000-000000000001:b", "[]", 100);
    set("B", "[2]", 300000);
    set("a", "[3]", 100);
    cleanup(json_putp) json_object *list = call("list_tarpit_rules", "{}");
    static const char *const order[] = {"B", "a", "b", "t:00000000-0000-4000-8000-000000000001:b"};
    cr_assert_eq(json_object_array_length(list), ARRAY_SIZE(order));
    for (size_t i = 0; i < ARRAY_SIZE(order); i++)
        expect_key(nth(list, i), "decky_name", order[i]);

    cleanup(json_putp) json_object *gone = call("delete_tarpit_rule", "{'decky_name':'b'}");
    cleanup(json_putp) json_object *again = call("delete_tarpit_rule", "{'decky_name':'b'}");
    cr_expect(json_object_get_boolean(gone) && !json_object_get_boolean(again));
    cr_expect(json_object_is_type(again, json_type_boolean));
    cr_expect_null(call("get_tarpit_rule", "{'decky_name':'b'}"));
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM tarpit_rules"), 3);
}

Test(repo_tarpit, what_is_no_rule_is_refused)
{
    static const struct {
        const char *data, *words;
    } cases[] = {
        {"'ports':[1],'delay_ms':100,'created_by':'u'", "key decky_name is missing"},
        {"'decky_name':null,'ports':[1],'delay_ms':100,'created_by':'u'", "decky_name must not be null"},
        {"'decky_name':'d','delay_ms':100,'created_by':'u'", "ports"},
        {"'decky_name':'d','ports':[1],'created_by':'u'", "delay_ms"},
        {"'decky_name':'d','ports':[1],'delay_ms':100", "created_by"},
        {"'decky_name':'d','ports':{},'delay_ms':100,'created_by':'u'", "ports must be a list of integers"},
        {"'decky_name':'d','ports':'22','delay_ms':100,'created_by':'u'", "ports must be a list of integers"},
        {"'decky_name':'d','ports':['22'],'delay_ms':100,'created_by':'u'", "ports must be a list of integers"},
        {"'decky_name':'d','ports':'[22','delay_ms':100,'created_by':'u'", "ports must be a list of integers"},
        {"'decky_name':'d','ports':null,'delay_ms':100,'created_by':'u'", "ports must not be null"},
        {"'decky_name':'d','ports':[1],'delay_ms':'100','created_by':'u'", "delay_ms must be an integer"},
        {"'decky_name':'d','ports':[1],'delay_ms':1.5,'created_by':'u'", "delay_ms must be an integer"},
        {"'decky_name':'d','ports':[1],'delay_ms':2147483648,'created_by':'u'", "delay_ms must be an integer from 0"},
        {"'decky_name':'d','ports':[1],'delay_ms':-1,'created_by':'u'", "delay_ms must be an integer from 0"},
        {"'decky_name':'d','ports':[1],'delay_ms':100,'created_by':7", "created_by must be text"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        refuse(REPO_E_INVALID, cases[i].words, "set_tarpit_rule", "{'data':{%s}}", cases[i].data);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM tarpit_rules"), 0);
    set("a\\u0000b", "[1]", 100);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM tarpit_rules WHERE decky_name = E'a\\uFFFDb'"), 1);
}

static void set_again_and_again(Repo *own, int index, void *arg)
{
    (void)arg;
    for (int i = 0; i < 20; i++)
        json_object_put(call_on(own, "set_tarpit_rule",
                                "{'data':{'decky_name':'d%d','ports':[%d],'delay_ms':%d,'created_by':'u%d'}}", i % 3,
                                index, 100 + index, index));
}

Test(repo_tarpit, many_set_one_rule)
{
    hammer_all(set_again_and_again, NULL);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM tarpit_rules"), 3);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM tarpit_rules WHERE ports = jsonb_build_array(delay_ms - 100)"
                                 " AND created_by = 'u' || (delay_ms - 100)"),
                 3, "one of the calls, and not a mixture of two");
}
