/* decnetctl as its users meet it: options, exit statuses, what it prints and where, and the replay of dead letters.
 *
 * All tests have one time-out: with two different ones Criterion 2.4 leaks, and a leak under ASan swallows its report. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "worker_support.h"

static char *conninfo, *out_path, *err_path;
static char *out, *err; /* of the last run */

/* @role NULL: as the owner of the schema. */
static void prepare(const char *role)
{
    cleanup(freep) char *folder = harness_folder();
    out_path = harness_path(folder, "out");
    err_path = harness_path(folder, "err");
    conninfo = role ? harness_pg_conninfo_as(role) : harness_pg_conninfo();
}

static void forget(void)
{
    char **all[] = {&conninfo, &out_path, &err_path, &out, &err};
    for (size_t i = 0; i < ARRAY_SIZE(all); i++)
        freep(all[i]);
}

static void setup(void)
{
    harness_pg_start();
    prepare("decnet_admin");
}

static void setup_empty(void)
{
    harness_pg_start_empty();
    prepare(NULL);
}

static void teardown(void)
{
    harness_pg_stop();
    forget();
}

static void setup_with_broker(void)
{
    rig_start();
    prepare("decnet_admin");
}

static void teardown_with_broker(void)
{
    rig_stop();
    forget();
}

/* Runs it with @words, NULL at the end, and the test's database unless they begin with a database of their own. */
static int run_list(const char *const *words)
{
    cleanup(freep) char *database = NULL, *catalog = NULL;
    const char *argv[24] = {harness_env("DECNET_CTL_PROGRAM")}, *environment[3] = {NULL};
    size_t n = 1;

    cr_assert_geq(asprintf(&database, "DECNET_DATABASE=%s", conninfo), 0);
    cr_assert_geq(asprintf(&catalog, "DECNET_ATTACK_CATALOG=%s/workers/ttp/attack/enterprise-attack.json",
                           harness_env("DECNET_SOURCE_ROOT")),
                  0);
    remove(out_path); /* the harness appends */
    remove(err_path);
    environment[0] = database;
    environment[1] = catalog;
    for (; *words; words++) {
        cr_assert_lt(n + 1, ARRAY_SIZE(argv));
        argv[n++] = *words;
    }
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
#define expect_in(text, words) cr_expect(strstr(text, words), "'%s' is not in:\n%s", words, text)
#define expect_not_in(text, words) cr_expect(!strstr(text, words), "'%s' is in:\n%s", words, text)

/* --- options --- */

Test(decnetctl, command_line, .init = setup_empty, .fini = teardown, .timeout = 60)
{
    static const struct {
        const char *words[6];
        int code;
        const char *said;
    } cases[] = {
        {{"--help"}, 0, "Commands:"},
        {{"help"}, 0, "Commands:"},
        {{"help", "dump"}, 0, "Usage: decnetctl dump"},
        {{"--version"}, 0, "decnetctl 0."},
        {{NULL}, 2, "a command is missing"},
        {{"dumb"}, 2, "did you mean 'dump'?"},
        {{"xyzzy"}, 2, "see decnetctl --help"},
        {{"help", "xyzzy"}, 2, "unknown command 'xyzzy'"},
        {{"--json", "dump"}, 2, "options of a command go behind it"},
        {{"dump", "--tabel=x"}, 2, "did you mean --table?"},
        {{"dump", "--table=attacker"}, 2, "did you mean 'attackers'?"},
        {{"dump", "--table"}, 2, "wants a value"},
        {{"dump", "extra"}, 2, "unexpected argument 'extra'"},
        {{"dump", "--databse=x"}, 2, "unknown option --databse"},
        {{"dump", "--log-level=silly"}, 2, "log_level"},
        {{"dump", "--config=/nonexistent"}, 78, "/nonexistent"},
        {{"summary", "--top=-1"}, 2, "--top wants a number"},
        {{"summary", "--top=x"}, 2, "--top wants a number"},
        {{"tags"}, 2, "is wanted"},
        {{"tags", "a", "b"}, 2, "is wanted"},
        {{"tags", "--limit=0", "a"}, 2, "--limit wants"},
        {{"positions", "forgte", "ttp"}, 2, "did you mean 'forget'?"},
        {{"positions", "set", "ttp"}, 2, "set wants GROUP TOPIC PARTITION OFFSET"},
        {{"dlq"}, 2, "what to do is missing"},
        {{"dlq", "show", "x"}, 2, "the id of one dead letter"},
        {{"dlq", "replay", "-1"}, 2, "unknown option -1"},
        {{"dlq", "replay", "0"}, 2, "'0' is no id"},
        {{"dlq", "replay", "1", "--group=g"}, 2, "either ids or --group"},
        {{"dlq", "replay", "--wait=x"}, 2, "--wait wants seconds"},
        {{"dump", "--database=host=/nonexistent"}, 1, "is PostgreSQL running"},
        {{"--database=host=/nonexistent", "dump"}, 1, "is PostgreSQL running"},
        {{"--database", "host=/nonexistent", "dump"}, 1, "is PostgreSQL running"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        int code = run_list(cases[i].words);
        const char *name = cases[i].words[0] ? cases[i].words[0] : "";
        cr_expect_eq(code, cases[i].code, "%s: exit status %d\n%s%s", name, code, out, err);
        expect_in(cases[i].code ? err : out, cases[i].said);
        cr_expect_str_eq(cases[i].code ? out : err, "", "%s: the other stream is silent", name);
    }
}

Test(decnetctl, every_command_explains_itself, .init = setup_empty, .fini = teardown, .timeout = 60)
{
    static const char *const commands[] = {"migrate", "summary", "tags",   "dump", "positions",
                                           "dlq",     "outbox",  "ingest", "repo"};

    for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
        expect_run(0, commands[i], "--help");
        expect_in(out, "Usage: decnetctl ");
        expect_in(out, "xit codes: 0 done");
        expect_in(out, "  decnetctl ");
    }
}

/* --- the schema --- */

Test(decnetctl, migrate, .init = setup_empty, .fini = teardown, .timeout = 60)
{
    static const char *const wanting[] = {"summary", "dump", "positions", "outbox"};

    expect_run(0, "migrate", "--status");
    expect_in(out, "001_main_way");
    expect_in(out, "pending");
    for (size_t i = 0; i < ARRAY_SIZE(wanting); i++) {
        expect_run(78, wanting[i]);
        expect_in(err, "decnetctl migrate");
    }
    expect_run(0, "migrate");
    expect_in(out, "applied");
    expect_run(0, "migrate");
    expect_in(out, "The schema is up to date");
    expect_run(0, "migrate", "--status", "--json");
    cleanup(json_putp) json_object *list = json_parse(str_from(out));
    cr_assert(json_object_is_type(list, json_type_array));
    cr_expect(str_eq(json_get_str(json_object_array_get_idx(list, 0), "state"), STR("applied")));
    expect_run(0, "dump");
    cr_expect_str_eq(out, "");
}

/* --- what is known --- */

#define ATTACKER "00000000-0000-5000-8000-00000000000a"

static void write_scene(void)
{
    harness_sql("INSERT INTO attackers (uuid, ip, first_seen, last_seen) VALUES"
                " ('" ATTACKER "', '198.51.100.1', '2026-01-01Z', '2026-01-02Z')");
    harness_sql(
        "INSERT INTO ttp_tag (uuid, source_kind, source_id, attacker_uuid, session_id, tactic, technique_id,"
        " sub_technique_id, confidence, rule_id, rule_version, evidence, attack_release, observed_at) VALUES"
        " ('" ATTACKER "', 'command', '1', '" ATTACKER "', 'sid', 'TA0002', 'T1059', 'T1059.004', 0.5, 'R0010', 1,"
        "  jsonb_build_object('command_text', E'echo root:hunter2|chpasswd\\n\\033[2Jid'), 'v', '2026-01-01Z')");
}

static void expect_masked(const char *text)
{
    expect_not_in(text, "hunter2");
    expect_not_in(text, "\033");
    expect_in(text, "echo root:***|chpasswd\\");
}

Test(decnetctl, shows_what_is_known_and_no_password, .init = setup, .fini = teardown, .timeout = 60)
{
    write_scene();
    expect_run(0, "summary");
    expect_in(out, "1 attacker,");
    expect_in(out, "Execution  TA0002");
    expect_in(out, "Command and Scripting Interpreter: Unix Shell");
    expect_in(out, "\\n\\e[2Jid");
    expect_masked(out);
    expect_run(0, "summary", "--json", "--top=0");
    expect_masked(out);
    cleanup(json_putp) json_object *summary = json_parse(str_from(out));
    json_object *technique = json_object_array_get_idx(json_get_array(summary, "techniques"), 0);
    cr_expect(str_eq(json_get_str(technique, "tactic_name"), STR("Execution")));
    cr_expect(str_eq(json_get_str(technique, "example_id"), STR(ATTACKER)));
    cr_expect_eq(json_object_array_length(json_get_array(summary, "busiest")), 0);
    expect_run(0, "tags", "198.51.100.1");
    expect_in(out, "T1059.004");
    expect_in(out, "R0010");
    expect_masked(out);
    expect_run(0, "tags", "--json", "sid");
    expect_masked(out);
    expect_run(1, "tags", "nobody");
    expect_in(err, "'nobody'");
    expect_run(0, "summary", "--attack-catalog=/nonexistent");
    expect_in(out, "T1059.004");
    expect_in(err, "without names of techniques");
    expect_run(0, "dump", "--table=ttp_tag");
    expect_in(out, "hunter2"); /* a comparison needs the whole */
}

Test(decnetctl, positions, .init = setup, .fini = teardown, .timeout = 60)
{
    harness_sql("INSERT INTO consumer_position (group_name, topic, partition, next_offset, cluster_id) VALUES"
                " ('p.ttp', 'p.t', 0, 7, 'c'), ('p.ttp', 'p.t', 1, 8, 'c'), ('p.ttp', 'p.u', 0, 9, 'c')");
    harness_sql("INSERT INTO group_pause (group_name, reason) VALUES ('p.ttp', 'too many')");
    expect_run(0, "positions");
    expect_in(out, "p.ttp");
    expect_in(out, "is paused: too many");
    expect_run(0, "positions", "--json");
    expect_in(out, "\"paused\":\"too many\"");
    expect_run(0, "--kafka-topic-prefix=p.", "positions", "set", "ttp", "t", "1", "3");
    expect_run(0, "positions", "set", "p.ttp", "p.t", "0", "0");
    cr_expect_eq(
        harness_sql_int("SELECT count(*) FROM consumer_position WHERE epoch = 2 AND next_offset = 3 * partition"), 2,
        "whoever holds them is fenced");
    expect_run(1, "positions", "set", "p.ttp", "p.t", "5", "3");
    expect_in(err, "has no position on p.t/5");
    expect_run(0, "positions", "forget", "p.ttp", "p.t");
    expect_in(out, "2 positions forgotten");
    expect_run(0, "positions", "forget", "p.ttp");
    expect_in(out, "1 position forgotten");
    expect_run(1, "positions", "forget", "p.ttp");
    expect_run(0, "positions", "resume", "p.ttp");
    expect_in(out, "goes on");
    expect_run(0, "positions", "resume", "p.ttp");
    expect_in(out, "was not paused");
    expect_run(0, "positions");
    expect_in(out, "No group has a position yet.");
}

/* --- dead letters --- */

#define EVENT_ID "00000000-0000-5000-8000-0000000000%02d"

static void write_letters(void)
{
    harness_sql(
        "INSERT INTO dead_letter (group_name, topic, partition, \"offset\", event_id, key, value, headers, reason,"
        " message) VALUES"
        " ('ttp', 'attacker.observed', 0, 1, '" EVENT_ID "', 'k1', E'\\\\x7b0022ff',"
        "  '[[\"decnet-event-id\",\"" EVENT_ID "\"],[\"x\",\"y\"]]', 'malformed', 'not JSON'),"
        " ('ttp', 'attacker.observed', 0, 2, '" EVENT_ID "', 'k2', '{}', '[]', 'malformed', 'm'),"
        " ('ttp', 'attacker.nonsense', 0, 3, '" EVENT_ID "', NULL, NULL, '[]', 'oversize', NULL),"
        " ('enrich', 'attacker.observed', 0, 4, '" EVENT_ID "', NULL, NULL, '[]', 'malformed', 'm')",
        1, 1, 2, 3, 4);
}

static const char *bootstrap(void)
{
    return option("--kafka.bootstrap.servers=%s", rig_broker()->address);
}

Test(decnetctl, dead_letters_are_listed_and_shown, .init = setup, .fini = teardown, .timeout = 60)
{
    write_letters();
    expect_run(0, "dlq", "list");
    expect_in(out, "attacker.nonsense");
    expect_run(0, "dlq", "list", "--group=ttp", "--reason=malformed", "--limit=1");
    expect_in(out, "1 older ones: --limit=2");
    expect_run(0, "dlq", "list", "--group=none");
    expect_in(out, "There are no dead letters.");
    expect_run(0, "dlq", "list", "--json");
    cleanup(json_putp) json_object *list = json_parse(str_from(out));
    cr_expect_eq(json_object_array_length(list), 4);
    expect_run(0, "dlq", "show", "1");
    expect_in(out, "{\\x00\"\\xff");
    expect_in(out, "x: y");
    expect_run(0, "dlq", "show", "3", "--json");
    expect_in(out, "\"value\":null");
    expect_run(1, "dlq", "show", "99");
    expect_run(78, "dlq", "replay", "1");
    expect_in(err, "kafka.bootstrap.servers");
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM dead_letter WHERE replayed_at IS NOT NULL"), 0);
}

Test(decnetctl, dead_letters_are_replayed_under_their_own_id, .init = setup_with_broker, .fini = teardown_with_broker,
     .timeout = 60)
{
    size_t n;

    write_letters();
    expect_run(1, "dlq", "replay", "1", "99", bootstrap());
    expect_in(err, "there is no dead letter 99; nothing was sent");
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM dead_letter WHERE replayed_at IS NOT NULL"), 0);
    expect_run(0, "dlq", "replay", "1", bootstrap());
    expect_in(out, "1 letter replayed");
    Record *first = rig_read_n("attacker.observed", 1);
    cr_expect(str_eq(first->value, (Str){"{\0\"\xff", 4}) && str_eq_cstr(first->key, "k1"));
    cr_expect(str_eq_cstr(record_header(first, BUS_HEADER_EVENT_ID), option(EVENT_ID, 1)));
    cr_expect(str_eq_cstr(record_header(first, "x"), "y"));
    cr_expect_eq(first->n_headers, 2, "the id is not added twice");

    expect_run(1, "dlq", "replay", "--group=ttp", bootstrap());
    expect_in(out, "1 letter replayed; the others are named above");
    expect_in(err, "letter 3 stays: attacker.nonsense is none of our topics");
    Record *all = rig_read_n("attacker.observed", 2);
    cr_expect_eq(record_distinct_ids(all, 2), 2);
    cleanup(freep) char *left = harness_sql_text("SELECT string_agg(id::text, ' ' ORDER BY id) FROM dead_letter"
                                                 " WHERE replayed_at IS NULL");
    cr_expect_str_eq(left, "3 4");
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM event_outbox"), 0);
    expect_run(0, "dlq", "list", "--group=ttp", "--all");
    expect_in(out, "(replayed)");
    expect_run(0, "dlq", "replay", "1", bootstrap()); /* by id as often as one likes */
    (void)rig_read_n("attacker.observed", 3);
    expect_run(0, "dlq", "replay", bootstrap());
    expect_in(out, "Nothing of an earlier replay waits");
    (void)rig_read("attacker.observed", &n);
    cr_expect_eq(n, 3);
}

Test(decnetctl, a_replay_without_broker_is_finished_later, .init = setup_with_broker, .fini = teardown_with_broker,
     .timeout = 60)
{
    write_letters();
    harness_end(rig_broker()->pid, 9, 5000);
    expect_run(1, "dlq", "replay", "2", "--wait=0.2", bootstrap());
    expect_in(err, "has not acknowledged 1 events");
    cr_expect_eq(harness_sql_int("SELECT sum(n) FROM event_outbox WHERE producer = 'dlq-replay'"), 1);
    expect_run(0, "outbox");
    expect_in(out, "dlq-replay");
    rig_new_broker();
    expect_run(0, "dlq", "replay", bootstrap());
    Record *r = rig_read_n("attacker.observed", 1);
    cr_expect(str_eq_cstr(record_header(r, BUS_HEADER_EVENT_ID), option(EVENT_ID, 2)), "added, as the record had none");
    expect_run(0, "outbox", "--json");
    cr_expect_str_eq(out, "[]\n");
}

/* --- ingest --- */

static void feed(const char *path, int session)
{
    FILE *f = fopen(path, "ae");
    cr_assert(
        f && fprintf(f,
                     "{\"eventid\":\"cowrie.session.connect\",\"session\":\"%08x\",\"protocol\":\"ssh\","
                     "\"sensor\":\"d\",\"src_ip\":\"198.51.100.%d\",\"timestamp\":\"2026-01-01T00:00:%02d.000000Z\"}\n",
                     session, session, session) > 0);
    cr_assert_eq(fclose(f), 0);
}

/* The answer to COMMIT is lost, and the database is away when the ingester wants to ask what became of it. */
static void lose_answer(PgCut cut)
{
    PgProxy *p = pg_proxy_start();
    cleanup(freep) char *through = harness_pg_conninfo_through("decnet_ingest", pg_proxy_folder(p));
    const char *argv[] = {harness_env("DECNET_CTL_PROGRAM"), "ingest",    "cowrie", "--follow",
                          option("--database=%s", through),  bootstrap(), out_path, NULL};

    feed(out_path, 1);
    pid_t pid = harness_spawn(&(HarnessProgram){.argv = argv, .stderr_path = err_path});
    cr_assert(harness_sql_wait(1, 20000, "SELECT count(*) FROM attacker_session"));
    pg_proxy_refuse(p, true);
    pg_proxy_cut_commit(p, cut, "logs_insert");
    feed(out_path, 2);
    cr_assert(harness_wait_text(err_path, "trying again", 20000));
    cr_expect_eq(pg_proxy_cuts(p), 1);
    usleep(400000); /* it tries in vain a few times */
    pg_proxy_refuse(p, false);
    feed(out_path, 3);
    cr_expect(harness_sql_wait(3, 20000, "SELECT count(*) FROM attacker_session"));
    cr_expect_eq(harness_end(pid, SIGTERM, 20000), 0, "%s", err = harness_read(err_path));
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM logs WHERE event_type <> 'session_recorded'"), 3);
    pg_proxy_stop(p);
}

Test(decnetctl, ingest_asks_what_became_of_a_commit_once_it_can, .init = setup_with_broker,
     .fini = teardown_with_broker, .timeout = 60)
{
    lose_answer(PG_CUT_AFTER);
}

Test(decnetctl, ingest_commits_again_what_never_arrived, .init = setup_with_broker, .fini = teardown_with_broker,
     .timeout = 60)
{
    lose_answer(PG_CUT_BEFORE);
}
