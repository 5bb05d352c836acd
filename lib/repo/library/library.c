/* The shared library's face: handles, transactions and errors as <decnet/repo.h> promises them to other programs. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "call.h"
#include "repo/method.h"
#include "repo/pg.h"
#include "repo/ready.h"

#define SAME_CODE(name_) static_assert((int)DECNET_REPO_##name_ == (int)REPO_##name_, "one number for each outcome")
SAME_CODE(E_RETRY);
SAME_CODE(E_IN_DOUBT);
SAME_CODE(E_FK);
SAME_CODE(E_OPERATOR);
SAME_CODE(E_INVALID);
SAME_CODE(E_CONFLICT);
SAME_CODE(E_NOT_FOUND);
SAME_CODE(E_VERSION);
SAME_CODE(E_NOT_EDITABLE);
SAME_CODE(E_ORPHAN);

/* Which transaction the handle is in; only its opener ends it. */
typedef enum Transaction { NOT_OPEN, OPEN_BY_BEGIN, OPEN_BY_RUN } Transaction;

struct DecnetRepo {
    Repo *repo;
    char *conninfo, *application_name;
    Transaction transaction;
    bool schema_checked;
    bool walking; /* inside of decnet_repo_call_each() */
    DecnetRepoError error;
    RepoError kept; /* its texts */
    char method[64], detail_json[sizeof(((RepoError *)NULL)->detail_json) + 2];
};

/* --- handles and errors --- */

static char *copied(const char *text)
{
    char *copy = strdup(text);

    if (!copy)
        abort();
    return copy;
}

DecnetRepo *decnet_repo_new(const char *conninfo, const char *application_name, int64_t statement_timeout_ms)
{
    DecnetRepo *repo = calloc(1, sizeof(*repo));

    if (!repo)
        abort();
    repo->conninfo = copied(conninfo ? conninfo : "");
    repo->application_name = copied(application_name ? application_name : "libdecnet-repo");
    repo->repo = repo_new(&(RepoOptions){.conninfo = repo->conninfo,
                                         .application_name = repo->application_name,
                                         .statement_timeout_ms = MAX(statement_timeout_ms, 0)});
    repo->error = (DecnetRepoError){
        .class_name = "", .method = "", .message = "", .sqlstate = "", .hint = "", .detail_json = "{}"};
    return repo;
}

void decnet_repo_free(DecnetRepo *repo)
{
    if (!repo)
        return;
    repo_free(repo->repo);
    free(repo->conninfo);
    free(repo->application_name);
    free(repo);
}

/* A detail that was cut is no JSON any more. */
static void keep_detail(DecnetRepo *repo, const char *members)
{
    snprintf(repo->detail_json, sizeof(repo->detail_json), "{%s}", members);
    cleanup(json_putp) json_object *whole = json_parse(str_from(repo->detail_json));
    if (!whole)
        strcpy(repo->detail_json, "{}");
}

/* Keeps what the repository tells about its last failure; @what was tried. */
static int keep_error(DecnetRepo *repo, const char *what, int outcome)
{
    const RepoError *e = &repo->kept;

    if (outcome == 0)
        return 0;
    repo->kept = *repo_error(repo->repo);
    snprintf(repo->kept.hint, sizeof(repo->kept.hint), "%s", method_hint(repo->repo, outcome));
    snprintf(repo->method, sizeof(repo->method), "%s", what);
    keep_detail(repo, e->detail_json);
    repo->error = (DecnetRepoError){.code = outcome,
                                    .class_name = repo_error_class(repo->repo, outcome),
                                    .method = repo->method,
                                    .message = e->message,
                                    .sqlstate = e->sqlstate,
                                    .hint = e->hint,
                                    .detail_json = repo->detail_json};
    return outcome;
}

static int refuse(DecnetRepo *repo, const char *what, int outcome, const char *message)
{
    return keep_error(repo, what, repo_fail(repo->repo, outcome, NULL, "%s", message));
}

