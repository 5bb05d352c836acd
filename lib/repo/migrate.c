#include "migrate.h"

#include <stdio.h>
#include <string.h>

#include "pg.h"

static const char bootstrap[] =
    "CREATE SCHEMA IF NOT EXISTS decnet;"
    "CREATE TABLE IF NOT EXISTS decnet.schema_version ("
    " version integer PRIMARY KEY, min_worker integer NOT NULL, name text NOT NULL, checksum text NOT NULL,"
    " applied_at timestamptz NOT NULL DEFAULT now())";

static const Statement table_there = {.name = "schema_version_there",
                                      .shape = SHAPE_ROW,
                                      .sql = "SELECT to_regclass('decnet.schema_version') IS NOT NULL"};
static const Statement applied = {
    .name = "schema_versions",
    .shape = SHAPE_ROWS,
    .sql = "SELECT version, checksum, applied_at, min_worker FROM decnet.schema_version ORDER BY version"};
static const Statement record = {
    .name = "schema_version_record",
    .shape = SHAPE_NONE,
    .sql = "INSERT INTO decnet.schema_version (version, min_worker, name, checksum) VALUES ($1, $2, $3, $4)"};
static const Statement lock = {.name = "migrate_lock",
                               .shape = SHAPE_ROW,
                               .sql = "SELECT pg_advisory_xact_lock(hashtextextended('decnet.migrate', 0))"};

typedef struct Seen {
    MigrationState *states; /* n_migrations of them */
    int64_t *applied_at_us;
    int newest, min_worker;
} Seen;

static void seen_free(Seen *seen)
{
    free(seen->states);
    free(seen->applied_at_us);
}

static int read_applied(Repo *repo, Seen *seen)
{
    cleanup(pgresult_freep) PGresult *there = NULL, *rows = NULL;

    seen->states = calloc((size_t)n_migrations, sizeof(*seen->states));
    seen->applied_at_us = calloc((size_t)n_migrations, sizeof(*seen->applied_at_us));
    if (!seen->states || !seen->applied_at_us)
        abort();
    for (int i = 0; i < n_migrations; i++)
        seen->applied_at_us[i] = TIME_NONE;
    int r = repo_exec(repo, &table_there, NULL, &there);
    if (r != 0 || !res_bool(there, 0, 0))
        return r;
    r = repo_exec(repo, &applied, NULL, &rows);
    for (int i = 0; r == 0 && i < PQntuples(rows); i++) {
        int version = (int)res_int(rows, i, 0);
        seen->newest = version;
        seen->min_worker = (int)res_int(rows, i, 3);
        if (version < 1 || version > n_migrations)
            continue;
        char ours[65];
        sha256_hex(ours, str_from(migrations[version - 1].sql));
        seen->states[version - 1] = str_eq_cstr(res_str(rows, i, 1), ours) ? MIGRATION_APPLIED : MIGRATION_CHANGED;
        seen->applied_at_us[version - 1] = res_time(rows, i, 2);
    }
    return r;
}

static int refuse(Repo *repo, const Seen *seen)
{
    if (seen->min_worker > n_migrations) {
        repo_fail(repo, 0, "migrate",
                  "the schema is at version %d and needs programs of version %d or newer; this one has %d",
                  seen->newest, seen->min_worker, n_migrations);
        repo_hint(repo, "install the newer decnet-workers");
        return REPO_E_OPERATOR;
    }
    for (int i = 0; i < n_migrations; i++) {
        if (seen->states[i] != MIGRATION_CHANGED)
            continue;
        repo_fail(repo, 0, "migrate", "migration %03d_%s was applied with another text (checksum differs)",
                  migrations[i].version, migrations[i].name);
        repo_hint(repo, "this database was made by other sources: use the release that made it, or a new database");
        return REPO_E_OPERATOR;
    }
    return 0;
}

static int apply_one(Repo *repo, const Migration *m)
{
    cleanup(args_free) Args args = {0};
    char checksum[65];

    sha256_hex(checksum, str_from(m->sql));
    int r = repo_script(repo, m->name, m->sql);
    if (r != 0)
        return r;
    arg_int4(&args, m->version);
    arg_int4(&args, MIGRATE_MIN_WORKER);
    arg_cstr(&args, m->name);
    arg_cstr(&args, checksum);
    return repo_run(repo, &record, &args, NULL);
}

typedef struct Step {
    const Migration *done; /* NULL: nothing was left to do */
} Step;

/* One migration: the lock is taken first, then the state is read again, as another may have been here. */
static int migrate_step(Repo *repo, void *arg)
{
    cleanup(seen_free) Seen seen = {0};
    cleanup(pgresult_freep) PGresult *locked = NULL;
    Step *step = arg;

    step->done = NULL;
    int r = repo_script(repo, "migrate settings", "SET LOCAL lock_timeout = '5s'; SET LOCAL statement_timeout = 0");
    r = r ? r : repo_exec(repo, &lock, NULL, &locked);
    r = r ? r : repo_script(repo, "migrate bootstrap", bootstrap);
    r = r ? r : read_applied(repo, &seen);
    r = r ? r : refuse(repo, &seen);
    for (int i = 0; r == 0 && i < n_migrations; i++) {
        if (seen.states[i] != MIGRATION_PENDING)
            continue;
        r = apply_one(repo, &migrations[i]);
        step->done = r == 0 ? &migrations[i] : NULL;
        break;
    }
    return r;
}

int migrate_up(Repo *repo, MigrateReport report, void *arg)
{
    Step step;
    do {
        int r = repo_transaction(repo, migrate_step, &step);
        if (r != 0)
            return r;
        if (step.done && report)
            report(arg, step.done, MIGRATION_APPLIED, clock_now_us());
    } while (step.done);
    return 0;
}

int migrate_within(Repo *repo)
{
    Step step;
    int r;

    do {
        r = migrate_step(repo, &step);
    } while (r == 0 && step.done);
    return r;
}

int migrate_status(Repo *repo, MigrateReport report, void *arg)
{
    cleanup(seen_free) Seen seen = {0};
    int r = read_applied(repo, &seen);
    for (int i = 0; r == 0 && i < n_migrations; i++)
        report(arg, &migrations[i], seen.states[i], seen.applied_at_us[i]);
    return r ? r : refuse(repo, &seen);
}

int migrate_check(Repo *repo)
{
    cleanup(seen_free) Seen seen = {0};
    int r = read_applied(repo, &seen);
    r = r ? r : refuse(repo, &seen);
    for (int i = 0; r == 0 && i < n_migrations; i++) {
        if (seen.states[i] != MIGRATION_PENDING)
            continue;
        repo_fail(repo, 0, "migrate", "migration %03d_%s is not applied", migrations[i].version, migrations[i].name);
        repo_hint(repo, "apply it: decnetctl migrate");
        return REPO_E_OPERATOR;
    }
    return r;
}
