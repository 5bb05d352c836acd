/* Every method of the table, whichever there are, with what mistaken callers and attackers send: wrong types, bytes that
 * are no text, texts of a megabyte, numbers and times at the ends of their ranges, ids that are none. Whatever comes, the
 * outcome is success or one of the interface's classes, a refused call leaves nothing behind, and the connection goes on.
 *
 * No method is named here. What a method wants to have in a dictionary is learned from its own refusals and from the
 * names of the schema's columns. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "pg_harness.h"
#include "repo_support.h"

#define SEED_UUID "5eed0000-0000-4000-8000-000000000001"
#define OTHER_UUID "5eed0000-0000-4000-8000-000000000002"
#define SEED_TIME "2026-01-01T00:00:00Z"

enum { MIB = 1 << 20, LEARN_ROUNDS = 64 };

/* --- a world in which the plain parameters below mean something --- */

/* One row in each table that takes it: the seed's uuid, x, 1. Tables need each other: a few passes. */
static const char seed_world[] =
    "DO $$ DECLARE t record; BEGIN"
    " FOR pass IN 1..4 LOOP"
    "  FOR t IN SELECT a.attrelid::regclass AS name, string_agg(quote_ident(a.attname), ',') AS names,"
    "    string_agg(CASE a.atttypid::regtype::text WHEN 'uuid' THEN '''" SEED_UUID "''' WHEN 'boolean' THEN 'false'"
    "     WHEN 'timestamp with time zone' THEN '''" SEED_TIME "''' WHEN 'jsonb' THEN '''{}''' WHEN 'json' THEN '''{}'''"
    "     WHEN 'text' THEN '''x''' WHEN 'bytea' THEN '''x''' ELSE '1' END, ',') AS vals"
    "   FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid WHERE c.relnamespace = 'decnet'::regnamespace"
    "    AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped AND a.attidentity = ''"
    "    AND a.attname NOT LIKE 'merged_into%'"
    "    AND ((a.attnotnull AND NOT a.atthasdef) OR a.atttypid = 'uuid'::regtype)"
    "   GROUP BY a.attrelid"
    "  LOOP"
    "   BEGIN"
    "    EXECUTE format('INSERT INTO %s (%s) VALUES (%s) ON CONFLICT DO NOTHING', t.name, t.names, t.vals);"
    "   EXCEPTION WHEN OTHERS THEN NULL;"
    "   END;"
    "  END LOOP;"
    " END LOOP; END $$";

/* How many rows each table has, and which transactions wrote them. */
static const char prepare_fingerprint[] =
    "DO $$ BEGIN EXECUTE 'PREPARE fingerprint AS SELECT string_agg(x, '' '') FROM (' || (SELECT string_agg(format("
    "'SELECT count(*) || '':'' || COALESCE(sum(xmin::text::int8), 0) AS x FROM %s', oid::regclass), ' UNION ALL '"
    " ORDER BY oid) FROM pg_class WHERE relnamespace = 'decnet'::regnamespace AND relkind = 'r') || ') t'; END $$";

static char *world; /* its fingerprint: no call here may change it */
static json_object *columns;

static void setup(void)
{
    repo_test_setup();
    harness_sql("%s", seed_world);
    harness_sql("%s", prepare_fingerprint);
    world = harness_sql_text("EXECUTE fingerprint");
    cleanup(freep) char *names = harness_sql_text(
        "SELECT json_agg(DISTINCT attname) FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid WHERE"
        " c.relnamespace = 'decnet'::regnamespace AND c.relkind = 'r' AND attnum > 0 AND NOT attisdropped");
    columns = json_parse(str_from(names));
    cr_assert_gt(json_object_array_length(columns), 100);
}

static void teardown(void)
{
    free(world);
    json_object_put(columns);
    repo_test_teardown();
}

TestSuite(repo_bad_input, .init = setup, .fini = teardown, .timeout = 280);

static const Method *method; /* the one that is called, and */
static const char *what;     /* with what, for messages */
static char message[512];    /* of its refusal */

