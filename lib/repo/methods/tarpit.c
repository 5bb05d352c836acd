/* Tarpit rules. */
#include "methods.h"

/* Columns that a caller may set; decky_name is the key, id and created_at are those of the first rule. */
#define RULE_COLUMNS(X)                                                                                                \
    X(ports, COLUMN_INTS, 0, 0, "e.ports")                                                                             \
    X(delay_ms, COLUMN_COUNT, 0, 0, "e.delay_ms")                                                                      \
    X(created_by, COLUMN_TEXT, 0, 0, "e.created_by")

#define RULE_NAMES RULE_COLUMNS(UPSERT_NAME)
#define RULE_VALUES RULE_COLUMNS(UPSERT_VALUE)
#define RULE_KEEP RULE_COLUMNS(UPSERT_KEEP)

static const Column columns[] = {{"decky_name", COLUMN_TEXT, COLUMN_REQUIRED, 0}, RULE_COLUMNS(UPSERT_COLUMN)};

/* A stored rule lends what a call does not give, as NOT NULL is checked before the conflict is found; a first rule has
 * to be whole. */
static const Statement upsert = {.name = "method_set_tarpit_rule",
                                 .shape = SHAPE_ROWS,
                                 .sql = "INSERT INTO tarpit_rules AS a (decky_name" RULE_NAMES
                                        ") SELECT r.decky_name" RULE_VALUES
                                        " FROM jsonb_populate_record(NULL::tarpit_rules, $1) r"
                                        "  LEFT JOIN tarpit_rules e ON e.decky_name = r.decky_name"
                                        " ON CONFLICT (decky_name) DO UPDATE SET created_at = a.created_at" RULE_KEEP};

static int set_tarpit_rule(MethodCall *call, JsonWriter *w)
{
    return method_run_dictionary(call, 0, columns, ARRAY_SIZE(columns), &upsert, w);
}

METHOD(set_tarpit_rule, .params = {{"data", PARAM_OBJECT, .required = true}}, .returns = "void", .writes = true,
       .run = set_tarpit_rule);

METHOD(get_tarpit_rule, .params = {{"decky_name", PARAM_TEXT, .required = true}}, .returns = "row(tarpit_rules)?",
       .shape = METHOD_ROW, .statement.sql = "SELECT * FROM tarpit_rules WHERE decky_name = $1");

METHOD(delete_tarpit_rule, .params = {{"decky_name", PARAM_TEXT, .required = true}}, .returns = "bool", .writes = true,
       .shape = METHOD_SCALAR,
       .statement.sql = "WITH gone AS (DELETE FROM tarpit_rules WHERE decky_name = $1 RETURNING 1)"
                        " SELECT EXISTS (SELECT FROM gone)");

METHOD(list_tarpit_rules, .returns = "list[row(tarpit_rules)]", .shape = METHOD_ROWS,
       .statement.sql = "SELECT * FROM tarpit_rules ORDER BY decky_name COLLATE \"C\"");
