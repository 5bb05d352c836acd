/* The mapping of Cowrie events: who it was, where, which row of `logs` it becomes, and what it says beyond that. */
#include "cowrie.h"

#include <math.h>
#include <openssl/evp.h>
#include <string.h>

#include "base/limits.h"
#include "secret.h"

enum {
    FIELDS_RESERVE_BYTES = 256, /* left for sid and cmd_id, which are added when the session is known */
    FORWARD_DATA_BYTES = 2048,
    EVENT_TYPE_BYTES = 64,
    SCALARS_MAX = 64, /* attributes copied from an event of a kind that we do not know */
};

/* Work on one line. */
typedef struct Line {
    Arena *arena;
    const CowrieOptions *options;
    json_object *obj;
    CowrieEvent *ev;
    Buf fields;
    JsonWriter writer;
} Line;

const char *cowrie_reject_name(CowrieReject reject)
{
    static const char *const names[COWRIE_REJECTS] = {"ok",         "too_long", "not_json",  "no_eventid",
                                                      "no_session", "bad_time", "no_address"};
    return (size_t)reject < COWRIE_REJECTS ? names[reject] : "unknown";
}

const char *credential_outcome_name(CredentialOutcome outcome)
{
    static const char *const names[] = {"observed", "failure", "success"};
    return names[outcome];
}

/* --- text of a line --- */

/* Repaired, clipped, in the arena; absent stays absent. */
static Str own(Arena *arena, Str s, size_t max_bytes)
{
    return s.data ? str_dup(arena, text_clip(text_sanitize(arena, s), max_bytes)) : s;
}

static Str member_text(const Line *l, const char *key, size_t max_bytes)
{
    return own(l->arena, json_get_str(l->obj, key), max_bytes);
}

/* The same, with the empty text as absent: versions differ in writing "" or leaving the member out. */
static Str member_filled(const Line *l, const char *key, size_t max_bytes)
{
    Str s = member_text(l, key, max_bytes);
    return s.len ? s : (Str){0};
}

/* Any scalar as text; absent for null, lists and objects. */
static Str scalar_text(const Line *l, json_object *value, size_t max_bytes)
{
    switch (json_object_get_type(value)) {
    case json_type_string:
        return own(l->arena, json_str(value), max_bytes);
    case json_type_int:
    case json_type_double:
    case json_type_boolean:
        return own(l->arena, str_from(json_object_get_string(value)), max_bytes);
    default:
        return (Str){0};
    }
}

/* --- fields --- */

static void put_field(Line *l, const char *key, Str value)
{
    const size_t room = LIMIT_FIELDS_BYTES - FIELDS_RESERVE_BYTES;
    size_t start = l->fields.len, overhead = strlen(key) + 8;
    JsonWriter before = l->writer;

    if (!value.data || start + overhead >= room)
        return;
    json_key(&l->writer, key);
    json_value_str(&l->writer, value);
    if (l->fields.len <= room)
        return;
    l->fields.len = start; /* too long: again, so short that it fits however it is escaped */
    l->writer = before;
    json_key(&l->writer, key);
    json_value_str(&l->writer, text_clip(value, (room - start - overhead) / 6));
}

static void put_scalar(Line *l, const char *key, const char *member)
{
    put_field(l, key, scalar_text(l, json_member(l->obj, member), LIMIT_NAME_BYTES));
}

static void fields_begin(Line *l)
{
    l->writer = (JsonWriter){.buf = &l->fields};
    json_begin_object(&l->writer);
}

static Str fields_end(Line *l)
{
    json_end_object(&l->writer);
    return str_dup(l->arena, buf_str(&l->fields));
}

Str cowrie_fields(Arena *arena, const CowrieEvent *event, const Uuid *sid, int64_t ordinal)
{
    char sid_text[UUID_TEXT_BYTES];
    const char *comma = event->fields.len > 2 ? "," : "";

    if (!event->fields_want_sid)
        return event->fields;
    uuid_format(sid_text, sid);
    Str open = {event->fields.data, event->fields.len - 1}; /* without its '}' */
    if (ordinal < 0)
        return str_from(arena_printf(arena, STR_FMT "%s\"sid\":\"%s\"}", STR_ARG(open), comma, sid_text));
    return str_from(arena_printf(arena, STR_FMT "%s\"sid\":\"%s\",\"cmd_id\":\"%s#%lld\"}", STR_ARG(open), comma,
                                 sid_text, sid_text, (long long)ordinal));
}

