/* Methods on technique tags. */
#include <stdio.h>

#include "methods.h"
#include "repo/tags.h"

/* --- writing --- */

static const Column tag_columns[] = {
    {"uuid", COLUMN_UUID, COLUMN_REQUIRED, 0},           {"source_kind", COLUMN_TEXT, COLUMN_REQUIRED, 0},
    {"source_id", COLUMN_TEXT, COLUMN_REQUIRED, 0},      {"attacker_uuid", COLUMN_UUID, COLUMN_NULLABLE, 0},
    {"identity_uuid", COLUMN_UUID, COLUMN_NULLABLE, 0},  {"session_id", COLUMN_TEXT, COLUMN_NULLABLE, 0},
    {"decky_id", COLUMN_TEXT, COLUMN_NULLABLE, 0},       {"tactic", COLUMN_TEXT, COLUMN_REQUIRED, 0},
    {"technique_id", COLUMN_TEXT, COLUMN_REQUIRED, 0},   {"sub_technique_id", COLUMN_TEXT, COLUMN_NULLABLE, 0},
    {"confidence", COLUMN_DOUBLE, COLUMN_REQUIRED, 0},   {"rule_id", COLUMN_TEXT, COLUMN_REQUIRED, 0},
    {"rule_version", COLUMN_INT, COLUMN_REQUIRED, 0},    {"evidence", COLUMN_JSON_OBJECT, COLUMN_REQUIRED, 0},
    {"attack_release", COLUMN_TEXT, COLUMN_REQUIRED, 0}, {"mitre_url", COLUMN_TEXT, COLUMN_NULLABLE, 0},
    {"created_at", COLUMN_TIME, COLUMN_NULLABLE, 0},     {"observed_at", COLUMN_TIME, COLUMN_NULLABLE, 0},
};

/* A check that concerns the row as a whole; *ret_keep tells whether it passes the floor. */
static int check_tag(const MethodCall *call, const char *where, json_object *tag, bool *ret_keep)
{
    double confidence;

    if (!json_object_is_type(tag, json_type_object))
        return method_invalid(call, "%s must be an object", where);
    if (!json_member(tag, "attacker_uuid") && !json_member(tag, "identity_uuid"))
        return method_invalid(call, "%s: one of attacker_uuid and identity_uuid must be given", where);
    *ret_keep = json_get_double(tag, "confidence", &confidence) && confidence >= TAG_CONFIDENCE_FLOOR;
    if (*ret_keep && confidence > 1.0)
        return method_invalid(call, "%s: confidence must be from 0 to 1", where);
    return 0;
}

/* Rows whose anchor is gone are left out one by one; an anchor that goes meanwhile makes the transaction run again. */
static int store_tags(MethodCall *call, Str rows, JsonWriter *w)
{
    static const Statement insert = {
        .name = "method_insert_tags",
        .shape = SHAPE_NONE,
        .sql = "INSERT INTO ttp_tag (uuid, source_kind, source_id, attacker_uuid, identity_uuid, session_id, decky_id,"
               "  tactic, technique_id, sub_technique_id, confidence, rule_id, rule_version, evidence, attack_release,"
               "  mitre_url, created_at, observed_at)"
               " SELECT DISTINCT ON (t.uuid) t.uuid, source_kind, source_id, attacker_uuid, identity_uuid, session_id,"
               "  decky_id, tactic, technique_id, sub_technique_id, t.confidence, rule_id, rule_version, evidence,"
               "  attack_release, mitre_url, COALESCE(t.created_at, decnet_now()), observed_at"
               " FROM ROWS FROM (jsonb_to_recordset($1) AS (uuid uuid, source_kind text, source_id text,"
               "  attacker_uuid uuid, identity_uuid uuid, session_id text, decky_id text, tactic text,"
               "  technique_id text, sub_technique_id text, confidence float8, rule_id text, rule_version int,"
               "  evidence jsonb, attack_release text, mitre_url text, created_at timestamptz,"
               "  observed_at timestamptz)) WITH ORDINALITY AS t (uuid, source_kind, source_id, attacker_uuid,"
               "  identity_uuid, session_id, decky_id, tactic, technique_id, sub_technique_id, confidence, rule_id,"
               "  rule_version, evidence, attack_release, mitre_url, created_at, observed_at, n)"
               " WHERE (attacker_uuid IS NULL OR EXISTS (SELECT FROM attackers a WHERE a.uuid = attacker_uuid))"
               "  AND (identity_uuid IS NULL OR EXISTS"
               "   (SELECT FROM attacker_identities i WHERE i.uuid = identity_uuid))"
               " ORDER BY t.uuid, n ON CONFLICT (uuid) DO NOTHING"};
    cleanup(args_free) Args args = {0};
    int64_t n_new;

    arg_json(&args, rows);
    int r = repo_run(call->repo, &insert, &args, &n_new);
    if (r == 0)
        json_value_int(w, n_new);
    return r == REPO_E_FK ? REPO_E_RETRY : r;
}

