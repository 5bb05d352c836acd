/* plans_test: every call of every method on the large repository, judged by the plans that PostgreSQL ran for it.
 *
 * A plan fails when it scans a large table as a whole, or reads far more of it by an index than it needs. The closed list
 * below says which methods may, and why; docs/repository.md has the same list. Both kinds of plans are judged: those made
 * for the values of a call, and those that a prepared statement keeps for all values. Writes are rolled back.
 *
 * Prints TAP. Needs DECNET_TEST_PG (a superuser's connection string) and DECNET_SOURCE_ROOT; `./run test --large` sets
 * them. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/table.h"
#include "base/time.h"
#include "repo/pg.h"
#include "store.h"
#include "values.h"

#define LARGE_ROWS 10000 /* a table with more is large */
enum {
    READ_MAX = 40000,  /* rows that one scan may read: the longest page at an offset, and as many in vain */
    WASTE_FREE = 2000, /* rows that a scan may read in vain in any case, */
    WASTE_FACTOR = 10, /* and how many for each that it hands on */
};

#define ABSENT "absent"
#define FREE_TEXT "'line 4711 '" /* the one of values.c */

/* What may read whole tables: a method, or only calls where the parameter is given (with this value) or ABSENT. Every entry
 * has to be needed. */
static const struct Allowed {
    const char *method, *param, *value, *why;
} allowed[] = {
#include "allowed.h"
};

typedef struct Name {
    char text[128]; /* key */
    UT_hash_handle hh;
} Name;

typedef struct Check {
    Repo *repo;
    bool generic;
    Name *large, *used_indexes, *prepared;
    int cases, failed; /* of the TAP stream */
    bool needed[ARRAY_SIZE(allowed)];
    /* of one method */
    int calls, plans, complaints;
    /* of one call */
    const Method *method;
    const MethodTry *try;
    char **texts; /* plans as they came */
    size_t n_texts;
} Check;

/* --- sets of names --- */

static bool has_name(Name *set, const char *text)
{
    Name *n;
    HASH_FIND_STR(set, text, n);
    return n != NULL;
}

static void add_name(Name **set, const char *text)
{
    if (has_name(*set, text))
        return;
    Name *n = calloc(1, sizeof(*n));
    if (!n)
        abort();
    snprintf(n->text, sizeof(n->text), "%s", text);
    HASH_ADD_STR(*set, text, n);
}

static void free_names(Name **set)
{
    Name *n, *next;
    HASH_ITER (hh, *set, n, next) {
        HASH_DEL(*set, n);
        free(n);
    }
}

/* --- TAP --- */

printf_like(3, 4) static void report(Check *c, bool good, const char *fmt, ...)
{
    va_list args;

    printf("%sok %d - ", good ? "" : "not ", ++c->cases);
    va_start(args, fmt);
    vprintf(fmt, args);
    va_end(args);
    putchar('\n');
    fflush(stdout);
    c->failed += !good;
}

static void bail(const char *what, const char *why)
{
    printf("Bail out! %s: %s\n", what, why);
    exit(1);
}

/* --- plans as notices --- */

static void keep_plan(void *arg, const PGresult *notice)
{
    Check *c = arg;
    const char *message = PQresultErrorField(notice, PG_DIAG_MESSAGE_PRIMARY);
    const char *plan = message && strncmp(message, "duration:", 9) == 0 ? strchr(message, '{') : NULL;

    if (!plan)
        return;
    c->texts = realloc(c->texts, (c->n_texts + 1) * sizeof(*c->texts));
    if (!c->texts)
        abort();
    c->texts[c->n_texts++] = strdup(plan);
}

static void forget_plans(Check *c)
{
    for (size_t i = 0; i < c->n_texts; i++)
        free(c->texts[i]);
    free(c->texts);
    c->texts = NULL;
    c->n_texts = 0;
}

static void run_sql(Check *c, const char *sql)
{
    if (repo_script(c->repo, "plans_test", sql) != 0)
        bail("database", repo_error_text(c->repo));
}

