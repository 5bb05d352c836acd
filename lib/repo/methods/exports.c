/* Methods that export whole tables; repo_call_each() hands them out piece by piece. */
#include "methods.h"

/* The attacker's columns, then those of its row in attacker_intel under one key. Whose a column is, the result says. */
static void write_attacker(const PGresult *r, int row, JsonWriter *w)
{
    int n = PQnfields(r), intel = 0;

    json_begin_object(w);
    for (; intel < n && PQftable(r, intel) == PQftable(r, 0); intel++) {
        json_key(w, PQfname(r, intel));
        res_write_value(r, row, intel, w);
    }
    json_key(w, "threat_intel");
    if (res_null(r, row, intel)) /* its primary key comes first */
        json_value_null(w);
    else
        res_write_columns(r, row, intel, n, w);
    json_end_object(w);
}

METHOD(get_all_attackers_for_export, .returns = "list[row(attackers) + {threat_intel: row(attacker_intel)?}]",
       .shape = METHOD_ROWS, .streams = true,
       .statement.sql = "SELECT a.*, i.* FROM attackers a LEFT JOIN attacker_intel i ON i.attacker_uuid = a.uuid"
                        " ORDER BY a.last_seen DESC, a.uuid",
       .write_row = write_attacker);

METHOD(get_all_fingerprint_bounties_for_export, .returns = "{ip: list[row(bounty)]}", .shape = METHOD_GROUPS,
       .streams = true,
       .statement.sql = "SELECT attacker_ip, b.* FROM bounty b WHERE bounty_type = 'fingerprint'"
                        " ORDER BY attacker_ip, \"timestamp\", id");
