/* decnetctl repo as programs and people use it: lines of JSON over pipes, calls by hand, the list of methods. */
#include <criterion/criterion.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/limits.h"
#include "base/time.h"
#include "harness.h"
#include "pg_harness.h"
#include "pg_proxy.h"

enum { ANSWER_MS = 20000 };

static char *folder, *database, *err_path;
static PgProxy *door;

static void prepare(char *conninfo)
{
    folder = harness_folder();
    err_path = harness_path(folder, "err");
    cr_assert_geq(asprintf(&database, "DECNET_DATABASE=%s", conninfo), 0);
    free(conninfo);
}

static void setup(void)
{
    harness_pg_start();
    prepare(harness_pg_conninfo());
}

static void setup_empty(void)
{
    harness_pg_start_empty();
    prepare(harness_pg_conninfo());
}

static void setup_with_door(void)
{
    harness_pg_start();
    door = pg_proxy_start();
    prepare(harness_pg_conninfo_through(NULL, pg_proxy_folder(door)));
}

static void teardown(void)
{
    pg_proxy_stop(door);
    harness_pg_stop();
    free(folder);
    free(database);
    free(err_path);
}

#define expect_in(text, words) cr_expect(strstr(text, words), "'%s' is not in:\n%s", words, text)

/* --- a session over pipes --- */

static struct {
    pid_t pid;
    int to, from;
    Buf read; /* what was read behind the last line */
} session;

static void session_start(void)
{
    const char *argv[] = {harness_env("DECNET_CTL_PROGRAM"), "repo", NULL};
    const char *environment[] = {database, "ASAN_OPTIONS=quarantine_size_mb=1", NULL}; /* memory is measured */
    int in[2], out[2];

    cr_assert(pipe(in) == 0 && pipe(out) == 0);
    session.pid = harness_spawn(&(HarnessProgram){
        .argv = argv, .environment = environment, .stderr_path = err_path, .stdin_fd = in[0], .stdout_fd = out[1]});
    close(in[0]);
    close(out[1]);
    session.to = in[1];
    session.from = out[0];
}

/* The input ends, and with it the session. */
static void session_end(void)
{
    close(session.to);
    cr_expect_eq(harness_wait(session.pid, ANSWER_MS), 0);
    close(session.from);
    buf_free(&session.read);
    cleanup(freep) char *err = harness_read(err_path);
    cr_expect_str_eq(err, "");
}

static void say_bytes(Str bytes)
{
    while (bytes.len) {
        ssize_t n = write(session.to, bytes.data, bytes.len);
        cr_assert_gt(n, 0, "the session takes no more");
        bytes = (Str){bytes.data + n, bytes.len - (size_t)n};
    }
}

/* Single quotes stand for double ones. */
static void printf_like(1, 0) say_formatted(const char *fmt, va_list args)
{
    cleanup(freep) char *line = NULL;

    cr_assert_geq(vasprintf(&line, fmt, args), 0);
    for (char *c = line; *c; c++)
        *c = *c == '\'' ? '"' : *c;
    say_bytes(str_from(line));
    say_bytes(STR("\n"));
}

static void printf_like(1, 2) say(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    say_formatted(fmt, args);
    va_end(args);
}

static void read_some(void)
{
    char piece[65536];
    struct pollfd fd = {.fd = session.from, .events = POLLIN};

    cr_assert_eq(poll(&fd, 1, ANSWER_MS), 1, "no answer");
    ssize_t n = read(session.from, piece, sizeof(piece));
    cr_assert_gt(n, 0, "the session ended");
    buf_append(&session.read, piece, (size_t)n);
}

/* The next line, without its end; the caller frees. */
static char *hear(void)
{
    char *end;

    while (!session.read.len || !(end = memchr(session.read.data, '\n', session.read.len)))
        read_some();
    size_t len = (size_t)(end - session.read.data);
    char *line = strndup(session.read.data, len);
    session.read.len -= len + 1;
    memmove(session.read.data, end + 1, session.read.len);
    return line;
}

static char *printf_like(1, 2) ask(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    say_formatted(fmt, args);
    va_end(args);
    return hear();
}

#define expect_answer(want, ...)                                                                                       \
    do {                                                                                                               \
        cleanup(freep) char *got_ = ask(__VA_ARGS__);                                                                  \
        cr_expect_str_eq(got_, want);                                                                                  \
    } while (0)

