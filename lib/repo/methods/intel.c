/* Methods on attacker_intel. */
#include "repo/intel.h"

#include "methods.h"

static const Column columns[] = {{"attacker_uuid", COLUMN_UUID, COLUMN_REQUIRED, 0},
                                 {"attacker_ip", COLUMN_IP, COLUMN_REQUIRED, 0},
                                 {"expires_at", COLUMN_TIME, COLUMN_REQUIRED, 0},
                                 INTEL_COLUMNS(UPSERT_ROW_COLUMN)};

static int upsert_attacker_intel(MethodCall *call, JsonWriter *w)
{
    cleanup(json_putp) json_object *o = NULL;
    json_object *value;
    uint64_t given = 0;
    Uuid uuid;

    int r = data_object(call, 0, columns, ARRAY_SIZE(columns), &o);
    if (r != 0)
        return r;
    IntelRow row = {.attacker_uuid = *data_uuid(call, json_member(o, "attacker_uuid")),
                    .attacker_ip = json_get_str(o, "attacker_ip"),
                    .expires_at = data_time(json_member(o, "expires_at"))};
    INTEL_COLUMNS(ROW_READ)
    r = intel_upsert(call->repo, &row, 1, given, &uuid);
    if (r == 0)
        method_write_uuid(w, &uuid);
    return r;
}

#define LIST_OF(column) "CASE jsonb_typeof(" column ") WHEN 'array' THEN " column " ELSE '[]' END AS " column

METHOD(upsert_attacker_intel, .params = {{"data", PARAM_OBJECT, .required = true}}, .returns = "uuid", .writes = true,
       .run = upsert_attacker_intel);

METHOD(get_attacker_intel_by_uuid, .params = {{"uuid", PARAM_UUID, .required = true}},
       .returns = "row(attacker_intel)?", .shape = METHOD_ROW,
       .statement.sql = "SELECT * FROM attacker_intel WHERE attacker_uuid = $1");

METHOD(
    get_attacker_intel_row_by_uuid, .params = {{"uuid", PARAM_UUID, .required = true}},
    .returns = "typed row(attacker_intel)?", .shape = METHOD_ROW,
    .statement.sql =
        ("SELECT attacker_uuid, attacker_ip, aggregate_verdict, abuseipdb_score, " LIST_OF("abuseipdb_categories") ", greynoise_classification, greynoise_name, " LIST_OF("greynoise_tags") ", feodo_listed, feodo_malware_family, threatfox_listed, " LIST_OF(
            "threatfox_threat_types") ", " LIST_OF("threatfox_ioc_types") ", " LIST_OF("threatfox_malware_families") " FROM attacker_intel WHERE attacker_uuid = $1"));

METHOD(get_unenriched_attackers, .params = {{"limit", PARAM_LIMIT, .standard = "100"}}, .returns = "list[{uuid, ip}]",
       .shape = METHOD_ROWS,
       .statement.sql = "SELECT a.uuid, a.ip FROM attackers a WHERE NOT EXISTS (SELECT FROM attacker_intel i"
                        "  WHERE i.attacker_uuid = a.uuid AND i.expires_at >= (SELECT decnet_now()))"
                        " ORDER BY a.last_seen DESC, a.uuid LIMIT $1");