/* --- values --- */

typedef struct Value {
    const char *json; /* JSON text; or */
    Str bytes;        /* a string of these bytes; or */
    json_object *(*build)(void);
    const char *label; /* of what has no JSON text */
} Value;

static json_object *text_value(Str s)
{
    return json_object_new_string_len(s.data, (int)s.len);
}

static json_object *even_megabyte(void)
{
    static char text[MIB];
    memset(text, 'a', sizeof(text));
    return text_value((Str){text, sizeof(text)});
}

/* Nothing packs this: an entry of an index that holds it is as long as it is. */
static json_object *rough_megabyte(void)
{
    static char text[MIB];
    uint32_t x = 1;

    for (size_t i = 0; i < sizeof(text); i++) {
        x = x * 1664525 + 1013904223;
        text[i] = (char)(' ' + (x >> 24) % 95);
    }
    return text_value((Str){text, sizeof(text)});
}

static json_object *deep_list(void)
{
    json_object *value = json_object_new_array();

    for (int i = 0; i < 200; i++) {
        json_object *outer = json_object_new_array();
        json_object_array_add(outer, value);
        value = outer;
    }
    return value;
}

static json_object *odd_keys(void)
{
    json_object *value = json_object_new_object();
    cleanup(json_putp) json_object *rough = rough_megabyte();

    json_object_object_add(value, "\xff\xfe", json_object_new_int(1));
    json_object_object_add(value, "", text_value((Str){"\0", 1}));
    json_object_object_add(value, json_object_get_string(rough), text_value(STR("\xed\xa0\x80")));
    return value;
}

static const Value values[] = {
    {.json = "null"},
    {.json = "true"},
    {.json = "0"},
    {.json = "-1"},
    {.json = "10001"},
    {.json = "9223372036854775807"},
    {.json = "-9223372036854775808"},
    {.json = "1.5"},
    {.json = "-1e308"},
    {.json = "\"\""},
    {.json = "\"nope\""},
    {.json = "\"" OTHER_UUID "\""},
    {.json = "\"00000000-0000-0000-0000-00000000000g\""},
    {.json = "\"0001-01-01T00:00:00Z\""},
    {.json = "\"9999-12-31T23:59:59.999999Z\""},
    {.json = "\"2026-02-30T00:00:00Z\""},
    {.json = "\"' OR 1=1 --\\\\%_\""},
    {.json = "\"{\\\"a\\\":\\\"\\\\u0000\\\"}\""},
    {.json = "\"[1e400]\""},
    {.json = "\"\\ud800 and \\udc00\""},
    {.json = "[]"},
    {.json = "{}"},
    {.json = "[null]"},
    {.json = "[{}]"},
    {.json = "[1,\"x\",[],1.5]"},
    {.json = "[\"\\u0000\",\"\\ud800\"]"},
    {.json = "{\"a\":{\"b\":[\"\\u0000\",-1e308]}}"},
    {.bytes = {"a\0b", 3}, .label = "NUL"},
    {.bytes = {"\xed\xa0\x80", 3}, .label = "a surrogate in UTF-8"},
    {.bytes = {"\xff\xfe\xc3", 3}, .label = "bytes that are not UTF-8"},
    {.build = even_megabyte, .label = "1 MiB of one letter"},
    {.build = rough_megabyte, .label = "1 MiB of noise"},
    {.build = deep_list, .label = "a list in 200 lists"},
    {.build = odd_keys, .label = "odd keys"},
};

static json_object *value_of(const Value *v)
{
    if (v->build)
        return v->build();
    return v->json ? json_parse(str_from(v->json)) : text_value(v->bytes);
}

static bool is_large(const Value *v)
{
    return v->build == even_megabyte || v->build == rough_megabyte || v->build == odd_keys;
}