/* --- one function per kind of event --- */

static int64_t port_of(const Line *l, const char *key)
{
    int64_t port;
    return json_get_int(l->obj, key, &port) && port >= 0 && port <= 65535 ? port : -1;
}

static void map_connect(Line *l)
{
    char address[IP_TEXT_BYTES];
    int64_t port = port_of(l, "dst_port");

    l->ev->kind = COWRIE_CONNECT;
    l->ev->src_port = port_of(l, "src_port");
    if (ip_canonical(json_get_str(l->obj, "dst_ip"), address))
        l->ev->sensor_address = str_dup(l->arena, str_from(address));
    if (port == 23 || port == 2223)
        l->ev->service_hint = "telnet";
    put_scalar(l, "src_port", "src_port");
    put_scalar(l, "dst_ip", "dst_ip");
    put_scalar(l, "dst_port", "dst_port");
    l->ev->fields_want_sid = true;
}

/* Seconds: a number up to 2.6, text up to 3.0.3, whole milliseconds since; -1 when there is none. */
static double duration_of(const Line *l)
{
    double s;
    int64_t ms;

    if (json_get_int(l->obj, "duration_ms", &ms) && ms >= 0)
        return (double)ms / 1000;
    if (!json_get_double(l->obj, "duration", &s) && !text_to_double(text_trim(json_get_str(l->obj, "duration")), &s))
        return -1;
    return s >= 0 ? s : -1;
}

static void map_closed(Line *l)
{
    l->ev->kind = COWRIE_CLOSED;
    l->ev->duration_s = duration_of(l);
    if (l->ev->duration_s >= 0)
        put_field(l, "duration_s", str_from(arena_printf(l->arena, "%.3f", l->ev->duration_s)));
}

static void append_list(Buf *buf, json_object *list)
{
    for (size_t i = 0; i < json_object_array_length(list); i++) {
        if (i)
            buf_add_char(buf, ',');
        buf_add_str(buf, json_str(json_object_array_get_idx(list, i)));
    }
}

/* kex;enc;mac;comp, each list joined with ','; absent unless all four are there. */
static Str algorithms_of_lists(const Line *l)
{
    static const char *const keys[] = {"kexAlgs", "encCS", "macCS", "compCS"};
    cleanup(buf_free) Buf buf = {0};

    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        json_object *list = json_get_array(l->obj, keys[i]);
        if (!list)
            return (Str){0};
        if (i)
            buf_add_char(&buf, ';');
        append_list(&buf, list);
    }
    return str_dup(l->arena, buf_str(&buf));
}

/* HASSH is defined over MD5; nothing depends on its strength. */
static Str md5_hex(Arena *arena, Str bytes)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int n = 0;
    char *text = arena_alloc(arena, 2 * sizeof(digest) + 1);

    if (EVP_Digest(bytes.data, bytes.len, digest, &n, EVP_md5(), NULL) != 1)
        return (Str){0}; /* a host that forbids MD5 has no HASSH of old logs */
    hex_encode(text, digest, n);
    return (Str){text, 2 * (size_t)n};
}

/* @n hex digits in lower case, absent when the member is not that. */
static Str hex_member(const Line *l, const char *key, size_t n_digits)
{
    uint8_t bytes[32];
    Str text = json_get_str(l->obj, key);

    if (!hex_decode(bytes, text, n_digits / 2))
        return (Str){0};
    char *out = arena_alloc(l->arena, n_digits + 1);
    hex_encode(out, bytes, n_digits / 2);
    return (Str){out, n_digits};
}

static void take_hassh(Line *l)
{
    Str algorithms = json_get_str(l->obj, "hasshAlgorithms");

    if (!algorithms.len)
        algorithms = algorithms_of_lists(l);
    l->ev->hassh = hex_member(l, "hassh", 32);
    if (!l->ev->hassh.data && algorithms.len)
        l->ev->hassh = md5_hex(l->arena, algorithms);
    l->ev->hassh_algorithms = own(l->arena, algorithms, LIMIT_EVIDENCE_STRING_BYTES);
}