/* INFO goes to the client alone, whatever the server logs. */
static void watch_plans(Check *c)
{
    run_sql(c, "LOAD 'auto_explain'; SET auto_explain.log_min_duration = 0; SET auto_explain.log_analyze = on;"
               " SET auto_explain.log_timing = off;"
               " SET auto_explain.log_format = json; SET auto_explain.log_level = info");
    PQsetNoticeReceiver(repo_connection(c->repo), keep_plan, c);
}

static void stop_watching(Check *c)
{
    run_sql(c, "SET auto_explain.log_min_duration = -1");
    forget_plans(c);
}

/* First column of each row as a set. */
static Name *names(Check *c, const char *sql)
{
    Name *set = NULL;
    PGconn *conn = repo_connection(c->repo);

    PQsetnonblocking(conn, 0);
    PGresult *r = PQexec(conn, sql);
    PQsetnonblocking(conn, 1);
    if (PQresultStatus(r) != PGRES_TUPLES_OK)
        bail("database", PQerrorMessage(conn));
    for (int i = 0; i < PQntuples(r); i++)
        add_name(&set, PQgetvalue(r, i, 0));
    PQclear(r);
    return set;
}

/* --- judgement --- */

/* @wanted of the list against what a call has, which is NULL for an absent parameter. */
static bool matches(const char *wanted, const char *given)
{
    if (wanted && strcmp(wanted, ABSENT) == 0)
        return !given;
    return given && (!wanted || strcmp(wanted, given) == 0);
}

static bool allows(const struct Allowed *a, const Check *c)
{
    const MethodParam *p = method_params(c->method);

    if (strcmp(a->method, method_name(c->method)) != 0)
        return false;
    for (int i = 0; a->param && i < METHOD_PARAMS_MAX && p[i].name; i++)
        if (strcmp(p[i].name, a->param) == 0)
            return matches(a->value, c->try->values[i]);
    return !a->param;
}

printf_like(3, 4) static void complain(Check *c, const char *text, const char *fmt, ...)
{
    va_list args;

    for (size_t i = 0; i < ARRAY_SIZE(allowed); i++) {
        if (allows(&allowed[i], c)) {
            c->needed[i] = true;
            return;
        }
    }
    va_start(args, fmt);
    char *words = NULL;
    if (vasprintf(&words, fmt, args) < 0)
        abort();
    va_end(args);
    if (c->complaints++ < 3)
        printf("# %s %s: %s\n# in: %s\n", method_name(c->method),
               json_object_to_json_string_ext(c->try->params, JSON_C_TO_STRING_PLAIN), words, text);
    free(words);
}

static double member_number(json_object *node, const char *key)
{
    json_object *value;
    return json_object_object_get_ex(node, key, &value) ? json_object_get_double(value) : 0;
}

static const char *member_text(json_object *node, const char *key)
{
    json_object *value;
    return json_object_object_get_ex(node, key, &value) ? json_object_get_string(value) : "";
}

static void judge_scan(Check *c, json_object *node, const char *text)
{
    const char *type = member_text(node, "Node Type"), *table = member_text(node, "Relation Name");
    double loops = member_number(node, "Actual Loops"), rows = member_number(node, "Actual Rows") * loops;
    double waste =
        (member_number(node, "Rows Removed by Filter") + member_number(node, "Rows Removed by Index Recheck")) * loops;

    if (loops <= 0 || !has_name(c->large, table))
        return;
    if (strcmp(type, "Seq Scan") == 0)
        complain(c, text, "scans %s", table);
    else if (waste > WASTE_FREE && waste > rows * WASTE_FACTOR)
        complain(c, text, "reads %.0f rows of %s by %s to find %.0f", rows + waste, table,
                 member_text(node, "Index Name"), rows);
    else if (rows + waste > READ_MAX)
        complain(c, text, "reads %.0f rows of %s by %s", rows + waste, table, member_text(node, "Index Name"));
}

