/* decnet-vectors on the shapes of attribution: the golden files pass, and a wrong case is named. */
#include "vectors_support.h"

#include <stdio.h>

static const char *sample(const char *name)
{
    static char path[1200];

    snprintf(path, sizeof(path), "'%s'", source_path(name));
    return path;
}

Test(attribution_vectors, known_answers_pass)
{
    VectorsOutput out = vectors_run(sample("tests/samples/attribution_mergers.json"));
    vectors_expect(&out, 0, "31 passed, 0 failed\n"); /* 30 vectors and the constants */
    out = vectors_run(sample("tests/samples/attribution_sequences.json"));
    vectors_expect(&out, 0, "137 passed, 0 failed\n"); /* row and event of 63 steps, 11 ticks */
}

/* A copy of a sample in which @from is replaced by @to, everywhere. */
static VectorsOutput run_changed(const char *name, const char *from, const char *to)
{
    cleanup(arena_freep) Arena *arena = arena_new();
    cleanup(buf_free) Buf changed = {0};
    const char *rest = str_cstr(arena, source_text(arena, name)), *at;
    size_t n = 0;

    for (; (at = strstr(rest, from)); rest = at + strlen(from), n++) {
        buf_append(&changed, rest, (size_t)(at - rest));
        buf_add(&changed, to);
    }
    buf_add(&changed, rest);
    cr_assert_gt(n, 0, "%s is not in %s", from, name);
    return vectors_run_text(changed.data);
}

Test(attribution_vectors, wrong_golden_cases_are_named)
{
    static const struct {
        const char *file, *from, *to, *part, *totals;
    } cases[] = {
        {"tests/samples/attribution_mergers.json", "\"window\":5", "\"window\":6", "constants: window is 5, not 6",
         "30 passed, 1 failed"},
        {"tests/samples/attribution_mergers.json", "5007.9349999999995", "5007.94",
         "attr-023: current_value is 5007.9349999999995, not 5007.94", "30 passed, 1 failed"},
        {"tests/samples/attribution_mergers.json", "\"current_value\":[\"a\",\"b\"]", "\"current_value\":[\"b\",\"a\"]",
         "attr-021: current_value is [\"a\",\"b\"], not [\"b\",\"a\"]", "30 passed, 1 failed"},
        {"tests/samples/attribution_sequences.json", "\"new_state\":\"drifting\",\"current_value\":6530.0",
         "\"new_state\":\"drifting\",\"current_value\":6531.0",
         "seq-07 step 7: emitted: current_value is 6530.0, not 6531.0", "136 passed, 1 failed"},
        {"tests/samples/attribution_sequences.json", "\"confidence\":0.8,\"observation_count\":6,\"last_change_ts\"",
         "\"confidence\":0.7,\"observation_count\":6,\"last_change_ts\"",
         "seq-06 step 6: row: confidence is 0.8, not 0.7", "135 passed, 2 failed"},
        {"tests/samples/attribution_sequences.json", "3 primitives flagged", "2 primitives flagged",
         "mat-02 tick 3: emitted is ", "136 passed, 1 failed"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        VectorsOutput out = run_changed(cases[i].file, cases[i].from, cases[i].to);
        vectors_expect(&out, 1, cases[i].part);
        vectors_expect(&out, 1, cases[i].totals);
    }
}

#define EXPECT(state)                                                                                                  \
    "\"expect\":{\"current_value\":1,\"state\":\"" state "\",\"confidence\":0,\"observation_count\":1,"                \
    "\"last_observation_ts\":0}"

Test(attribution_vectors, other_files_of_these_shapes)
{
    static const struct {
        const char *text, *part;
        int status;
    } cases[] = {
        {"{\"vectors\":[{\"value_kind\":null,\"observations\":[{\"value\":1}]," EXPECT("unknown") "}]}",
         "1 passed, 0 failed", 0}, /* neither id nor ts nor constants */
        {"{\"vectors\":[{\"observations\":[{\"value\":1.0,\"ts\":0}]," EXPECT("unknown") "}]}", "1 passed, 0 failed",
         0},
        {"{\"vectors\":[{\"observations\":[{\"value\":18446744073709551616},{\"value\":18446744073709551617},{\"value\":"
         "18446744073709551616}],\"expect\":{\"state\":\"conflicted\",\"confidence\":0.6666666666666666}}]}",
         "1 passed, 0 failed", 0}, /* integers beyond 64 bits */
        {"{\"vectors\":[{\"id\":\"\\\"10000000000000000000000\\\\\",\"observations\":[{\"value\":[100000000000000000000]}],"
         "\"expect\":{\"state\":\"unknown\",\"current_value\":[100000000000000000000]}}]}",
         "1 passed, 0 failed", 0},
        {"{\"tolerance\":{\"abs\":0.5},\"vectors\":[{\"observations\":[{\"value\":1.4}]," EXPECT("unknown") "}]}",
         "1 passed, 0 failed", 0},
        {"{\"vectors\":[{\"observations\":[{\"value\":1}]," EXPECT("stable") "}]}",
         "entry 1: state is \"unknown\", not \"stable\"", 1},
        {"{\"vectors\":[{\"id\":\"k\",\"value_kind\":\"odd\",\"observations\":[{\"value\":1}]," EXPECT("unknown") "}]}",
         "k: value_kind is none of", 1},
        {"{\"vectors\":[{\"observations\":[]," EXPECT("unknown") "},{\"id\":\"two\"}]}", "two: lacks \"observations\"",
         1},
        {"{\"vectors\":[{\"id\":\"v\",\"observations\":[{\"ts\":1}]," EXPECT("unknown") "}]}", "v: lacks", 1},
        {"{\"vectors\":[{\"id\":\"v\",\"observations\":[7]," EXPECT("unknown") "}]}", "v: lacks", 1},
        {"{\"sequences\":[{\"id\":\"s\",\"steps\":[{\"upsert\":[],\"row\":null,\"emitted\":null}]}]}",
         "2 passed, 0 failed", 0},
        {"{\"sequences\":[{\"id\":\"s\",\"steps\":[{\"upsert\":[{\"evidence_ref\":\"e\",\"value\":1,\"ts\":1}],"
         "\"row\":null,\"emitted\":null}]}]}",
         "s step 1: row: is ", 1},
        {"{\"sequences\":[{\"id\":\"s\",\"steps\":[{\"upsert\":[],\"row\":{\"state\":\"stable\"},\"emitted\":null}]}]}",
         "s step 1: row: state is null, not \"stable\"", 1},
        {"{\"sequences\":[{\"id\":\"s\"}]}", "s: lacks \"steps\"", 1},
        {"{\"sequences\":[{\"id\":\"s\",\"value_kind\":7,\"steps\":[]}]}", "s: lacks \"steps\"", 1},
        {"{\"sequences\":[{\"id\":\"s\",\"steps\":[{}]}]}", "s step 1: lacks \"upsert\"", 1},
        {"{\"sequences\":[]}", "holds no case", 1},
        {"{\"multi_actor_ticks\":[{\"id\":\"m\"}]}", "m: lacks \"ticks\"", 1},
        {"{\"multi_actor_ticks\":[{\"id\":\"m\",\"ticks\":[{}]}]}", "m tick 1: lacks \"multi_actor\"", 1},
        {"{\"multi_actor_ticks\":[{\"id\":\"m\",\"ticks\":[{\"multi_actor\":{\"i\":[\"a\",\"b\"]},\"emitted\":[]}]}]}",
         "m tick 1: emitted is ", 1},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        VectorsOutput out = vectors_run_text(cases[i].text);
        vectors_expect(&out, cases[i].status, cases[i].part);
    }
}
