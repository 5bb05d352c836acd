/* Roll-ups of technique tags: by identity, by campaign, for the export; and the phases of deckies. What concerns a single
 * attacker or session is in repo_method_test.c. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "pg_harness.h"
#include "repo_support.h"

TestSuite(repo_ttp, .init = repo_test_setup, .fini = repo_test_teardown, .timeout = 120);

static const char campaign[] = "ca000000-0000-4000-8000-000000000001";

/* A quoted id, or NULL: four at a time. */
static const char *literal(const char *id)
{
    static _Thread_local char text[4][UUID_TEXT_BYTES + 2];
    static _Thread_local unsigned turn;
    char *out = text[turn++ % 4];

    snprintf(out, sizeof(text[0]), id ? "'%s'" : "NULL", id);
    return out;
}

/* Tag @n, seen at second @n, of whoever is given; @more: further columns and their values. */
static void tag(int n, const char *attacker_uuid, const char *identity_uuid, const char *technique, const char *sub)
{
    harness_sql("INSERT INTO ttp_tag (uuid, source_kind, source_id, attacker_uuid, identity_uuid, tactic, technique_id,"
                "  sub_technique_id, confidence, rule_id, rule_version, evidence, attack_release, created_at)"
                " VALUES ('00000000-0000-5000-8000-%012d', 'command', 's%d', %s, %s, 'TA0002', '%s', %s, 0.5, 'R1', 1,"
                "  '{}', 'v19', '2026-01-01T00:00:00Z'::timestamptz + interval '%d s')",
                n, n, literal(attacker_uuid), literal(identity_uuid), technique, literal(sub), n);
}

static void join_identity(const char *attacker_uuid, const char *identity_uuid)
{
    harness_sql("UPDATE attackers SET identity_id = %s WHERE uuid = '%s'", literal(identity_uuid), attacker_uuid);
}

static void join_campaign(const char *identity_uuid)
{
    harness_sql("INSERT INTO campaigns (uuid) VALUES ('%s') ON CONFLICT DO NOTHING", campaign);
    harness_sql("UPDATE attacker_identities SET campaign_id = '%s' WHERE uuid = '%s'", campaign, identity_uuid);
}

/* "T1059.004*2 T1059*1": techniques with their counts, in the order of the list. */
static char *shape(json_object *list)
{
    Buf text = {0};

    for (size_t i = 0; i < json_object_array_length(list); i++) {
        json_object *row = nth(list, i);
        Str sub = json_get_str(row, "sub_technique_id");
        buf_printf(&text, "%s" STR_FMT "*%s", i ? " " : "", STR_ARG(sub.data ? sub : json_get_str(row, "technique_id")),
                   text_of(row, "count"));
    }
    buf_add(&text, "");
    return text.data ? text.data : strdup("");
}

static void expect_shape(json_object *list, const char *want)
{
    cleanup(freep) char *got = shape(list);
    cr_expect_str_eq(got, want, "%s where %s was expected", got, want);
}

static bool name_technique(void *arg, const char *id, TechniqueName *ret)
{
    (void)arg;
    *ret = (TechniqueName){.name = strchr(id, '.') ? "Unix Shell" : "Interpreter",
                           .url = strchr(id, '.') ? "https://example/sub" : "https://example/technique"};
    return strcmp(id, "T9999") != 0;
}

Test(repo_ttp, an_identity_has_its_own_tags_and_those_of_its_attackers)
{
    const char *i1 = identity(1), *i2 = identity(2);
    const char *a = attacker("198.51.100.1"), *b = attacker("198.51.100.2"), *c = attacker("198.51.100.3");

    join_identity(a, i1);
    join_identity(b, i1);
    join_identity(c, i2);
    tag(1, a, NULL, "T1059", "T1059.004");
    tag(2, b, NULL, "T1059", "T1059.004");
    tag(3, a, i1, "T1059", "T1059.004"); /* both ways: once */
    tag(4, NULL, i1, "T1083", NULL);
    tag(5, a, NULL, "T1059", NULL);
    tag(6, c, NULL, "T1005", NULL); /* of another identity */
    tag(7, c, i1, "T1070", NULL);   /* of another's attacker, but it names this one */
    tag(8, NULL, i2, "T1005", NULL);
    harness_sql("UPDATE ttp_tag SET tactic = 'TA0009', confidence = 0.9 WHERE source_id = 's2'");
    repo_set_technique_namer(name_technique, NULL);
    cleanup(json_putp) json_object *list = call("list_techniques_by_identity", "{'uuid':'%s'}", i1);
    expect_shape(list, "T1059.004*3 T1070*1 T1059*1 T1083*1");
    json_object *top = nth(list, 0);
    cr_expect_eq(json_object_object_length(top), 10);
    expect_key(top, "technique_id", "T1059");
    expect_key(top, "technique_name", "Interpreter");
    expect_key(top, "sub_technique_id", "T1059.004");
    expect_key(top, "sub_technique_name", "Unix Shell");
    expect_key(top, "tactic", "TA0009");
    expect_key(top, "count", "3");
    expect_key(top, "first_seen", "2026-01-01T00:00:01.000000Z");
    expect_key(top, "last_seen", "2026-01-01T00:00:03.000000Z");
    expect_key(top, "confidence_max", "0.9");
    expect_key(top, "mitre_url", "https://example/sub");
    repo_set_technique_namer(NULL, NULL);

    cleanup(json_putp) json_object *other = call("list_techniques_by_identity", "{'uuid':'%s'}", i2);
    expect_shape(other, "T1005*2 T1070*1");
    cleanup(json_putp) json_object *own = call("list_techniques_by_attacker", "{'uuid':'%s'}", a);
    expect_shape(own, "T1059.004*2 T1059*1");
    cleanup(json_putp) json_object *raw =
        call("list_tags_by_scope_and_technique", "{'scope':'identity','uuid':'%s','technique_id':'T1059'}", i1);
    cr_assert_eq(json_object_array_length(raw), 4, "a tag that is reached both ways counts once");
    expect_key(nth(raw, 0), "source_id", "s5");
    expect_key(nth(raw, 3), "source_id", "s1");
}