static void note_indexes(Check *c, json_object *node)
{
    json_object *arbiters;

    if (*member_text(node, "Index Name"))
        add_name(&c->used_indexes, member_text(node, "Index Name"));
    if (!json_object_object_get_ex(node, "Conflict Arbiter Indexes", &arbiters))
        return;
    for (size_t i = 0; i < json_object_array_length(arbiters); i++)
        add_name(&c->used_indexes, json_object_get_string(json_object_array_get_idx(arbiters, i)));
}

static void judge_node(Check *c, json_object *node, const char *text)
{
    json_object *children;

    judge_scan(c, node, text);
    note_indexes(c, node);
    if (!json_object_object_get_ex(node, "Plans", &children))
        return;
    for (size_t i = 0; i < json_object_array_length(children); i++)
        judge_node(c, json_object_array_get_idx(children, i), text);
}

/* A statement without a name, which is planned anew for each call, has no plan for all values. */
static bool is_kept(const Check *c, const char *text)
{
    char start[sizeof(((Name *)0)->text)];

    snprintf(start, sizeof(start), "%s", text);
    return has_name(c->prepared, start);
}

static void judge_plans(Check *c)
{
    /* The plan of the last statement comes when something else takes its place. */
    run_sql(c, "SHOW timezone");
    if (c->generic) {
        free_names(&c->prepared);
        size_t n = c->n_texts;
        c->prepared = names(c, "SELECT left(statement, 127) FROM pg_prepared_statements");
        while (c->n_texts > n) /* the question itself */
            free(c->texts[--c->n_texts]);
    }
    for (size_t i = 0; i < c->n_texts; i++) {
        json_object *plan = json_tokener_parse(c->texts[i]), *top;
        if (!plan || !json_object_object_get_ex(plan, "Plan", &top))
            bail("auto_explain", "a plan is no JSON");
        const char *text = member_text(plan, "Query Text");
        if (!c->generic || is_kept(c, text)) {
            judge_node(c, top, text);
            c->plans++;
        }
        json_object_put(plan);
    }
}

/* --- calls --- */

static int drop_item(void *arg, Str item)
{
    (void)arg;
    (void)item;
    return 0;
}

static void try_call(void *arg, const Method *m, const MethodTry *t)
{
    Check *c = arg;
    cleanup(buf_free) Buf result = {0};
    int r;

    c->method = m;
    c->try = t;
    for (size_t i = 0; i < ARRAY_SIZE(allowed); i++)
        if (c->needed[i] && allows(&allowed[i], c)) /* shown once, and it takes long */
            return;
    forget_plans(c);
    if (method_streams(m)) {
        r = repo_call_each(c->repo, method_name(m), t->params, drop_item, NULL);
    } else {
        r = repo_begin(c->repo);
        r = r ? r : repo_call(c->repo, method_name(m), t->params, &result);
    }
    if (r != 0 && c->complaints++ < 3)
        printf("# %s %s: %s\n", method_name(m), json_object_to_json_string_ext(t->params, JSON_C_TO_STRING_PLAIN),
               repo_error_text(c->repo));
    if (r == 0)
        judge_plans(c);
    repo_rollback(c->repo);
    c->calls++;
}

/* What reads whole tables on purpose may do so to change every row, each with its foreign keys: a plan for every one of
 * those says nothing more. */
static void watch_nested(Check *c, const Method *m)
{
    bool nested = true;

    for (size_t i = 0; i < ARRAY_SIZE(allowed); i++)
        nested &= allowed[i].param || strcmp(allowed[i].method, method_name(m)) != 0;
    run_sql(c, nested ? "SET auto_explain.log_nested_statements = on" : "SET auto_explain.log_nested_statements = off");
}

static void check_method(Check *c, const Method *m)
{
    int64_t start_us = clock_monotonic_us();

    watch_nested(c, m);
    c->calls = c->plans = c->complaints = 0;
    const char *missing = method_tries(m, try_call, c);
    if (missing)
        printf("# values.c has no value for parameter %s\n", missing);
    report(c, !missing && c->complaints == 0, "%s, plans for %s values: %d calls, %d plans, %d ms", method_name(m),
           c->generic ? "all" : "given", c->calls, c->plans, (int)((clock_monotonic_us() - start_us) / US_PER_MS));
}

