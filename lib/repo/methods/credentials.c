/* Credentials: lists, attempts of one secret, and their reuse. */
#include "repo/captures.h"

#include "methods.h"

/* --- attempts --- */

static const Column columns[] = {
    {"attacker_ip", COLUMN_IP, COLUMN_REQUIRED, 0},
    {"decky_name", COLUMN_TEXT, COLUMN_REQUIRED, 0},
    {"service", COLUMN_TEXT, COLUMN_REQUIRED, 0},
    {"secret_sha256", COLUMN_TEXT, COLUMN_REQUIRED, 0},
    {"principal", COLUMN_TEXT, COLUMN_NULLABLE, LIMIT_PRINCIPAL_CHARS},
    {"secret_kind", COLUMN_TEXT, COLUMN_NULLABLE, LIMIT_SECRET_KIND_CHARS},
    {"secret_b64", COLUMN_TEXT, COLUMN_NULLABLE, LIMIT_SECRET_B64_BYTES},
    {"secret_printable", COLUMN_TEXT, COLUMN_NULLABLE, LIMIT_SECRET_PRINTABLE_BYTES},
    {"outcome", COLUMN_TEXT, COLUMN_NULLABLE, 16},
    {"fields", COLUMN_JSON, COLUMN_NULLABLE, 0},
};

static int upsert_credential(MethodCall *call, JsonWriter *w)
{
    cleanup(json_putp) json_object *o = NULL;

    int r = data_object(call, 0, columns, ARRAY_SIZE(columns), &o);
    if (r != 0)
        return r;
    Str kind = json_get_str(o, "secret_kind");
    StoredCredential row = {.attacker_ip = json_get_str(o, "attacker_ip"),
                            .decky = json_get_str(o, "decky_name"),
                            .service = json_get_str(o, "service"),
                            .principal = json_get_str(o, "principal"),
                            .secret_kind = kind.len ? kind : STR("plaintext"),
                            .secret_sha256 = json_get_str(o, "secret_sha256"),
                            .secret_b64 = json_get_str(o, "secret_b64"),
                            .secret_printable = json_get_str(o, "secret_printable"),
                            .outcome = json_get_str(o, "outcome"),
                            .first_seen_us = TIME_NONE,
                            .last_seen_us = TIME_NONE,
                            .fields = data_json(call, json_member(o, "fields")),
                            .attempts = 1};
    r = credentials_upsert(call->repo, &row, 1);
    if (r == 0)
        json_value_int(w, row.id);
    return r;
}

#define ANY_HOLDS(search)                                                                                              \
    COLUMN_HOLDS("decky_name", search)                                                                                 \
    " OR " COLUMN_HOLDS("service", search) " OR " COLUMN_HOLDS("principal",                                            \
                                                               search) " OR " COLUMN_HOLDS("secret_printable", search)
#define SELECTED(search, service, ip)                                                                                  \
    " WHERE (" search "::text IS NULL OR " ANY_HOLDS(search) ") AND (" service "::text IS NULL OR service = " service  \
                                                             ") AND (NULLIF(" ip                                       \
                                                             "::text, '') IS NULL OR attacker_ip = " ip ")"
#define NEWEST_FIRST " ORDER BY last_seen DESC, id DESC"

/* Rows are locked in key order, as the upsert of credentials writes them. */
static int update_credential_attacker_uuid(MethodCall *call, JsonWriter *w)
{
    static const Statement update = {
        .name = "method_update_credential_attacker_uuid",
        .shape = SHAPE_ROW,
        .sql = "WITH known AS (SELECT FROM attackers WHERE uuid = $2),"
               " due AS (SELECT id FROM credentials WHERE attacker_ip = $1 AND attacker_uuid IS NULL"
               "   AND EXISTS (SELECT FROM known) ORDER BY decky_name COLLATE \"C\", service COLLATE \"C\","
               "   secret_kind COLLATE \"C\", secret_sha256 COLLATE \"C\", principal COLLATE \"C\" NULLS FIRST"
               "  FOR NO KEY UPDATE),"
               " changed AS (UPDATE credentials c SET attacker_uuid = $2 FROM due WHERE c.id = due.id RETURNING 1)"
               " SELECT (SELECT count(*) FROM changed), EXISTS (SELECT FROM known)"};
    cleanup(args_free) Args args = {0};
    cleanup(pgresult_freep) PGresult *result = NULL;

    method_bind(call, 0, &args);
    method_bind(call, 1, &args);
    int r = repo_exec(call->repo, &update, &args, &result);
    if (r == 0 && !res_bool(result, 0, 1))
        return method_fail(call, REPO_E_FK, NULL, "there is no attacker %.64s", method_text(call, 1).data);
    if (r == 0)
        json_value_int(w, res_int(result, 0, 0));
    return r;
}

