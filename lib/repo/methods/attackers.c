/* Methods on attackers. */
#include "repo/attackers.h"

#include "methods.h"

static const Column columns[] = {{"ip", COLUMN_IP, COLUMN_REQUIRED, 0},
                                 {"first_seen", COLUMN_TIME, 0, 0},
                                 {"last_seen", COLUMN_TIME, 0, 0},
                                 ATTACKER_COLUMNS(UPSERT_ROW_COLUMN)};

static int upsert_attacker(MethodCall *call, JsonWriter *w)
{
    cleanup(json_putp) json_object *o = NULL;
    json_object *value;
    AttackerRow row = {0};
    uint64_t given = 0;
    Uuid uuid;

    int r = data_object(call, 0, columns, ARRAY_SIZE(columns), &o);
    if (r != 0)
        return r;
    row.ip = json_get_str(o, "ip");
    row.first_seen = data_time(json_member(o, "first_seen"));
    row.last_seen = data_time(json_member(o, "last_seen"));
    given |= row.first_seen != TIME_NONE ? ATTACKER_FIRST_SEEN : 0;
    given |= row.last_seen != TIME_NONE ? ATTACKER_LAST_SEEN : 0;
    ATTACKER_COLUMNS(ROW_READ)
    r = attackers_upsert(call->repo, &row, 1, given, &uuid);
    if (r == 0)
        method_write_uuid(w, &uuid);
    return r;
}

/* $3 search, $5 service */
#define ATTACKER_FILTER(search, service)                                                                               \
    " WHERE (" search "::text IS NULL OR strpos(lower(ip), lower(" search ")) > 0)"                                    \
    " AND (" service "::text IS NULL OR services @> to_jsonb(" service "::text))"

METHOD(upsert_attacker, .params = {{"data", PARAM_OBJECT, .required = true}}, .returns = "uuid", .writes = true,
       .run = upsert_attacker);

METHOD(get_attacker_by_uuid, .params = {{"uuid", PARAM_UUID, .required = true}}, .returns = "row(attackers)?",
       .shape = METHOD_ROW, .statement.sql = "SELECT * FROM attackers WHERE uuid = $1");

METHOD(get_attacker_uuid_by_ip, .params = {{"ip", PARAM_IP, .required = true}}, .returns = "uuid?",
       .shape = METHOD_SCALAR, .statement.sql = "SELECT uuid FROM attackers WHERE ip = $1");

METHOD(get_attackers,
       .params = {{"limit", PARAM_LIMIT, .standard = "50"},
                  {"offset", PARAM_COUNT, .standard = "0"},
                  {"search", PARAM_FILTER, .nullable = true},
                  {"sort_by", PARAM_TEXT, .standard = "\"recent\""},
                  {"service", PARAM_FILTER, .nullable = true}},
       .returns = "list[row(attackers)]", .shape = METHOD_ROWS,
       .statement.sql = "SELECT * FROM attackers" ATTACKER_FILTER(
           "$3", "$5") " ORDER BY CASE WHEN $4 = 'active' THEN event_count END DESC,"
                       "  CASE WHEN $4 = 'traversals' THEN is_traversal END DESC,"
                       "  last_seen DESC, uuid LIMIT $1 OFFSET $2");

METHOD(get_total_attackers,
       .params = {{"search", PARAM_FILTER, .nullable = true}, {"service", PARAM_FILTER, .nullable = true}},
       .returns = "int", .shape = METHOD_SCALAR,
       .statement.sql = "SELECT count(*) FROM attackers" ATTACKER_FILTER("$1", "$2"));
