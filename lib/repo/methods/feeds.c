/* The history that the tagger catches up on. */
#include "methods.h"

/* [row, entries]: the last column stands beside the row. */
static void write_history(const PGresult *r, int row, JsonWriter *w)
{
    int last = PQnfields(r) - 1;

    json_begin_array(w);
    res_write_columns(r, row, 0, last, w);
    res_write_value(r, row, last, w);
    json_end_array(w);
}

METHOD(iter_attacker_commands_since, .params = {{"since", PARAM_TIME, .required = true}},
       .returns = "stream[(row(attackers), list[command object])]", .iterates = true, .shape = METHOD_ROWS,
       .statement.plan_anew = true, /* recent ones by their index, all of them by a scan */
       .statement.sql = "SELECT a.*, (SELECT COALESCE(jsonb_agg(e ORDER BY n), '[]')"
                        "  FROM jsonb_array_elements(a.commands) WITH ORDINALITY AS t (e, n)"
                        "  WHERE jsonb_typeof(e) = 'object') AS entries"
                        " FROM attackers a WHERE last_seen >= $1 AND jsonb_typeof(commands) = 'array'"
                        " ORDER BY last_seen, uuid",
       .write_row = write_history);

METHOD(iter_canary_triggers_since, .params = {{"since", PARAM_TIME, .required = true}},
       .returns = "stream[row(canary_triggers)]", .iterates = true, .shape = METHOD_ROWS,
       .statement.sql = "SELECT * FROM canary_triggers WHERE occurred_at >= $1 ORDER BY occurred_at, uuid");
