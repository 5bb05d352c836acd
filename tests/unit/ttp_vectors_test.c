/* decnet-vectors as a user runs it: exit status, totals, and a clear word for each failure. */
#include "ttp_support.h"

#include <stdio.h>
#include <sys/wait.h>
#include <zlib.h>

typedef struct Output {
    char text[16384];
    int status;
} Output;

/* Run the program on @arguments, with the shipped rules; its two outputs together. */
static Output run(const char *arguments)
{
    char command[4096];
    Output out = {0};

    cr_assert_not_null(getenv("DECNET_VECTORS_PROGRAM"));
    snprintf(command, sizeof(command), "exec 2>&1; '%s' --rules-path='%s' --attack-catalog='%s' --cache-dir='%s' %s",
             getenv("DECNET_VECTORS_PROGRAM"), source_path("workers/ttp/rules"),
             source_path("workers/ttp/attack/enterprise-attack.json"), scratch_folder(), arguments);
    FILE *f = popen(command, "r");
    cr_assert_not_null(f);
    out.text[fread(out.text, 1, sizeof(out.text) - 1, f)] = '\0';
    out.status = WEXITSTATUS(pclose(f));
    return out;
}

/* Run on one file with @text. */
static Output run_text(const char *text)
{
    return run(scratch_file("cases", str_from(text)));
}

static void expect(const Output *out, int status, const char *part)
{
    cr_assert_eq(out->status, status, "status %d: %s", out->status, out->text);
    cr_assert_not_null(strstr(out->text, part), "wanted \"%s\" in:\n%s", part, out->text);
}

Test(ttp_vectors, known_answers_pass)
{
    char arguments[2200];

    snprintf(arguments, sizeof(arguments), "'%s' '%s'", source_path("tests/samples/ttp_tag_uuid.json"),
             source_path("tests/samples/ttp_probes.jsonl"));
    Output out = run(arguments);
    expect(&out, 0, "229 passed, 0 failed\n"); /* 16 ids and their namespace, 203 probes, 9 controls */
    out = run_text(
        "{\"command\":\"uname -a; id\",\"rules\":[[\"R0018\",\"T1082\",\"\",\"TA0007\",0.7]],\"count\":3}\n\n");
    expect(&out, 0, "1 passed, 0 failed\n");
}

Test(ttp_vectors, gzip_is_read)
{
    char path[1200];

    snprintf(path, sizeof(path), "%s/cases.gz", scratch_folder());
    gzFile f = gzopen(path, "wb");
    cr_assert_gt(gzputs(f, "{\"rule\":\"R0019\",\"command\":\"id\",\"expect\":\"must\"}\n"), 0);
    cr_assert_eq(gzclose(f), Z_OK);
    Output out = run(path);
    expect(&out, 0, "1 passed, 0 failed\n");
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
        Output out = run_text(cases[i].text);
        expect(&out, 1, cases[i].part);
        expect(&out, 1, cases[i].totals);
    }
}

Test(ttp_vectors, files_that_cannot_be_read_fail)
{
    Output out = run("/nonexistent/cases");
    expect(&out, 1, "/nonexistent/cases: cannot be read: No such file or directory");
    expect(&out, 1, "0 passed, 1 failed\n");
    out = run(scratch_folder());
    expect(&out, 1, "cannot be read");
    out = run(scratch_file("cut.gz", STR("\x1f\x8b\x08\0\0\0\0\0\0\x03\x4b")));
    expect(&out, 1, "damaged or cut short");
}

Test(ttp_vectors, rules_that_do_not_load_fail)
{
    char arguments[2200];

    snprintf(arguments, sizeof(arguments), "--rules-path=/nonexistent '%s'",
             source_path("tests/samples/ttp_probes.jsonl"));
    Output out = run(arguments);
    expect(&out, 1, "no rule in this path of folders");
}

Test(ttp_vectors, usage)
{
    Output out = run("");
    expect(&out, 2, "Usage: decnet-vectors");
    out = run("--no-such-option x");
    expect(&out, 2, "no_such_option");
    out = run("--help");
    expect(&out, 0, "--rules-path");
}