const DecnetRepoError *decnet_repo_error(const DecnetRepo *repo)
{
    return &repo->error;
}

int decnet_repo_connect(DecnetRepo *repo)
{
    if (repo->transaction && !repo_is_connected(repo->repo))
        return refuse(repo, "connect", REPO_E_RETRY, "the connection was lost inside of a transaction: roll it back");
    int r = repo_connect(repo->repo);
    r = r ? r : method_ready(repo->repo, "", &repo->schema_checked);
    return keep_error(repo, "connect", r);
}

void decnet_repo_disconnect(DecnetRepo *repo)
{
    repo_disconnect(repo->repo);
    repo->transaction = NOT_OPEN;
}

bool decnet_repo_is_connected(const DecnetRepo *repo)
{
    return repo_is_connected(repo->repo);
}

/* --- transactions --- */

/* After a failure inside of it PostgreSQL answers COMMIT with success, and rolls back. */
static bool has_failed(const DecnetRepo *repo)
{
    return repo_is_connected(repo->repo) && PQtransactionStatus(repo_connection(repo->repo)) == PQTRANS_INERROR;
}

static const char lost_work[] = "a call in this transaction has failed, so that nothing of it can be stored";

int decnet_repo_begin(DecnetRepo *repo)
{
    if (repo->transaction)
        return refuse(repo, "begin", REPO_E_INVALID, "a transaction is open already");
    int r = repo_connect(repo->repo);
    r = r ? r : repo_begin(repo->repo);
    if (r == 0)
        repo->transaction = OPEN_BY_BEGIN;
    return keep_error(repo, "begin", r);
}

int decnet_repo_commit(DecnetRepo *repo)
{
    if (repo->transaction != OPEN_BY_BEGIN)
        return refuse(repo, "commit", REPO_E_INVALID,
                      repo->transaction ? "decnet_repo_run() commits by itself" : "no transaction is open");
    bool failed = has_failed(repo);
    int r = failed ? REPO_E_INVALID : repo_is_connected(repo->repo) ? repo_commit(repo->repo) : REPO_E_RETRY;
    repo->transaction = NOT_OPEN;
    if (r == 0)
        return 0;
    repo_rollback(repo->repo);
    return failed ? refuse(repo, "commit", r, lost_work) : keep_error(repo, "commit", r);
}

void decnet_repo_rollback(DecnetRepo *repo)
{
    if (repo->transaction != OPEN_BY_BEGIN)
        return;
    repo_rollback(repo->repo);
    repo->transaction = NOT_OPEN;
}

typedef struct Work {
    DecnetRepo *repo;
    DecnetRepoWork fn;
    void *arg;
    bool done; /* what follows is the commit's */
} Work;

static int do_work(Repo *inner, void *arg)
{
    Work *work = arg;
    DecnetRepo *repo = work->repo;

    (void)inner;
    work->done = false;
    repo->transaction = OPEN_BY_RUN;
    int r = work->fn(repo, work->arg);
    repo->transaction = NOT_OPEN;
    if (r == 0 && has_failed(repo))
        r = refuse(repo, "run", REPO_E_INVALID, lost_work);
    work->done = r == 0;
    return r;
}

int decnet_repo_run(DecnetRepo *repo, DecnetRepoWork fn, void *arg)
{
    Work work = {.repo = repo, .fn = fn, .arg = arg, .done = true};

    if (repo->transaction)
        return refuse(repo, "run", REPO_E_INVALID, "a transaction is open already");
    int r = repo_transaction(repo->repo, do_work, &work);
    return work.done ? keep_error(repo, "run", r) : r;
}

/* --- calls --- */

/* False when @text is no JSON; null is NULL. */
static bool parse(const char *text, json_object **ret)
{
    *ret = json_parse_exact(str_from(text));
    return *ret || str_eq(text_trim(str_from(text)), STR("null"));
}

