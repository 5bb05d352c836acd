/* The one table of what is dumped: tables, keys, left-out columns. Adding a derived table is adding a row.
 *
 * Text is ordered by its bytes, lists that are sets are sorted, sequence ids and processing times are left out.
 * Identities and campaigns have no id that two runs share for certain, so they are named by their founder: the smallest
 * (first_seen, uuid) of the attackers that belong to them after following merges. */
#include "dump.h"

#include <stdio.h>
#include <string.h>

#include "pg.h"

#define FETCH_ROWS 500
#define TEXT_OF(x) TEXT_OF_(x)
#define TEXT_OF_(x) #x

/* The order-free form of a jsonb list. */
#define SORTED(list) "(SELECT jsonb_agg(x ORDER BY x) FROM jsonb_array_elements(" list ") x)"

/* Who a merged row became; a chain longer than 64 does not happen, a circle ends there and belongs to nobody. */
#define CANONICAL(table, name)                                                                                         \
    name "_chain AS (SELECT uuid, uuid AS root, merged_into_uuid AS next, 0 AS depth FROM " table                      \
         " UNION ALL SELECT c.uuid, t.uuid, t.merged_into_uuid, c.depth + 1 FROM " name "_chain c JOIN " table         \
         " t ON t.uuid = c.next WHERE c.depth < 64),"                                                                  \
         " " name " AS (SELECT uuid, root FROM " name "_chain WHERE next IS NULL)"
#define IDENTITY_CANONICAL CANONICAL("attacker_identities", "canonical")
#define IDENTITY_FOUNDERS                                                                                              \
    "WITH RECURSIVE " IDENTITY_CANONICAL ","                                                                           \
    " founders AS (SELECT DISTINCT ON (c.root) c.root, a.uuid AS founder, a.first_seen"                                \
    "  FROM attackers a JOIN canonical c ON c.uuid = a.identity_id ORDER BY c.root, a.first_seen, a.uuid),"            \
    " identity_name AS (SELECT c.uuid, f.founder FROM canonical c JOIN founders f ON f.root = c.root)"
#define CAMPAIGN_CANONICAL CANONICAL("campaigns", "campaign")
#define CAMPAIGN_FOUNDERS                                                                                              \
    IDENTITY_FOUNDERS                                                                                                  \
    ", " CAMPAIGN_CANONICAL ","                                                                                        \
    " campaign_founders AS (SELECT DISTINCT ON (c.root) c.root, f.founder FROM attacker_identities i"                  \
    "  JOIN campaign c ON c.uuid = i.campaign_id JOIN founders f ON f.root = i.uuid"                                   \
    "  ORDER BY c.root, f.first_seen, f.founder),"                                                                     \
    " campaign_name AS (SELECT c.uuid, f.founder FROM campaign c JOIN campaign_founders f ON f.root = c.root)"

/* What others say of an attacker changes with the hour, so of tags made from it only the inputs of their id count. */
#define NOT_INTEL(column) "CASE WHEN source_kind <> 'intel' THEN " column " END AS " column

typedef struct Dump {
    DumpTable table;
    const char *sql;
    Statement fetch; /* from a cursor of its own: a prepared FETCH keeps the columns of its first cursor */
} Dump;

#define FETCH_OF(name_)                                                                                                \
    .fetch = {.name = "dump_" name_, .shape = SHAPE_ROWS, .sql = "FETCH " TEXT_OF(FETCH_ROWS) " FROM dump_" name_}

