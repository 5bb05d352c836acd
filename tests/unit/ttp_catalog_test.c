/* The ATT&CK catalogue: what it answers, and what it refuses. */
#include "ttp_support.h"

Test(ttp_catalog, answers_by_id)
{
    AttackCatalog *c = shipped_catalog();
    const AttackTechnique *t = attack_catalog_technique(c, "T1059.004");

    cr_assert_str_eq(attack_catalog_release(c), "v19.1");
    cr_assert_not_null(strstr(attack_catalog_notice(c), "The MITRE Corporation"));
    cr_assert_str_eq(t->name, "Unix Shell");
    cr_assert_str_eq(t->display_name, "Command and Scripting Interpreter: Unix Shell");
    cr_assert_str_eq(t->parent, "T1059");
    cr_assert_str_eq(t->url, "https://attack.mitre.org/techniques/T1059/004");
    cr_assert(attack_technique_has_tactic(t, "TA0002"));
    cr_assert_not(attack_technique_has_tactic(t, "TA0003"));
    cr_assert_eq(attack_catalog_current(c, t), t);

    t = attack_catalog_technique(c, "T1059");
    cr_assert_str_eq(t->display_name, "Command and Scripting Interpreter");
    cr_assert_str_eq(t->url, "https://attack.mitre.org/techniques/T1059");
    cr_assert_null(t->parent);
    cr_assert_str_eq(attack_catalog_tactic_name(c, "TA0005"), "Stealth");
    cr_assert_str_eq(attack_catalog_tactic_name(c, "TA0112"), "Defense Impairment");
    cr_assert_null(attack_catalog_tactic_name(c, "TA9999"));
    cr_assert_null(attack_catalog_technique(c, "T9999"));
    cr_assert_null(attack_catalog_technique(c, ""));
    attack_catalog_free(c);
}

Test(ttp_catalog, follows_revocations_to_their_end)
{
    AttackCatalog *c = shipped_catalog();

    cr_assert_str_eq(attack_catalog_current(c, attack_catalog_technique(c, "T1562.001"))->id, "T1685");
    /* T1150 became T1547.011, which became T1647 */
    cr_assert_str_eq(attack_catalog_current(c, attack_catalog_technique(c, "T1150"))->id, "T1647");
    cr_assert(attack_catalog_technique(c, "T1034")->deprecated);
    attack_catalog_free(c);
}

#define HEAD "{\"release\":\"v1.0\",\"notice\":\"n\",\"tactics\":[{\"id\":\"TA0001\",\"name\":\"a\"}],"
#define ONE(row) HEAD "\"techniques\":[" row "]}"

Test(ttp_catalog, ring_of_revocations_ends)
{
    AttackCatalog *c = NULL;
    char *error = NULL;
    Str text = STR(ONE("{\"id\":\"T0001\",\"name\":\"a\",\"revoked\":true,\"successor\":\"T0002\"},"
                       "{\"id\":\"T0002\",\"name\":\"b\",\"revoked\":true,\"successor\":\"T0001\"},"
                       "{\"id\":\"T0003\",\"name\":\"c\",\"revoked\":true}"));

    cr_assert_eq(attack_catalog_parse(text, "x.json", &c, &error), 0, "%s", error);
    cr_assert_null(attack_catalog_current(c, attack_catalog_technique(c, "T0001")));
    cr_assert_null(attack_catalog_current(c, attack_catalog_technique(c, "T0003")));
    attack_catalog_free(c);
}

Test(ttp_catalog, refuses_what_is_no_catalogue)
{
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"", "not a JSON object"},
        {"[]", "not a JSON object"},
        {"{\"release\":\"19\"}", "\"release\" is not of the form"},
        {"{\"release\":\"v19.1x\"}", "\"release\" is not of the form"},
        {"{\"release\":\"v19.1\"}", "lacks \"notice\""},
        {"{\"release\":\"v19.1\",\"notice\":\"n\"}", "no list \"tactics\""},
        {"{\"release\":\"v19.1\",\"notice\":\"n\",\"tactics\":[{\"id\":\"T1\",\"name\":\"a\"}]}",
         "entry 1 of \"tactics\""},
        {"{\"release\":\"v19.1\",\"notice\":\"n\",\"tactics\":[{\"id\":\"TA0001\",\"name\":\"a\"},"
         "{\"id\":\"TA0001\",\"name\":\"b\"}]}",
         "tactic TA0001 is in it twice"},
        {HEAD "\"techniques\":{}}", "no list \"techniques\""},
        {ONE("{\"id\":\"1059\",\"name\":\"a\"}"), "entry 1 of \"techniques\""},
        {ONE("{\"id\":\"T1059\"}"), "entry 1 of \"techniques\""},
        {ONE("7"), "entry 1 of \"techniques\""},
        {ONE("{\"id\":\"T1059.001\",\"name\":\"a\"}"), "its parent do not fit"},
        {ONE("{\"id\":\"T1059.001\",\"name\":\"a\",\"parent\":\"T1060\"}"), "its parent do not fit"},
        {ONE("{\"id\":\"T1059.001\",\"name\":\"a\",\"parent\":\"T1059\"}"), "parent of technique T1059.001 is missing"},
        {ONE("{\"id\":\"T1059\",\"name\":\"a\",\"tactics\":[\"TA0009\"]}"), "names a tactic that is not"},
        {ONE("{\"id\":\"T1059\",\"name\":\"a\"},{\"id\":\"T1059\",\"name\":\"b\"}"), "T1059 is in it twice"},
        {ONE("{\"id\":\"T1059\",\"name\":\"a\",\"revoked\":true,\"successor\":\"T1\"}"),
         "successor T1 of technique T1059"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        AttackCatalog *c = NULL;
        char *error = NULL;
        cr_assert_eq(attack_catalog_parse(str_from(cases[i].text), "cat.json", &c, &error), -EINVAL, "case %zu", i);
        cr_assert_null(c);
        cr_assert_not_null(strstr(error, cases[i].message), "case %zu: %s", i, error);
        cr_assert(strncmp(error, "cat.json: ", 10) == 0 && strstr(error, "scripts/make_catalog.py"), "%s", error);
        free(error);
    }
}

Test(ttp_catalog, says_which_file_cannot_be_read)
{
    AttackCatalog *c = NULL;
    char *error = NULL;

    cr_assert_eq(attack_catalog_load("/nonexistent/attack.json", &c, &error), -ENOENT);
    cr_assert_not_null(strstr(error, "/nonexistent/attack.json: cannot read the ATT&CK catalogue"), "%s", error);
    free(error);
    cr_assert_eq(attack_catalog_load(scratch_folder(), &c, &error), -EISDIR);
    free(error);
}