/* An error whose members begin so. */
#define expect_error(want, ...)                                                                                        \
    do {                                                                                                               \
        cleanup(freep) char *got_ = ask(__VA_ARGS__);                                                                  \
        expect_in(got_, want);                                                                                         \
    } while (0)

TestSuite(decnetctl_repo, .init = setup, .fini = teardown, .timeout = 120);
TestSuite(decnetctl_repo_door, .init = setup_with_door, .fini = teardown, .timeout = 120);
TestSuite(decnetctl_repo_empty, .init = setup_empty, .fini = teardown, .timeout = 120);

Test(decnetctl_repo, every_request_is_answered_at_once)
{
    session_start();
    expect_answer("{\"id\":1,\"result\":0}", "{'id':1,'method':'get_max_log_id'}");
    expect_answer("{\"id\":\"a\\nb\",\"result\":0}", "{'id':'a\\nb','method':'get_max_log_id','params':{}}");
    expect_answer("{\"id\":null,\"result\":0}", "{'id':null,'method':'get_max_log_id','params':null}");
    expect_answer("{\"id\":null,\"result\":0}", "{'method':'get_max_log_id'}");
    expect_answer("{\"id\":-9223372036854775807,\"result\":null}",
                  "  {'params':{'uuid':'nope'},'method':'get_attacker_by_uuid','id':-9223372036854775807}\t\r");
    say("\n   \n{'id':2,'method':'get_max_log_id'}\n{'id':3,'method':'get_max_log_id'}");
    cleanup(freep) char *second = hear();
    cleanup(freep) char *third = hear();
    cr_expect_str_eq(second, "{\"id\":2,\"result\":0}", "empty lines ask nothing");
    cr_expect_str_eq(third, "{\"id\":3,\"result\":0}");
    say_bytes(STR("{\"id\":4,\"method\":\"get_max_log_id\"}")); /* the last line may lack its end */
    close(session.to);
    session.to = dup(STDIN_FILENO);
    cleanup(freep) char *last = hear();
    cr_expect_str_eq(last, "{\"id\":4,\"result\":0}");
    session_end();
}

Test(decnetctl_repo, a_line_that_is_no_request_is_answered_and_the_session_goes_on)
{
    static const struct {
        const char *line, *answer;
    } cases[] = {
        {"x", "{\"id\":null,\"error\":{\"class\":\"E_INVALID\",\"method\":null,\"message\":\"the line is not JSON"},
        {"{'id':1,'method':'get_max_log_id'", "is not JSON"},
        {"{'id':1,'method':'get_max_log_id'} x", "is not JSON"},
        {"{'id':1,'method':'get_max_log_id',}", "is not JSON"},
        {"{'id':NaN,'method':'get_max_log_id'}", "is not JSON"},
        {"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]", "nests deeper than 32"},
        {"null", "is not JSON"},
        {"7", "a request must be an object"},
        {"[]", "a request must be an object"},
        {"{}",
         "{\"id\":null,\"error\":{\"class\":\"E_INVALID\",\"method\":null,\"message\":\"the request names no method"},
        {"{'id':1}", "{\"id\":1,\"error\":{\"class\":\"E_INVALID\",\"method\":null,\"message\":\"the request names no"},
        {"{'id':1,'method':null}",
         "{\"id\":1,\"error\":{\"class\":\"E_INVALID\",\"method\":null,\"message\":\"method must"},
        {"{'id':1,'method':7}", "method must be text"},
        {"{'id':1,'method':''}", "method must be a name"},
        {"{'id':1,'method':'get_max_log_id\\u0000x'}", "there is no method get_max_log_idx"},
        {"{'id':1,'method':'get_attackers','params':{'limit\\u0000x':1}}", "there is no parameter limitx"},
        {"{'id':1,'method':'get_max_log_id','params':[]}",
         "{\"id\":1,\"error\":{\"class\":\"E_INVALID\",\"method\":\"get_max_log_id\",\"message\":\"params must be an object"},
        {"{'id':1,'method':'get_max_log_id','params':'{}'}", "params must be an object"},
        {"{'id':1,'method':'get_max_log_id','parms':{}}", "no member parms; did you mean params?"},
        {"{'id':[1],'method':'get_max_log_id'}", "{\"id\":null,\"error\":{\"class\":\"E_INVALID\""},
        {"{'id':1.5,'method':'get_max_log_id'}", "id must be text"},
        {"{'id':true,'method':'get_max_log_id'}", "id must be text"},
        {"{'id':99999999999999999999,'method':'get_max_log_id'}", "id must be text, an integer of 64 bits"},
        {"{'id':-99999999999999999999,'method':'get_max_log_id'}", "id must be text, an integer of 64 bits"},
        {"{'id':1,'method':'get_max_logs_id'}",
         "{\"id\":1,\"error\":{\"class\":\"E_INVALID\",\"method\":\"get_max_logs_id\",\"message\":\"there is no method "
         "get_max_logs_id; did you mean get_max_log_id?\",\"sqlstate\":null,\"hint\":null}}"},
        {"{'id':1,'method':'get_attackers','params':{'limmit':1}}", "no parameter limmit; did you mean limit?"},
        {"{'id':1,'method':'get_attackers','params':{'limit':'1'}}", "parameter limit must be an integer"},
        {"{'id':1,'method':'iter_canary_triggers_since','params':{}}", "parameter since is missing"},
    };

    session_start();
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        expect_error(cases[i].answer, "%s", cases[i].line);
        expect_answer("{\"id\":0,\"result\":0}", "{'id':0,'method':'get_max_log_id'}");
    }
    say_bytes((Str){"{\"id\":1,\0\"method\":\"get_max_log_id\"}\n", 36});
    cleanup(freep) char *nul = hear();
    expect_in(nul, "the line holds a NUL byte");
    say_bytes(STR("{\"id\":\"\xff\xc3\",\"method\":\"get_max_log_id\"}\n"));
    cleanup(freep) char *repaired = hear();
    cr_expect_str_eq(repaired, "{\"id\":\"\xef\xbf\xbd\xef\xbf\xbd\",\"result\":0}");
    session_end();
}