static void check_methods(Check *c, bool generic, const char *only)
{
    c->generic = generic;
    run_sql(c, generic ? "SET plan_cache_mode = force_generic_plan" : "SET plan_cache_mode = force_custom_plan");
    for (size_t i = 0; i < method_count(); i++)
        if (!only || strcmp(only, method_name(method_at(i))) == 0)
            check_method(c, method_at(i));
}

/* --- the closed list --- */

static void check_list_is_needed(Check *c)
{
    for (size_t i = 0; i < ARRAY_SIZE(allowed); i++)
        report(c, c->needed[i], "%s%s%s is rightly in the closed list", allowed[i].method,
               allowed[i].param ? " with " : "", allowed[i].param ? allowed[i].param : "");
}

static void write_line(Buf *out, const struct Allowed *a)
{
    bool absent = a->value && strcmp(a->value, ABSENT) == 0;

    if (a->param)
        buf_printf(out, "| `%s` | %s `%s` | %s |\n", a->method, absent ? "without" : "with", a->param, a->why);
    else
        buf_printf(out, "| `%s` | always | %s |\n", a->method, a->why);
}

/* The lines of the table in docs/repository.md are those of the list, in its order. */
static void check_list_is_documented(Check *c)
{
    cleanup(buf_free) Buf doc = {0};
    cleanup(buf_free) Buf want = {0};
    char path[512];
    static const char before[] = "<!-- closed list -->\n", after[] = "<!-- end of the closed list -->";

    snprintf(path, sizeof(path), "%s/docs/repository.md", getenv("DECNET_SOURCE_ROOT"));
    for (size_t i = 0; i < ARRAY_SIZE(allowed); i++)
        write_line(&want, &allowed[i]);
    const char *from = file_read(path, 1 << 20, &doc) == 0 ? strstr(doc.data, before) : NULL;
    const char *rows = from ? strstr(from, "|---|---|---|\n") : NULL;
    const char *to = rows ? strstr(rows, after) : NULL;
    bool same = false;
    if (to) {
        rows += strlen("|---|---|---|\n");
        Str found = text_trim((Str){.data = rows, .len = (size_t)(to - rows)});
        same = str_eq(found, text_trim(buf_str(&want)));
    }
    if (!same)
        for (char *line = strtok(want.data, "\n"); line; line = strtok(NULL, "\n"))
            printf("# %s\n", line);
    report(c, same, "docs/repository.md has the closed list");
}

/* Informs: the rest belongs to workers, to foreign keys, or should go. Keys of tables are no question. */
static void show_unused_indexes(Check *c)
{
    Name *all = names(c, "SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE"
                         " c.relnamespace = 'decnet'::regnamespace AND NOT i.indisunique ORDER BY 1");
    Name *n, *next;

    HASH_ITER (hh, all, n, next)
        if (!has_name(c->used_indexes, n->text))
            printf("# no plan of a method used the index %s\n", n->text);
    free_names(&all);
}

int main(int argc, char **argv)
{
    Check c = {0};
    const char *only = argc == 3 && strcmp(argv[1], "--only") == 0 ? argv[2] : NULL;
    int64_t start_us = clock_monotonic_us();

    c.repo = large_store("plans_test");
    printf("# the large repository is there after %d s\n", (int)((clock_monotonic_us() - start_us) / US_PER_S));
    c.large = names(&c, "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'decnet'::regnamespace"
                        " AND reltuples > " STRINGIFY(LARGE_ROWS));
    watch_plans(&c);
    check_methods(&c, false, only);
    check_methods(&c, true, only);
    stop_watching(&c);
    if (!only) {
        check_list_is_needed(&c);
        check_list_is_documented(&c);
        show_unused_indexes(&c);
    }
    printf("1..%d\n", c.cases);
    free_names(&c.large);
    free_names(&c.used_indexes);
    free_names(&c.prepared);
    repo_free(c.repo);
    return c.failed > 0;
}
