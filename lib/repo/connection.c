/* The connection: session settings, prepared statements, asynchronous waiting, and the one place where an SQLSTATE
 * becomes an outcome. */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/table.h"
#include "pg.h"

enum { LARGE_REQUEST_BYTES = 1024 * 1024 };
enum {
    CONNECT_TIMEOUT_S = 5,
    IDLE_POLL_MS = 5,
    IDLE_SLICE_US = 200,
    TRANSACTION_TRIES = 4,
    COPY_CHUNK_BYTES = 32 * 1024,
    COPY_ROWS_MIN = 64, /* few rows are stored sooner by one statement than by the four of a copy */
};

typedef struct Prepared {
    const Statement *statement; /* key */
    UT_hash_handle hh;
} Prepared;

struct Repo {
    RepoOptions options;
    PGconn *conn;
    Prepared *prepared;
    bool plans_died; /* the server may still hold statements that are prepared no more */
    RepoError error;
    char error_text[900];
    bool (*idle)(void *arg);
    void *idle_arg;
    int64_t wait_us;
    bool in_transaction;
};

/* What each class of SQLSTATE means for the caller (PostgreSQL manual, appendix A); the first row that is a prefix
 * wins. An answer without SQLSTATE means that the connection is gone. 54: a value is too large, say for an index. */
static const struct {
    const char *prefix;
    int outcome;
} outcomes[] = {
    {"08", REPO_E_RETRY},    {"53", REPO_E_RETRY},
    {"57", REPO_E_RETRY},    {"55P03", REPO_E_RETRY},
    {"40", REPO_E_RETRY},    {"26000", REPO_E_RETRY},
    {"0A000", REPO_E_RETRY}, {"25P03", REPO_E_RETRY},
    {"58", REPO_E_RETRY},    {"23503", REPO_E_FK},
    {"22", REPO_E_REJECTED}, {"23", REPO_E_REJECTED},
    {"P0", REPO_E_REJECTED}, {"21", REPO_E_REJECTED},
    {"42P05", REPO_E_RETRY}, {"42", REPO_E_OPERATOR},
    {"28", REPO_E_OPERATOR}, {"3D", REPO_E_OPERATOR},
    {"3F", REPO_E_OPERATOR}, {"25006", REPO_E_OPERATOR},
    {"54", REPO_E_REJECTED}, {"", -EIO},
};

static const struct {
    const char *prefix, *hint;
} hints[] = {
    {"42P01", "apply the migrations: decnetctl migrate"},
    {"3F000", "apply the migrations: decnetctl migrate"},
    {"42703", "apply the migrations: decnetctl migrate"},
    {"42501", "grant the role its rights: psql -f roles.sql (see deploy/)"},
    {"28", "check user, password and pg_hba.conf; the connection string is the key database"},
    {"3D000", "create the database, or correct the key database"},
    {"53100", "free space for PostgreSQL; work goes on by itself"},
    {"53300", "raise max_connections or run fewer workers"},
};

Repo *repo_new(const RepoOptions *options)
{
    Repo *repo = calloc(1, sizeof(*repo));
    if (!repo)
        abort();
    repo->options = *options;
    return repo;
}

static void forget_prepared(Repo *repo)
{
    Prepared *p, *next;
    HASH_ITER (hh, repo->prepared, p, next) {
        HASH_DEL(repo->prepared, p);
        free(p);
    }
}

void repo_disconnect(Repo *repo)
{
    forget_prepared(repo);
    PQfinish(repo->conn);
    repo->conn = NULL;
    repo->plans_died = false;
    repo->in_transaction = false;
}

void repo_free(Repo *repo)
{
    if (!repo)
        return;
    repo_disconnect(repo);
    free(repo);
}

bool repo_is_connected(const Repo *repo)
{
    return repo->conn && PQstatus(repo->conn) == CONNECTION_OK;
}

PGconn *repo_connection(Repo *repo)
{
    return repo->conn;
}