/* @value as a request gives it, and as it is stored and read back. */
static void expect_state(const char *value, const char *stored)
{
    cleanup(buf_free) Buf answer = {0};

    buf_printf(&answer, "{\"id\":2,\"result\":%s}", stored);
    expect_answer("{\"id\":1,\"result\":null}", "{'id':1,'method':'set_state','params':{'key':'k','value':%s}}", value);
    expect_answer(answer.data, "{'id':2,'method':'get_state','params':{'key':'k'}}");
}

Test(decnetctl_repo, numbers_are_never_bent)
{
    static const char *const integers[] = {"99999999999999999999", "-99999999999999999999", "9223372036854775808",
                                           "-9223372036854775809", "18446744073709551615"};
    static const char *const endless[] = {"1e400", "[-1e999]", "{'a':{'b':[1e309]}}"};

    session_start();
    for (size_t i = 0; i < ARRAY_SIZE(integers); i++) {
        expect_error("parameter last_id must be an integer",
                     "{'id':1,'method':'get_logs_after_id','params':{'last_id':%s}}", integers[i]);
        expect_error("parameter offset must be an integer", "{'id':1,'method':'get_attackers','params':{'offset':%s}}",
                     integers[i]);
        expect_error("hop_distance must be an integer",
                     "{'id':1,'method':'upsert_attacker_behavior','params':{'attacker_uuid':"
                     "'11111111-1111-4111-8111-111111111111','data':{'hop_distance':%s}}}",
                     integers[i]);
        expect_state(integers[i], integers[i]);
    }
    for (size_t i = 0; i < ARRAY_SIZE(endless); i++) {
        expect_error("parameter value must be a value", "{'id':1,'method':'set_state','params':{'key':'k','value':%s}}",
                     endless[i]);
        expect_error("a number is larger than any that can be stored",
                     "{'id':1,'method':'enqueue_topology_mutation','params':{'topology_id':"
                     "'11111111-1111-4111-8111-111111111111','op':'noop','payload':{'x':%s}}}",
                     endless[i]);
    }
    expect_state("{'a':[123456789012345678901234567890,-99999999999999999999]}",
                 "{\"a\": [123456789012345678901234567890, -99999999999999999999]}");
    expect_answer("{\"id\":9223372036854775807,\"result\":0}", "{'id':9223372036854775807,'method':'get_max_log_id'}");
    expect_answer("{\"id\":-9223372036854775808,\"result\":0}",
                  "{'id':-9223372036854775808,'method':'get_max_log_id'}");
    session_end();
}

