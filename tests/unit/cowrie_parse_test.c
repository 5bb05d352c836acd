/* One Cowrie line at a time: what it is, whose it is, and every form in which versions wrote the same thing. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "cowrie_example.h"
#include "ingest/secret.h"

static Arena *arena;
static const CowrieOptions plain = {0};

static void setup(void)
{
    arena = arena_new();
}

static void teardown(void)
{
    arena_free(arena);
}

TestSuite(cowrie_parse, .init = setup, .fini = teardown, .timeout = 30);

static bool equals(Str s, const char *want)
{
    return want ? s.data && str_eq_cstr(s, want) : s.data == NULL;
}

static CowrieReject reject_of(const char *line)
{
    CowrieEvent e;
    return cowrie_parse(arena, &plain, str_from(line), &e);
}

static CowrieEvent parse_with(const CowrieOptions *options, const char *line)
{
    CowrieEvent e;
    cr_assert_eq(cowrie_parse(arena, options, str_from(line), &e), COWRIE_OK, "refused: %s", line);
    return e;
}

/* A line of one session with @members added. */
static CowrieEvent event(const char *eventid, const char *members)
{
    return parse_with(&plain, arena_printf(arena,
                                           "{\"eventid\":\"cowrie.%s\",\"session\":\"c3f1a9e07b42\",\"src_ip\":"
                                           "\"198.51.100.23\",\"sensor\":\"edge-01\",\"timestamp\":"
                                           "\"2026-05-10T08:25:01.004512Z\"%s%s}",
                                           eventid, *members ? "," : "", members));
}

static void assert_uuid(Uuid got, const char *want)
{
    char text[UUID_TEXT_BYTES];
    uuid_format(text, &got);
    cr_assert_str_eq(text, want);
}

/* The member @key of a fields object: "" when it is missing. */
static const char *field(Str fields, const char *key)
{
    cleanup(json_putp) json_object *obj = json_parse(fields);
    cr_assert(json_object_is_type(obj, json_type_object), "fields are no object: " STR_FMT, STR_ARG(fields));
    return str_cstr(arena, json_get_str(obj, key));
}

Test(cowrie_parse, worked_example_has_the_ids_of_the_contract)
{
    for (size_t i = 0; i < ARRAY_SIZE(example_lines); i++) {
        CowrieEvent e = parse_with(&plain, example_lines[i]);
        assert_uuid(e.log_id, example_log_ids[i]);
        assert_uuid(e.sid, "8b5b4643-10c2-54f9-9f3e-a31e49d18554");
        cr_assert_str_eq(e.ip, "198.51.100.23");
        cr_assert(equals(e.decky, "edge-01") && equals(e.protocol, "ssh") && equals(e.raw_line, example_lines[i]));
    }
}

Test(cowrie_parse, line_end_is_no_part_of_the_id)
{
    CowrieEvent a = parse_with(&plain, arena_printf(arena, "%s\n", example_lines[0]));
    CowrieEvent b = parse_with(&plain, arena_printf(arena, "%s\r\n", example_lines[0]));

    assert_uuid(a.log_id, example_log_ids[0]);
    assert_uuid(b.log_id, example_log_ids[0]);
    cr_assert(equals(b.raw_line, example_lines[0]));
}

Test(cowrie_parse, documented_line_of_an_older_version)
{
    CowrieEvent e =
        parse_with(&plain, "{\"eventid\":\"cowrie.login.failed\",\"username\":\"root\",\"password\":\"admin\","
                           "\"message\":\"login attempt [root/admin] failed\",\"sensor\":\"edge-01\",\"uuid\":"
                           "\"unknown\",\"timestamp\":\"2026-05-10T08:25:04.118200Z\",\"src_ip\":"
                           "\"198.51.100.23\",\"session\":\"c3f1a9e07b42\",\"protocol\":\"ssh\"}");

    assert_uuid(e.log_id, "0d94ca8a-abc7-593d-a94c-9831cd1f413b");
    cr_assert(equals(e.msg, "login attempt [root/admin] failed"));
    cr_assert_str_eq(e.credential.sha256, "8c6976e5b5410415bde908bd4dee15dfb167a9c873fc4bb8a81f6f2ab448a918");
    cr_assert(equals(e.credential.b64, "YWRtaW4=") && equals(e.credential.printable, "admin"));
    cr_assert_eq(e.credential.outcome, OUTCOME_FAILURE);
}

