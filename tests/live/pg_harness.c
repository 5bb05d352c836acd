#include "pg_harness.h"

#include <criterion/criterion.h>
#include <libpq-fe.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/time.h"
#include "harness.h"
#include "repo/migrate.h"

enum { STEP_US = 10000 };

static char database[64];
static PGconn *connection;

/* --- connection strings: of two values for one key libpq takes the later --- */

static char *conninfo(const char *role, const char *host)
{
    cleanup(buf_free) Buf out = {0};

    buf_printf(&out, "%s dbname=%s", harness_env("DECNET_TEST_PG"), database);
    if (role)
        buf_printf(&out, " user=%s", role);
    if (host)
        buf_printf(&out, " host='%s'", host);
    return TAKE_PTR(out.data);
}

char *harness_pg_conninfo(void)
{
    return conninfo(NULL, NULL);
}

char *harness_pg_conninfo_as(const char *role)
{
    return conninfo(role, NULL);
}

char *harness_pg_conninfo_through(const char *role, const char *host)
{
    return conninfo(role, host);
}

char *harness_pg_socket_folder(void)
{
    return strdup(PQhost(connection));
}

/* --- statements --- */

static PGconn *open_connection(const char *text)
{
    PGconn *c = PQconnectdb(text);
    cr_assert_eq(PQstatus(c), CONNECTION_OK, "%s", PQerrorMessage(c));
    return c;
}

static PGresult *run(PGconn *c, const char *sql)
{
    PGresult *r = PQexec(c, sql);
    ExecStatusType status = PQresultStatus(r);
    cr_assert(status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK, "%.200s: %s", sql, PQerrorMessage(c));
    return r;
}

static void resultp(PGresult **r)
{
    PQclear(*r);
}

static PGresult *printf_like(1, 0) run_formatted(const char *fmt, va_list args)
{
    cleanup(freep) char *sql = NULL;
    cr_assert_geq(vasprintf(&sql, fmt, args), 0);
    cr_assert_not_null(connection, "harness_pg_start() first");
    return run(connection, sql);
}

void harness_sql(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    PQclear(run_formatted(fmt, args));
    va_end(args);
}

int64_t harness_sql_int(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    cleanup(resultp) PGresult *r = run_formatted(fmt, args);
    va_end(args);
    cr_assert_geq(PQntuples(r), 1, "no row: %s", fmt);
    return strtoll(PQgetvalue(r, 0, 0), NULL, 10);
}

char *harness_sql_text(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    cleanup(resultp) PGresult *r = run_formatted(fmt, args);
    va_end(args);
    return strdup(PQntuples(r) ? PQgetvalue(r, 0, 0) : "");
}

bool harness_sql_wait(int64_t want, int timeout_ms, const char *fmt, ...)
{
    int64_t end_us = clock_monotonic_us() + timeout_ms * US_PER_MS;

    for (;;) {
        va_list args;
        va_start(args, fmt);
        cleanup(resultp) PGresult *r = run_formatted(fmt, args);
        va_end(args);
        if (PQntuples(r) && strtoll(PQgetvalue(r, 0, 0), NULL, 10) == want)
            return true;
        if (clock_monotonic_us() >= end_us)
            return false;
        usleep(STEP_US);
    }
}

/* --- the database --- */

/* Roles belong to the server, and a template is copied only while nobody is connected to it: programs that start together
 * take turns, by a lock in the database that all know. */
#define LOCK_SERVER "SELECT pg_advisory_lock(hashtextextended('decnet.test.server', 0))"
#define UNLOCK_SERVER "SELECT pg_advisory_unlock(hashtextextended('decnet.test.server', 0))"

static void migrate(void)
{
    cleanup(freep) char *text = harness_pg_conninfo();
    cleanup(repo_freep) Repo *repo = repo_new(&(RepoOptions){.conninfo = text, .application_name = "decnet-test"});
    int r = repo_connect(repo);

    r = r ? r : migrate_up(repo, NULL, NULL);
    cr_assert_eq(r, 0, "%s", repo_error_text(repo));
}

static void open_database(void)
{
    cleanup(freep) char *text = harness_pg_conninfo();

    connection = open_connection(text);
    PQclear(run(connection, "SET client_min_messages = warning; SET search_path = decnet"));
}

static void create_database(PGconn *server, const char *template)
{
    char sql[200];

    snprintf(sql, sizeof(sql), "CREATE DATABASE %s TEMPLATE %s", database, template);
    PQclear(run(server, sql));
}

static void apply_roles(void)
{
    cleanup(freep) char *path = harness_path(harness_env("DECNET_SOURCE_ROOT"), "deploy/roles.sql");
    cleanup(freep) char *sql = harness_read(path);

    cr_assert_neq(*sql, '\0', "%s is empty or not there", path);
    PQclear(run(connection, sql));
}

static bool database_exists(PGconn *server)
{
    char sql[128];

    snprintf(sql, sizeof(sql), "SELECT 1 FROM pg_database WHERE datname = '%s'", database);
    cleanup(resultp) PGresult *r = run(server, sql);
    return PQntuples(r) > 0;
}

/* Migrating takes longer than most tests: it is done once for each schema and server, then copied. The name tells one
 * state of migrations and roles from another, for servers that outlive a change of them. */
static void make_template(PGconn *server)
{
    cleanup(freep) char *roles_path = harness_path(harness_env("DECNET_SOURCE_ROOT"), "deploy/roles.sql");
    cleanup(freep) char *roles = harness_read(roles_path);
    uint64_t schema = XXH3_64bits(roles, strlen(roles));

    for (int i = 0; i < n_migrations; i++)
        schema = XXH3_64bits_withSeed(migrations[i].sql, strlen(migrations[i].sql), schema);
    snprintf(database, sizeof(database), "decnet_template_%016llx", (unsigned long long)schema);
    PQclear(run(server, LOCK_SERVER));
    if (!database_exists(server)) {
        create_database(server, "template0");
        open_database();
        migrate();
        apply_roles();
        PQfinish(connection);
    }
    PQclear(run(server, UNLOCK_SERVER));
}

static void start(bool with_schema)
{
    PGconn *server = open_connection(harness_env("DECNET_TEST_PG"));
    char template[sizeof(database)] = "template0";

    if (with_schema) {
        make_template(server);
        memcpy(template, database, sizeof(template));
    }
    /* the time too: process ids come back, databases stay */
    snprintf(database, sizeof(database), "decnet_test_%d_%lld", (int)getpid(), (long long)clock_now_us());
    create_database(server, template);
    open_database();
    PQfinish(server);
}

void harness_pg_start(void)
{
    start(true);
}

void harness_pg_start_empty(void)
{
    start(false);
}

void harness_pg_stop(void)
{
    PQfinish(connection);
    connection = NULL;
}

void harness_pg_clock(double seconds)
{
    harness_sql("CREATE OR REPLACE FUNCTION decnet_now() RETURNS timestamptz LANGUAGE sql VOLATILE PARALLEL SAFE"
                " AS 'SELECT clock_timestamp() + make_interval(secs => %.3f)'",
                seconds);
}
