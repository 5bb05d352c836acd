#include "store.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/file.h"
#include "repo/migrate.h"
#include "repo/pg.h"

static void end(const char *what, const char *why)
{
    fprintf(stderr, "large store: %s: %s\n", what, why);
    exit(1);
}

static const char *environment(const char *name)
{
    const char *value = getenv(name);
    if (!value)
        end(name, "is not set; ./run test --large and ./run bench repo set it");
    return value;
}

/* --- statements outside of any database of ours --- */

printf_like(2, 3) static bool server_says(PGconn *c, const char *fmt, ...)
{
    char sql[200];
    va_list args;

    va_start(args, fmt);
    vsnprintf(sql, sizeof(sql), fmt, args);
    va_end(args);
    PGresult *r = PQexec(c, sql);
    if (PQresultStatus(r) != PGRES_COMMAND_OK && PQresultStatus(r) != PGRES_TUPLES_OK)
        end(sql, PQerrorMessage(c));
    bool any = PQntuples(r) > 0;
    PQclear(r);
    return any;
}

static PGconn *connect_server(void)
{
    PGconn *c = PQconnectdb(environment("DECNET_TEST_PG"));
    if (PQstatus(c) != CONNECTION_OK)
        end("server", PQerrorMessage(c));
    return c;
}

static Repo *connect_to(const char *database, const char *application_name)
{
    /* Borrowed by the handle: the store's while it is made, and the one handed out. */
    static _Thread_local char texts[2][700];
    static _Thread_local unsigned turn;
    char *conninfo = texts[turn++ % ARRAY_SIZE(texts)];
    Repo *repo;

    snprintf(conninfo, sizeof(texts[0]), "%s dbname=%s", environment("DECNET_TEST_PG"), database);
    repo = repo_new(&(RepoOptions){.conninfo = conninfo, .application_name = application_name});
    if (repo_connect(repo) != 0 || repo_script(repo, "settings", "SET idle_in_transaction_session_timeout = 0") != 0)
        end(database, repo_error_text(repo));
    return repo;
}

/* --- making --- */

static void read_load(Buf *out)
{
    char path[512];

    snprintf(path, sizeof(path), "%s/tests/large/load.sql", environment("DECNET_SOURCE_ROOT"));
    if (file_read(path, 1 << 20, out) != 0)
        end(path, "cannot be read");
}

/* The name tells what is in it, so that another schema or another load is another database. */
static void name_of(const Buf *load, char *name, size_t size)
{
    uint64_t hash = XXH3_64bits(load->data, load->len);

    for (int i = 0; i < n_migrations; i++)
        hash = XXH3_64bits_withSeed(migrations[i].sql, strlen(migrations[i].sql), hash);
    snprintf(name, size, "decnet_large_%016llx", (unsigned long long)hash);
}

static void migrate(Repo *repo)
{
    if (migrate_up(repo, NULL, NULL) != 0)
        end("migrations", repo_error_text(repo));
}

static void fill(Repo *repo, const Buf *load)
{
    migrate(repo);
    /* VACUUM has to stand alone; all before it is one transaction. */
    char *vacuum = strstr(load->data, "VACUUM");
    if (!vacuum)
        end("load.sql", "does not end with VACUUM");
    cleanup(freep) char *before = strndup(load->data, (size_t)(vacuum - load->data));
    if (repo_script(repo, "load", before) != 0 || repo_script(repo, "vacuum", vacuum) != 0)
        end("load.sql", repo_error_text(repo));
}

Repo *large_store(const char *application_name)
{
    cleanup(buf_free) Buf load = {0};
    char name[64], making[72];

    read_load(&load);
    name_of(&load, name, sizeof(name));
    snprintf(making, sizeof(making), "%s_making", name);
    PGconn *c = connect_server();
    if (!server_says(c, "SELECT 1 FROM pg_database WHERE datname = '%s'", name)) {
        server_says(c, "DROP DATABASE IF EXISTS %s", making); /* half of one, whose maker was stopped */
        server_says(c, "CREATE DATABASE %s", making);
        Repo *repo = connect_to(making, application_name);
        fill(repo, &load);
        repo_free(repo);
        server_says(c, "ALTER DATABASE %s RENAME TO %s", making, name);
    }
    PQfinish(c);
    return connect_to(name, application_name);
}

Repo *empty_store(const char *application_name)
{
    char name[64];

    snprintf(name, sizeof(name), "decnet_bench_%d", (int)getpid());
    PGconn *c = connect_server();
    server_says(c, "CREATE DATABASE %s", name);
    PQfinish(c);
    Repo *repo = connect_to(name, application_name);
    migrate(repo);
    return repo;
}