const RepoError *repo_error(const Repo *repo)
{
    return &repo->error;
}

const char *repo_error_text(Repo *repo)
{
    const RepoError *e = &repo->error;
    snprintf(repo->error_text, sizeof(repo->error_text), "%s: %s%s%s%s%s%s", e->statement ? e->statement : "database",
             e->message, e->sqlstate[0] ? " (SQLSTATE " : "", e->sqlstate, e->sqlstate[0] ? ")" : "",
             e->hint[0] ? "; " : "", e->hint);
    return repo->error_text;
}

int repo_fail(Repo *repo, int outcome, const char *statement, const char *fmt, ...)
{
    va_list args;
    repo->error = (RepoError){.statement = statement};
    va_start(args, fmt);
    vsnprintf(repo->error.message, sizeof(repo->error.message), fmt, args);
    va_end(args);
    for (char *p = repo->error.message + strlen(repo->error.message); p > repo->error.message && p[-1] == '\n';)
        *--p = '\0';
    return outcome;
}

void repo_hint(Repo *repo, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(repo->error.hint, sizeof(repo->error.hint), fmt, args);
    va_end(args);
}

void repo_detail(Repo *repo, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(repo->error.detail_json, sizeof(repo->error.detail_json), fmt, args);
    va_end(args);
}

static int outcome_of(const char *sqlstate)
{
    for (size_t i = 0; i < ARRAY_SIZE(outcomes); i++)
        if (strncmp(sqlstate, outcomes[i].prefix, strlen(outcomes[i].prefix)) == 0)
            return outcomes[i].outcome;
    return -EIO;
}

int repo_fail_as(Repo *repo, const char *sqlstate, const char *statement, const char *message)
{
    int outcome = outcome_of(sqlstate);

    repo_fail(repo, outcome, statement, "%s", message);
    snprintf(repo->error.sqlstate, sizeof(repo->error.sqlstate), "%s", sqlstate);
    return outcome;
}

/* A plan that died with a change of the schema or was left behind at a pooler's other server: to be prepared anew. */
static bool is_plan_death(const char *sqlstate)
{
    return strncmp(sqlstate, "26", 2) == 0 || strncmp(sqlstate, "0A", 2) == 0 || strcmp(sqlstate, "42P05") == 0;
}

bool repo_plan_died(const Repo *repo)
{
    return is_plan_death(repo->error.sqlstate) && repo_is_connected(repo);
}

/* The server's own words; the row data that DETAIL would show is attacker text and stays out. */
static int fail_result(Repo *repo, const char *statement, const PGresult *result)
{
    const char *state = result ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
    const char *message = result ? PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) : NULL;

    if (!state || !repo_is_connected(repo)) {
        repo_fail(repo, 0, statement, "%s",
                  message      ? message
                  : repo->conn ? PQerrorMessage(repo->conn)
                               : "not connected");
        if (!state)
            return REPO_E_RETRY;
    } else {
        repo_fail(repo, 0, statement, "%s", message ? message : "no message");
    }
    snprintf(repo->error.sqlstate, sizeof(repo->error.sqlstate), "%s", state);
    for (size_t i = 0; i < ARRAY_SIZE(hints); i++)
        if (strncmp(state, hints[i].prefix, strlen(hints[i].prefix)) == 0)
            repo_hint(repo, "%s", hints[i].hint);
    if (is_plan_death(state)) {
        forget_prepared(repo);
        repo->plans_died = true;
    }
    return outcome_of(state);
}

static int wait_socket(Repo *repo, short events, int timeout_ms)
{
    struct pollfd fd = {.fd = PQsocket(repo->conn), .events = events};
    int64_t start_us = clock_monotonic_us();
    int n = poll(&fd, 1, timeout_ms);
    repo->wait_us += clock_monotonic_us() - start_us;
    return n < 0 && errno != EINTR ? -errno : 0;
}

