/* Schema migrations: numbered, checksummed, embedded in the binary, applied in order under an advisory lock, each in a
 * transaction of its own with a lock time-out, so that a busy table delays the migration and not its users. */
#pragma once

#include "repo.h"

typedef struct Migration {
    int version;
    const char *name, *sql;
} Migration;
extern const Migration migrations[];
extern const int n_migrations;

/* Oldest program version (its n_migrations) that works on the newest schema: programs below it refuse to run, so that
 * an upgrade can roll. Raised only by a migration that takes something away. */
#define MIGRATE_MIN_WORKER 1

typedef enum MigrationState { MIGRATION_PENDING, MIGRATION_APPLIED, MIGRATION_CHANGED } MigrationState;

/* One call per known migration, in order; @applied_at_us is TIME_NONE when pending. */
typedef void (*MigrateReport)(void *arg, const Migration *m, MigrationState state, int64_t applied_at_us);

/* Applies what is missing. REPO_E_OPERATOR when an applied migration's text has another checksum than ours, or the
 * schema is newer than this program allows; nothing is applied then. @report (may be NULL) hears of each one that was
 * applied by this call. */
int migrate_up(Repo *repo, MigrateReport report, void *arg) must_check;
/* The same inside the caller's transaction, all or nothing; the lock is held until its end. */
int migrate_within(Repo *repo) must_check;
int migrate_status(Repo *repo, MigrateReport report, void *arg) must_check;
/* For workers at start: 0, or REPO_E_OPERATOR with the remedy when migrations are missing or we are too old. */
int migrate_check(Repo *repo) must_check;
