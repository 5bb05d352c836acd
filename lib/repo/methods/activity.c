/* What one attacker did: commands, artifacts, transcripts, mail, leaks. An unknown attacker did nothing. */
#include "methods.h"

/* logs and bounty know an attacker by address. */
#define IP_OF_ATTACKER "(SELECT ip FROM attackers WHERE uuid = $1)"

/* --- log lines --- */

/* Newest first, as ix_logs_attacker_ip has them, and no more than a person looks through: these lists have no pages. */
#define NEWEST_LOGS(event_type_)                                                                                       \
    "SELECT * FROM logs WHERE attacker_ip = " IP_OF_ATTACKER " AND event_type = '" event_type_ "'"                     \
    " ORDER BY \"timestamp\" DESC, id DESC LIMIT 200"

METHOD(get_attacker_stored_mail, .params = {{"uuid", PARAM_UUID, .required = true}}, .returns = "list[row(logs)]",
       .shape = METHOD_ROWS, .statement.sql = NEWEST_LOGS("message_stored"));

METHOD(get_attacker_artifacts, .params = {{"uuid", PARAM_UUID, .required = true}}, .returns = "list[row(logs)]",
       .shape = METHOD_ROWS, .statement.sql = NEWEST_LOGS("file_captured"));

METHOD(get_attacker_transcripts, .params = {{"uuid", PARAM_UUID, .required = true}}, .returns = "list[row(logs)]",
       .shape = METHOD_ROWS, .statement.sql = NEWEST_LOGS("session_recorded"));

/* The index holds the head of the id only, as an entry of it must not outgrow a page; the whole is compared too. */
METHOD(get_session_log, .params = {{"sid", PARAM_TEXT, .required = true}}, .returns = "row(logs)?", .shape = METHOD_ROW,
       .statement.sql = "SELECT * FROM logs WHERE event_type = 'session_recorded'"
                        " AND left(fields ->> 'sid', 128) = left($1, 128) AND fields ->> 'sid' = $1"
                        " ORDER BY \"timestamp\" DESC, id DESC LIMIT 1");

static void write_pair(const PGresult *r, int row, JsonWriter *w)
{
    json_begin_array(w);
    json_value_str(w, res_str(r, row, 0));
    json_value_str(w, res_str(r, row, 1));
    json_end_array(w);
}

METHOD(get_attacker_service_activity, .params = {{"attacker_uuid", PARAM_UUID, .required = true}},
       .returns = "list[[service, event_type]]", .shape = METHOD_ROWS,
       .statement.sql = "SELECT service, event_type FROM logs WHERE attacker_ip = " IP_OF_ATTACKER
                        " GROUP BY service, event_type ORDER BY service COLLATE \"C\", event_type COLLATE \"C\"",
       .write_row = write_pair);

/* --- commands --- */

/* Entries (e, at place n) of attacker $1; what is no list, and what is no object in it, has nothing to say. */
#define COMMANDS_OF_ATTACKER                                                                                           \
    " FROM attackers a, jsonb_array_elements(CASE WHEN jsonb_typeof(a.commands) = 'array' THEN a.commands"             \
    "  ELSE '[]' END) WITH ORDINALITY AS t (e, n) WHERE a.uuid = $1 AND jsonb_typeof(e) = 'object'"

METHOD(get_attacker_commands,
       .params = {{"uuid", PARAM_UUID, .required = true},
                  {"limit", PARAM_LIMIT, .standard = "50"},
                  {"offset", PARAM_COUNT, .standard = "0"},
                  {"service", PARAM_FILTER, .nullable = true}},
       .returns = "{total, data}", .shape = METHOD_ROW,
       .statement.sql = "SELECT count(*) AS total,"
                        "  COALESCE(jsonb_agg(e ORDER BY k) FILTER (WHERE k > $3 AND k - $3 <= $2), '[]') AS data"
                        " FROM (SELECT e, row_number() OVER (ORDER BY n) AS k" COMMANDS_OF_ATTACKER
                        "  AND ($4::text IS NULL OR e -> 'service' = to_jsonb($4::text))) s");

static void write_first(const PGresult *r, int row, JsonWriter *w)
{
    res_write_value(r, row, 0, w);
}

METHOD(list_attacker_commands_deduped, .params = {{"uuid", PARAM_UUID, .required = true}}, .returns = "list[str]",
       .shape = METHOD_ROWS,
       .statement.sql =
           "SELECT command FROM (SELECT n, btrim((SELECT v #>> '{}'"
           "   FROM (VALUES (1, e -> 'command_text'), (2, e -> 'command')) AS k (i, v)"
           "   WHERE v NOT IN ('null', '\"\"', '0', 'false', '[]', '{}') ORDER BY i LIMIT 1), E' \\t\\n\\r\\f\\v')"
           "  AS command" COMMANDS_OF_ATTACKER ") s WHERE command <> '' GROUP BY command ORDER BY min(n)",
       .write_row = write_first);

/* --- leaked addresses --- */

#define LEAKS_OF_ATTACKER " FROM bounty WHERE attacker_ip = " IP_OF_ATTACKER " AND bounty_type = 'ip_leak'"

/* A payload that was no JSON is stored as a string. */
METHOD(get_attacker_ip_leaks,
       .params = {{"attacker_uuid", PARAM_UUID, .required = true}, {"limit", PARAM_LIMIT, .standard = "10"}},
       .returns = "list[row(bounty)]", .shape = METHOD_ROWS,
       .statement.sql =
           "SELECT id, \"timestamp\", decky, service, attacker_ip, bounty_type,"
           "  CASE WHEN jsonb_typeof(payload) = 'string' THEN '{}' ELSE payload END AS payload" LEAKS_OF_ATTACKER
           " ORDER BY \"timestamp\" DESC, id DESC LIMIT $2");

METHOD(count_attacker_ip_leaks, .params = {{"attacker_uuid", PARAM_UUID, .required = true}}, .returns = "int",
       .shape = METHOD_SCALAR, .statement.sql = "SELECT count(*)" LEAKS_OF_ATTACKER);