/* Does the caller's idle work for a while: asking the socket after each step, of some 20 us, would cost as much. True:
 * there is more. */
static bool work_idle(Repo *repo)
{
    int64_t until_us = clock_monotonic_us() + IDLE_SLICE_US;

    while (repo->idle(repo->idle_arg))
        if (clock_monotonic_us() >= until_us)
            return true;
    return false;
}

/* Waits for the server, doing the caller's idle work meanwhile. False: connection lost. */
static bool wait_server(Repo *repo, short events)
{
    bool more = repo->idle && work_idle(repo);
    int timeout_ms = more ? 0 : repo->idle ? IDLE_POLL_MS : -1;
    return wait_socket(repo, events, timeout_ms) == 0 && PQconsumeInput(repo->conn);
}

/* Sends what is queued. False: connection lost. */
static bool send_queued(Repo *repo)
{
    int unsent;
    while ((unsent = PQflush(repo->conn)) > 0)
        if (!wait_server(repo, POLLIN | POLLOUT))
            return false;
    return unsent == 0;
}

/* Sends what is queued, then waits for a result. False: connection lost. */
static bool await_result(Repo *repo)
{
    if (!send_queued(repo))
        return false;
    while (PQisBusy(repo->conn))
        if (!wait_server(repo, POLLIN))
            return false;
    return true;
}

/* The last result of what was sent, errors preferred; drains the rest so that the connection can go on. */
static PGresult *take_result(Repo *repo)
{
    PGresult *kept = NULL;
    while (await_result(repo)) {
        PGresult *result = PQgetResult(repo->conn);
        if (!result)
            break;
        if (!kept || PQresultStatus(kept) != PGRES_FATAL_ERROR) {
            PQclear(kept);
            kept = result;
        } else {
            PQclear(result);
        }
    }
    return kept;
}

/* jit off: our statements are short and many, compiling one takes a hundred times what it runs. */
static int session_settings(Repo *repo)
{
    char sql[400];
    snprintf(sql, sizeof(sql),
             "SET search_path = decnet; SET timezone = 'UTC'; SET client_min_messages = warning;"
             "SET statement_timeout = %lld; SET idle_in_transaction_session_timeout = '15s';"
             "SET default_transaction_isolation = 'read committed'; SET bytea_output = 'hex';"
             "SET jit = off",
             (long long)repo->options.statement_timeout_ms);
    return repo_script(repo, "session settings", sql);
}

static int refuse_connection(Repo *repo)
{
    const char *text = PQerrorMessage(repo->conn);
    /* libpq gives no SQLSTATE for a failed connection; what the server will not change its mind about is told by its
     * words (fixed English, as lc_messages does not apply before the session starts). */
    static const char *const final[] = {
        "password authentication failed", "no pg_hba.conf entry",      "role \"",     "database \"",
        "Peer authentication failed",     "invalid connection option", "invalid URI", "definition of service"};
    int outcome = REPO_E_RETRY;
    for (size_t i = 0; i < ARRAY_SIZE(final); i++)
        if (strstr(text, final[i]) && !strstr(text, "starting up"))
            outcome = REPO_E_OPERATOR;
    repo_fail(repo, outcome, "connect", "%s", text);
    repo_hint(repo, "%s",
              outcome == REPO_E_OPERATOR ? "check the key database, the role and pg_hba.conf"
                                         : "is PostgreSQL running and does the key database point to it?");
    repo_disconnect(repo);
    return outcome;
}

static void ignore_notice(void *arg, const PGresult *result)
{
    (void)arg;
    (void)result;
}