METHOD(upsert_credential, .params = {{"data", PARAM_OBJECT, .required = true}}, .returns = "int (row id)",
       .writes = true, .run = upsert_credential);

METHOD(get_credentials,
       .params = {{"limit", PARAM_LIMIT, .standard = "50"},
                  {"offset", PARAM_COUNT, .standard = "0"},
                  {"search", PARAM_FILTER, .nullable = true},
                  {"service", PARAM_FILTER, .nullable = true},
                  {"attacker_ip", PARAM_IP, .nullable = true}},
       .returns = "list[row(credentials)]", .shape = METHOD_ROWS, .statement.plan_anew = true,
       .statement.sql = "SELECT * FROM credentials" SELECTED("$3", "$4", "$5") NEWEST_FIRST " LIMIT $1 OFFSET $2");

METHOD(get_total_credentials,
       .params = {{"search", PARAM_FILTER, .nullable = true},
                  {"service", PARAM_FILTER, .nullable = true},
                  {"attacker_ip", PARAM_IP, .nullable = true}},
       .returns = "int", .shape = METHOD_SCALAR, .statement.plan_anew = true,
       .statement.sql = "SELECT count(*) FROM credentials" SELECTED("$1", "$2", "$3"));

METHOD(get_credentials_for_attacker, .params = {{"attacker_ip", PARAM_IP, .required = true}},
       .returns = "list[row(credentials)]", .shape = METHOD_ROWS,
       .statement.sql = "SELECT * FROM credentials WHERE attacker_ip = $1" NEWEST_FIRST);

METHOD(get_credential_attempts_for_secret, .params = {{"secret_sha256", PARAM_TEXT, .required = true}},
       .returns = "list[row(credentials)]", .shape = METHOD_ROWS,
       .statement.sql = "SELECT * FROM credentials WHERE secret_sha256 = $1" NEWEST_FIRST);

METHOD(update_credential_attacker_uuid,
       .params = {{"attacker_ip", PARAM_IP, .required = true}, {"attacker_uuid", PARAM_UUID, .required = true}},
       .returns = "int", .writes = true, .run = update_credential_attacker_uuid);

/* --- reuse: one secret on several targets. No principal and the empty one are the same here. --- */

enum { REUSE_SECRET, REUSE_KIND, REUSE_PRINCIPAL, REUSE_ATTACKER, REUSE_TIME = 8 };

/* $1 secret, $2 kind, $3 principal, $4 attacker, $5 address, $6 decky, $7 service, $8 attempts, $9 time */
#define REUSE_KEY "secret_sha256 = $1 AND secret_kind = $2 AND principal_key = COALESCE($3, '')"
#define REUSE_TARGETS                                                                                                  \
    "(SELECT count(*) FROM (SELECT DISTINCT decky_name, service FROM credentials WHERE secret_sha256 = $1"             \
    "  AND secret_kind = $2 AND COALESCE(principal, '') = COALESCE($3, '')) t)"
#define REUSE_LISTS(X)                                                                                                 \
    X("attacker_uuids", "$4") ", " X("attacker_ips", "$5") ", " X("deckies", "$6") ", " X("services", "$7")
#define LIST_NAME(list, value) list
#define LIST_OF_ONE(list, value) "CASE WHEN " value " IS NULL THEN '[]' ELSE jsonb_build_array(" value ") END"
#define LIST_GROWN(list, value)                                                                                        \
    list " = CASE WHEN " value " IS NULL OR o." list " ? " value " THEN o." list " ELSE o." list " || to_jsonb(" value \
         ") END"
#define LIST_OLD(list, value) "o." list
#define LIST_NEW(list, value) "r." list
#define LISTS REUSE_LISTS(LIST_NAME)
#define LISTS_OF_ONE REUSE_LISTS(LIST_OF_ONE)
#define LISTS_GROWN REUSE_LISTS(LIST_GROWN)
#define LISTS_CHANGED "(" REUSE_LISTS(LIST_OLD) ") <> (" REUSE_LISTS(LIST_NEW) ")"

static void bind_reuse(const MethodCall *call, Args *args)
{
    for (int i = REUSE_SECRET; i <= REUSE_TIME; i++) {
        Str text = method_text(call, i);
        if (i == REUSE_KIND)
            arg_str(args, text_clip_chars(text, LIMIT_SECRET_KIND_CHARS));
        else if (i == REUSE_PRINCIPAL && text.data)
            arg_str(args, text_clip_chars(text, LIMIT_PRINCIPAL_CHARS));
        else if (i == REUSE_ATTACKER)
            arg_str(args, text.len ? text : (Str){0});
        else
            method_bind(call, i, args);
    }
}