/* Of names, too: what comes behind it is part of the name. */
Test(decnetctl_repo, nul_is_left_out)
{
    session_start();
    expect_state("'a\\u0000b\\u0000'", "\"ab\"");
    expect_state("{'a\\u0000b':['\\u0000',{'\\u0000':'\\\\u0000'}],'a':1}",
                 "{\"a\": 1, \"ab\": [\"\", {\"\": \"\\\\u0000\"}]}");
    expect_answer("{\"id\":1,\"result\":null}",
                  "{'id':1,'method':'add_log','params':{'log_data':{'decky':'d\\u0000','service':'s','event_type':'e',"
                  "'attacker_ip':'\\u0000x','raw_line':'a\\u0000b\\ud800','fields':'{\\'k\\':\\'\\\\u0000v\\'}'}}}");
    session_end();
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM logs WHERE decky = 'd' AND attacker_ip = 'x' AND raw_line ="
                                 " E'ab\\uFFFD' AND fields = '{\"k\": \"v\"}'"),
                 1);
}

/* A request of exactly @len bytes, its end not counted. */
static void say_long(size_t len)
{
    cleanup(buf_free) Buf line = {0};

    buf_add(&line, "{\"id\":1,\"method\":\"get_max_log_id\"}");
    buf_reserve(&line, len);
    memset(line.data + line.len, ' ', len - line.len);
    line.len = len;
    buf_add_char(&line, '\n');
    say_bytes(buf_str(&line));
}

Test(decnetctl_repo, a_line_is_bounded)
{
    session_start();
    say_long(LIMIT_REQUEST_BYTES);
    cleanup(freep) char *fits = hear();
    cr_expect_str_eq(fits, "{\"id\":1,\"result\":0}");
    say_long(LIMIT_REQUEST_BYTES + 1);
    cleanup(freep) char *longer = hear();
    expect_in(longer,
              "{\"id\":null,\"error\":{\"class\":\"E_INVALID\",\"method\":null,\"message\":\"the line is longer");
    expect_answer("{\"id\":2,\"result\":0}", "{'id':2,'method':'get_max_log_id'}");
    say_long(3 * LIMIT_REQUEST_BYTES + 12345);
    cleanup(freep) char *longest = hear();
    expect_in(longest, "the line is longer than 8388608 bytes");
    expect_answer("{\"id\":3,\"result\":0}", "{'id':3,'method':'get_max_log_id'}");
    session_end();
}

Test(decnetctl_repo, errors_carry_class_and_particulars)
{
    static const char file[] =
        "{'id':1,'method':'record_synthetic_file','params':{'data':{'decky_uuid':'d','path':'/p',"
        "'persona':'p','content_class':'note','content_hash':'h'}}}";

    session_start();
    free(ask("%s", file));
    expect_error(
        "{\"id\":1,\"error\":{\"class\":\"E_CONFLICT\",\"method\":\"record_synthetic_file\",\"message\":", "%s", file);
    expect_error("\"sqlstate\":\"23505\"", "%s", file);
    harness_sql("DROP TABLE realism_config");
    expect_error(
        "\"class\":\"E_DB\",\"method\":\"get_realism_config\",\"message\":\"relation \\\"realism_config\\\" does "
        "not exist\",\"sqlstate\":\"42P01\",\"hint\":\"apply the migrations: decnetctl migrate\"}}",
        "{'id':2,'method':'get_realism_config','params':{'key':'k'}}");
    session_end();
}

/* --- iterators --- */

enum { HISTORIES = 600, HISTORY_BYTES = 100000, RESIDENT_MAX_KIB = 40960 };

/* Some 60 MB of JSON, small on disk. */
static void write_histories(void)
{
    harness_sql("INSERT INTO attackers (uuid, ip, first_seen, last_seen, commands)"
                " SELECT gen_random_uuid(), '10.0.' || i / 256 || '.' || i %% 256, '2026-01-01Z',"
                "  timestamptz '2026-01-01Z' + i * interval '1 s',"
                "  jsonb_build_array(jsonb_build_object('command', repeat('x', %d)))"
                " FROM generate_series(1, %d) i",
                HISTORY_BYTES, HISTORIES);
}

#define ITERATE "{'id':'it','method':'iter_attacker_commands_since','params':{'since':'2026-01-01T00:00:00Z'}}"

static long resident_peak_kib(void)
{
    cleanup(freep) char *path = NULL;
    long kib = 0;

    cr_assert_geq(asprintf(&path, "/proc/%d/status", (int)session.pid), 0);
    cleanup(freep) char *status = harness_read(path);
    const char *line = strstr(status, "VmHWM:");
    cr_assert(line && sscanf(line, "VmHWM: %ld", &kib) == 1);
    return kib;
}