/* Whether a call can be made now. */
static int ready(DecnetRepo *repo, const char *method)
{
    if (repo->walking)
        return refuse(repo, method, REPO_E_INVALID, "the function that takes the items must not use their handle");
    if (repo->transaction && !repo_is_connected(repo->repo))
        return refuse(repo, method, REPO_E_RETRY, "the connection was lost inside of a transaction: roll it back");
    return keep_error(repo, method, method_ready(repo->repo, method, &repo->schema_checked));
}

static int call_json(DecnetRepo *repo, const char *method, json_object *params, Buf *ret_json)
{
    int r = ready(repo, method);

    return r ? r : keep_error(repo, method, repo_call(repo->repo, method, params, ret_json));
}

typedef struct Walk {
    DecnetRepoItem fn;
    void *arg;
    bool stopped;
} Walk;

static int hand_over(void *arg, Str item_json)
{
    Walk *walk = arg;
    int r = walk->fn(walk->arg, item_json.data);

    walk->stopped = r != 0;
    return r;
}

static int walk(DecnetRepo *repo, const char *method, json_object *params, DecnetRepoItem fn, void *arg)
{
    Walk w = {.fn = fn, .arg = arg};
    int r = ready(repo, method);

    if (r != 0)
        return r;
    repo->walking = true;
    r = repo_call_each(repo->repo, method, params, hand_over, &w);
    repo->walking = false;
    return w.stopped ? r : keep_error(repo, method, r);
}

static int take_params(DecnetRepo *repo, const char *method, const char *params_json, json_object **ret)
{
    *ret = NULL;
    if (!params_json || parse(params_json, ret))
        return 0;
    return refuse(repo, method, REPO_E_INVALID,
                  "the parameters are no JSON text, or nest deeper than " STRINGIFY(LIMIT_JSON_DEPTH));
}

/* Hands the text over; it is none of the Buf's any more. */
static void give(Buf *json, char **ret)
{
    if (!ret)
        return;
    *ret = json->data;
    *json = (Buf){0};
}

int decnet_repo_call(DecnetRepo *repo, const char *method, const char *params_json, char **ret_json)
{
    cleanup(json_putp) json_object *params = NULL;
    cleanup(buf_free) Buf json = {0};
    const char *name = method ? method : "";

    if (ret_json)
        *ret_json = NULL;
    int r = take_params(repo, name, params_json, &params);
    r = r ? r : call_json(repo, name, params, &json);
    if (r == 0)
        give(&json, ret_json);
    return r;
}

int decnet_repo_call_each(DecnetRepo *repo, const char *method, const char *params_json, DecnetRepoItem fn, void *arg)
{
    cleanup(json_putp) json_object *params = NULL;
    const char *name = method ? method : "";
    int r = take_params(repo, name, params_json, &params);

    return r ? r : walk(repo, name, params, fn, arg);
}

/* --- calls with C types --- */

TypedCall typed_begin(DecnetRepo *repo, const char *method)
{
    TypedCall call = {.repo = repo, .method = method, .params = json_object_new_object()};

    if (!call.params)
        abort();
    return call;
}

static void add(TypedCall *call, const char *name, Presence presence, bool given, json_object *value)
{
    if (given || presence == REQUIRED)
        json_object_object_add(call->params, name, value);
}

void typed_text(TypedCall *call, const char *name, Presence presence, const char *value)
{
    /* What is longer than any call may be is refused by that bound. */
    size_t n = value ? strnlen(value, LIMIT_CALL_BYTES + 1) : 0;
    add(call, name, presence, value, value ? json_object_new_string_len(value, (int)n) : NULL);
}

void typed_int(TypedCall *call, const char *name, Presence presence, const int64_t *value)
{
    add(call, name, presence, value, value ? json_object_new_int64(*value) : NULL);
}