static int run_reuse(MethodCall *call, const Statement *s, PGresult **ret)
{
    cleanup(args_free) Args args = {0};
    bind_reuse(call, &args);
    return repo_exec(call->repo, s, &args, ret);
}

/* The row is locked before credentials are counted, so that the last of several writers counts what the others saw. */
static int upsert_credential_reuse(MethodCall *call, JsonWriter *w)
{
    static const Statement lock = {.name = "method_reuse_lock",
                                   .shape = SHAPE_ROWS,
                                   .sql = "SELECT FROM credential_reuse WHERE " REUSE_KEY " FOR NO KEY UPDATE"};
    static const Statement insert = {
        .name = "method_reuse_insert",
        .shape = SHAPE_ROWS,
        .sql = "INSERT INTO credential_reuse (secret_sha256, secret_kind, principal, principal_key, " LISTS
               ", target_count, attempt_count, first_seen, last_seen, updated_at)"
               " SELECT $1, $2, $3, COALESCE($3, ''), " LISTS_OF_ONE ", 1, $8, at, at, at"
               " FROM (SELECT COALESCE($9, decnet_now()) AS at) t"
               " ON CONFLICT DO NOTHING RETURNING *, true AS inserted, true AS changed"};
    static const Statement merge = {
        .name = "method_reuse_merge",
        .shape = SHAPE_ROWS,
        .sql = "UPDATE credential_reuse r SET " LISTS_GROWN ", target_count = GREATEST(1, " REUSE_TARGETS "),"
               "  attempt_count = LEAST(o.attempt_count + $8::int::bigint, 2147483647),"
               "  last_seen = GREATEST(o.last_seen, at), updated_at = at"
               " FROM (SELECT *, COALESCE($9, decnet_now()) AS at FROM credential_reuse WHERE " REUSE_KEY ") o"
               " WHERE r.id = o.id RETURNING r.*, false AS inserted, " LISTS_CHANGED " AS changed"};

    for (int tries = 0; tries < 3; tries++) { /* another may insert or delete it between the two statements */
        cleanup(pgresult_freep) PGresult *locked = NULL, *row = NULL;
        int r = run_reuse(call, &lock, &locked);
        r = r ? r : run_reuse(call, PQntuples(locked) > 0 ? &merge : &insert, &row);
        if (r != 0)
            return r;
        if (PQntuples(row) > 0) {
            method_write_rows(call, row, w);
            return 0;
        }
    }
    return method_fail(call, REPO_E_RETRY, NULL, "the finding comes and goes under the hands of others");
}

METHOD(upsert_credential_reuse,
       .params = {{"secret_sha256", PARAM_TEXT, .required = true},
                  {"secret_kind", PARAM_TEXT, .required = true},
                  {"principal", PARAM_TEXT, .required = true, .nullable = true},
                  {"attacker_uuid", PARAM_ID, .required = true, .nullable = true},
                  {"attacker_ip", PARAM_IP, .required = true},
                  {"decky", PARAM_TEXT, .required = true},
                  {"service", PARAM_TEXT, .required = true},
                  {"attempt_count", PARAM_COUNT, .required = true},
                  {"ts", PARAM_TIME, .nullable = true}},
       .returns = "row(credential_reuse) + {inserted, changed}", .writes = true, .shape = METHOD_ROW,
       .run = upsert_credential_reuse);

/* One row for each credential, after the number and the columns of its group. */
enum { GROUP_NUMBER, GROUP_FIRST, GROUP_CREDENTIAL = 5 };

typedef struct Grouping {
    JsonWriter *w;
    int64_t number; /* of the group that is open; 0: none yet */
} Grouping;

static void close_group(Grouping *g)
{
    if (g->number == 0)
        return;
    json_end_array(g->w);
    json_end_object(g->w);
}

static int add_to_group(void *arg, const PGresult *row)
{
    Grouping *g = arg;
    int64_t number = res_int(row, 0, GROUP_NUMBER);

    if (number != g->number) {
        close_group(g);
        g->number = number;
        json_begin_object(g->w);
        for (int col = GROUP_FIRST; col < GROUP_CREDENTIAL; col++) {
            json_key(g->w, PQfname(row, col));
            res_write_value(row, 0, col, g->w);
        }
        json_key(g->w, "credentials");
        json_begin_array(g->w);
    }
    res_write_columns(row, 0, GROUP_CREDENTIAL, PQnfields(row), g->w);
    return 0;
}

