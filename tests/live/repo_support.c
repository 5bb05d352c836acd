#include "repo_support.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "pg_harness.h"

Repo *repo;
char *conninfo;

void repo_test_setup(void)
{
    harness_pg_start();
    conninfo = harness_pg_conninfo();
    repo = repo_new(&(RepoOptions){.conninfo = conninfo, .application_name = "repo_test"});
    cr_assert_eq(repo_connect(repo), 0, "%s", repo_error_text(repo));
}

void repo_test_teardown(void)
{
    repo_free(repo);
    free(conninfo);
    harness_pg_stop();
}

/* Single quotes stand for double ones, so that JSON reads well in C. */
printf_like(2, 0) static Str quoted(Buf *buf, const char *fmt, va_list args)
{
    char *text = NULL;
    cr_assert_geq(vasprintf(&text, fmt, args), 0);
    for (char *c = text; *c; c++)
        *c = *c == '\'' ? '"' : *c;
    buf_add(buf, text);
    free(text);
    return buf_str(buf);
}

printf_like(3, 0) static int call_with(Repo *on, const char *method, const char *fmt, va_list args, Buf *result)
{
    cleanup(buf_free) Buf text = {0};
    cleanup(json_putp) json_object *params = json_parse(quoted(&text, fmt, args));
    cr_assert_not_null(params, "%s: not JSON: %s", method, text.data);
    return repo_call(on, method, params, result);
}

json_object *call(const char *method, const char *fmt, ...)
{
    cleanup(buf_free) Buf result = {0};
    va_list args;

    va_start(args, fmt);
    int r = call_with(repo, method, fmt, args, &result);
    va_end(args);
    cr_assert_eq(r, 0, "%s: %s", method, repo_error_text(repo));
    json_object *json = json_parse(buf_str(&result));
    cr_assert(json || strcmp(result.data, "null") == 0, "%s: result is no JSON: %s", method, result.data);
    return json;
}

int64_t call_int(const char *method, const char *fmt, ...)
{
    cleanup(buf_free) Buf result = {0};
    va_list args;
    int64_t n = -1;

    va_start(args, fmt);
    int r = call_with(repo, method, fmt, args, &result);
    va_end(args);
    cr_assert_eq(r, 0, "%s: %s", method, repo_error_text(repo));
    cr_assert(text_to_int64(buf_str(&result), &n), "%s: %s", method, result.data);
    return n;
}

void refuse(int outcome, const char *words, const char *method, const char *fmt, ...)
{
    cleanup(buf_free) Buf result = {0};
    va_list args;

    va_start(args, fmt);
    int r = call_with(repo, method, fmt, args, &result);
    va_end(args);
    cr_expect_eq(r, outcome, "%s %s: %d, %s", method, fmt, r, r ? repo_error_text(repo) : result.data);
    cr_expect_eq(result.len, 0);
    if (r)
        cr_expect(strstr(repo_error_text(repo), words), "%s: '%s' is not in: %s", method, words, repo_error_text(repo));
}

const char *text_of(json_object *row, const char *key)
{
    json_object *value = NULL;
    cr_assert(json_object_object_get_ex(row, key, &value), "the row has no key %s", key);
    return value ? json_object_get_string(value) : "null";
}

json_object *nth(json_object *list, size_t i)
{
    cr_assert(json_object_is_type(list, json_type_array));
    cr_assert_lt(i, json_object_array_length(list));
    return json_object_array_get_idx(list, i);
}

const char *attacker(const char *ip)
{
    static _Thread_local char uuid[4][UUID_TEXT_BYTES];
    static _Thread_local unsigned turn;
    char *out = uuid[turn++ % 4];
    cleanup(json_putp) json_object *id = call("upsert_attacker",
                                              "{'data':{'ip':'%s','first_seen':'2026-01-01T00:00:00Z','last_seen':"
                                              "'2026-01-01T00:00:00Z'}}",
                                              ip);
    snprintf(out, UUID_TEXT_BYTES, "%s", json_object_get_string(id));
    return out;
}

const char *identity(unsigned n)
{
    static _Thread_local char uuid[4][UUID_TEXT_BYTES];
    static _Thread_local unsigned turn;
    char *out = uuid[turn++ % 4];

    snprintf(out, UUID_TEXT_BYTES, "1d000000-0000-4000-8000-%012u", n);
    harness_sql("INSERT INTO attacker_identities (uuid) VALUES ('%s') ON CONFLICT DO NOTHING", out);
    return out;
}

/* --- several connections at once --- */

/* Connecting takes longer than what is done then: who is ready waits for the others. */
static pthread_barrier_t all_connected;

typedef struct Hammer {
    pthread_t thread;
    int index;
    HammerFn fn;
    void *arg;
} Hammer;

static void *hammer(void *arg)
{
    Hammer *h = arg;
    cleanup(repo_freep) Repo *own = repo_new(&(RepoOptions){.conninfo = conninfo, .application_name = "hammer"});

    cr_assert_eq(repo_connect(own), 0, "%s", repo_error_text(own));
    pthread_barrier_wait(&all_connected);
    h->fn(own, h->index, h->arg);
    return NULL;
}

void hammer_all(HammerFn fn, void *arg)
{
    Hammer all[HAMMERS];

    cr_assert_eq(pthread_barrier_init(&all_connected, NULL, HAMMERS), 0);
    for (int i = 0; i < HAMMERS; i++) {
        all[i] = (Hammer){.index = i, .fn = fn, .arg = arg};
        cr_assert_eq(pthread_create(&all[i].thread, NULL, hammer, &all[i]), 0);
    }
    for (int i = 0; i < HAMMERS; i++)
        pthread_join(all[i].thread, NULL);
    pthread_barrier_destroy(&all_connected);
}

json_object *call_on(Repo *on, const char *method, const char *fmt, ...)
{
    cleanup(buf_free) Buf result = {0};
    va_list args;

    va_start(args, fmt);
    int r = call_with(on, method, fmt, args, &result);
    va_end(args);
    cr_assert_eq(r, 0, "%s: %s", method, repo_error_text(on));
    json_object *json = json_parse(buf_str(&result));
    cr_assert(json || strcmp(result.data, "null") == 0, "%s: result is no JSON: %s", method, result.data);
    return json;
}

int outcome_on(Repo *on, const char *method, const char *fmt, ...)
{
    cleanup(buf_free) Buf result = {0};
    va_list args;

    va_start(args, fmt);
    int r = call_with(on, method, fmt, args, &result);
    va_end(args);
    return r;
}