void typed_bool(TypedCall *call, const char *name, Presence presence, const bool *value)
{
    add(call, name, presence, value, value ? json_object_new_boolean(*value) : NULL);
}

void typed_json(TypedCall *call, const char *name, Presence presence, const char *value)
{
    json_object *json = NULL;
    char message[160];

    if (call->r == 0 && value && !parse(value, &json)) {
        snprintf(message, sizeof(message), "parameter %s is no JSON text, or nests deeper than %d", name,
                 LIMIT_JSON_DEPTH);
        call->r = refuse(call->repo, call->method, REPO_E_INVALID, message);
    }
    add(call, name, presence, value, json);
}

static int end(TypedCall *call, Buf *ret_json)
{
    int r = call->r ? call->r : call_json(call->repo, call->method, call->params, ret_json);

    json_object_put(call->params);
    return r;
}

/* The result parsed. Of a method with @type only null and values of it come back. */
static int end_value(TypedCall *call, json_type type, json_object **ret)
{
    cleanup(buf_free) Buf json = {0};
    int r = end(call, &json);

    *ret = NULL;
    if (r != 0)
        return r;
    cleanup(json_putp) json_object *value = json_parse(buf_str(&json));
    if (value && !json_object_is_type(value, type))
        return refuse(call->repo, call->method, -EPROTO, "the result is not of the type that the method returns");
    *ret = TAKE_PTR(value);
    return 0;
}

int typed_end_void(TypedCall *call)
{
    cleanup(buf_free) Buf json = {0};
    return end(call, &json);
}

int typed_end_int(TypedCall *call, int64_t *ret)
{
    cleanup(json_putp) json_object *value = NULL;
    int r = end_value(call, json_type_int, &value);

    if (ret)
        *ret = json_object_get_int64(value);
    return r;
}

int typed_end_bool(TypedCall *call, bool *ret)
{
    cleanup(json_putp) json_object *value = NULL;
    int r = end_value(call, json_type_boolean, &value);

    if (ret)
        *ret = json_object_get_boolean(value);
    return r;
}

int typed_end_text(TypedCall *call, char **ret)
{
    cleanup(json_putp) json_object *value = NULL;
    int r = end_value(call, json_type_string, &value);

    if (ret)
        *ret = value ? copied(json_object_get_string(value)) : NULL;
    return r;
}

int typed_end_json(TypedCall *call, char **ret_json)
{
    cleanup(buf_free) Buf json = {0};
    int r = end(call, &json);

    if (ret_json)
        *ret_json = NULL;
    if (r == 0)
        give(&json, ret_json);
    return r;
}

int typed_end_items(TypedCall *call, DecnetRepoItem fn, void *arg)
{
    int r = call->r ? call->r : walk(call->repo, call->method, call->params, fn, arg);

    json_object_put(call->params);
    return r;
}

/* --- the table --- */

size_t decnet_repo_method_count(void)
{
    return library_n_methods;
}

const DecnetRepoMethod *decnet_repo_method_at(size_t i)
{
    return i < library_n_methods ? &library_methods[i] : NULL;
}

const DecnetRepoMethod *decnet_repo_method_find(const char *name)
{
    for (size_t i = 0; name && i < library_n_methods; i++)
        if (strcmp(library_methods[i].name, name) == 0)
            return &library_methods[i];
    return NULL;
}

/* --- the rest --- */

static struct {
    DecnetRepoTechniqueNamer fn;
    void *arg;
} namer;

static bool ask_namer(void *arg, const char *id, TechniqueName *ret)
{
    (void)arg;
    return namer.fn(namer.arg, id, &ret->name, &ret->url);
}

void decnet_repo_set_technique_namer(DecnetRepoTechniqueNamer fn, void *arg)
{
    namer.fn = fn;
    namer.arg = arg;
    repo_set_technique_namer(fn ? ask_namer : NULL, NULL);
}

const char *decnet_repo_version(void)
{
    return DECNET_VERSION;
}