static bool is_item(const char *line)
{
    return strncmp(line, "{\"id\":\"it\",\"item\":", 18) == 0;
}

Test(decnetctl_repo, iterators_stream_in_constant_memory)
{
    session_start();
    expect_answer("{\"id\":\"it\",\"end\":true}", ITERATE);
    write_histories();
    say(ITERATE);
    for (int i = 0; i < HISTORIES; i++) {
        cleanup(freep) char *line = hear();
        cr_assert(is_item(line), "%.100s", line);
        if (i == 0) {
            cleanup(json_putp) json_object *answer = json_parse(str_from(line));
            cr_expect(json_object_is_type(json_get_array(answer, "item"), json_type_array), "[attacker, commands]");
        }
    }
    cleanup(freep) char *last = hear();
    cr_expect_str_eq(last, "{\"id\":\"it\",\"end\":true}");
    cr_expect_lt(resident_peak_kib(), RESIDENT_MAX_KIB, "%ld KiB", resident_peak_kib());
    expect_answer("{\"id\":1,\"result\":600}", "{'id':1,'method':'get_total_attackers'}");
    session_end();
}

static void terminate_sessions(void)
{
    harness_sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'decnetctl'"
                " AND datname = current_database()");
}

#define BACKENDS                                                                                                       \
    "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'decnetctl' AND datname = current_database()"

Test(decnetctl_repo, an_iterator_that_breaks_says_so)
{
    write_histories();
    session_start();
    say(ITERATE);
    cleanup(freep) char *first = hear();
    cr_expect(is_item(first));
    terminate_sessions();
    for (int i = 1;; i++) {
        cleanup(freep) char *line = hear();
        if (is_item(line))
            continue;
        expect_in(line, "{\"id\":\"it\",\"error\":{\"class\":\"E_DB\",\"method\":\"iter_attacker_commands_since\"");
        cr_expect_lt(i, HISTORIES);
        break;
    }
    expect_answer("{\"id\":1,\"result\":600}", "{'id':1,'method':'get_total_attackers'}");
    session_end();
}

Test(decnetctl_repo, whoever_goes_away_ends_the_session)
{
    write_histories();
    session_start();
    say(ITERATE);
    free(hear());
    close(session.from); /* `| head -n 1` */
    cr_expect_eq(harness_wait(session.pid, ANSWER_MS), 0);
    cleanup(freep) char *err = harness_read(err_path);
    cr_expect_str_eq(err, "");
    cr_expect(harness_sql_wait(0, ANSWER_MS, BACKENDS), "its statement was cancelled, its connection closed");
    buf_free(&session.read);
}

/* --- connections --- */

Test(decnetctl_repo, a_lost_connection_is_made_again)
{
    session_start();
    expect_answer("{\"id\":1,\"result\":0}", "{'id':1,'method':'get_max_log_id'}");
    terminate_sessions();
    expect_answer("{\"id\":2,\"result\":0}", "{'id':2,'method':'get_max_log_id'}");
    terminate_sessions();
    expect_answer("{\"id\":\"it\",\"end\":true}", ITERATE);
    session_end();
}

Test(decnetctl_repo_door, without_a_database_requests_fail_until_it_is_back)
{
    session_start();
    expect_answer("{\"id\":1,\"result\":0}", "{'id':1,'method':'get_max_log_id'}");
    pg_proxy_shut(door, true);
    expect_error("{\"id\":2,\"error\":{\"class\":\"E_DB\",\"method\":\"get_max_log_id\",",
                 "{'id':2,'method':'get_max_log_id'}");
    expect_error("{\"id\":\"it\",\"error\":{\"class\":\"E_DB\",", ITERATE);
    expect_error("\"class\":\"E_INVALID\"", "{'id':3,'method':'nonsense'}");
    pg_proxy_shut(door, false);
    expect_answer("{\"id\":4,\"result\":0}", "{'id':4,'method':'get_max_log_id'}");
    session_end();
}

#define SET_CONFIG "{'id':1,'method':'set_realism_config','params':{'key':'k','value':'v'}}"