static const Dump dumps[] = {
    {
        {"attackers", "ip",
         "updated_at, traversal_path; services, deckies and fingerprints sorted, fingerprints without id; identity by "
         "founder"},
        .sql = IDENTITY_FOUNDERS
        " SELECT a.ip, a.uuid, n.founder AS identity, a.first_seen, a.last_seen, a.event_count, a.service_count,"
        "  a.decky_count, " SORTED("a.services") " AS services, " SORTED(
            "a.deckies") " AS deckies, a.is_traversal,"
                         "  a.bounty_count, a.credential_count,"
                         "  (SELECT jsonb_agg(f ORDER BY f->>'timestamp', f) FROM"
                         "   (SELECT x - 'id' AS f FROM jsonb_array_elements(a.fingerprints) x) u) AS fingerprints,"
                         "  a.commands, a.country_code, a.country_source, a.asn, a.as_name, a.asn_source, a.ptr_record,"
                         "  a.rotation_count, a.last_rotation_at"
                         " FROM attackers a LEFT JOIN identity_name n ON n.uuid = a.identity_id ORDER BY a.ip COLLATE \"C\"",
        FETCH_OF("attackers"),
    },
    {
        {"attacker_identities", "founder",
         "uuid, created_at, updated_at, merged-out rows, rows without attackers; lists sorted; campaign by founder"},
        .sql = CAMPAIGN_FOUNDERS
        " SELECT f.founder, n.founder AS campaign, i.schema_version, i.first_seen_at, i.last_seen_at, i.confidence,"
        "  i.observation_count, " SORTED("i.ja3_hashes") " AS ja3_hashes, " SORTED(
            "i.hassh_hashes") " AS hassh_hashes,"
                              "  " SORTED("i.ja4h_hashes") " AS ja4h_hashes, " SORTED(
                                  "i.ja4_quic_hashes") " AS ja4_quic_hashes,"
                                                       "  " SORTED(
                                                           "i.http_versions_seen") " AS http_versions_seen,"
                                                                                   "  " SORTED(
                                                                                       "i.tls_cert_sha256") " AS tls_cert_sha256,"
                                                                                                            "  " SORTED("i.payload_simhashes") " AS payload_simhashes, " SORTED(
                                                                                                                "i.c2_endpoints") " AS c2_endpoints,"
                                                                                                                                  "  i.kd_digraph_simhash, i.notes"
                                                                                                                                  " FROM attacker_identities i JOIN founders f ON f.root = i.uuid"
                                                                                                                                  " LEFT JOIN campaign_name n ON n.uuid = i.campaign_id WHERE i.merged_into_uuid IS NULL ORDER BY f.founder",
        FETCH_OF("attacker_identities"),
    },
    {
        {"campaigns", "founder", "uuid, created_at, updated_at, merged-out rows, rows without attackers; lists sorted"},
        .sql = CAMPAIGN_FOUNDERS
        " SELECT f.founder, c.schema_version, c.first_seen_at, c.last_seen_at, c.confidence, c.identity_count,"
        "  " SORTED("c.ja3_hashes") " AS ja3_hashes, " SORTED(
            "c.hassh_hashes") " AS hassh_hashes,"
                              "  " SORTED(
                                  "c.tls_cert_sha256") " AS tls_cert_sha256,"
                                                       "  " SORTED("c.payload_simhashes") " AS payload_simhashes, " SORTED(
                                                           "c.c2_endpoints") " AS c2_endpoints,"
                                                                             "  c.notes"
                                                                             " FROM campaigns c JOIN campaign_founders f ON f.root = c.uuid"
                                                                             " WHERE c.merged_into_uuid IS NULL ORDER BY f.founder",
        FETCH_OF("campaigns"),
    },
    {
        {"attacker_session", "sid", "source_id"},
        .sql = "SELECT sid, attacker_uuid, src_ip, src_port, decky, service, origin, origin_session, started_at,"
               " last_event_at, ended_at, ended_reason, duration_s, username, login_ok, login_attempts, client_version,"
               " hassh, commands, artifacts, forwards, parts_sent, commands_sent, shard_path, state, pending"
               " FROM attacker_session ORDER BY sid",
        FETCH_OF("attacker_session"),
    },
    {
        {"session_command", "sid, ordinal", ""},
        .sql = "SELECT sid, ordinal, ts, command, truncated, errored, source_event_id FROM session_command"
               " ORDER BY sid, ordinal",
        FETCH_OF("session_command"),
    },
    {
        {"credentials", "attacker_ip, decky_name, service, secret_kind, secret_sha256, principal", "id"},
        .sql = "SELECT attacker_ip, decky_name, service, secret_kind, secret_sha256, principal, attacker_uuid,"
               " secret_b64, secret_printable, outcome, fields, first_seen, last_seen, attempt_count FROM credentials"
               " ORDER BY attacker_ip COLLATE \"C\", decky_name COLLATE \"C\", service COLLATE \"C\","
               " secret_kind COLLATE \"C\", secret_sha256 COLLATE \"C\", principal COLLATE \"C\" NULLS FIRST",
        FETCH_OF("credentials"),
    },
    {
        {"bounty", "bounty_type, attacker_ip, payload, decky", "id"},
        .sql = "SELECT bounty_type, attacker_ip, payload, decky, service, \"timestamp\" FROM bounty"
               " ORDER BY bounty_type COLLATE \"C\", attacker_ip COLLATE \"C\", payload::text COLLATE \"C\","
               " decky COLLATE \"C\"",
        FETCH_OF("bounty"),
    },
    {
        {"attacker_evidence", "attacker_uuid, kind, value", ""},
        .sql = "SELECT attacker_uuid, kind, value, first_seen, last_seen, seen FROM attacker_evidence"
               " ORDER BY attacker_uuid, kind COLLATE \"C\", value COLLATE \"C\"",
        FETCH_OF("attacker_evidence"),
    },
    {
        {"logs", "source_event_id", "id; rows without source_event_id, which nothing can tell apart"},
        .sql = "SELECT source_event_id, \"timestamp\", decky, service, event_type, attacker_ip, raw_line, fields, msg,"
               " trace_id, span_id FROM logs WHERE source_event_id IS NOT NULL ORDER BY source_event_id",
        FETCH_OF("logs"),
    },
    {
        {"observations", "evidence_ref, primitive", "id"},
        .sql = "SELECT evidence_ref, primitive, attacker_uuid, value, value_kind, confidence, window_start_ts,"
               " window_end_ts, ts, source, envelope_v, identity_ref FROM observations"
               " ORDER BY evidence_ref COLLATE \"C\", primitive COLLATE \"C\"",
        FETCH_OF("observations"),
    },
    {
        {"attribution_state", "identity, primitive",
         "last_change_ts, updated_at, series; rows of merged-out identities; identity by founder"},
        .sql = IDENTITY_FOUNDERS " SELECT f.founder AS identity, s.primitive, s.state, s.current_value, s.confidence,"
                                 " s.observation_count, s.last_observation_ts, s.schema_version"
                                 " FROM attribution_state s JOIN founders f ON f.root = s.identity_uuid"
                                 " ORDER BY f.founder, s.primitive COLLATE \"C\"",
        FETCH_OF("attribution_state"),
    },
    {
        {"ttp_tag", "uuid",
         "created_at; of tags with source_kind intel all but the inputs of the id; identity by founder"},
        .sql = IDENTITY_FOUNDERS
        " SELECT t.uuid, source_kind, source_id, rule_id, rule_version, technique_id, sub_technique_id,"
        "  " NOT_INTEL(
            "attacker_uuid") ","
                             "  CASE WHEN source_kind <> 'intel' THEN n.founder END AS identity, " NOT_INTEL(
                                 "session_id") ","
                                               "  " NOT_INTEL("decky_id") ", " NOT_INTEL("tactic") ", " NOT_INTEL("confidence") ", " NOT_INTEL(
                                                   "evidence") ","
                                                               "  " NOT_INTEL("attack_release") ", " NOT_INTEL("mitre_url") ", " NOT_INTEL(
                                                                   "observed_at") " FROM ttp_tag t LEFT JOIN identity_name n ON n.uuid = t.identity_uuid ORDER BY t.uuid",
        FETCH_OF("ttp_tag"),
    },
    {
        {"dead_letter", "event_id, topic, reason", "all but the key: places and times differ between runs"},
        .sql = "SELECT event_id, topic, reason FROM dead_letter"
               " ORDER BY event_id NULLS FIRST, topic COLLATE \"C\", reason COLLATE \"C\"",
        FETCH_OF("dead_letter"),
    },
};

