#include "intel.h"

#include "overwrite.h"

static Tristate tristate(const PGresult *r, int row, int col)
{
    return res_null(r, row, col) ? TRI_UNKNOWN : res_bool(r, row, col) ? TRI_YES : TRI_NO;
}

/* Strings of a jsonb list; anything that is not a list, or not a string in it, is left out. */
static StrList str_list(Arena *arena, Str json)
{
    cleanup(json_putp) json_object *array = json_parse(json);
    if (!array || !json_object_is_type(array, json_type_array))
        return (StrList){0};
    size_t n = json_object_array_length(array), kept = 0;
    Str *items = arena_calloc(arena, n + 1, sizeof(*items));
    for (size_t i = 0; i < n; i++) {
        Str s = json_str(json_object_array_get_idx(array, i));
        if (s.data)
            items[kept++] = str_dup(arena, s);
    }
    return (StrList){items, kept};
}

static IntList int_list(Arena *arena, Str json)
{
    cleanup(json_putp) json_object *array = json_parse(json);
    if (!array || !json_object_is_type(array, json_type_array))
        return (IntList){0};
    size_t n = json_object_array_length(array), kept = 0;
    int64_t *items = arena_calloc(arena, n + 1, sizeof(*items));
    for (size_t i = 0; i < n; i++) {
        json_object *value = json_object_array_get_idx(array, i);
        if (json_object_is_type(value, json_type_int))
            items[kept++] = json_object_get_int64(value);
    }
    return (IntList){items, kept};
}

static void read_facts(Arena *arena, const PGresult *r, int row, IntelFacts *f)
{
    enum {
        UUID = 1,
        IP,
        VERDICT,
        SCORE,
        CATEGORIES,
        GN_CLASS,
        GN_NAME,
        GN_TAGS,
        FEODO,
        FEODO_FAMILY,
        FOX,
        FOX_THREATS,
        FOX_IOCS,
        FOX_FAMILIES,
        CACHED
    };
    *f = (IntelFacts){
        .attacker_uuid = res_uuid(r, row, UUID),
        .attacker_ip = str_dup(arena, res_str(r, row, IP)),
        .aggregate_verdict = str_dup(arena, res_str(r, row, VERDICT)),
        .has_abuseipdb_score = !res_null(r, row, SCORE),
        .abuseipdb_score = (double)res_int(r, row, SCORE),
        .abuseipdb_categories = int_list(arena, res_str(r, row, CATEGORIES)),
        .greynoise_classification = str_dup(arena, res_str(r, row, GN_CLASS)),
        .greynoise_name = str_dup(arena, res_str(r, row, GN_NAME)),
        .greynoise_tags = str_list(arena, res_str(r, row, GN_TAGS)),
        .feodo_listed = tristate(r, row, FEODO),
        .feodo_malware_family = str_dup(arena, res_str(r, row, FEODO_FAMILY)),
        .threatfox_listed = tristate(r, row, FOX),
        .threatfox_threat_types = str_list(arena, res_str(r, row, FOX_THREATS)),
        .threatfox_ioc_types = str_list(arena, res_str(r, row, FOX_IOCS)),
        .threatfox_malware_families = str_list(arena, res_str(r, row, FOX_FAMILIES)),
        .cached_at_us = res_time(r, row, CACHED),
    };
}

int intel_read(Repo *repo, Arena *arena, const Uuid *attackers, size_t n, IntelFacts *ret_facts, bool *ret_has_row)
{
    static const Statement read = {
        .name = "intel_read",
        .shape = SHAPE_ROWS,
        .sql =
            "SELECT i.n, t.attacker_uuid, t.attacker_ip, t.aggregate_verdict, t.abuseipdb_score, "
            "t.abuseipdb_categories,"
            " t.greynoise_classification, t.greynoise_name, t.greynoise_tags, t.feodo_listed, t.feodo_malware_family,"
            " t.threatfox_listed, t.threatfox_threat_types, t.threatfox_ioc_types, t.threatfox_malware_families,"
            " t.cached_at FROM unnest($1::uuid[]) WITH ORDINALITY AS i (uuid, n)"
            " JOIN attacker_intel t ON t.attacker_uuid = i.uuid"};
    cleanup(args_free) Args args = {0};
    cleanup(pgresult_freep) PGresult *result = NULL;

    for (size_t i = 0; i < n; i++)
        ret_has_row[i] = false;
    if (n == 0)
        return 0;
    arg_uuids(&args, attackers, sizeof(*attackers), n);
    int r = repo_exec(repo, &read, &args, &result);
    for (int i = 0; r == 0 && i < PQntuples(result); i++) {
        size_t at = (size_t)res_int(result, i, 0) - 1;
        read_facts(arena, result, i, &ret_facts[at]);
        ret_has_row[at] = true;
    }
    return r;
}