static void map_version(Line *l)
{
    Str version = text_trim(python_bytes_content(json_get_str(l->obj, "version")));

    l->ev->kind = COWRIE_VERSION;
    l->ev->client_version = own(l->arena, version, LIMIT_BANNER_BYTES);
    if (!str_starts(version, "SSH-"))
        l->ev->event_type = STR("unknown_banner");
    put_field(l, "banner", l->ev->client_version);
    if (json_get_array(l->obj, "kexAlgs"))
        take_hassh(l);
}

static void map_kex(Line *l)
{
    l->ev->kind = COWRIE_KEX;
    take_hassh(l);
    put_field(l, "hassh", l->ev->hassh);
    put_field(l, "hassh_algorithms", l->ev->hassh_algorithms);
}

static bool escaped(const Line *l)
{
    return l->options->escapes == COWRIE_ESCAPES_AUTO ? json_member(l->obj, "src_port") != NULL
                                                      : l->options->escapes == COWRIE_ESCAPES_YES;
}

static void put_credential_fields(Line *l, CredentialOutcome outcome)
{
    const CowrieCredential *c = &l->ev->credential;
    bool key = c->present && c->key_type.data;

    put_field(l, "principal", l->ev->principal);
    if (c->present) {
        put_field(l, "secret_kind", str_from(c->kind));
        put_field(l, "secret_b64", c->b64);
    }
    if (key) {
        put_field(l, "key_type", c->key_type);
        put_field(l, "fingerprint", c->key_fingerprint);
    } else if (c->present) {
        put_field(l, "secret_printable", c->printable);
    }
    put_field(l, "outcome", str_from(credential_outcome_name(outcome)));
}

static void map_key_offered(Line *l)
{
    Str username = json_get_str(l->obj, "username");

    l->ev->principal = credential_principal(l->arena, username, escaped(l));
    l->ev->credential = credential_from_key(l->arena, username, json_get_str(l->obj, "key"),
                                            json_get_str(l->obj, "fingerprint"), escaped(l), OUTCOME_OBSERVED);
    l->ev->kind = l->ev->credential.present ? COWRIE_KEY_OFFERED : COWRIE_OTHER;
    put_credential_fields(l, OUTCOME_OBSERVED);
}

static void map_login(Line *l, CredentialOutcome outcome)
{
    Str username = json_get_str(l->obj, "username"), password = json_get_str(l->obj, "password");

    l->ev->kind = COWRIE_LOGIN;
    l->ev->login_ok = outcome == OUTCOME_SUCCESS;
    l->ev->principal = credential_principal(l->arena, username, escaped(l));
    if (password.data)
        l->ev->credential = credential_from_password(l->arena, username, password, escaped(l), outcome);
    else
        l->ev->credential = credential_from_key(l->arena, username, json_get_str(l->obj, "key"),
                                                json_get_str(l->obj, "fingerprint"), escaped(l), outcome);
    put_credential_fields(l, outcome);
}

static void map_login_failed(Line *l)
{
    map_login(l, OUTCOME_FAILURE);
}

static void map_login_success(Line *l)
{
    map_login(l, OUTCOME_SUCCESS);
}

/* Text typed into a program: may be a password, is never numbered and never tagged. */
static void map_stdin(Line *l)
{
    l->ev->event_type = STR("stdin");
    put_scalar(l, "realm", "realm");
    put_field(l, "input", member_text(l, "input", LIMIT_COMMAND_BYTES));
}

static void map_command(Line *l)
{
    Str whole = text_sanitize(l->arena, json_get_str(l->obj, "input"));

    if (json_member(l->obj, "realm")) {
        map_stdin(l);
        return;
    }
    if (!text_trim(whole).len) {
        l->ev->event_type = STR("input");
        put_field(l, "command", STR(""));
        return;
    }
    l->ev->kind = COWRIE_COMMAND;
    l->ev->command = own(l->arena, whole, LIMIT_COMMAND_BYTES);
    l->ev->command_truncated = l->ev->command.len < whole.len;
    put_field(l, "command", l->ev->command);
    l->ev->fields_want_sid = true;
}

static void map_command_failed(Line *l)
{
    l->ev->command = text_trim(member_text(l, "input", LIMIT_COMMAND_BYTES));
    l->ev->kind = l->ev->command.len ? COWRIE_COMMAND_FAILED : COWRIE_OTHER;
    put_field(l, "command", l->ev->command);
}

static void map_command_success(Line *l)
{
    if (json_member(l->obj, "realm"))
        map_stdin(l);
    else
        put_field(l, "command", member_text(l, "input", LIMIT_COMMAND_BYTES));
}