/* What each type of a parameter is made of, and what a caller who knows the seeded world passes. */
static const struct {
    json_type is;
    const char *plain;
    const char *const *refused; /* further values that must be refused */
} types[] = {
#define NUMBERS_BELOW_0                                                                                                \
    (const char *const[])                                                                                              \
    {                                                                                                                  \
        "-1", "-9223372036854775808", NULL                                                                             \
    }
#define NUMBERS_OF_NO_PAGE                                                                                             \
    (const char *const[])                                                                                              \
    {                                                                                                                  \
        "-1", "10001", "9223372036854775807", NULL                                                                     \
    }
#define NO_TIMES                                                                                                       \
    (const char *const[])                                                                                              \
    {                                                                                                                  \
        "\"\"", "\"nope\"", "\"2026-02-30T00:00:00Z\"", NULL                                                           \
    }
#define NO_IDS                                                                                                         \
    (const char *const[])                                                                                              \
    {                                                                                                                  \
        "\"\"", "\"nope\"", "\"00000000-0000-0000-0000-00000000000g\"", NULL                                           \
    }
    [PARAM_TEXT] = {json_type_string, "\"x\"", NULL},
    [PARAM_FILTER] = {json_type_string, "\"x\"", NULL},
    [PARAM_IP] = {json_type_string, "\"x\"", NULL},
    [PARAM_ID] = {json_type_string, "\"" SEED_UUID "\"", NULL},
    [PARAM_UUID] = {json_type_string, "\"" SEED_UUID "\"", NULL},
    [PARAM_NEW_ID] = {json_type_string, "\"" OTHER_UUID "\"", NO_IDS},
    [PARAM_INT] = {json_type_int, "1", NULL},
    [PARAM_COUNT] = {json_type_int, "1", NUMBERS_BELOW_0},
    [PARAM_LIMIT] = {json_type_int, "10", NUMBERS_OF_NO_PAGE},
    [PARAM_BOOL] = {json_type_boolean, "false", NULL},
    [PARAM_TIME] = {json_type_string, "\"" SEED_TIME "\"", NO_TIMES},
    [PARAM_OBJECT] = {json_type_object, "{}", NULL},
    [PARAM_LIST] = {json_type_array, "[{}]", NULL},
    [PARAM_SET] = {json_type_array, "[\"x\"]", (const char *const[]){"[null]", "[{}]", "[1,\"x\",[],1.5]", NULL}},
    [PARAM_IPS] = {json_type_array, "[\"x\"]", (const char *const[]){"[null]", "[{}]", "[1,\"x\",[],1.5]", NULL}},
    [PARAM_JSON] = {json_type_null, "1", NULL}, /* any */
};

static json_object *plain_value(const MethodParam *p)
{
    cr_assert_lt(p->type, ARRAY_SIZE(types), "%s: parameter %s has a type that this test does not know",
                 method_name(method), p->name);
    return json_parse(str_from(types[p->type].plain));
}

static bool must_refuse(const MethodParam *p, const Value *v, json_object *json)
{
    if (p->type == PARAM_JSON)
        return false;
    if (!json)
        return !p->nullable;
    if (!json_object_is_type(json, types[p->type].is))
        return true;
    for (const char *const *s = types[p->type].refused; s && *s && v->json; s++)
        if (strcmp(*s, v->json) == 0)
            return true;
    return false;
}

/* --- one call --- */

static const int classes[] = {0,         REPO_E_INVALID, REPO_E_NOT_FOUND,    REPO_E_CONFLICT,
                              REPO_E_FK, REPO_E_VERSION, REPO_E_NOT_EDITABLE, REPO_E_ORPHAN};

static bool is_class(int outcome)
{
    for (size_t i = 0; i < ARRAY_SIZE(classes); i++)
        if (classes[i] == outcome)
            return true;
    return false;
}

static int nothing(void *arg, Str item_json)
{
    (void)arg;
    (void)item_json;
    return 0;
}

/* The outcome of a call that is undone again; its result, or its message. */
static int try(json_object *params, Buf *result)
{
    buf_clear(result);
    cr_assert_eq(repo_begin(repo), 0, "%s", repo_error_text(repo));
    int r = repo_call(repo, method_name(method), params, result);
    snprintf(message, sizeof(message), "%s", r ? repo_error(repo)->message : "");
    cr_expect(is_class(r), "%s, %s: outcome %d: %s", method_name(method), what, r, repo_error_text(repo));
    repo_rollback(repo);
    return r;
}