static int insert_tags(MethodCall *call, JsonWriter *w)
{
    json_object *list = call->values[0].json;
    cleanup(buf_free) Buf rows = {0};
    JsonWriter inner = {.buf = &rows};
    size_t kept = 0;

    json_begin_array(&inner);
    for (size_t i = 0; i < json_object_array_length(list); i++) {
        json_object *tag = json_object_array_get_idx(list, i);
        char where[32];
        bool keep = false;
        snprintf(where, sizeof(where), "rows[%zu]", i);
        int r = check_tag(call, where, tag, &keep);
        size_t before = rows.len;
        bool comma = inner.need_comma;
        r = r ? r : data_write(call, where, tag, tag_columns, ARRAY_SIZE(tag_columns), &inner);
        if (r != 0)
            return r;
        if (!keep) { /* it had to be well-formed all the same */
            rows.len = before;
            inner.need_comma = comma;
        }
        kept += keep;
    }
    json_end_array(&inner);
    if (kept == 0) {
        json_value_int(w, 0);
        return 0;
    }
    return store_tags(call, buf_str(&rows), w);
}

/* --- names --- */

static TechniqueNamer namer;
static void *namer_arg;

void repo_set_technique_namer(TechniqueNamer fn, void *arg)
{
    namer = fn;
    namer_arg = arg;
}

static TechniqueName name_of(Str id)
{
    char text[32];
    TechniqueName name = {0};

    if (namer && id.data && id.len < sizeof(text)) {
        snprintf(text, sizeof(text), STR_FMT, STR_ARG(id));
        if (!namer(namer_arg, text, &name))
            name = (TechniqueName){0};
    }
    return name;
}

/* --- roll-ups --- */

/* Membership is literal: an identity's tags are those that name it and those of attackers that name it, and merges are
 * not followed. The list of attackers is an array so that each half can use its index. */
#define TAGS_OF_IDENTITY                                                                                               \
    "(identity_uuid = $1 OR attacker_uuid = ANY (ARRAY(SELECT uuid FROM attackers WHERE identity_id = $1)))"

/* Columns of every roll-up; that of a campaign has one more. */
enum {
    ROLLUP_TECHNIQUE,
    ROLLUP_SUB,
    ROLLUP_TACTIC,
    ROLLUP_COUNT,
    ROLLUP_FIRST,
    ROLLUP_LAST,
    ROLLUP_CONFIDENCE,
    ROLLUP_IDENTITIES
};

#define ROLLUP_ORDER                                                                                                   \
    "count(*) DESC, max(created_at) DESC, technique_id COLLATE \"C\", sub_technique_id COLLATE \"C\" NULLS FIRST"

#define ROLLUP_FROM(more, from)                                                                                        \
    "SELECT technique_id, sub_technique_id, max(tactic) AS tactic, count(*) AS count, min(created_at) AS first_seen,"  \
    "  max(created_at) AS last_seen, max(confidence) AS confidence_max" more " FROM " from                             \
    " GROUP BY technique_id, sub_technique_id ORDER BY " ROLLUP_ORDER
#define ROLLUP(where) ROLLUP_FROM("", "ttp_tag " where)