static Str base_name(Str path)
{
    const char *slash = path.len ? memrchr(path.data, '/', path.len) : NULL;
    return slash ? (Str){slash + 1, path.len - (size_t)(slash + 1 - path.data)} : path;
}

/* A transfer that stored nothing. */
static void map_fetch_failed(Line *l)
{
    l->ev->kind = COWRIE_FETCH_FAILED;
    l->ev->event_type = STR("download_attempt");
    l->ev->file.url = member_filled(l, "url", LIMIT_URL_BYTES);
    put_field(l, "url", l->ev->file.url);
    put_scalar(l, "error", "error");
}

static void map_file(Line *l, bool upload)
{
    CowrieFile *f = &l->ev->file;
    Str sha256 = hex_member(l, "shasum", 64);

    l->ev->kind = COWRIE_FILE;
    f->upload = upload;
    assert(sha256.data && sha256.len == sizeof(f->sha256) - 1); /* what made this line a file */
    memcpy(f->sha256, sha256.data, sizeof(f->sha256));
    f->stored_as = base_name(member_filled(l, "outfile", LIMIT_URL_BYTES));
    f->orig_path = upload ? member_filled(l, "filename", LIMIT_URL_BYTES) : (Str){0};
    if (!f->orig_path.data)
        f->orig_path = member_filled(l, "destfile", LIMIT_URL_BYTES);
    f->url = member_filled(l, "url", LIMIT_URL_BYTES);
    put_field(l, "stored_as", f->stored_as);
    put_field(l, "sha256", sha256);
    put_field(l, "orig_path", f->orig_path);
    put_field(l, "url", f->url);
    if (upload)
        put_field(l, "direction", STR("upload"));
    put_field(l, "attribution", STR("cowrie"));
    l->ev->fields_want_sid = true;
}

static void map_download(Line *l)
{
    if (hex_member(l, "shasum", 64).data)
        map_file(l, false);
    else
        map_fetch_failed(l);
}

static void map_upload(Line *l)
{
    if (hex_member(l, "shasum", 64).data) {
        map_file(l, true);
        return;
    }
    l->ev->event_type = STR("upload_attempt");
    put_scalar(l, "filename", "filename");
}

static void map_forward(Line *l)
{
    l->ev->kind = COWRIE_FORWARD;
    put_scalar(l, "dst_host", "dst_ip");
    put_scalar(l, "dst_port", "dst_port");
    put_scalar(l, "orig_ip", "orig_ip");
    put_scalar(l, "orig_port", "orig_port");
}

static void map_forward_data(Line *l)
{
    put_scalar(l, "dst_host", "dst_ip");
    put_scalar(l, "dst_port", "dst_port");
    put_field(l, "data", member_text(l, "data", FORWARD_DATA_BYTES));
}

static void map_forward_fingerprint(Line *l, const char *member, Str fingerprint_type)
{
    l->ev->fingerprint_type = fingerprint_type;
    l->ev->fingerprint = member_filled(l, member, LIMIT_NAME_BYTES);
    l->ev->kind = l->ev->fingerprint.data ? COWRIE_FORWARD_FINGERPRINT : COWRIE_OTHER;
    put_scalar(l, "dst_ip", "dst_ip");
    put_scalar(l, "dst_port", "dst_port");
    put_field(l, member, l->ev->fingerprint);
}

static void map_ja4(Line *l)
{
    map_forward_fingerprint(l, "ja4", STR("ja4_forwarded"));
}

static void map_ja4h(Line *l)
{
    map_forward_fingerprint(l, "ja4h", STR("ja4h_forwarded"));
}

static void map_tty_log(Line *l)
{
    l->ev->tty_log = member_filled(l, "ttylog", LIMIT_NAME_BYTES);
    l->ev->kind = l->ev->tty_log.data ? COWRIE_TTY_LOG : COWRIE_OTHER;
    if (!json_get_int(l->obj, "size", &l->ev->tty_bytes) || l->ev->tty_bytes < 0)
        l->ev->tty_bytes = 0;
    put_field(l, "ttylog", l->ev->tty_log);
    put_scalar(l, "size", "size");
    put_field(l, "sha256", hex_member(l, "shasum", 64));
}