Test(cowrie_parse, bad_lines_are_refused_with_their_reason)
{
    static const struct {
        const char *line;
        CowrieReject want;
    } rows[] = {
        {"", COWRIE_NOT_JSON},
        {"{", COWRIE_NOT_JSON},
        {"[]", COWRIE_NOT_JSON},
        {"null", COWRIE_NOT_JSON},
        {"{} {}", COWRIE_NOT_JSON},
        {"{}", COWRIE_NO_EVENTID},
        {"{\"eventid\":7}", COWRIE_NO_EVENTID},
        {"{\"eventid\":\"\"}", COWRIE_NO_EVENTID},
        {"{\"eventid\":\"cowrie.abuseipdb.reportedip\",\"src_ip\":\"198.51.100.23\",\"timestamp\":"
         "\"2026-05-10T08:25:01Z\"}",
         COWRIE_NO_SESSION},
        {"{\"eventid\":\"e\",\"session\":17}", COWRIE_NO_SESSION},
        {"{\"eventid\":\"e\",\"session\":\"s\"}", COWRIE_BAD_TIME},
        {"{\"eventid\":\"e\",\"session\":\"s\",\"timestamp\":1778401501}", COWRIE_BAD_TIME},
        {"{\"eventid\":\"e\",\"session\":\"s\",\"timestamp\":\"2026-02-30T00:00:00Z\"}", COWRIE_BAD_TIME},
        {"{\"eventid\":\"e\",\"session\":\"s\",\"timestamp\":\"2026-05-10T08:25:01Z\"}", COWRIE_NO_ADDRESS},
        {"{\"eventid\":\"e\",\"session\":\"s\",\"timestamp\":\"2026-05-10T08:25:01Z\",\"src_ip\":\"Unknown\"}",
         COWRIE_NO_ADDRESS},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        cr_assert_eq(reject_of(rows[i].line), rows[i].want, "%s: %s", rows[i].line,
                     cowrie_reject_name(reject_of(rows[i].line)));
    cr_assert_str_eq(cowrie_reject_name(COWRIE_TOO_LONG), "too_long");
    cr_assert_str_eq(cowrie_reject_name(COWRIE_NO_ADDRESS), "no_address");
}

Test(cowrie_parse, line_of_two_mebibytes_is_too_long_one_of_the_limit_is_not)
{
    const char start[] =
        "{\"eventid\":\"cowrie.command.input\",\"session\":\"s\",\"src_ip\":\"192.0.2.1\",\"timestamp\":"
        "\"2026-05-10T08:25:01Z\",\"input\":\"";
    char *line = arena_alloc(arena, 2 * LIMIT_LINE_BYTES);
    CowrieEvent e;

    memset(line, 'x', 2 * LIMIT_LINE_BYTES);
    memcpy(line, start, strlen(start));
    memcpy(line + 2 * LIMIT_LINE_BYTES - 2, "\"}", 2);
    cr_assert_eq(cowrie_parse(arena, &plain, (Str){line, 2 * LIMIT_LINE_BYTES}, &e), COWRIE_TOO_LONG);
    memcpy(line + LIMIT_LINE_BYTES - 2, "\"}", 2);
    cr_assert_eq(cowrie_parse(arena, &plain, (Str){line, LIMIT_LINE_BYTES}, &e), COWRIE_OK);
    cr_assert_eq(e.command.len, LIMIT_COMMAND_BYTES);
    cr_assert(e.command_truncated);
    cr_assert_leq(cowrie_fields(arena, &e, &e.sid, INT64_MAX).len, LIMIT_FIELDS_BYTES);
}

Test(cowrie_parse, fields_stay_bounded_however_the_text_is_escaped)
{
    static const char *const units[] = {"\\u0001", "\\\"", "\xc3\xa9", "\\u0000", "a"};

    for (size_t u = 0; u < ARRAY_SIZE(units); u++) {
        cleanup(buf_free) Buf input = {0};
        buf_add(&input, "\"input\":\"");
        while (input.len < 150000)
            buf_add(&input, units[u]);
        buf_add(&input, "\"");
        CowrieEvent e = event("command.input", input.data);
        Str fields = cowrie_fields(arena, &e, &e.sid, INT64_MAX);
        cr_assert_leq(fields.len, LIMIT_FIELDS_BYTES, "%s", units[u]);
        cr_assert_gt(strlen(field(fields, "command")), 8000);
        cr_assert_leq(e.command.len, LIMIT_COMMAND_BYTES);
    }
}

Test(cowrie_parse, addresses_and_times_in_every_spelling)
{
    static const struct {
        const char *ip, *time, *want_ip;
        int64_t want_us;
        bool no_offset;
    } rows[] = {
        {"::ffff:198.51.100.23", "2026-05-10T10:25:01.5+0200", "198.51.100.23", 1778401501500000, false},
        {"2001:DB8:0:0::17", "2026-05-10T10:25:01.5+02:00", "2001:db8::17", 1778401501500000, false},
        {" 192.0.2.1 ", "2026-05-10T08:25:01", "192.0.2.1", 1778401501000000, true},
        {"fe80::1%eth0", "2026-05-10T08:25:01.123456789Z", "fe80::1", 1778401501123456, false},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        CowrieEvent e = parse_with(&plain, arena_printf(arena,
                                                        "{\"eventid\":\"cowrie.x\",\"session\":\"s\",\"src_ip\":\"%s\","
                                                        "\"timestamp\":\"%s\"}",
                                                        rows[i].ip, rows[i].time));
        cr_assert_str_eq(e.ip, rows[i].want_ip);
        cr_assert_eq(e.time_us, rows[i].want_us, "%s", rows[i].time);
        cr_assert_eq(e.time_without_offset, rows[i].no_offset, "%s", rows[i].time);
        cr_assert(equals(e.decky, "unknown"), "no sensor");
    }
}

Test(cowrie_parse, sensor_names_become_deckies)
{
    static const CowrieDeckyName map[] = {{{"Box 7", 5}, {"edge-07", 7}}};
    const CowrieOptions options = {.decky_map = map, .n_decky_map = 1};
    static const struct {
        const char *sensor, *want;
    } rows[] = {{"Box 7", "edge-07"},
                {"Edge_01.example", "edge-01-example"},
                {"--x", "x"},
                {"___", "unknown"},
                {"\xc3\xa9t\xc3\xa9", "t--"},
                {"", "unknown"},
                {"0123456789012345678901234567890123456789012345678901234567890123456789",
                 "012345678901234567890123456789012345678901234567890123456789012"}};

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        cr_assert(equals(cowrie_decky_name(arena, &options, str_from(rows[i].sensor)), rows[i].want), "%s",
                  rows[i].sensor);
}

Test(cowrie_parse, service_comes_from_protocol_system_or_port)
{
    CowrieEvent e = event("session.connect", "\"protocol\":\"telnet\",\"dst_port\":2222");

    cr_assert(equals(e.protocol, "telnet"));
    e = event("session.connect", "\"system\":\"cowrie.telnet.factory.HoneyPotTelnetFactory\",\"dst_port\":2222");
    cr_assert(equals(e.protocol, NULL));
    cr_assert_str_eq(e.service_hint, "telnet");
    e = event("login.failed", "\"system\":\"CowrieTelnetTransport,1,192.0.2.1\"");
    cr_assert_str_eq(e.service_hint, "telnet");
    e = event("session.connect", "\"dst_port\":2223");
    cr_assert_str_eq(e.service_hint, "telnet");
    e = event("session.connect", "\"dst_port\":22,\"protocol\":\"gopher\"");
    cr_assert(equals(e.protocol, NULL));
    cr_assert_str_eq(e.service_hint, "ssh");
}

Test(cowrie_parse, event_ids_map_to_types)
{
    static const struct {
        const char *eventid, *members, *want;
        CowrieKind kind;
    } rows[] = {
        {"session.connect", "", "connect", COWRIE_CONNECT},
        {"session.closed", "", "disconnect", COWRIE_CLOSED},
        {"client.version", "\"version\":\"SSH-2.0-Go\"", "ssh_client_banner", COWRIE_VERSION},
        {"client.version", "\"version\":\"\\u0016\\u0003\\u0001\"", "unknown_banner", COWRIE_VERSION},
        {"client.version", "\"version\":\"b'SSH-2.0-Go'\"", "ssh_client_banner", COWRIE_VERSION},
        {"client.kex", "", "ssh_kex", COWRIE_KEX},
        {"client.fingerprint", "", "auth_attempt", COWRIE_OTHER},
        {"login.failed", "", "auth_attempt", COWRIE_LOGIN},
        {"command.input", "\"input\":\"id\"", "command", COWRIE_COMMAND},
        {"command.input", "\"input\":\" \\t\"", "input", COWRIE_OTHER},
        {"command.input", "\"input\":[]", "input", COWRIE_OTHER},
        {"command.input", "\"input\":\"secret\",\"realm\":\"passwd\"", "stdin", COWRIE_OTHER},
        {"command.failed", "\"input\":\"foo \"", "command_failed", COWRIE_COMMAND_FAILED},
        {"command.success", "\"input\":\"id\"", "command_success", COWRIE_OTHER},
        {"command.success", "\"input\":\"new\",\"realm\":\"passwd\"", "stdin", COWRIE_OTHER},
        {"session.input", "\"realm\":\"php\",\"input\":\"x\"", "stdin", COWRIE_OTHER},
        {"session.file_download", "\"shasum\":\"\",\"url\":\"tftp://192.0.2.9/x\"", "download_attempt",
         COWRIE_FETCH_FAILED},
        {"session.file_download.failed", "\"url\":\"http://192.0.2.9/x\"", "download_attempt", COWRIE_FETCH_FAILED},
        {"session.file_upload", "\"filename\":\"x\"", "upload_attempt", COWRIE_OTHER},
        {"direct-tcpip.request", "\"dst_ip\":\"example.org\",\"dst_port\":80", "proxy_request", COWRIE_FORWARD},
        {"direct-tcpip.data", "\"data\":\"x\"", "proxy_data", COWRIE_OTHER},
        {"direct-tcpip.ja4", "\"ja4\":\"t13\"", "proxy_fingerprint", COWRIE_FORWARD_FINGERPRINT},
        {"direct-tcpip.ja4h", "\"ja4h\":\"ge11\"", "proxy_fingerprint", COWRIE_FORWARD_FINGERPRINT},
        {"log.closed", "\"ttylog\":\"tty/1\"", "tty_log", COWRIE_TTY_LOG},
        {"log.open", "", "log_open", COWRIE_OTHER},
        {"session.params", "\"arch\":\"linux-x64-lsb\"", "session_params", COWRIE_OTHER},
        {"client.size", "", "client_size", COWRIE_OTHER},
        {"telnet.exploit_attempt", "\"cve\":\"CVE-2000-0000\"", "telnet_exploit_attempt", COWRIE_OTHER},
        {"direct-tcpip.tunnel", "", "direct_tcpip_tunnel", COWRIE_OTHER},
        {"New.Thing", "", "unknown_new_thing", COWRIE_OTHER},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        CowrieEvent e = event(rows[i].eventid, rows[i].members);
        cr_assert(equals(e.event_type, rows[i].want), "%s is " STR_FMT, rows[i].eventid, STR_ARG(e.event_type));
        cr_assert_eq(e.kind, rows[i].kind, "%s %s", rows[i].eventid, rows[i].members);
    }
}

Test(cowrie_parse, connection_values)
{
    CowrieEvent e = event("session.connect", "\"src_port\":51514,\"dst_ip\":\"::ffff:192.0.2.10\",\"dst_port\":2222");
    Str fields = cowrie_fields(arena, &e, &e.sid, -1);

    cr_assert_eq(e.src_port, 51514);
    cr_assert(equals(e.sensor_address, "192.0.2.10"));
    cr_assert(equals(fields, "{\"src_port\":\"51514\",\"dst_ip\":\"::ffff:192.0.2.10\",\"dst_port\":\"2222\",\"sid\":"
                             "\"8b5b4643-10c2-54f9-9f3e-a31e49d18554\"}"));
    e = event("session.connect", "\"src_port\":true,\"dst_ip\":[]");
    cr_assert(e.src_port == -1 && equals(e.sensor_address, NULL));
    e = event("direct-tcpip.request", "\"src_port\":22,\"dst_ip\":\"192.0.2.99\",\"dst_port\":443");
    cr_assert(e.src_port == -1, "the port that a client claims is not the connection's");
    cr_assert(equals(e.sensor_address, NULL));
    cr_assert_str_eq(field(e.fields, "dst_host"), "192.0.2.99");
}

Test(cowrie_parse, durations_of_all_versions)
{
    static const struct {
        const char *members;
        double want;
    } rows[] = {{"\"duration\":9.5", 9.5},
                {"\"duration\":\"9.8\"", 9.8},
                {"\"duration_ms\":149120", 149.12},
                {"\"duration\":7", 7},
                {"", -1},
                {"\"duration\":\"abc\"", -1},
                {"\"duration\":-4", -1},
                {"\"duration\":true", -1}};

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        cr_assert_eq(event("session.closed", rows[i].members).duration_s, rows[i].want, "%s", rows[i].members);
    cr_assert_str_eq(field(event("session.closed", "\"duration_ms\":149120").fields, "duration_s"), "149.120");
}

Test(cowrie_parse, client_versions_lose_the_python_form)
{
    static const struct {
        const char *version, *want;
    } rows[] = {{"SSH-2.0-Go", "SSH-2.0-Go"},
                {"b'SSH-2.0-Go'", "SSH-2.0-Go"},
                {"b\\\"SSH-2.0-x'y\\\"", "SSH-2.0-x'y"},
                {"SSH-2.0-Go\\r\\n", "SSH-2.0-Go"},
                {"b'", "b'"},
                {"b'SSH", "b'SSH"}};

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        CowrieEvent e = event("client.version", arena_printf(arena, "\"version\":\"%s\"", rows[i].version));
        cr_assert(equals(e.client_version, rows[i].want), "%s", rows[i].version);
    }
    char *banner = arena_calloc(arena, 1, 400);
    memset(banner, 'x', 399);
    cr_assert_eq(event("client.version", arena_printf(arena, "\"version\":\"%s\"", banner)).client_version.len,
                 LIMIT_BANNER_BYTES);
}