Test(repo_ttp, merges_of_identities_are_not_followed)
{
    const char *winner = identity(1), *loser = identity(2), *a = attacker("198.51.100.1");

    join_identity(a, loser);
    tag(1, a, NULL, "T1059", NULL);
    tag(2, NULL, winner, "T1083", NULL);
    harness_sql("UPDATE attacker_identities SET merged_into_uuid = '%s' WHERE uuid = '%s'", winner, loser);
    cleanup(json_putp) json_object *of_winner = call("list_techniques_by_identity", "{'uuid':'%s'}", winner);
    expect_shape(of_winner, "T1083*1");
    cleanup(json_putp) json_object *of_loser = call("list_techniques_by_identity", "{'uuid':'%s'}", loser);
    expect_shape(of_loser, "T1059*1");
}

Test(repo_ttp, a_campaign_has_the_tags_of_its_identities)
{
    const char *i1 = identity(1), *i2 = identity(2), *i3 = identity(3);
    const char *a = attacker("198.51.100.1"), *b = attacker("198.51.100.2"), *c = attacker("198.51.100.3");

    join_campaign(i1);
    join_campaign(i2);
    join_identity(a, i1);
    join_identity(b, i2);
    join_identity(c, i3);
    tag(1, a, NULL, "T1059", "T1059.004");
    tag(2, a, NULL, "T1059", "T1059.004");
    tag(3, b, NULL, "T1059", "T1059.004");
    tag(4, NULL, i2, "T1059", "T1059.004");
    tag(5, a, i1, "T1083", NULL); /* both ways: once */
    tag(6, a, i2, "T1083", NULL); /* through two members: once, and the one it names is the one that counts */
    tag(7, b, i3, "T1070", NULL); /* names an identity outside, its attacker is inside */
    tag(8, c, i1, "T1005", NULL); /* the other way round */
    tag(9, c, i3, "T9999", NULL); /* outside */
    tag(10, c, NULL, "T9999", NULL);
    repo_set_technique_namer(name_technique, NULL);
    cleanup(json_putp) json_object *list = call("list_techniques_by_campaign", "{'uuid':'%s'}", campaign);
    expect_shape(list, "T1059.004*4 T1083*2 T1005*1 T1070*1");
    static const char *const identities[] = {"2", "2", "1", "1"};
    for (size_t i = 0; i < ARRAY_SIZE(identities); i++)
        expect_key(nth(list, i), "identity_count", identities[i]);
    json_object *top = nth(list, 0);
    cr_expect_eq(json_object_object_length(top), 9);
    expect_key(top, "technique_id", "T1059");
    expect_key(top, "technique_name", "Interpreter");
    expect_key(top, "sub_technique_name", "Unix Shell");
    expect_key(top, "tactic", "TA0002");
    expect_key(top, "last_seen", "2026-01-01T00:00:04.000000Z");
    expect_key(top, "mitre_url", "https://example/sub");
    expect_key(nth(list, 1), "mitre_url", "https://example/technique");
    repo_set_technique_namer(NULL, NULL);

    /* merged-out members count under their own campaign */
    harness_sql("UPDATE attacker_identities SET merged_into_uuid = '%s' WHERE uuid = '%s'", i3, i2);
    cleanup(json_putp) json_object *merged = call("list_techniques_by_campaign", "{'uuid':'%s'}", campaign);
    expect_shape(merged, "T1059.004*4 T1083*2 T1005*1 T1070*1");
}