static int find_credential_reuse_candidates(MethodCall *call, JsonWriter *w)
{
    static const Statement find = {
        .name = "method_find_credential_reuse_candidates",
        .shape = SHAPE_ROWS,
        .sql = "WITH targets AS (SELECT DISTINCT secret_sha256, secret_kind, COALESCE(principal, '') AS principal,"
               "   decky_name, service FROM credentials),"
               " groups AS (SELECT secret_sha256, secret_kind, principal, count(*) AS target_count,"
               "   row_number() OVER (ORDER BY count(*) DESC, secret_sha256 COLLATE \"C\", secret_kind COLLATE \"C\","
               "    principal COLLATE \"C\") AS n"
               "  FROM targets GROUP BY secret_sha256, secret_kind, principal HAVING count(*) >= $1)"
               " SELECT g.n, g.secret_sha256, g.secret_kind, NULLIF(g.principal, '') AS principal, g.target_count, c.*"
               " FROM groups g JOIN credentials c ON c.secret_sha256 = g.secret_sha256"
               "  AND c.secret_kind = g.secret_kind AND COALESCE(c.principal, '') = g.principal ORDER BY g.n, c.id"};
    cleanup(args_free) Args args = {0};
    Grouping grouping = {.w = w};

    method_bind(call, 0, &args);
    json_begin_array(w);
    int r = repo_each(call->repo, &find, &args, add_to_group, &grouping);
    close_group(&grouping);
    json_end_array(w);
    return r;
}

/* The secret itself comes from one of its attempts: the oldest that is still stored. */
#define WITH_SECRET                                                                                                    \
    " LEFT JOIN LATERAL (SELECT c.secret_printable, c.secret_b64 FROM credentials c"                                   \
    "  WHERE c.secret_sha256 = r.secret_sha256 AND c.secret_kind = r.secret_kind"                                      \
    "  AND COALESCE(c.principal, '') = r.principal_key ORDER BY c.id LIMIT 1) s ON true"
#define REUSES_LIKE "target_count >= $3 AND ($4::text IS NULL OR secret_kind = $4)"
#define REUSE_ORDER "target_count DESC, last_seen DESC, id"

static int list_credential_reuses(MethodCall *call, JsonWriter *w)
{
    enum { TOTAL, ID };
    static const Statement list = {.name = "method_list_credential_reuses",
                                   .shape = SHAPE_ROWS,
                                   .sql =
                                       "WITH page AS (SELECT * FROM credential_reuse WHERE " REUSES_LIKE
                                       " ORDER BY " REUSE_ORDER "  LIMIT $1 OFFSET $2)"
                                       " SELECT t.total, r.*, s.secret_printable, s.secret_b64"
                                       " FROM (SELECT count(*) AS total FROM credential_reuse WHERE " REUSES_LIKE ") t"
                                       " LEFT JOIN page r ON true" WITH_SECRET " ORDER BY " REUSE_ORDER};
    cleanup(args_free) Args args = {0};
    cleanup(pgresult_freep) PGresult *result = NULL;

    for (int i = 0; i < 4; i++)
        method_bind(call, i, &args);
    int r = repo_exec(call->repo, &list, &args, &result);
    if (r != 0)
        return r;
    json_begin_array(w);
    json_value_int(w, res_int(result, 0, TOTAL));
    json_begin_array(w);
    for (int i = 0; i < PQntuples(result) && !res_null(result, i, ID); i++)
        res_write_columns(result, i, ID, PQnfields(result), w);
    json_end_array(w);
    json_end_array(w);
    return 0;
}

METHOD(find_credential_reuse_candidates, .params = {{"min_targets", PARAM_INT, .standard = "2"}},
       .returns = "list[{secret_sha256, secret_kind, principal, target_count, credentials: list[row(credentials)]}]",
       .shape = METHOD_ROWS, .run = find_credential_reuse_candidates);

METHOD(list_credential_reuses,
       .params = {{"limit", PARAM_LIMIT, .standard = "50"},
                  {"offset", PARAM_COUNT, .standard = "0"},
                  {"min_target_count", PARAM_INT, .standard = "2"},
                  {"secret_kind", PARAM_FILTER, .nullable = true}},
       .returns = "(total, list[row(credential_reuse) + {secret_printable, secret_b64}])",
       .run = list_credential_reuses);

METHOD(get_credential_reuse_by_id, .params = {{"reuse_id", PARAM_UUID, .required = true}},
       .returns = "row(credential_reuse)? + {secret_printable, secret_b64}", .shape = METHOD_ROW,
       .statement.sql = "SELECT r.*, s.secret_printable, s.secret_b64 FROM credential_reuse r" WITH_SECRET
                        " WHERE r.id = $1");