Test(cowrie_parse, hassh_is_given_or_computed)
{
    static const char lists[] = "\"kexAlgs\":[\"curve25519-sha256\",\"diffie-hellman-group14-sha256\"],\"encCS\":"
                                "[\"aes128-ctr\",\"aes256-ctr\"],\"macCS\":[\"hmac-sha2-256\"],\"compCS\":[\"none\","
                                "\"zlib@openssh.com\"]";
    static const char want[] = "3c22e3bfc2b8b121088e0bc23a380321";

    CowrieEvent e =
        event("client.kex", "\"hassh\":\"3C22E3BFC2B8B121088E0BC23A380321\",\"hasshAlgorithms\":\"a;b;c;d\"");
    cr_assert(equals(e.hassh, want) && equals(e.hassh_algorithms, "a;b;c;d"));
    e = event("client.kex", lists);
    cr_assert(equals(e.hassh, want), "MD5 of the four lists");
    e = event("client.version", arena_printf(arena, "\"version\":\"SSH-2.0-x\",%s", lists));
    cr_assert(equals(e.hassh, want), "old versions list them with the banner");
    cr_assert(equals(event("client.version", "\"version\":\"SSH-2.0-x\"").hassh, NULL));
    cr_assert(equals(event("client.kex", "\"hassh\":\"zz\"").hassh, NULL));
    cr_assert(equals(event("client.kex", "\"kexAlgs\":[\"a\"]").hassh, NULL));
}