static void expect_unchanged(void)
{
    cleanup(freep) char *now = harness_sql_text("EXECUTE fingerprint");
    cr_assert_str_eq(now, world, "%s, %s: left something behind", method_name(method), what);
}

static void expect_refusal(json_object *params, int outcome)
{
    cleanup(buf_free) Buf result = {0};
    int r = repo_call(repo, method_name(method), params, &result);

    cr_expect_eq(r, outcome, "%s, %s: %d alone, %d in a transaction: %s", method_name(method), what, r, outcome,
                 message);
    cr_expect_eq(result.len, 0, "%s, %s: a refusal with a result", method_name(method), what);
    cr_expect_neq(*message, '\0', "%s, %s: a refusal without a word", method_name(method), what);
    if (method_streams(method))
        cr_expect_eq(repo_call_each(repo, method_name(method), params, nothing, NULL), outcome, "%s, %s",
                     method_name(method), what);
    if (method_writes(method))
        expect_unchanged();
}

/* Methods that return one value: typed callers rely on it. Others may be anything but no JSON. */
static const struct {
    const char *returns;
    json_type is;
    bool or_null;
} single_values[] = {
    {"void", json_type_null, true},
    {"int", json_type_int, false},
    {"int (row id)", json_type_int, false},
    {"bool", json_type_boolean, false},
    {"uuid", json_type_string, false},
    {"id", json_type_string, false},
    {"trigger uuid", json_type_string, false},
    {"uuid?", json_type_string, true},
    {"identity uuid?", json_type_string, true},
};

static void expect_success(const Buf *result)
{
    cleanup(json_putp) json_object *json = json_parse(buf_str(result));

    cr_expect(json || strcmp(result->data, "null") == 0, "%s, %s: the result is no JSON: %.200s", method_name(method),
              what, result->data);
    for (size_t i = 0; i < ARRAY_SIZE(single_values); i++)
        if (strcmp(method_returns(method), single_values[i].returns) == 0)
            cr_expect(json ? json_object_is_type(json, single_values[i].is) : single_values[i].or_null,
                      "%s, %s: the result is no %s: %.200s", method_name(method), what, single_values[i].returns,
                      result->data);
}

static int checked(json_object *params, Buf *result)
{
    cleanup(buf_free) Buf plain = {0};
    int r = try(params, result);

    if (r == 0)
        expect_success(result);
    else
        expect_refusal(params, r);
    cr_assert_eq(repo_call(repo, "get_max_log_id", NULL, &plain), 0, "%s, %s: the connection is lost: %s",
                 method_name(method), what, repo_error_text(repo));
    return r;
}

/* --- learning what a method wants --- */

static json_object *copy_of(json_object *json)
{
    json_object *copy = NULL;
    cr_assert_eq(json_object_deep_copy(json, &copy, NULL), 0);
    return copy;
}

static const MethodParam *param_named(const char *name)
{
    const MethodParam *p = method_params(method);

    for (size_t i = 0; i < METHOD_PARAMS_MAX && p[i].name; i++)
        if (strcmp(p[i].name, name) == 0)
            return &p[i];
    return NULL;
}

/* The parameter that holds a dictionary, or a list of them; NULL: there is none. */
static const MethodParam *dictionary_param(void)
{
    const MethodParam *p = method_params(method);

    for (size_t i = 0; i < METHOD_PARAMS_MAX && p[i].name; i++)
        if (p[i].required && (p[i].type == PARAM_OBJECT || p[i].type == PARAM_LIST))
            return &p[i];
    return NULL;
}

static json_object *dictionary_in(json_object *params)
{
    const MethodParam *p = dictionary_param();
    json_object *json = p ? json_member(params, p->name) : NULL;
    return json_object_is_type(json, json_type_array) ? json_object_array_get_idx(json, 0) : json;
}