/* Tags that name a member, then those of its attackers that do not: none twice. Columns in the order of the first. */
#define TAGS_OF_CAMPAIGN                                                                                               \
    "(SELECT technique_id, sub_technique_id, tactic, created_at, confidence, m.uuid AS member"                         \
    "  FROM member m JOIN ttp_tag t ON t.identity_uuid = m.uuid"                                                       \
    " UNION ALL SELECT technique_id, sub_technique_id, tactic, created_at, confidence, m.uuid"                         \
    "  FROM member m JOIN attackers a ON a.identity_id = m.uuid JOIN ttp_tag t ON t.attacker_uuid = a.uuid"            \
    "  WHERE NOT EXISTS (SELECT FROM member x WHERE x.uuid = t.identity_uuid)) tags"

static void write_names(const PGresult *r, int row, JsonWriter *w)
{
    Str technique = res_str(r, row, ROLLUP_TECHNIQUE), sub = res_str(r, row, ROLLUP_SUB);

    json_put_str(w, "technique_id", technique);
    json_put_cstr(w, "technique_name", name_of(technique).name);
    json_put_str(w, "sub_technique_id", sub);
    json_put_cstr(w, "sub_technique_name", name_of(sub).name);
    json_put_str(w, "tactic", res_str(r, row, ROLLUP_TACTIC));
    json_put_int(w, "count", res_int(r, row, ROLLUP_COUNT));
}

static void write_url(const PGresult *r, int row, JsonWriter *w)
{
    Str technique = res_str(r, row, ROLLUP_TECHNIQUE), sub = res_str(r, row, ROLLUP_SUB);
    json_put_cstr(w, "mitre_url", name_of(sub.data ? sub : technique).url);
}

static void write_identity_technique(const PGresult *r, int row, JsonWriter *w)
{
    json_begin_object(w);
    write_names(r, row, w);
    json_put_time(w, "first_seen", res_time(r, row, ROLLUP_FIRST));
    json_put_time(w, "last_seen", res_time(r, row, ROLLUP_LAST));
    json_put_double(w, "confidence_max", res_double(r, row, ROLLUP_CONFIDENCE));
    write_url(r, row, w);
    json_end_object(w);
}

static void write_campaign_technique(const PGresult *r, int row, JsonWriter *w)
{
    json_begin_object(w);
    write_names(r, row, w);
    json_put_int(w, "identity_count", res_int(r, row, ROLLUP_IDENTITIES));
    json_put_time(w, "last_seen", res_time(r, row, ROLLUP_LAST));
    write_url(r, row, w);
    json_end_object(w);
}

static void write_technique(const PGresult *r, int row, JsonWriter *w)
{
    json_begin_object(w);
    write_names(r, row, w);
    json_put_time(w, "last_seen", res_time(r, row, ROLLUP_LAST));
    write_url(r, row, w);
    json_end_object(w);
}

/* --- raw rows --- */

/* Parameters: who or what, technique, sub-technique or null for any, limit. */
#define TAGS_OF(scope, where)                                                                                          \
    {                                                                                                                  \
        .name = "method_tags_of_" scope, .shape = SHAPE_ROWS,                                                          \
        .sql = "SELECT * FROM ttp_tag WHERE " where " AND technique_id = $2"                                           \
               " AND ($3::text IS NULL OR sub_technique_id = $3) ORDER BY created_at DESC, uuid DESC LIMIT $4"         \
    }

typedef struct TagsOf {
    const char *scope;
    bool by_text; /* a session's id is free text, all others are uuids */
    Statement statement;
} TagsOf;

static const TagsOf scopes[] = {
    {"attacker", false, TAGS_OF("attacker", "attacker_uuid = $1")},
    {"identity", false, TAGS_OF("identity", TAGS_OF_IDENTITY)},
    {"session", true, TAGS_OF("session", "session_id = $1")},
};

static const TagsOf *find_scope(Str name)
{
    for (size_t i = 0; i < ARRAY_SIZE(scopes); i++)
        if (str_eq_cstr(name, scopes[i].scope))
            return &scopes[i];
    return NULL;
}

static int list_tags_by_scope_and_technique(MethodCall *call, JsonWriter *w)
{
    const TagsOf *of = find_scope(call->values[0].text);
    const MethodValue *subject = &call->values[1], *sub = &call->values[3];
    cleanup(args_free) Args args = {0};
    cleanup(pgresult_freep) PGresult *result = NULL;

    if (!of)
        return method_invalid(call, "scope must be identity, attacker or session");
    if (of->by_text)
        arg_str(&args, subject->text);
    else
        arg_uuid(&args, subject->malformed ? NULL : &subject->uuid);
    arg_str(&args, call->values[2].text);
    arg_str(&args, sub->is_null ? (Str){0} : sub->text);
    arg_int8(&args, call->values[4].number);
    int r = repo_exec(call->repo, &of->statement, &args, &result);
    if (r == 0)
        method_write_rows(call, result, w);
    return r;
}