Test(cowrie_parse, passwords_of_all_spellings_are_the_same_bytes)
{
    static const CowrieOptions yes = {.escapes = COWRIE_ESCAPES_YES}, no = {.escapes = COWRIE_ESCAPES_NO};
    static const struct {
        const CowrieOptions *options;
        const char *members, *b64, *printable;
    } rows[] = {
        {&plain, "\"password\":\"caf\xc3\xa9\"", "Y2Fmw6k=", "caf??"},
        {&plain, "\"src_port\":1,\"password\":\"caf\\\\xc3\\\\xa9\"", "Y2Fmw6k=", "caf??"},
        {&yes, "\"password\":\"caf\\\\xc3\\\\xa9\"", "Y2Fmw6k=", "caf??"},
        {&no, "\"src_port\":1,\"password\":\"a\\\\\\\\b\"", "YVxcYg==", "a\\\\b"},
        {&plain, "\"src_port\":1,\"password\":\"a\\\\\\\\b\"", "YVxi", "a\\b"},
        {&plain, "\"password\":\"b'caf\\\\xc3\\\\xa9'\"", "Y2Fmw6k=", "caf??"},
        {&plain, "\"password\":\"b'plain'\"", "YidwbGFpbic=", "b'plain'"},
        {&plain, "\"password\":\"b'\\\\x00\\\\n\\\\''\"", "AAon", "?\?'"},
        {&plain, "\"src_port\":1,\"password\":\"\\\\x4\\\\q\"", "XHg0XHE=", "\\x4\\q"},
        {&plain, "\"password\":\"\"", "", ""},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        CowrieEvent e = parse_with(rows[i].options,
                                   arena_printf(arena,
                                                "{\"eventid\":\"cowrie.login.failed\",\"session\":\"s\",\"src_ip\":"
                                                "\"192.0.2.1\",\"timestamp\":\"2026-05-10T08:25:01Z\",%s}",
                                                rows[i].members));
        cr_assert(e.credential.present);
        cr_assert(equals(e.credential.b64, rows[i].b64), "%s: " STR_FMT, rows[i].members, STR_ARG(e.credential.b64));
        cr_assert(equals(e.credential.printable, rows[i].printable), "%s", rows[i].members);
    }
    CowrieEvent e = event("login.failed", "\"username\":\"\",\"password\":\"\"");
    cr_assert_str_eq(e.credential.sha256, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    cr_assert(equals(e.credential.principal, NULL), "an empty name is no name");
    e = event("login.failed", "\"password\":\"caf\xc3\xa9\"");
    cr_assert_str_eq(e.credential.sha256, "850f7dc43910ff890f8879c0ed26fe697c93a067ad93a7d50f466a7028a9bf4e");
}

Test(cowrie_parse, long_secrets_are_hashed_whole_and_stored_clipped)
{
    char *password = arena_calloc(arena, 1, 4001), sha256[65];

    memset(password, 'p', 4000);
    CowrieEvent e =
        event("login.success", arena_printf(arena, "\"username\":\"%s\",\"password\":\"%s\"", password, password));
    Str decoded;
    sha256_hex(sha256, (Str){password, 4000});
    cr_assert_str_eq(e.credential.sha256, sha256);
    cr_assert_leq(e.credential.b64.len, LIMIT_SECRET_B64_BYTES);
    cr_assert(base64_decode(arena, e.credential.b64, &decoded), "what is left still decodes");
    cr_assert_eq(e.credential.printable.len, LIMIT_SECRET_PRINTABLE_BYTES);
    cr_assert_eq(e.credential.principal.len, LIMIT_PRINCIPAL_CHARS);
    cr_assert(e.login_ok);
}

Test(cowrie_parse, public_keys_are_credentials_of_their_own_kind)
{
    static const char members[] = "\"username\":\"git\",\"type\":\"ssh-ed25519\",\"fingerprint\":\"aa:bb\",\"key\":"
                                  "\"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 user@host\"";
    CowrieEvent e = event("client.fingerprint", members);

    cr_assert_eq(e.kind, COWRIE_KEY_OFFERED);
    cr_assert_str_eq(e.credential.kind, "ssh_publickey");
    cr_assert_eq(e.credential.outcome, OUTCOME_OBSERVED);
    cr_assert(equals(e.credential.b64, "AAAAC3NzaC1lZDI1NTE5") && equals(e.credential.key_fingerprint, "aa:bb"));
    cr_assert(str_starts(e.credential.printable, "SHA256:") && e.credential.printable.len == 7 + 43);
    cr_assert_str_eq(field(e.fields, "outcome"), "observed");
    cr_assert_str_eq(field(e.fields, "key_type"), "ssh-ed25519");
    e = event("login.success", members);
    cr_assert(e.kind == COWRIE_LOGIN && e.credential.present && e.credential.outcome == OUTCOME_SUCCESS);
    e = event("login.success", "\"username\":\"root\"");
    cr_assert(e.kind == COWRIE_LOGIN && !e.credential.present && equals(e.principal, "root"), "none authentication");
    cr_assert_str_eq(field(e.fields, "secret_kind"), "");
    cr_assert_not(event("login.failed", "\"key\":\"ssh-rsa !!!\"").credential.present);
    cr_assert_not(event("login.failed", "\"key\":\"ssh-rsa\"").credential.present);
}

Test(cowrie_parse, files)
{
    static const char sha[] = "04743a83336761d98a0d882c190d89c89e4f08364205412fa382639e6ec5e5f3";
    CowrieEvent e = event("session.file_download",
                          arena_printf(arena,
                                       "\"url\":\"http://203.0.113.80/x.sh\",\"outfile\":\"dl/%s\",\"shasum\":\"%s\","
                                       "\"destfile\":\"/tmp/x.sh\"",
                                       sha, sha));

    cr_assert(e.kind == COWRIE_FILE && !e.file.upload);
    cr_assert_str_eq(e.file.sha256, sha);
    cr_assert(equals(e.file.stored_as, sha) && equals(e.file.orig_path, "/tmp/x.sh"));
    cr_assert_str_eq(field(cowrie_fields(arena, &e, &e.sid, -1), "sid"), "8b5b4643-10c2-54f9-9f3e-a31e49d18554");
    cr_assert_str_eq(field(e.fields, "attribution"), "cowrie");
    e = event("session.file_download", arena_printf(arena, "\"shasum\":\"%s\",\"destfile\":\"\"", sha));
    cr_assert(e.kind == COWRIE_FILE && equals(e.file.url, NULL) && equals(e.file.orig_path, NULL));
    e = event("session.file_upload", arena_printf(arena, "\"filename\":\"sshd\",\"shasum\":\"%s\"", sha));
    cr_assert(e.kind == COWRIE_FILE && e.file.upload && equals(e.file.orig_path, "sshd"));
    cr_assert_str_eq(field(e.fields, "direction"), "upload");
    e = event("session.file_upload", arena_printf(arena, "\"destfile\":\"/root/a\",\"shasum\":\"%s\"", sha));
    cr_assert(equals(e.file.orig_path, "/root/a"));
    e = event("session.file_download.failed", "\"url\":\"http://203.0.113.80/x\",\"error\":\"refused\"");
    cr_assert(equals(e.file.url, "http://203.0.113.80/x") && e.file.sha256[0] == '\0');
    cr_assert_str_eq(field(e.fields, "error"), "refused");
}

Test(cowrie_parse, command_fields_name_session_and_ordinal)
{
    CowrieEvent e = event("command.input", "\"input\":\"uname -a\"");

    cr_assert(equals(cowrie_fields(arena, &e, &e.sid, 12),
                     "{\"command\":\"uname -a\",\"sid\":\"8b5b4643-10c2-54f9-9f3e-a31e49d18554\",\"cmd_id\":"
                     "\"8b5b4643-10c2-54f9-9f3e-a31e49d18554#12\"}"));
    e = event("command.failed", "\"input\":\"foo \"");
    cr_assert(equals(e.command, "foo"));
    cr_assert(equals(cowrie_fields(arena, &e, &e.sid, 3), "{\"command\":\"foo\"}"));
    e = event("command.input", "\"input\":\"\"");
    cr_assert(equals(e.fields, "{\"command\":\"\"}"));
}

Test(cowrie_parse, unknown_events_keep_their_scalars_as_text)
{
    CowrieEvent e =
        event("brand.new", "\"a\":1,\"b\":true,\"c\":2.5,\"d\":[1],\"e\":null,\"f\\\"\":\"x\",\"src_port\":7");

    cr_assert(equals(e.fields, "{\"a\":\"1\",\"b\":\"true\",\"c\":\"2.5\",\"f\\\"\":\"x\"}"));
    cr_assert(equals(event("session.params", "\"arch\":\"x\",\"message\":[]").msg, NULL));
}

Test(cowrie_parse, text_is_repaired_before_it_is_stored)
{
    CowrieEvent e = event("command.input", "\"input\":\"a\\u0000b\xff\",\"message\":\"m\\u0000\"");

    cr_assert(equals(e.command, "a\xef\xbf\xbd"
                                "b\xef\xbf\xbd"));
    cr_assert(equals(e.msg, "m\xef\xbf\xbd"));
    cr_assert_str_eq(field(e.fields, "command"), "a\xef\xbf\xbd"
                                                 "b\xef\xbf\xbd");
    cr_assert_null(memchr(e.raw_line.data, '\xff', e.raw_line.len));
}