Test(decnetctl_repo_door, a_lost_answer_to_commit_is_told)
{
    session_start();
    expect_answer("{\"id\":1,\"result\":null}", SET_CONFIG);
    pg_proxy_cut_commit(door, PG_CUT_AFTER, "method_set_realism_config");
    expect_error("\"hint\":\"the answer to COMMIT was lost: look whether it happened", SET_CONFIG);
    expect_answer("{\"id\":1,\"result\":null}", SET_CONFIG);
    session_end();
}

/* --- by hand --- */

static char *out, *err; /* of the last run */

static int run_list(const char *const *words)
{
    const char *argv[16] = {harness_env("DECNET_CTL_PROGRAM"), "repo"};
    cleanup(freep) char *out_path = harness_path(folder, "out");
    cleanup(freep) char *catalog = NULL;
    size_t n = 2;

    cr_assert_geq(asprintf(&catalog, "DECNET_ATTACK_CATALOG=%s/workers/ttp/attack/enterprise-attack.json",
                           harness_env("DECNET_SOURCE_ROOT")),
                  0);
    const char *environment[] = {database, catalog, NULL};
    for (; *words; words++) {
        cr_assert_lt(n + 1, ARRAY_SIZE(argv));
        argv[n++] = *words;
    }
    remove(out_path); /* the harness appends */
    remove(err_path);
    int code = harness_run(
        &(HarnessProgram){.argv = argv, .environment = environment, .stdout_path = out_path, .stderr_path = err_path},
        60000);
    freep(&out);
    freep(&err);
    out = harness_read(out_path);
    err = harness_read(err_path);
    return code;
}

#define run(...) run_list((const char *const[]){"", ##__VA_ARGS__, NULL} + 1)
#define expect_run(code, ...)                                                                                          \
    do {                                                                                                               \
        int got_ = run(__VA_ARGS__);                                                                                   \
        cr_expect_eq(got_, code, "exit status %d\n%s%s", got_, out, err);                                              \
    } while (0)

static void forget_output(void)
{
    freep(&out);
    freep(&err);
}

Test(decnetctl_repo, command_line)
{
    static const struct {
        const char *words[5];
        int code;
        const char *said;
    } cases[] = {
        {{"--help"}, 0, "Usage: decnetctl repo"},
        {{"get_max_log_id"}, 0, "0\n"},
        {{"get_attackers", "limit=5"}, 0, "[]\n"},
        {{"get_attackers", "search=null"}, 0, "[]\n"},
        {{"get_atackers"}, 2, "did you mean 'get_attackers'?"},
        {{"get_attackers", "limit"}, 2, "'limit' is no KEY=VALUE"},
        {{"get_attackers", "limmit=5"}, 2, "did you mean 'limit'?"},
        {{"get_attackers", "limit=5", "limit=6"}, 2, "limit is given twice"},
        {{"get_attackers", "limit=five"}, 2, "the value of limit is not JSON"},
        {{"get_attackers", "limit=-5"}, 2, "E_INVALID: parameter limit must be an integer"},
        {{"get_attackers", "limit=null"}, 2, "E_INVALID: parameter limit must be an integer"},
        {{"get_attacker_by_uuid"}, 2, "E_INVALID: parameter uuid is missing"},
        {{"upsert_attacker", "data={"}, 2, "the value of data is not JSON"},
        {{"upsert_attacker", "data=@/nonexistent"}, 1, "cannot read /nonexistent: No such file"},
        {{"upsert_attacker", "data=@/"}, 1, "cannot read /"},
        {{"upsert_attacker", "data=[]"}, 2, "data must be an object"},
        {{"--json"}, 2, "--json goes with --list"},
        {{"--list", "a", "b"}, 2, "one pattern"},
        {{"--list", "nothing_like_it"}, 0, "No method has such a name."},
        {{"--database=host=/nonexistent"}, 1, "is PostgreSQL running"},
        {{"--database=host=/nonexistent", "get_max_log_id"}, 1, "is PostgreSQL running"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        int code = run_list(cases[i].words);
        cr_expect_eq(code, cases[i].code, "%s: exit status %d\n%s%s", cases[i].words[0], code, out, err);
        expect_in(cases[i].code ? err : out, cases[i].said);
        cr_expect_str_eq(cases[i].code ? out : err, "", "%s: the other stream is silent", cases[i].words[0]);
    }
    forget_output();
}

static void write_file(const char *path, const char *content)
{
    FILE *file = fopen(path, "we");
    cr_assert_not_null(file);
    fputs(content, file);
    fclose(file);
}

#define ATTACKER                                                                                                       \
    "{\"ip\":\"198.51.100.1\",\"first_seen\":\"2026-01-01T00:00:00Z\",\"last_seen\":\"2026-01-02T00:00:00Z\","

Test(decnetctl_repo, values_come_from_words_and_files)
{
    cleanup(freep) char *path = harness_path(folder, "value");
    cleanup(freep) char *value = NULL;

    cr_assert_geq(asprintf(&value, "value=@%s", path), 0);
    write_file(path, "\"{ }\"\n");
    expect_run(0, "set_realism_config", "key=123", value);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM realism_config WHERE key = '123' AND value = E'\"{ }\"\\n'"), 1,
                 "a file's bytes are the text");
    expect_run(0, "set_realism_config", "key=\"a=\\u0031\"", "value=a=b");
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM realism_config WHERE key = 'a=1' AND value = 'a=b'"), 1);
    expect_run(0, "set_realism_config", "key=", "value=null");
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM realism_config WHERE key = '' AND value = 'null'"), 1);
    write_file(path, ATTACKER "\"commands\":[{\"command\":\"e\\u202e\\u009b\\\\\\\"\u00e9\"},{},[]]}");
    free(value);
    cr_assert_geq(asprintf(&value, "data=@%s", path), 0);
    expect_run(0, "upsert_attacker", value);
    expect_run(0, "get_attackers", "search=198.51", "sort_by=\"active\"");
    expect_in(out, "[\n  {\n    \"uuid\": \"");
    expect_in(out, "    \"services\": [],\n");
    expect_in(out,
              "\"commands\": [\n      {\n        \"command\": \"e\\u202e\\u009b\\\\\\\"\u00e9\"\n      },\n      {},\n"
              "      []\n    ],\n");
    cleanup(json_putp) json_object *list = json_parse(str_from(out));
    cr_expect_eq(json_object_array_length(list), 1, "what is printed is JSON");
    expect_run(0, "iter_attacker_commands_since", "since=2026-01-01T00:00:00Z");
    expect_in(out, "[\n  {\n    \"uuid\": \"");
    forget_output();
}

