/* decnet-vectors as a user runs it: exit status, totals, and a clear word for each failure. */
#include "vectors_support.h"

#include <stdio.h>
#include <zlib.h>

Test(ttp_vectors, known_answers_pass)
{
    char arguments[2200];

    snprintf(arguments, sizeof(arguments), "'%s' '%s'", source_path("tests/samples/ttp_tag_uuid.json"),
             source_path("tests/samples/ttp_probes.jsonl"));
    VectorsOutput out = vectors_run(arguments);
    vectors_expect(&out, 0, "229 passed, 0 failed\n"); /* 16 ids and their namespace, 203 probes, 9 controls */
    out = vectors_run_text(
        "{\"command\":\"uname -a; id\",\"rules\":[[\"R0018\",\"T1082\",\"\",\"TA0007\",0.7]],\"count\":3}\n\n");
    vectors_expect(&out, 0, "1 passed, 0 failed\n");
}

Test(ttp_vectors, gzip_is_read)
{
    char path[1200];

    snprintf(path, sizeof(path), "%s/cases.gz", scratch_folder());
    gzFile f = gzopen(path, "wb");
    cr_assert_gt(gzputs(f, "{\"rule\":\"R0019\",\"command\":\"id\",\"expect\":\"must\"}\n"), 0);
    cr_assert_eq(gzclose(f), Z_OK);
    VectorsOutput out = vectors_run(path);
    vectors_expect(&out, 0, "1 passed, 0 failed\n");
}

Test(ttp_vectors, each_failing_case_is_named)
{
    static const struct {
        const char *text, *part, *totals;
    } cases[] = {
        {"{\"rule\":\"R0019\",\"command\":\"id\",\"expect\":\"must\"}\n{\"rule\":\"R0019\",\"command\":\"ls\","
         "\"expect\":\"should\"}\n",
         "cases:2: R0019 does not fire on \"ls\"", "1 passed, 1 failed"},
        {"{\"rule\":\"R0019\",\"command\":\"id\",\"expect\":\"must_not\"}", "cases:1: R0019 fires on \"id\"",
         "0 passed, 1 failed"},
        {"{\"rule\":null,\"command\":\"id\",\"expect\":\"control\"}", "cases:1: R0019 fires on the control \"id\"",
         "0 passed, 1 failed"},
        {"{\"rule\":\"R0019\",\"command\":\"id\",\"expect\":\"may\"}", "cases:1: the line lacks", "0 passed, 1 failed"},
        {"{\"command\":\"ls\",\"rules\":[[\"R0018\",\"T1082\",\"\",\"TA0007\",0.7]]}",
         "cases:1: R0018 does not fire on \"ls\"", "0 passed, 1 failed"},
        {"{\"command\":\"uname "
         "-a\",\"rules\":[[\"R0018\",\"T1082\",\"\",\"TA0007\",0.8],[\"R0018\",\"T1083\",\"\",\"TA0007\",0.7],"
         "[\"R0018\",\"T1082\",\"T1082.001\",\"TA0007\",0.7],[\"R0018\",\"T1082\",\"\",\"TA0008\",0.7],[1]]}",
         "cases:1: R0018 fires with another technique, tactic or confidence on \"uname -a\"", "0 passed, 5 failed"},
        {"{\"rule\":\"R0019\",\"command\":\"id\",\"expect\":\"must\"}\nnot json\n",
         "cases:2: the line is not a JSON object", "1 passed, 1 failed"},
        {"{\"namespace\":\"1ca31f08-5522-5aae-8371-fe81f0e39de4\",\"vectors\":[{\"n\":1,\"source_kind\":\"command\","
         "\"source_id\":\"a\",\"rule_id\":\"c\",\"rule_version\":1,\"technique_id\":\"T1083\",\"sub_technique_id\":"
         "null,"
         "\"uuid\":\"a0f28d7c-75c3-58ac-89f2-5cb7d21f318a\"},{\"n\":2,\"rule_version\":\"1\",\"uuid\":\"x\"}]}",
         "cases: vector 1: tag id is ", "0 passed, 3 failed"},
        {"", "cases: of no known shape", "0 passed, 1 failed"},
        {"{\"what\":1}", "cases: of no known shape", "0 passed, 1 failed"},
        {"text\n", "cases: of no known shape", "0 passed, 1 failed"},
        {"{\"command\":\"ls\",\"rules\":[]}\n", "cases: holds no case", "0 passed, 1 failed"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        VectorsOutput out = vectors_run_text(cases[i].text);
        vectors_expect(&out, 1, cases[i].part);
        vectors_expect(&out, 1, cases[i].totals);
    }
}

Test(ttp_vectors, files_that_cannot_be_read_fail)
{
    VectorsOutput out = vectors_run("/nonexistent/cases");
    vectors_expect(&out, 1, "/nonexistent/cases: cannot be read: No such file or directory");
    vectors_expect(&out, 1, "0 passed, 1 failed\n");
    out = vectors_run(scratch_folder());
    vectors_expect(&out, 1, "cannot be read");
    out = vectors_run(scratch_file("cut.gz", STR("\x1f\x8b\x08\0\0\0\0\0\0\x03\x4b")));
    vectors_expect(&out, 1, "damaged or cut short");
}

Test(ttp_vectors, rules_that_do_not_load_fail)
{
    char arguments[2200];

    snprintf(arguments, sizeof(arguments), "--rules-path=/nonexistent '%s'",
             source_path("tests/samples/ttp_probes.jsonl"));
    VectorsOutput out = vectors_run(arguments);
    vectors_expect(&out, 1, "no rule in this path of folders");
}

Test(ttp_vectors, usage)
{
    VectorsOutput out = vectors_run("");
    vectors_expect(&out, 2, "Usage: decnet-vectors");
    out = vectors_run("--no-such-option x");
    vectors_expect(&out, 2, "no_such_option");
    out = vectors_run("--help");
    vectors_expect(&out, 0, "--rules-path");
}