METHOD(insert_tags, .params = {{"rows", PARAM_LIST, .required = true}}, .returns = "int", .writes = true,
       .run = insert_tags);

METHOD(list_techniques_by_identity, .params = {{"uuid", PARAM_UUID, .required = true}},
       .returns = "list[IdentityTechniqueRow]", .shape = METHOD_ROWS,
       .statement.sql = ROLLUP("WHERE " TAGS_OF_IDENTITY), .write_row = write_identity_technique);

METHOD(list_techniques_by_attacker, .params = {{"uuid", PARAM_UUID, .required = true}},
       .returns = "list[IdentityTechniqueRow]", .shape = METHOD_ROWS,
       .statement.sql = ROLLUP("WHERE attacker_uuid = $1"), .write_row = write_identity_technique);

METHOD(list_techniques_by_campaign, .params = {{"uuid", PARAM_UUID, .required = true}},
       .returns = "list[CampaignTechniqueRow]", .shape = METHOD_ROWS,
       .statement.sql = "WITH member AS (SELECT uuid FROM attacker_identities WHERE campaign_id = $1) " ROLLUP_FROM(
           ", count(DISTINCT member) AS identity_count", TAGS_OF_CAMPAIGN),
       .write_row = write_campaign_technique);

METHOD(list_techniques_by_session, .params = {{"sid", PARAM_TEXT, .required = true}},
       .returns = "list[IdentityTechniqueRow]", .shape = METHOD_ROWS, .statement.sql = ROLLUP("WHERE session_id = $1"),
       .write_row = write_identity_technique);

METHOD(list_tags_by_scope_and_technique,
       .params = {{"scope", PARAM_TEXT, .required = true},
                  {"uuid", PARAM_UUID, .required = true},
                  {"technique_id", PARAM_TEXT, .required = true},
                  {"sub_technique_id", PARAM_TEXT, .nullable = true},
                  {"limit", PARAM_LIMIT, .standard = "200"}},
       .returns = "list[row(ttp_tag)]", .shape = METHOD_ROWS, .run = list_tags_by_scope_and_technique);

METHOD(list_distinct_techniques, .returns = "list[TechniqueRollupRow]", .shape = METHOD_ROWS,
       .statement.sql = ROLLUP(""), .write_row = write_technique);

METHOD(list_ttp_tags_by_attacker,
       .params = {{"uuid", PARAM_UUID, .required = true}, {"limit", PARAM_LIMIT, .standard = "2000"}},
       .returns = "list[row(ttp_tag)]", .shape = METHOD_ROWS,
       .statement.sql = "SELECT * FROM ttp_tag WHERE attacker_uuid = $1"
                        " ORDER BY created_at DESC, uuid DESC LIMIT $2");

METHOD(get_all_ttp_rollups_for_export,
       .returns = "{attacker_uuid: list[{technique_id, sub_technique_id, tactic, count, confidence_max}]}",
       .shape = METHOD_GROUPS, .streams = true,
       .statement.sql =
           "SELECT attacker_uuid, technique_id, sub_technique_id, max(tactic) AS tactic, count(*) AS count,"
           "  max(confidence) AS confidence_max FROM ttp_tag WHERE attacker_uuid IS NOT NULL"
           " GROUP BY attacker_uuid, technique_id, sub_technique_id"
           " ORDER BY attacker_uuid, " ROLLUP_ORDER);

METHOD(list_ttp_decky_phases, .params = {{"identity_uuid", PARAM_UUID, .required = true}},
       .returns = "list[{decky_id, tactic, created_at_ts}]", .shape = METHOD_ROWS, .streams = true,
       .statement.sql = "SELECT decky_id, tactic, extract(epoch FROM created_at)::float8 AS created_at_ts FROM ttp_tag"
                        " WHERE " TAGS_OF_IDENTITY " AND decky_id IS NOT NULL ORDER BY created_at, uuid");