static bool is_column(const char *name)
{
    for (size_t i = 0; i < json_object_array_length(columns); i++)
        if (strcmp(json_object_get_string(json_object_array_get_idx(columns, i)), name) == 0)
            return true;
    return false;
}

/* What to give for what a refusal asks for. */
static const struct {
    const char *words, *json;
} wishes[] = {
    {"text", "\"x\""},      {"a uuid", "\"" SEED_UUID "\""}, {"an integer", "1"}, {"a number", "0.5"},
    {"a boolean", "false"}, {"a time", "\"" SEED_TIME "\""}, {"JSON", "[]"},      {"a list", "[]"},
    {"an object", "{}"},
};

/* "… name must be words": sets it so, in the dictionary or among the parameters. Words that name no type are the values
 * that it can have: the one at place @turn. */
static bool grant(json_object *params, int turn)
{
    const char *must = strstr(message, " must be ");
    char name[64], word[64];

    if (!must)
        return false;
    const char *start = must, *rest = must + strlen(" must be ");
    while (start > message && start[-1] != ' ')
        start--;
    snprintf(name, sizeof(name), "%.*s", (int)(must - start), start);
    json_object *holder = param_named(name) ? params : dictionary_in(params);
    if (!holder)
        return false;
    bool is_key = strcmp(name, "uuid") == 0 || strcmp(name, "id") == 0; /* of the row to be */
    for (size_t i = 0; i < ARRAY_SIZE(wishes); i++)
        if (strncmp(rest, wishes[i].words, strlen(wishes[i].words)) == 0) {
            const char *json = is_key && strstr(wishes[i].json, SEED_UUID) ? "\"" OTHER_UUID "\"" : wishes[i].json;
            json_object_object_add(holder, name, json_parse(str_from(json)));
            return true;
        }
    for (rest += strspn(rest, " ,"); turn > 0 && *rest; turn--) {
        rest += strcspn(rest, " ,");
        rest += strspn(rest, " ,");
    }
    snprintf(word, sizeof(word), "%.*s", (int)strcspn(rest, " ,"), rest);
    json_object_object_add(holder, name, json_object_new_string(word));
    return *word != '\0';
}

/* The key that the refusal misses, or else a column that it names and the dictionary has not. */
static bool add_key(json_object *dictionary)
{
    char text[sizeof(message)], *save = NULL;
    const char *key = NULL;

    if (!dictionary)
        return false;
    snprintf(text, sizeof(text), "%s", message);
    const char *missing = strstr(text, "key ");
    char *word = strtok_r(missing ? text + (missing - text) + strlen("key ") : text, " ,:;", &save);
    for (; word && !key; word = strtok_r(NULL, " ,:;", &save))
        if ((missing || is_column(word)) && !json_object_object_get_ex(dictionary, word, NULL))
            key = word;
    if (key)
        json_object_object_add(dictionary, key, json_object_new_string("x"));
    return key;
}

/* Of what is there already, another: false when it was changed before. */
static bool differ(json_object *dictionary)
{
    bool changed = false;

    if (!dictionary)
        return false;
    json_object_object_foreach (dictionary, key, value) {
        bool known = json_object_is_type(value, json_type_string) && strcmp(json_object_get_string(value), "x") == 0;
        (void)key;
        if (known)
            json_object_set_string(value, "y");
        changed = changed || known;
    }
    return changed;
}

static bool satisfy(json_object *params, int outcome, int turn)
{
    json_object *dictionary = dictionary_in(params);

    if (outcome == REPO_E_CONFLICT)
        return differ(dictionary);
    return outcome == REPO_E_INVALID && (grant(params, turn) || add_key(dictionary));
}