Test(repo_ttp, who_has_no_tags_has_no_techniques)
{
    static const struct {
        const char *method, *param;
    } cases[] = {
        {"list_techniques_by_identity", "uuid"},
        {"list_techniques_by_campaign", "uuid"},
        {"list_techniques_by_attacker", "uuid"},
        {"list_ttp_decky_phases", "identity_uuid"},
    };
    static const char *const ids[] = {"00000000-0000-0000-0000-000000000001", "nope", ""};

    tag(1, attacker("198.51.100.1"), NULL, "T1059", NULL); /* of nobody: no identity, no campaign */
    tag(2, NULL, identity(1), "T1059", NULL);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        for (size_t k = 0; k < ARRAY_SIZE(ids); k++) {
            cleanup(json_putp) json_object *list = call(cases[i].method, "{'%s':'%s'}", cases[i].param, ids[k]);
            cr_expect_eq(json_object_array_length(list), 0, "%s %s", cases[i].method, ids[k]);
        }
}

Test(repo_ttp, rollups_are_ordered_totally)
{
    const char *i1 = identity(1);

    tag(1, NULL, i1, "T3", NULL);
    tag(2, NULL, i1, "T2", NULL);
    tag(3, NULL, i1, "T1", "T1.2");
    tag(4, NULL, i1, "T1", "T1.1");
    tag(5, NULL, i1, "T1", NULL);
    tag(6, NULL, i1, "T4", NULL);
    tag(7, NULL, i1, "T4", NULL);
    harness_sql("UPDATE ttp_tag SET created_at = '2026-01-01T00:00:00Z' WHERE technique_id <> 'T3'");
    cleanup(json_putp) json_object *list = call("list_techniques_by_identity", "{'uuid':'%s'}", i1);
    expect_shape(list, "T4*2 T3*1 T1*1 T1.1*1 T1.2*1 T2*1"); /* by count, last seen, technique, sub-technique */
    cleanup(json_putp) json_object *all = call("list_distinct_techniques", "{}");
    expect_shape(all, "T4*2 T3*1 T1*1 T1.1*1 T1.2*1 T2*1");
}

Test(repo_ttp, phases_of_deckies)
{
    const char *i1 = identity(1), *a = attacker("198.51.100.1"), *b = attacker("198.51.100.2");
    static const struct {
        const char *decky, *tactic, *ts;
    } want[] = {
        {"d2", "TA0002", "1767225601.0"},
        {"d1", "TA0002", "1767225601.0"},
        {"d1", "TA0009", "1767225603.25"},
    };

    join_identity(a, i1);
    for (int i = 1; i <= 6; i++)
        tag(i, i == 6 ? b : i == 2 ? NULL : a, i == 2 || i == 3 ? i1 : NULL, "T1059", NULL);
    harness_sql("UPDATE ttp_tag SET decky_id = 'd1' WHERE source_id IN ('s2', 's3', 's6')");
    harness_sql("UPDATE ttp_tag SET decky_id = 'd2' WHERE source_id = 's1'");
    harness_sql("UPDATE ttp_tag SET created_at = '2026-01-01T00:00:01Z' WHERE source_id = 's2'"); /* as s1 */
    harness_sql("UPDATE ttp_tag SET created_at = '2026-01-01T00:00:03.25Z', tactic = 'TA0009' WHERE source_id = 's3'");
    cleanup(json_putp) json_object *list = call("list_ttp_decky_phases", "{'identity_uuid':'%s'}", i1);
    cr_assert_eq(json_object_array_length(list), ARRAY_SIZE(want));
    for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
        json_object *row = nth(list, i);
        cr_expect_eq(json_object_object_length(row), 3);
        expect_key(row, "decky_id", want[i].decky);
        expect_key(row, "tactic", want[i].tactic);
        expect_key(row, "created_at_ts", want[i].ts);
        cr_expect(json_object_is_type(json_member(row, "created_at_ts"), json_type_double));
    }
}

Test(repo_ttp, export_of_rollups)
{
    const char *i1 = identity(1), *a = attacker("198.51.100.1"), *b = attacker("198.51.100.2");

    cleanup(json_putp) json_object *none = call("get_all_ttp_rollups_for_export", "{}");
    cr_expect_eq(json_object_object_length(none), 0);
    attacker("198.51.100.3"); /* without tags: absent */
    tag(1, a, NULL, "T1059", NULL);
    tag(2, a, i1, "T1059", "T1059.004");
    tag(3, a, NULL, "T1059", "T1059.004");
    tag(4, NULL, i1, "T1083", NULL);
    tag(5, b, NULL, "T1083", NULL);
    harness_sql("UPDATE ttp_tag SET tactic = 'TA0009', confidence = 0.75 WHERE source_id = 's2'");
    cleanup(json_putp) json_object *all = call("get_all_ttp_rollups_for_export", "{}");
    cr_expect_eq(json_object_object_length(all), 2);
    expect_shape(json_member(all, a), "T1059.004*2 T1059*1");
    expect_shape(json_member(all, b), "T1083*1");
    json_object *top = nth(json_member(all, a), 0);
    cr_expect_eq(json_object_object_length(top), 5);
    expect_key(top, "technique_id", "T1059");
    expect_key(top, "sub_technique_id", "T1059.004");
    expect_key(top, "tactic", "TA0009");
    expect_key(top, "confidence_max", "0.75");
}