static bool is_common_attribute(const char *key)
{
    static const char *const common[] = {"eventid",  "message", "sensor",   "uuid",   "timestamp",
                                         "session",  "src_ip",  "protocol", "system", "isError",
                                         "src_port", "dst_ip",  "dst_port", "late",   "time"};

    for (size_t i = 0; i < ARRAY_SIZE(common); i++)
        if (strcmp(key, common[i]) == 0)
            return true;
    return false;
}

/* Whatever scalar attributes there are beyond those of every event. */
static void map_scalars(Line *l)
{
    int n = 0;

    json_object_object_foreach (l->obj, key, value) {
        Str text = is_common_attribute(key) ? (Str){0} : scalar_text(l, value, LIMIT_FIELDS_BYTES);
        if (!text.data || ++n > SCALARS_MAX)
            continue;
        cleanup(buf_free) Buf name = {0};
        json_append_string(&name, text_clip(str_from(key), LIMIT_NAME_BYTES));
        name.data[name.len - 1] = '\0'; /* the writer puts the quotes */
        put_field(l, name.data + 1, text);
    }
}

typedef struct Mapping {
    const char *eventid;    /* without "cowrie." */
    const char *event_type; /* NULL: the eventid with '_' for '.' */
    void (*map)(Line *l);
} Mapping;

static const Mapping mappings[] = {
    {"session.connect", "connect", map_connect},
    {"session.closed", "disconnect", map_closed},
    {"client.version", "ssh_client_banner", map_version},
    {"client.kex", "ssh_kex", map_kex},
    {"client.fingerprint", "auth_attempt", map_key_offered},
    {"login.failed", "auth_attempt", map_login_failed},
    {"login.success", "auth_attempt", map_login_success},
    {"command.input", "command", map_command},
    {"command.failed", "command_failed", map_command_failed},
    {"command.success", "command_success", map_command_success},
    {"session.input", "stdin", map_stdin},
    {"session.file_download", "file_captured", map_download},
    {"session.file_download.failed", "download_attempt", map_fetch_failed},
    {"session.file_upload", "file_captured", map_upload},
    {"direct-tcpip.request", "proxy_request", map_forward},
    {"direct-tcpip.data", "proxy_data", map_forward_data},
    {"direct-tcpip.ja4", "proxy_fingerprint", map_ja4},
    {"direct-tcpip.ja4h", "proxy_fingerprint", map_ja4h},
    {"log.closed", "tty_log", map_tty_log},
};

/* Events that we know and that mean nothing beyond their log row; a trailing '.' takes a whole family. */
static const char *const plain_events[] = {
    "session.params",
    "client.size",
    "client.var",
    "log.open",
    "direct-tcpip.redirect",
    "direct-tcpip.tunnel",
    "telnet.",
    "virustotal.",
    "greynoise.",
    "reversedns.",
    "urlhaus.",
    "abuseipdb.",
};

static bool is_plain_event(Str name)
{
    for (size_t i = 0; i < ARRAY_SIZE(plain_events); i++) {
        size_t n = strlen(plain_events[i]);
        if (plain_events[i][n - 1] == '.' ? str_starts(name, plain_events[i]) : str_eq_cstr(name, plain_events[i]))
            return true;
    }
    return false;
}

/* "telnet.exploit_attempt" → "telnet_exploit_attempt"; with @prefix before it. */
static Str type_of_eventid(Arena *arena, const char *prefix, Str name)
{
    char *text = arena_printf(arena, "%s" STR_FMT, prefix, STR_ARG(text_clip(name, EVENT_TYPE_BYTES)));

    for (char *p = text; *p; p++) {
        if (*p >= 'A' && *p <= 'Z')
            *p = (char)(*p - 'A' + 'a');
        else if (!(*p >= 'a' && *p <= 'z') && !(*p >= '0' && *p <= '9'))
            *p = '_';
    }
    return str_from(text);
}

static void map_event(Line *l, Str eventid)
{
    Str name = eventid;

    if (str_starts(name, "cowrie."))
        name = (Str){name.data + strlen("cowrie."), name.len - strlen("cowrie.")};
    l->ev->kind = COWRIE_OTHER;
    for (size_t i = 0; i < ARRAY_SIZE(mappings); i++) {
        if (str_eq_cstr(name, mappings[i].eventid)) {
            l->ev->event_type = str_from(mappings[i].event_type);
            mappings[i].map(l);
            return;
        }
    }
    l->ev->event_type = type_of_eventid(l->arena, is_plain_event(name) ? "" : "unknown_", name);
    map_scalars(l);
}