size_t dump_n_tables(void)
{
    return ARRAY_SIZE(dumps);
}

const DumpTable *dump_table(size_t i)
{
    return &dumps[i].table;
}

typedef struct DumpRun {
    const char *name;
    DumpWrite write;
    void *arg;
    Buf line;
} DumpRun;

static int write_rows(DumpRun *run, const char *table, const PGresult *rows)
{
    int r = 0;
    for (int i = 0; r == 0 && i < PQntuples(rows); i++) {
        JsonWriter w = {.buf = &run->line};
        buf_clear(&run->line);
        json_begin_object(&w);
        json_put_cstr(&w, "table", table);
        for (int col = 0; col < PQnfields(rows); col++) {
            json_key(&w, PQfname(rows, col));
            res_write_value(rows, i, col, &w);
        }
        json_end_object(&w);
        r = run->write(run->arg, buf_str(&run->line));
    }
    return r;
}

static int dump_one(Repo *repo, DumpRun *run, const Dump *dump)
{
    cleanup(buf_free) Buf declare = {0};
    int n = FETCH_ROWS;

    buf_printf(&declare, "DECLARE dump_%s NO SCROLL CURSOR FOR %s", dump->table.name, dump->sql);
    int r = repo_script(repo, dump->table.name, declare.data);
    while (r == 0 && n == FETCH_ROWS) {
        cleanup(pgresult_freep) PGresult *rows = NULL;
        r = repo_exec(repo, &dump->fetch, NULL, &rows);
        n = r == 0 ? PQntuples(rows) : 0;
        r = r ? r : write_rows(run, dump->table.name, rows);
    }
    return r;
}

static const Dump *find(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(dumps); i++)
        if (strcmp(dumps[i].table.name, name) == 0)
            return &dumps[i];
    return NULL;
}

static int dump_all(Repo *repo, DumpRun *run)
{
    /* The reader of a pipe may take its time; the whole result is wanted, so plan for it. */
    int r = repo_script(repo, "dump settings",
                        "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY;"
                        "SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL statement_timeout = 0;"
                        "SET LOCAL cursor_tuple_fraction = 1");
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(dumps); i++)
        if (!run->name || strcmp(run->name, dumps[i].table.name) == 0)
            r = dump_one(repo, run, &dumps[i]);
    return r;
}

int dump_write(Repo *repo, const char *name, DumpWrite write, void *arg)
{
    DumpRun run = {.name = name, .write = write, .arg = arg};

    if (name && !find(name))
        return repo_fail(repo, REPO_E_INVALID, "dump", "there is no table %s in the dump", name);
    /* Not repo_transaction(): what was written cannot be written again. */
    int r = repo_begin(repo);
    r = r ? r : dump_all(repo, &run);
    repo_rollback(repo);
    buf_free(&run.line);
    return r;
}
