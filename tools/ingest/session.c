/* Session rows: state column, copies, events. */
#include "session.h"

#include <string.h>

#include "base/limits.h"

const char *session_reason_constant(Str reason)
{
    static const char *const reasons[] = {"closed", "idle", "eof"};

    for (size_t i = 0; i < ARRAY_SIZE(reasons); i++)
        if (str_eq_cstr(reason, reasons[i]))
            return reasons[i];
    return NULL;
}

const char *session_service_constant(Str service)
{
    return str_eq_cstr(service, "telnet") ? "telnet" : "ssh";
}

static void put_artifacts(JsonWriter *w, const SessionRow *row)
{
    json_key(w, "artifacts");
    json_begin_array(w);
    for (size_t i = 0; i < row->n_artifact_list; i++) {
        const SessionArtifact *a = &row->artifact_list[i];
        json_begin_object(w);
        json_put_cstr(w, "sha256", a->sha256);
        if (a->url.data)
            json_put_str(w, "url", a->url);
        if (a->orig_path.data)
            json_put_str(w, "orig_path", a->orig_path);
        json_end_object(w);
    }
    json_end_array(w);
}

/* Members at their starting value are left out: most rows have an empty state. */
Str session_state_encode(Arena *arena, const SessionRow *row)
{
    cleanup(buf_free) Buf buf = {0};
    JsonWriter w = {.buf = &buf};

    json_begin_object(&w);
    if (row->pending)
        json_put_bool(&w, "pending", true);
    if (row->login_at_us != TIME_NONE)
        json_put_time(&w, "login_at", row->login_at_us);
    if (row->tty_bytes)
        json_put_int(&w, "tty_bytes", row->tty_bytes);
    if (row->sensor_address.data)
        json_put_str(&w, "sensor_address", row->sensor_address);
    if (row->n_artifact_list)
        put_artifacts(&w, row);
    if (row->n_keys) {
        json_key(&w, "keys");
        json_begin_array(&w);
        for (size_t i = 0; i < row->n_keys; i++)
            json_value_str(&w, row->keys[i]);
        json_end_array(&w);
    }
    json_end_object(&w);
    return str_dup(arena, buf_str(&buf));
}

static void decode_artifacts(Arena *arena, json_object *list, SessionRow *ret)
{
    size_t n = list ? MIN(json_object_array_length(list), (size_t)LIMIT_SESSION_ARTIFACTS) : 0;
    SessionArtifact *items = arena_calloc(arena, n, sizeof(*items));

    for (size_t i = 0; i < n; i++) {
        json_object *element = json_object_array_get_idx(list, i);
        Str sha256 = json_get_str(element, "sha256");
        if (sha256.len != 64)
            continue;
        SessionArtifact *a = &items[ret->n_artifact_list++];
        memcpy(a->sha256, sha256.data, 64);
        a->url = str_dup(arena, json_get_str(element, "url"));
        a->orig_path = str_dup(arena, json_get_str(element, "orig_path"));
    }
    ret->artifact_list = items;
}

static void decode_keys(Arena *arena, json_object *list, SessionRow *ret)
{
    size_t n = list ? MIN(json_object_array_length(list), (size_t)LIMIT_SESSION_KEYS) : 0;
    Str *items = arena_calloc(arena, n, sizeof(*items));

    for (size_t i = 0; i < n; i++) {
        Str key = json_str(json_object_array_get_idx(list, i));
        if (key.len)
            items[ret->n_keys++] = str_dup(arena, key);
    }
    ret->keys = items;
}

bool session_state_decode(Arena *arena, Str json, SessionRow *ret)
{
    cleanup(json_putp) json_object *obj = json_parse(json);
    Str login_at = json_get_str(obj, "login_at");

    ret->pending = false;
    if (!json_get_bool(obj, "pending", &ret->pending))
        ret->pending = false;
    if (!login_at.data || time_parse(login_at, &ret->login_at_us, NULL) < 0)
        ret->login_at_us = TIME_NONE;
    if (!json_get_int(obj, "tty_bytes", &ret->tty_bytes))
        ret->tty_bytes = 0;
    ret->sensor_address = str_dup(arena, json_get_str(obj, "sensor_address"));
    ret->n_artifact_list = ret->n_keys = 0;
    decode_artifacts(arena, json_get_array(obj, "artifacts"), ret);
    decode_keys(arena, json_get_array(obj, "keys"), ret);
    return json_object_is_type(obj, json_type_object);
}