/* --- whose event it is --- */

Str cowrie_decky_name(Arena *arena, const CowrieOptions *options, Str sensor)
{
    enum { DECKY_BYTES = 63 };

    for (size_t i = 0; i < options->n_decky_map; i++)
        if (str_eq(options->decky_map[i].sensor, sensor))
            return options->decky_map[i].decky;
    char *name = arena_memdup(arena, sensor.data, sensor.len);
    for (size_t i = 0; i < sensor.len; i++) {
        char c = name[i];
        if (c >= 'A' && c <= 'Z')
            name[i] = (char)(c - 'A' + 'a');
        else if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9'))
            name[i] = '-';
    }
    Str s = {name, sensor.len};
    while (s.len && s.data[0] == '-')
        s = (Str){s.data + 1, s.len - 1};
    s.len = MIN(s.len, (size_t)DECKY_BYTES);
    return s.len ? s : STR("unknown");
}

Uuid cowrie_session_id(Str sensor, const char *ip, Str session)
{
    return uuid_v5_joined(&UUID_NS_SESSION, (Str[]){STR("cowrie"), sensor, str_from(ip), session}, 4);
}

static Str protocol_of(const Line *l)
{
    Str protocol = json_get_str(l->obj, "protocol");
    return str_eq_cstr(protocol, "ssh") ? STR("ssh") : str_eq_cstr(protocol, "telnet") ? STR("telnet") : (Str){0};
}

static const char *service_hint_of(const Line *l)
{
    Str system = json_get_str(l->obj, "system");
    return system.len && memmem(system.data, system.len, "elnet", strlen("elnet")) ? "telnet" : "ssh";
}

/* Session, time and address, or why the line cannot be placed. */
static CowrieReject place_event(Line *l)
{
    Str session = json_get_str(l->obj, "session");

    if (!session.len || session.len > LIMIT_NAME_BYTES)
        return COWRIE_NO_SESSION;
    if (time_parse(json_get_str(l->obj, "timestamp"), &l->ev->time_us, &l->ev->time_without_offset) < 0)
        return COWRIE_BAD_TIME;
    if (!ip_canonical(json_get_str(l->obj, "src_ip"), l->ev->ip))
        return COWRIE_NO_ADDRESS;
    l->ev->session = own(l->arena, session, LIMIT_NAME_BYTES);
    l->ev->sensor = member_text(l, "sensor", LIMIT_NAME_BYTES);
    if (!l->ev->sensor.data)
        l->ev->sensor = STR("");
    l->ev->sid = cowrie_session_id(l->ev->sensor, l->ev->ip, l->ev->session);
    l->ev->decky = cowrie_decky_name(l->arena, l->options, l->ev->sensor);
    l->ev->protocol = protocol_of(l);
    l->ev->service_hint = service_hint_of(l);
    return COWRIE_OK;
}

static Str without_line_end(Str line)
{
    if (line.len && line.data[line.len - 1] == '\n')
        line.len--;
    if (line.len && line.data[line.len - 1] == '\r')
        line.len--;
    return line;
}

CowrieReject cowrie_parse(Arena *arena, const CowrieOptions *options, Str line, CowrieEvent *ret)
{
    CowrieEvent event = {.src_port = -1, .duration_s = -1};
    Line l = {.arena = arena, .options = options, .ev = &event};

    line = without_line_end(line);
    if (line.len > LIMIT_LINE_BYTES)
        return COWRIE_TOO_LONG;
    cleanup(json_putp) json_object *obj = json_parse(line);
    if (!json_object_is_type(obj, json_type_object))
        return COWRIE_NOT_JSON;
    l.obj = obj;
    Str eventid = json_get_str(obj, "eventid");
    if (!eventid.len)
        return COWRIE_NO_EVENTID;
    CowrieReject reject = place_event(&l);
    if (reject != COWRIE_OK)
        return reject;

    event.log_id = uuid_v5(&UUID_NS_LOG, line);
    event.raw_line = own(arena, line, SIZE_MAX);
    event.msg = member_text(&l, "message", LIMIT_LINE_BYTES);
    fields_begin(&l);
    map_event(&l, eventid);
    event.fields = fields_end(&l);
    buf_free(&l.fields);
    *ret = event;
    return COWRIE_OK;
}
