/* Bounties as they come in. */
#include "methods.h"

static const Column bounty_columns[] = {
    {"decky", COLUMN_TEXT, COLUMN_REQUIRED, 0},
    {"service", COLUMN_TEXT, COLUMN_REQUIRED, 0},
    {"attacker_ip", COLUMN_IP, COLUMN_REQUIRED, 0},
    {"bounty_type", COLUMN_TEXT, COLUMN_REQUIRED, 0},
    {"payload", COLUMN_JSON_OR_STRING, COLUMN_REQUIRED, 0},
    {"timestamp", COLUMN_TIME, COLUMN_NULLABLE, 0},
};

static int add_bounty(MethodCall *call, JsonWriter *w)
{
    static const Statement insert = {
        .name = "method_add_bounty",
        .shape = SHAPE_ROWS,
        .sql = "INSERT INTO bounty (\"timestamp\", decky, service, attacker_ip, bounty_type, payload)"
               " SELECT COALESCE(\"timestamp\", decnet_now()), decky, service, attacker_ip, bounty_type, payload"
               " FROM jsonb_populate_record(NULL::bounty, $1) ON CONFLICT DO NOTHING"};
    return method_run_dictionary(call, 0, bounty_columns, ARRAY_SIZE(bounty_columns), &insert, w);
}

METHOD(add_bounty, .params = {{"bounty_data", PARAM_OBJECT, .required = true}}, .returns = "void", .writes = true,
       .run = add_bounty);
