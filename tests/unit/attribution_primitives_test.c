/* The registry of primitives, and the document that shows it. */
#include "attribution_support.h"

#include <stdio.h>
#include <string.h>

#include "attribution/extractor.h"
#include "attribution/primitives.h"
#include "base/json.h"
#include "base/limits.h"

TestSuite(attribution_primitives, .init = attribution_setup, .fini = attribution_teardown, .timeout = 30);

Test(attribution_primitives, table_is_whole_and_in_order)
{
    size_t scopes[3] = {0}, computed = 0;

    for (size_t i = 0; i < n_primitives; i++) {
        const Primitive *p = &primitives[i];
        cr_assert(i == 0 || strcmp(primitives[i - 1].name, p->name) < 0, "%s is out of order", p->name);
        cr_assert_eq(primitive_find(str_from(p->name)), p, "%s", p->name);
        cr_assert_leq(strlen(p->name), LIMIT_PRIMITIVE_BYTES);
        scopes[p->scope]++;
        computed += extractor_computes(p->name);
    }
    cr_assert_eq(scopes[PRIMITIVE_OF_SESSION], 38);
    cr_assert_eq(scopes[PRIMITIVE_OF_SESSIONS], 8);
    cr_assert_eq(scopes[PRIMITIVE_OF_NETWORK], 5);
    cr_assert_eq(computed, EXTRACTOR_PRIMITIVES, "what the extractor computes is in the table");
    cr_assert_null(primitive_find(STR("motor.input_modalit")));
    cr_assert_null(primitive_find(STR("")));
    cr_assert_null(primitive_find((Str){0}));
}

Test(attribution_primitives, the_event_decides_then_the_table)
{
    static const struct {
        const char *name;
        ValueKind said, want;
    } rows[] = {
        {"motor.input_modality", VALUE_KIND_NONE, VALUE_KIND_CATEGORICAL},
        {"toolchain.c2.beacon_interval_ms", VALUE_KIND_NONE, VALUE_KIND_NUMERIC},
        {"toolchain.tls.jarm_server", VALUE_KIND_NONE, VALUE_KIND_HASH},
        {"toolchain.ssh.hassh_client", VALUE_KIND_NONE, VALUE_KIND_HASH},
        {"toolchain.ssh.kex_algorithm_order", VALUE_KIND_NONE, VALUE_KIND_CATEGORICAL},
        {"environmental.locale", VALUE_KIND_NONE, VALUE_KIND_CATEGORICAL},
        {"nobody.knows.this", VALUE_KIND_NONE, VALUE_KIND_CATEGORICAL},
        {"nobody.knows.this", VALUE_KIND_NUMERIC, VALUE_KIND_NUMERIC},
        {"motor.input_modality", VALUE_KIND_HASH, VALUE_KIND_HASH},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        cr_assert_eq(primitive_value_kind(str_from(rows[i].name), rows[i].said), rows[i].want, "%s", rows[i].name);
}

Test(attribution_primitives, deny_list)
{
    cr_assert_not(primitive_has_state(STR("motor.digraph_simhash"), STR(PRIMITIVES_STATELESS)));
    cr_assert(primitive_has_state(STR("motor.input_modality"), STR(PRIMITIVES_STATELESS)));
    cr_assert(primitive_has_state(STR("motor.digraph_simhash"), STR("")));
    cr_assert(primitive_has_state(STR("motor.digraph_simhash"), (Str){0}));
    cr_assert_not(primitive_has_state(STR("b"), STR("a, b ,c")) || primitive_has_state(STR("c"), STR("a, b ,c")));
    cr_assert(primitive_has_state(STR("a.b"), STR("a,b,a.b.c,,")));
}

Test(attribution_primitives, document_shows_the_table)
{
    cleanup(buf_free) Buf table = {0}, page = {0};
    char path[1024];
    size_t n;

    cr_assert_not_null(getenv("DECNET_SOURCE_ROOT"));
    snprintf(path, sizeof(path), "%s/docs/attribution.md", getenv("DECNET_SOURCE_ROOT"));
    FILE *f = fopen(path, "r");
    cr_assert_not_null(f, "%s", path);
    do {
        char piece[4096];
        n = fread(piece, 1, sizeof(piece), f);
        buf_append(&page, piece, n);
    } while (n);
    fclose(f);
    primitives_list_markdown(&table);
    cr_assert_not_null(strstr(page.data, table.data), "docs/attribution.md does not hold this table:\n%s", table.data);
}