/* Parameters of @method with which it does its work, as far as its refusals tell. */
static json_object *learn_params(int *ret_outcome)
{
    json_object *params = json_object_new_object();
    const MethodParam *p = method_params(method);
    cleanup(buf_free) Buf result = {0};
    int turn = 0;

    for (size_t i = 0; i < METHOD_PARAMS_MAX && p[i].name; i++)
        if (p[i].required)
            json_object_object_add(params, p[i].name, plain_value(&p[i]));
    what = "plain parameters";
    for (int i = 0; i < LEARN_ROUNDS; i++) {
        char before[sizeof(message)];
        memcpy(before, message, sizeof(before));
        *ret_outcome = try(params, &result);
        turn = strcmp(before, message) == 0 ? turn + 1 : 0;
        if (!satisfy(params, *ret_outcome, turn))
            break;
    }
    return params;
}

/* Every column that @known has not, all with one value of @v. */
static void add_columns(json_object *dictionary, json_object *known, const Value *v)
{
    cleanup(json_putp) json_object *shared = value_of(v);

    for (size_t i = 0; i < json_object_array_length(columns); i++) {
        const char *name = json_object_get_string(json_object_array_get_idx(columns, i));
        if (!json_object_object_get_ex(known, name, NULL))
            json_object_object_add(dictionary, name, json_object_get(shared));
    }
}

/* Adds to @known the keys that the method refuses with @probe as their value, so it knows them. */
static void learn_keys(json_object *params, const Value *probe, json_object *known)
{
    cleanup(json_putp) json_object *probing = copy_of(params);
    json_object *dictionary = dictionary_in(probing);
    cleanup(buf_free) Buf result = {0};
    bool found = true;

    add_columns(dictionary, known, probe);
    while (found && try(probing, &result) == REPO_E_INVALID) {
        char text[sizeof(message)], *save = NULL;
        bool stranger = strstr(message, "is no column");
        found = false;
        snprintf(text, sizeof(text), "%s", message);
        for (char *word = strtok_r(text, " ,:;", &save); word && !found; word = strtok_r(NULL, " ,:;", &save)) {
            if (!is_column(word) || !json_object_object_get_ex(dictionary, word, NULL))
                continue;
            json_object_object_del(dictionary, word);
            if (!stranger)
                json_object_object_add(known, word, NULL);
            found = true;
        }
    }
}

static void for_each_method(void (*fn)(void))
{
    for (size_t i = 0; i < method_count(); i++) {
        method = method_at(i);
        message[0] = '\0';
        fn();
    }
}

static const char *label_of(const char *name, const Value *v, char text[200])
{
    snprintf(text, 200, "%s = %s", name, v->json ? v->json : v->label);
    return text;
}

/* --- tests --- */

Test(repo_bad_input, a_change_is_seen)
{
    what = "by itself";
    method = method_at(0);
    expect_unchanged();
    harness_sql("UPDATE state SET value = '2'");
    cleanup(freep) char *now = harness_sql_text("EXECUTE fingerprint");
    cr_expect_str_neq(now, world);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM attackers a JOIN ttp_tag t ON t.attacker_uuid = a.uuid"
                                 " JOIN logs l ON l.attacker_ip = a.ip JOIN state ON key = 'x'"),
                 1, "the seeded world holds together");
}

static void unknown_parameter(void)
{
    cleanup(buf_free) Buf result = {0};
    cleanup(json_putp) json_object *params = json_parse(STR("{\"no such parameter\":1}"));

    what = "an unknown parameter";
    cr_expect_eq(checked(params, &result), REPO_E_INVALID, "%s", method_name(method));
    cr_expect(strstr(message, "no such parameter"), "%s: %s", method_name(method), message);
    cleanup(json_putp) json_object *list = json_parse(STR("[]"));
    cr_expect_eq(checked(list, &result), REPO_E_INVALID, "%s takes a list for its parameters", method_name(method));
}