static int by_attacker(const void *a, const void *b)
{
    return uuid_cmp(&((const IntelRow *)a)->attacker_uuid, &((const IntelRow *)b)->attacker_uuid);
}

static void bind(Args *args, const void *intel, size_t n, uint64_t given)
{
    const IntelRow *rows = intel;

    arg_int8(args, (int64_t)given);
    ArgArray *attacker = arg_array(args, PG_UUID), *ip = arg_array(args, PG_TEXT),
             *expires = arg_array(args, PG_TIMESTAMPTZ);
    for (size_t i = 0; i < n; i++) {
        array_uuid(attacker, &rows[i].attacker_uuid);
        array_str(ip, rows[i].attacker_ip);
        array_time(expires, rows[i].expires_at);
    }
    INTEL_COLUMNS(ROW_BIND)
}

static void bind_attacker(ArgArray *keys, const void *row)
{
    array_uuid(keys, &((const IntelRow *)row)->attacker_uuid);
}

static bool is_attacker(const PGresult *r, int i, const void *row)
{
    Uuid attacker = res_uuid(r, i, 0);
    return uuid_cmp(&attacker, &((const IntelRow *)row)->attacker_uuid) == 0;
}

#define NAMES "attacker_uuid, attacker_ip, expires_at" INTEL_COLUMNS(ROW_NAME)
#define VALUES "i.attacker_uuid, i.attacker_ip, i.expires_at" INTEL_COLUMNS(ROW_VALUE)
#define ARRAYS                                                                                                         \
    "unnest($2) AS attacker_uuid, unnest($3) AS attacker_ip, unnest($4) AS expires_at" INTEL_COLUMNS(ROW_UNNEST)
#define KEPT INTEL_COLUMNS(ROW_KEEP)
#define DIFFERS                                                                                                        \
    "a.expires_at <> EXCLUDED.expires_at OR a.attacker_ip <> EXCLUDED.attacker_ip" INTEL_COLUMNS(ROW_DIFFERS)

int intel_upsert(Repo *repo, const IntelRow *rows, size_t n, uint64_t given, Uuid *uuids)
{
    static const Overwrite overwrite = {
        .row_bytes = sizeof(IntelRow),
        .compare = by_attacker,
        .bind = bind,
        .key_type = PG_UUID,
        .bind_key = bind_attacker,
        .is_key = is_attacker,
        .write = {.name = "intel_upsert",
                  .shape = SHAPE_ROWS,
                  .sql = "INSERT INTO attacker_intel AS a (" NAMES ") SELECT " VALUES " FROM (SELECT " ARRAYS
                         ") i ON CONFLICT (attacker_uuid) DO UPDATE SET attacker_ip = EXCLUDED.attacker_ip,"
                         "  expires_at = EXCLUDED.expires_at" KEPT " WHERE " DIFFERS " RETURNING attacker_uuid, uuid"},
        .find = {.name = "intel_unchanged",
                 .shape = SHAPE_ROWS,
                 .sql = "SELECT i.n, a.uuid FROM unnest($1) WITH ORDINALITY AS i (attacker, n)"
                        " JOIN attacker_intel a ON a.attacker_uuid = i.attacker"},
        .vanished = "what is known of an attacker",
    };

    return overwrite_rows(repo, &overwrite, rows, n, given, uuids);
}