SessionRow session_row_dup(Arena *arena, const SessionRow *row)
{
    SessionRow copy = *row;
    Str *const texts[] = {&copy.sensor,         &copy.session, &copy.decky,      &copy.username,
                          &copy.client_version, &copy.hassh,   &copy.shard_path, &copy.sensor_address};

    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        *texts[i] = str_dup(arena, *texts[i]);
    SessionArtifact *artifacts = arena_calloc(arena, row->n_artifact_list, sizeof(*artifacts));
    for (size_t i = 0; i < row->n_artifact_list; i++) {
        artifacts[i] = row->artifact_list[i];
        artifacts[i].url = str_dup(arena, artifacts[i].url);
        artifacts[i].orig_path = str_dup(arena, artifacts[i].orig_path);
    }
    copy.artifact_list = artifacts;
    Str *keys = arena_calloc(arena, row->n_keys, sizeof(*keys));
    for (size_t i = 0; i < row->n_keys; i++)
        keys[i] = str_dup(arena, row->keys[i]);
    copy.keys = keys;
    return copy;
}

static Str sid_text(Arena *arena, const SessionRow *row)
{
    char *text = arena_alloc(arena, UUID_TEXT_BYTES);

    uuid_format(text, &row->sid);
    return str_from(text);
}

void session_row_event(Arena *arena, const SessionRow *row, const Uuid *attacker_uuid, SessionEnded *ret)
{
    EventArtifact *artifacts = arena_calloc(arena, row->n_artifact_list, sizeof(*artifacts));

    for (size_t i = 0; i < row->n_artifact_list; i++)
        artifacts[i] = (EventArtifact){.sha256 = str_from(row->artifact_list[i].sha256),
                                       .url = row->artifact_list[i].url,
                                       .orig_path = row->artifact_list[i].orig_path};
    *ret = (SessionEnded){
        .session_id = sid_text(arena, row),
        .attacker_uuid = *attacker_uuid,
        .has_attacker_uuid = true,
        .decky_id = row->decky,
        .service = str_from(row->service),
        .started_at_us = row->started_at_us,
        .ended_at_us = row->ended_at_us,
        .duration_s = MAX(row->duration_s, 0.0),
        .shard_path = row->shard_path,
        .part = 1,
        .parts = 1,
        .schema = STR("cowrie/1"),
        .protocol = str_from(row->service),
        .ended_reason = str_from(row->ended_reason),
        .login_username = row->username,
        .login_outcome = row->login_ok         ? STR("success")
                         : row->login_attempts ? STR("failure")
                                               : STR("none"),
        .login_attempts = row->login_attempts,
        .login_at_us = row->login_at_us,
        .client_version = row->client_version,
        .client_hassh = row->hassh,
        .src_port = row->src_port,
        .request_count = row->forwards,
        .artifacts = artifacts,
        .n_artifacts = row->n_artifact_list,
    };
    ret->source_id = ret->session_id;
    memcpy(ret->attacker_ip, row->src_ip, sizeof(ret->attacker_ip));
}

EventCommand session_row_command(Arena *arena, const SessionRow *row, int64_t ordinal, int64_t time_us, Str text,
                                 bool errored)
{
    Str sid = sid_text(arena, row);

    return (EventCommand){
        .text = text,
        .source_id = str_from(arena_printf(arena, STR_FMT "#%lld", STR_ARG(sid), (long long)ordinal)),
        .index = (size_t)ordinal,
        .ts_us = time_us,
        .decky_id = row->decky,
        .user = row->username,
        .src = str_from(row->src_ip),
        .errored = errored,
    };
}