int repo_connect(Repo *repo)
{
    char timeout[12];
    /* Defaults first: what the connection string says comes later and wins. */
    const char *keys[] = {"application_name", "connect_timeout", "tcp_user_timeout", "client_encoding", "dbname", NULL};
    const char *values[] = {repo->options.application_name, timeout, "30000", "UTF8", repo->options.conninfo, NULL};

    if (repo_is_connected(repo))
        return 0;
    repo_disconnect(repo);
    snprintf(timeout, sizeof(timeout), "%d", CONNECT_TIMEOUT_S);
    repo->conn = PQconnectdbParams(keys, values, 1);
    if (!repo->conn)
        return -ENOMEM;
    if (PQstatus(repo->conn) != CONNECTION_OK)
        return refuse_connection(repo);
    PQsetNoticeReceiver(repo->conn, ignore_notice, NULL);
    if (PQsetnonblocking(repo->conn, 1) != 0)
        return repo_fail(repo, REPO_E_RETRY, "connect", "%s", PQerrorMessage(repo->conn));
    return session_settings(repo);
}

static int check_result(Repo *repo, const char *name, Shape shape, PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);
    if (!result || (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK && status != PGRES_EMPTY_QUERY))
        return fail_result(repo, name, result);
    if (shape == SHAPE_ROW && PQntuples(result) != 1)
        return repo_fail(repo, REPO_E_NO_ROW, name, "%d rows where one was expected", PQntuples(result));
    return 0;
}

int repo_script(Repo *repo, const char *name, const char *sql)
{
    if (!repo_is_connected(repo))
        return repo_fail(repo, REPO_E_RETRY, name, "not connected to the database");
    if (!PQsendQuery(repo->conn, sql))
        return fail_result(repo, name, NULL);
    cleanup(pgresult_freep) PGresult *result = take_result(repo);
    return check_result(repo, name, SHAPE_NONE, result);
}

/* PostgreSQL keeps plans of statements with a name, and after some calls one plan for all parameters. */
static const char *server_name(const Statement *s)
{
    return s->plan_anew ? "" : s->name;
}

/* Statements that died are forgotten here only: their names are free when the server has forgotten them, too. */
static int forget_dead_plans(Repo *repo)
{
    int r = repo->plans_died ? repo_script(repo, "deallocate", "DEALLOCATE ALL") : 0;

    repo->plans_died = repo->plans_died && r != 0;
    return r;
}

static int prepare(Repo *repo, const Statement *s, const Args *args)
{
    Prepared *p;
    HASH_FIND_PTR(repo->prepared, &s, p);
    if (p)
        return 0;
    int r = forget_dead_plans(repo);
    if (r != 0)
        return r;
    if (!PQsendPrepare(repo->conn, server_name(s), s->sql, args->n, args->types))
        return fail_result(repo, s->name, NULL);
    cleanup(pgresult_freep) PGresult *result = take_result(repo);
    r = check_result(repo, s->name, SHAPE_NONE, result);
    if (r != 0 || s->plan_anew)
        return r;
    p = calloc(1, sizeof(*p));
    if (!p)
        abort();
    p->statement = s;
    HASH_ADD_PTR(repo->prepared, statement, p);
    return 0;
}

static bool is_large(const int *lengths, int n)
{
    int64_t total = 0;

    for (int i = 0; i < n; i++)
        total += lengths[i];
    return total > LARGE_REQUEST_BYTES;
}

static int send(Repo *repo, const Statement *s, Args *args)
{
    const char *values[ARGS_MAX];
    int lengths[ARGS_MAX], formats[ARGS_MAX];
    Args none = {0};

    args = args ? args : &none;
    if (!repo_is_connected(repo))
        return repo_fail(repo, REPO_E_RETRY, s->name, "not connected to the database");
    int r = prepare(repo, s, args);
    if (r != 0)
        return r;
    args_bind(args, values, lengths, formats);
    /* A connection that must not block has libpq move all of the rest after each piece that was sent: the time of a large
     * request would grow with its square. */
    bool blocks = is_large(lengths, args->n) && PQsetnonblocking(repo->conn, 0) == 0;
    int sent = PQsendQueryPrepared(repo->conn, server_name(s), args->n, values, lengths, formats, 1);
    if (blocks && PQsetnonblocking(repo->conn, 1) != 0)
        sent = 0;
    return sent ? 0 : fail_result(repo, s->name, NULL);
}