#define TOPOLOGY "00000000-0000-4000-8000-00000000000a"
#define LAN "00000000-0000-4000-8000-00000000000b"
#define DECKY "00000000-0000-4000-8000-00000000000c"
#define UNKNOWN "00000000-0000-4000-8000-00000000dead"

static void expect_class(const char *class, const char *last_members, const char *method, const char *params)
{
    cleanup(freep) char *begin = NULL, *answer = ask("{'id':7,'method':'%s','params':{%s}}", method, params);

    cr_assert_geq(asprintf(&begin, "{\"id\":7,\"error\":{\"class\":\"%s\",\"method\":\"%s\",", class, method), 0);
    cr_expect(strncmp(answer, begin, strlen(begin)) == 0, "%s\n%s", begin, answer);
    size_t len = strlen(answer), last = strlen(last_members);
    cr_expect(len > last && strcmp(answer + len - last, last_members) == 0, "%s\n%s", last_members, answer);
}

Test(decnetctl_repo, classes_promise_members)
{
    static const char lan[] = "'data':{'topology_id':'" TOPOLOGY "','name':'l2','subnet':'s'},'expected_version':2";

    session_start();
    free(ask("{'method':'create_topology','params':{'data':{'id':'" TOPOLOGY "','name':'t'}}}"));
    free(ask("{'method':'add_lan','params':{'data':{'id':'" LAN "','topology_id':'" TOPOLOGY
             "','name':'l','subnet':'s'}}}"));
    free(ask("{'method':'add_topology_decky','params':{'data':{'uuid':'" DECKY "','topology_id':'" TOPOLOGY
             "','name':'d'}}}"));
    free(ask("{'method':'add_topology_edge','params':{'data':{'topology_id':'" TOPOLOGY "','decky_uuid':'" DECKY
             "','lan_id':'" LAN "'}}}"));
    expect_class("E_ORPHAN", "\"hint\":null,\"lan\":\"" LAN "\",\"decky\":\"" DECKY "\"}}", "delete_lan",
                 "'lan_id':'" LAN "'");
    expect_class("E_VERSION", "\"hint\":null,\"current\":1,\"expected\":2}}", "add_lan", lan);
    expect_class("E_NOT_FOUND", "\"hint\":null}}", "update_lan", "'lan_id':'" UNKNOWN "','fields':{'name':'x'}");
    expect_class("E_FK", "\"hint\":null}}", "add_lan", "'data':{'topology_id':'" UNKNOWN "','name':'l','subnet':'s'}");
    free(ask("{'method':'update_topology_status','params':{'topology_id':'" TOPOLOGY "','new_status':'active'}}"));
    expect_class("E_NOT_EDITABLE",
                 "\"hint\":null,\"status\":\"active\",\"reason\":\"only a pending topology can be edited\"}}",
                 "delete_lan", "'lan_id':'" LAN "'");
    session_end();
    expect_run(1, "delete_lan", "lan_id=" LAN);
    expect_in(err, "E_NOT_EDITABLE: only a pending topology can be edited; this one is active {\"status\":\"active\",");
    forget_output();
}