static void missing_parameters(void)
{
    const MethodParam *p = method_params(method);
    cleanup(buf_free) Buf result = {0};

    what = "a missing parameter";
    for (size_t i = 0; i < METHOD_PARAMS_MAX && p[i].name; i++) {
        cleanup(json_putp) json_object *params = json_object_new_object();
        for (size_t k = 0; k < METHOD_PARAMS_MAX && p[k].name; k++)
            if (k != i && p[k].required)
                json_object_object_add(params, p[k].name, plain_value(&p[k]));
        if (!p[i].required)
            continue;
        cr_expect_eq(checked(params, &result), REPO_E_INVALID, "%s without %s", method_name(method), p[i].name);
        cr_expect(strstr(message, p[i].name), "%s without %s: %s", method_name(method), p[i].name, message);
    }
}

Test(repo_bad_input, parameters_that_are_unknown_or_missing)
{
    for_each_method(unknown_parameter);
    for_each_method(missing_parameters);
}

static void spoil_parameter(json_object *plain, const MethodParam *p)
{
    cleanup(buf_free) Buf result = {0};
    char label[200];

    for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
        cleanup(json_putp) json_object *params = copy_of(plain);
        json_object *json = value_of(&values[i]);
        bool refused = must_refuse(p, &values[i], json);
        what = label_of(p->name, &values[i], label);
        json_object_object_add(params, p->name, json);
        int r = checked(params, &result);
        cr_expect(!refused || r == REPO_E_INVALID, "%s, %s: outcome %d", method_name(method), what, r);
        cr_expect(!refused || strstr(message, p->name), "%s, %s: %s", method_name(method), what, message);
        if (r == 0 && strcmp(p->name, "offset") == 0 && json_object_get_int64(json) > LIMIT_PAGE_ROWS &&
            strncmp(method_returns(method), "list", strlen("list")) == 0)
            cr_expect_str_eq(result.data, "[]", "%s past the end", method_name(method));
    }
}

/* To a reader an id that is none is one that is unknown. */
static void malformed_id(json_object *plain, const MethodParam *p)
{
    cleanup(json_putp) json_object *params = copy_of(plain);
    cleanup(buf_free) Buf unknown = {0}, malformed = {0};

    what = "an unknown id";
    json_object_object_add(params, p->name, json_object_new_string("00000000-0000-4000-8000-000000000000"));
    int want = checked(params, &unknown);
    what = "a malformed id";
    json_object_object_add(params, p->name, json_object_new_string("nope"));
    cr_expect_eq(checked(params, &malformed), want, "%s", method_name(method));
    cr_expect_str_eq(buf_str(&malformed).data, buf_str(&unknown).data, "%s", method_name(method));
}

static void spoiled_parameters(void)
{
    const MethodParam *p = method_params(method);
    int outcome;

    if (!p[0].name)
        return;
    cleanup(json_putp) json_object *plain = learn_params(&outcome);
    for (size_t i = 0; i < METHOD_PARAMS_MAX && p[i].name; i++) {
        spoil_parameter(plain, &p[i]);
        if (p[i].type == PARAM_UUID && !method_writes(method))
            malformed_id(plain, &p[i]);
    }
    what = "all of these";
    expect_unchanged(); /* readers too */
}

Test(repo_bad_input, parameters_that_are_spoiled)
{
    for_each_method(spoiled_parameters);
}

static size_t n_keys, n_refused;

static void spoil_key(json_object *plain, const char *key)
{
    cleanup(buf_free) Buf result = {0};
    char label[200];

    for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
        cleanup(json_putp) json_object *params = copy_of(plain);
        what = label_of(key, &values[i], label);
        json_object_object_add(dictionary_in(params), key, value_of(&values[i]));
        n_refused += checked(params, &result) != 0;
    }
    n_keys++;
}

/* A method that takes every value as it comes tells no keys. Values of a megabyte are more together than a call may
 * hold; one of them is not. */
static void spoil_all_columns(json_object *plain)
{
    cleanup(buf_free) Buf result = {0};
    char label[200];

    spoil_key(plain, "key");

    for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
        cleanup(json_putp) json_object *params = copy_of(plain);
        cleanup(json_putp) json_object *none = json_object_new_object();
        what = label_of("every column", &values[i], label);
        add_columns(dictionary_in(params), none, &values[i]);
        int r = checked(params, &result);
        cr_expect(!is_large(&values[i]) || r == REPO_E_INVALID, "%s, %s: outcome %d", method_name(method), what, r);
    }
}