int repo_exec(Repo *repo, const Statement *s, Args *args, PGresult **ret_result)
{
    int r = send(repo, s, args);
    if (r != 0)
        return r;
    cleanup(pgresult_freep) PGresult *result = take_result(repo);
    r = check_result(repo, s->name, s->shape, result);
    if (r == 0 && ret_result)
        *ret_result = TAKE_PTR(result);
    return r;
}

/* Asks the server to give up the statement that runs; its answer, an error, is drained by the caller. */
static void cancel(Repo *repo)
{
    char why[256];
    PGcancel *request = PQgetCancel(repo->conn);
    if (request)
        (void)PQcancel(request, why, sizeof(why));
    PQfreeCancel(request);
}

int repo_each(Repo *repo, const Statement *s, Args *args, int (*fn)(void *arg, const PGresult *row), void *arg)
{
    int r = send(repo, s, args), stopped = 0;

    if (r != 0)
        return r;
    (void)PQsetSingleRowMode(repo->conn);
    while (await_result(repo)) {
        cleanup(pgresult_freep) PGresult *result = PQgetResult(repo->conn);
        if (!result)
            return stopped ? stopped : r;
        if (stopped)
            continue;
        if (PQresultStatus(result) != PGRES_SINGLE_TUPLE)
            r = check_result(repo, s->name, SHAPE_ROWS, result);
        else if ((stopped = fn(arg, result)) != 0)
            cancel(repo);
    }
    return fail_result(repo, s->name, NULL);
}

/* Binary COPY begins with a signature, 32 bits of flags and 32 of the length of an extension, and ends with a field
 * count of -1 (PostgreSQL manual, COPY). */
static const char copy_head[] = "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0", copy_tail[] = "\377\377";

/* Rows go out while the server stores the earlier ones; what it has to say of them comes at the end. */
static bool send_rows(Repo *repo, const CopyRows *rows)
{
    cleanup(buf_free) Buf buf = {0};

    buf_append(&buf, copy_head, sizeof(copy_head) - 1);
    for (size_t i = 0; i < rows->n;) {
        while (i < rows->n && buf.len < COPY_CHUNK_BYTES)
            rows->append(&buf, rows->arg, i++);
        if (i == rows->n)
            buf_append(&buf, copy_tail, sizeof(copy_tail) - 1);
        if (PQputCopyData(repo->conn, buf.data, (int)buf.len) != 1 || !send_queued(repo))
            return false;
        buf_clear(&buf);
    }
    return PQputCopyEnd(repo->conn, NULL) == 1;
}

/* The answer to the statement that begins to copy, behind that to its savepoint. */
static PGresult *take_copy_in(Repo *repo)
{
    PGresult *result = PQgetResult(repo->conn);

    if (PQresultStatus(result) != PGRES_COMMAND_OK)
        return result;
    PQclear(result);
    return await_result(repo) ? PQgetResult(repo->conn) : NULL;
}

/* In one message with its savepoint, which saves waiting once. It needs no release: COMMIT does that. */
static int copy_in(Repo *repo, const Statement *s, const CopyRows *rows)
{
    cleanup(buf_free) Buf sql = {0};

    buf_printf(&sql, "SAVEPOINT copy; %s", s->sql);
    if (!PQsendQuery(repo->conn, sql.data) || !await_result(repo))
        return fail_result(repo, s->name, NULL);
    cleanup(pgresult_freep) PGresult *begun = take_copy_in(repo);
    if (PQresultStatus(begun) == PGRES_COPY_IN) {
        if (!send_rows(repo, rows))
            return fail_result(repo, s->name, NULL);
        PQclear(TAKE_PTR(begun));
    }
    cleanup(pgresult_freep) PGresult *rest = take_result(repo); /* also drains what follows a refusal to begin */
    return check_result(repo, s->name, SHAPE_NONE, begun ? begun : rest);
}