Test(decnetctl_repo, errors_by_hand_have_exit_codes)
{
    static const char data[] =
        "data={\"decky_uuid\":\"d\",\"path\":\"/p\",\"persona\":\"p\",\"content_class\":\"note\","
        "\"content_hash\":\"h\"}";

    expect_run(0, "record_synthetic_file", data);
    expect_run(1, "record_synthetic_file", data);
    expect_in(err, "decnetctl repo: E_CONFLICT: ");
    expect_in(err, "(SQLSTATE 23505)");
    harness_sql("ALTER TABLE realism_config RENAME TO gone");
    expect_run(78, "get_realism_config", "key=k");
    expect_in(err, "E_DB: relation \"realism_config\" does not exist (SQLSTATE 42P01); apply the migrations");
    forget_output();
}

Test(decnetctl_repo_empty, an_empty_database_wants_its_schema_first)
{
    expect_run(78, "get_max_log_id");
    expect_in(err, "decnetctl migrate");
    session_start();
    expect_error(
        "\"class\":\"E_DB\",\"method\":\"get_max_log_id\",\"message\":\"migration 001_main_way is not applied\"",
        "{'id':1,'method':'get_max_log_id'}");
    expect_answer("{\"id\":2,\"result\":null}", "{'id':2,'method':'initialize'}");
    expect_answer("{\"id\":3,\"result\":0}", "{'id':3,'method':'get_max_log_id'}");
    close(session.to);
    cr_expect_eq(harness_wait(session.pid, ANSWER_MS), 0);
    close(session.from);
    buf_free(&session.read);
    forget_output();
}

Test(decnetctl_repo, the_list)
{
    expect_run(0, "--list", "get_attackers");
    expect_in(out, "attackers  get_attackers  reads  list[row(attackers)]  limit: int = 50, offset: int = 0, "
                   "search: str? = null, sort_by: str = \"recent\", service: str? = null\n");
    expect_run(0, "--list", "*_attacker");
    expect_in(out, "upsert_attacker");
    cr_expect(!strstr(out, "get_attackers"));
    expect_run(0, "--list", "attackers");
    expect_in(out, "upsert_attacker");
    expect_run(0, "--list", "--json", "iter_attacker_commands_since");
    cr_expect_str_eq(out,
                     "[{\"name\":\"iter_attacker_commands_since\",\"group\":\"ttp\",\"params\":[{\"name\":\"since\","
                     "\"type\":\"datetime\",\"required\":true,\"default\":null}],\"returns\":"
                     "\"stream[(row(attackers), list[command object])]\",\"async_iterator\":true,\"writes\":false}]"
                     "\n");
    forget_output();
}

Test(decnetctl_repo, names_of_techniques_come_from_the_catalogue)
{
    harness_sql("INSERT INTO attackers (uuid, ip, first_seen, last_seen) VALUES"
                " ('00000000-0000-5000-8000-00000000000a', '198.51.100.1', '2026-01-01Z', '2026-01-02Z')");
    harness_sql("INSERT INTO ttp_tag (uuid, source_kind, source_id, attacker_uuid, tactic, technique_id,"
                " sub_technique_id, confidence, rule_id, rule_version, evidence, attack_release) VALUES"
                " (gen_random_uuid(), 'command', '1', '00000000-0000-5000-8000-00000000000a', 'TA0002', 'T1059',"
                "  'T1059.004', 0.5, 'R0010', 1, '{}', 'v')");
    expect_run(0, "list_distinct_techniques");
    expect_in(out, "\"technique_name\": \"Command and Scripting Interpreter\"");
    expect_in(out, "\"sub_technique_name\": \"Unix Shell\"");
    forget_output();
}
