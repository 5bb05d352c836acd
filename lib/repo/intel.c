#include "intel.h"

#include "pg.h"

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
    ArgArray *uuids = arg_array(&args, PG_UUID);
    for (size_t i = 0; i < n; i++)
        array_uuid(uuids, &attackers[i]);
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
    const IntelRow *x = *(const IntelRow *const *)a, *y = *(const IntelRow *const *)b;
    int c = uuid_cmp(&x->attacker_uuid, &y->attacker_uuid);
    return c ? c : (x > y) - (x < y);
}

/* Sorts by key and keeps the last of equal ones; @place[i] tells where row i went. */
static size_t fold_intel(Arena *scratch, const IntelRow *rows, size_t n, IntelRow *folded, size_t *place)
{
    const IntelRow **order = arena_calloc(scratch, n, sizeof(*order));
    size_t n_folded = 0;

    for (size_t i = 0; i < n; i++)
        order[i] = &rows[i];
    qsort(order, n, sizeof(*order), by_attacker);
    for (size_t i = 0; i < n; i++) {
        bool repeats = n_folded && uuid_cmp(&folded[n_folded - 1].attacker_uuid, &order[i]->attacker_uuid) == 0;
        folded[repeats ? n_folded - 1 : n_folded++] = *order[i];
        place[order[i] - rows] = n_folded - 1;
    }
    return n_folded;
}

static void bind_intel(Args *args, const IntelRow *rows, size_t n, uint64_t given)
{
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

/* The ids of rows that were there and stayed as they were. */
static int find_unchanged(Repo *repo, const IntelRow *rows, const size_t *unchanged, size_t n, Uuid *ids)
{
    static const Statement find = {.name = "intel_unchanged",
                                   .shape = SHAPE_ROWS,
                                   .sql = "SELECT i.n, a.uuid FROM unnest($1) WITH ORDINALITY AS i (attacker, n)"
                                          " JOIN attacker_intel a ON a.attacker_uuid = i.attacker"};
    cleanup(args_free) Args args = {0};
    cleanup(pgresult_freep) PGresult *result = NULL;

    if (n == 0)
        return 0;
    ArgArray *attacker = arg_array(&args, PG_UUID);
    for (size_t i = 0; i < n; i++)
        array_uuid(attacker, &rows[unchanged[i]].attacker_uuid);
    int r = repo_exec(repo, &find, &args, &result);
    if (r == 0 && (size_t)PQntuples(result) != n)
        return repo_fail(repo, REPO_E_RETRY, find.name, "what is known of an attacker was removed meanwhile");
    for (int i = 0; r == 0 && i < PQntuples(result); i++)
        ids[unchanged[res_int(result, i, 0) - 1]] = res_uuid(result, i, 1);
    return r;
}

#define NAMES "attacker_uuid, attacker_ip, expires_at" INTEL_COLUMNS(ROW_NAME)
#define VALUES "i.attacker_uuid, i.attacker_ip, i.expires_at" INTEL_COLUMNS(ROW_VALUE)
#define ARRAYS                                                                                                         \
    "unnest($2) AS attacker_uuid, unnest($3) AS attacker_ip, unnest($4) AS expires_at" INTEL_COLUMNS(ROW_UNNEST)
#define KEPT INTEL_COLUMNS(ROW_KEEP)
#define DIFFERS                                                                                                        \
    "a.expires_at <> EXCLUDED.expires_at OR a.attacker_ip <> EXCLUDED.attacker_ip" INTEL_COLUMNS(ROW_DIFFERS)

/* Rows in key order; @ids gets the id of each. */
static int upsert(Repo *repo, const IntelRow *rows, size_t n, uint64_t given, size_t *unchanged, Uuid *ids)
{
    /* A row that says what is stored is not written. Those that are come back in the order of the arrays. */
    static const Statement write = {.name = "intel_upsert",
                                    .shape = SHAPE_ROWS,
                                    .sql = "INSERT INTO attacker_intel AS a (" NAMES ") SELECT " VALUES
                                           " FROM (SELECT " ARRAYS ") i ON CONFLICT (attacker_uuid) DO UPDATE SET"
                                           "  attacker_ip = EXCLUDED.attacker_ip, expires_at = EXCLUDED.expires_at" KEPT
                                           " WHERE " DIFFERS " RETURNING attacker_uuid, uuid"};
    cleanup(args_free) Args args = {0};
    cleanup(pgresult_freep) PGresult *result = NULL;
    size_t n_unchanged = 0;
    int at = 0;

    bind_intel(&args, rows, n, given);
    int r = repo_exec(repo, &write, &args, &result);
    if (r != 0)
        return r;
    for (size_t i = 0; i < n; i++) {
        Uuid attacker = at < PQntuples(result) ? res_uuid(result, at, 0) : (Uuid){{0}};
        if (at < PQntuples(result) && uuid_cmp(&attacker, &rows[i].attacker_uuid) == 0)
            ids[i] = res_uuid(result, at++, 1);
        else
            unchanged[n_unchanged++] = i;
    }
    return find_unchanged(repo, rows, unchanged, n_unchanged, ids);
}

int intel_upsert(Repo *repo, const IntelRow *rows, size_t n, uint64_t given, Uuid *uuids)
{
    cleanup(arena_freep) Arena *scratch = NULL;

    if (n == 0)
        return 0;
    scratch = arena_new();
    IntelRow *folded = arena_calloc(scratch, n, sizeof(*folded));
    size_t *place = arena_calloc(scratch, n, sizeof(*place)), *unchanged = arena_calloc(scratch, n, sizeof(*unchanged));
    Uuid *ids = arena_calloc(scratch, n, sizeof(*ids));
    int r = upsert(repo, folded, fold_intel(scratch, rows, n, folded, place), given, unchanged, ids);
    for (size_t i = 0; r == 0 && i < n; i++)
        uuids[i] = ids[place[i]];
    return r;
}