int repo_copy(Repo *repo, const Statement *s, const CopyRows *rows, bool *ret_stored)
{
    static const char unique_violation[] = "23505";

    *ret_stored = rows->n == 0;
    if (rows->n < COPY_ROWS_MIN)
        return 0;
    if (!repo_is_connected(repo))
        return repo_fail(repo, REPO_E_RETRY, s->name, "not connected to the database");
    int r = copy_in(repo, s, rows);
    *ret_stored = r == 0;
    if (r == 0 || strcmp(repo->error.sqlstate, unique_violation) != 0)
        return r;
    return repo_script(repo, s->name, "ROLLBACK TO SAVEPOINT copy; RELEASE SAVEPOINT copy");
}

int repo_run(Repo *repo, const Statement *s, Args *args, int64_t *ret_affected)
{
    cleanup(pgresult_freep) PGresult *result = NULL;
    int r = repo_exec(repo, s, args, &result);
    if (r == 0 && ret_affected) {
        int64_t n = 0;
        (void)text_to_int64(str_from(PQcmdTuples(result)), &n);
        *ret_affected = n;
    }
    return r;
}

int repo_begin(Repo *repo)
{
    int r = repo_script(repo, "begin", "BEGIN");
    repo->in_transaction = r == 0;
    return r;
}

int repo_commit(Repo *repo)
{
    int r = repo_script(repo, "commit", "COMMIT");
    repo->in_transaction = false;
    if (r == REPO_E_RETRY && !repo_is_connected(repo))
        return REPO_E_IN_DOUBT;
    return r;
}

void repo_rollback(Repo *repo)
{
    if (repo_is_connected(repo) && PQtransactionStatus(repo->conn) != PQTRANS_IDLE) {
        RepoError keep = repo->error; /* why we roll back matters more than how it went */
        if (repo_script(repo, "rollback", "ROLLBACK") != 0)
            repo_disconnect(repo);
        repo->error = keep;
    }
    if (!repo_is_connected(repo))
        repo_disconnect(repo);
    repo->in_transaction = false;
}

int repo_transaction(Repo *repo, int (*fn)(Repo *repo, void *arg), void *arg)
{
    int r = 0;
    for (int i = 0; i < TRANSACTION_TRIES; i++) {
        if (i)
            usleep((useconds_t)(10000 * (1 << i) + random() % 10000));
        r = repo_connect(repo);
        r = r ? r : repo_begin(repo);
        r = r ? r : fn(repo, arg);
        r = r ? r : repo_commit(repo);
        if (r == 0)
            return 0;
        repo_rollback(repo);
        if (r != REPO_E_RETRY)
            return r;
    }
    return r;
}

void repo_set_idle(Repo *repo, bool (*fn)(void *arg), void *arg)
{
    repo->idle = fn;
    repo->idle_arg = arg;
}

double repo_wait_seconds(const Repo *repo)
{
    return (double)repo->wait_us / 1e6;
}

int repo_try_lock(Repo *repo, const char *name, bool *ret_taken)
{
    static const Statement try_lock = {
        .name = "try_lock", .shape = SHAPE_ROW, .sql = "SELECT pg_try_advisory_lock(hashtextextended($1, 0))"};
    cleanup(args_free) Args args = {0};
    cleanup(pgresult_freep) PGresult *result = NULL;

    arg_cstr(&args, name);
    int r = repo_exec(repo, &try_lock, &args, &result);
    if (r == 0)
        *ret_taken = res_bool(result, 0, 0);
    return r;
}

int repo_now(Repo *repo, int64_t *ret_us)
{
    static const Statement now = {.name = "now", .shape = SHAPE_ROW, .sql = "SELECT decnet_now()"};
    cleanup(pgresult_freep) PGresult *result = NULL;
    int r = repo_exec(repo, &now, NULL, &result);
    if (r == 0)
        *ret_us = res_time(result, 0, 0);
    return r;
}