static void spoiled_keys(void)
{
    static const Value probes[] = {{.json = "1.5"}, {.json = "{}"}, {.json = "null"}, {.json = "\"{\""}};
    cleanup(json_putp) json_object *known = json_object_new_object();
    int outcome;

    if (!dictionary_param())
        return;
    cleanup(json_putp) json_object *plain = learn_params(&outcome);
    if (!json_object_is_type(dictionary_in(plain), json_type_object))
        return;
    json_object_object_foreach (dictionary_in(plain), given, given_value) {
        (void)given_value;
        json_object_object_add(known, given, NULL);
    }
    what = "probes";
    for (size_t i = 0; i < ARRAY_SIZE(probes); i++)
        learn_keys(plain, &probes[i], known);
    json_object_object_foreach (known, key, value) {
        (void)value;
        spoil_key(plain, key);
    }
    if (json_object_object_length(known) == 0)
        spoil_all_columns(plain);
}

Test(repo_bad_input, keys_of_dictionaries_that_are_spoiled)
{
    for_each_method(spoiled_keys);
    cr_expect_gt(n_keys, 50, "only %zu keys were learned", n_keys);
    cr_expect_gt(n_refused, 10 * n_keys, "only %zu refusals of %zu keys", n_refused, n_keys);
}

/* Nested lists around a null: @depth objects and lists with the parameters themselves. */
static json_object *nested_params(int depth)
{
    json_object *params = json_parse(STR("{\"key\":\"deep\"}")), *value = NULL;

    for (int i = 2; i < depth; i++) {
        json_object *outer = json_object_new_array();
        json_object_array_add(outer, value);
        value = outer;
    }
    json_object_object_add(params, "value", value);
    return params;
}

static json_object *long_params(size_t bytes)
{
    cleanup(buf_free) Buf text = {0};
    json_object *params = json_parse(STR("{\"key\":\"long\"}"));

    buf_reserve(&text, bytes);
    memset(text.data, 'a', bytes);
    json_object_object_add(params, "value", text_value((Str){text.data, bytes}));
    return params;
}

static void expect_set_state(json_object *own, const char *with, int outcome, const char *words)
{
    cleanup(json_putp) json_object *params = own;
    cleanup(buf_free) Buf result = {0};

    what = with;
    cr_expect_eq(checked(params, &result), outcome, "%s: %s", what, message);
    cr_expect(strstr(message, words), "%s: %s", what, message);
}

Test(repo_bad_input, calls_that_are_too_large_or_too_deep)
{
    method = method_find("set_state");
    expect_set_state(long_params(LIMIT_CALL_BYTES - 1000), "just not too large", 0, "");
    expect_set_state(long_params(LIMIT_CALL_BYTES), "too large", REPO_E_INVALID, "larger than 16777216 bytes");
    expect_set_state(nested_params(LIMIT_JSON_DEPTH), "just not too deep", 0, "");
    expect_set_state(nested_params(LIMIT_JSON_DEPTH + 1), "too deep", REPO_E_INVALID, "deeper than 32");
    expect_set_state(nested_params(10000), "10,000 lists", REPO_E_INVALID, "deeper than 32");
    what = "all of these";
    expect_unchanged();
}

/* The learning above has to be good enough that values reach the statements, and are not all refused for another. */
static size_t n_methods, n_stuck;

static void learned(void)
{
    int outcome;

    if (!method_params(method)[0].name)
        return;
    json_object_put(learn_params(&outcome));
    n_methods++;
    if (outcome != REPO_E_INVALID)
        return;
    n_stuck++;
    cr_log_info("%s: %s", method_name(method), message);
}

Test(repo_bad_input, most_methods_do_their_work_with_plain_parameters)
{
    for_each_method(learned);
    cr_expect_leq(n_stuck * 10, n_methods, "%zu of %zu methods refuse what was learned", n_stuck, n_methods);
}
