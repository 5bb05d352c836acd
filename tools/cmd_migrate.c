/* decnetctl migrate: the schema, and where it is. */
#include <stdio.h>
#include <string.h>

#include "decnetctl.h"
#include "repo/migrate.h"

static const CtlHelp help = {
    .synopsis = "[OPTION]...",
    .about = "Bring the schema of the database up to date, under a lock, each migration in a transaction of its own.\n"
             "Running it again changes nothing. Afterwards run deploy/roles.sql, which grants what programs need.\n",
    .examples = "  decnetctl migrate\n"
                "  decnetctl migrate --status --database='host=db1 dbname=decnet user=postgres'\n",
};

typedef struct Report {
    bool json;
    JsonWriter w;
    int n, pending, changed;
} Report;

static void report(void *arg, const Migration *m, MigrationState state, int64_t applied_at_us)
{
    static const char *const names[] = {
        [MIGRATION_PENDING] = "pending", [MIGRATION_APPLIED] = "applied", [MIGRATION_CHANGED] = "changed"};
    Report *r = arg;
    char at[TIME_TEXT_BYTES] = "";

    r->n++;
    r->pending += state == MIGRATION_PENDING;
    r->changed += state == MIGRATION_CHANGED;
    if (r->json) {
        json_begin_object(&r->w);
        json_put_int(&r->w, "version", m->version);
        json_put_cstr(&r->w, "name", m->name);
        json_put_cstr(&r->w, "state", names[state]);
        json_put_time(&r->w, "applied_at", applied_at_us);
        json_end_object(&r->w);
        return;
    }
    if (applied_at_us != TIME_NONE)
        time_format(at, applied_at_us);
    printf("%03d_%-20s %-8s %s\n", m->version, m->name, names[state], at);
}

int cmd_migrate(int argc, char **argv)
{
    bool status = false;
    cleanup(buf_free) Buf json = {0};
    Report seen = {.w = {.buf = &json}};
    const CliOption options[] = {
        {"status", &status, NULL, "only show which migrations are applied"},
        {"json", &seen.json, NULL, "print an array of {version, name, state, applied_at}"},
    };
    cleanup(ctl_end) Ctl ctl = {0};

    if (!ctl_begin(&ctl, argc, argv, &help, options, ARRAY_SIZE(options)))
        return ctl.code;
    if (ctl.n_args > 0)
        return ctl_usage(&ctl, "unexpected argument '%s'", ctl.args[0]);
    int code = ctl_connect(&ctl);
    if (code != 0)
        return code;
    if (seen.json)
        json_begin_array(&seen.w);
    int r = status ? migrate_status(ctl.repo, report, &seen) : migrate_up(ctl.repo, report, &seen);
    if (seen.json) {
        json_end_array(&seen.w);
        code = ctl_print_json(&ctl, &json);
    } else if (r == 0 && !status && seen.n == 0) {
        printf("The schema is up to date (version %d).\n", n_migrations);
    } else if (r == 0 && status && seen.pending) {
        printf("%d to apply: decnetctl migrate\n", seen.pending);
    }
    return r ? ctl_fail_repo(&ctl, r) : code;
}
