/* decnetctl dump: the derived tables as JSON lines. */
#include <errno.h>
#include <stdio.h>

#include "decnetctl.h"
#include "repo/dump.h"

static const CtlHelp help = {
    .synopsis = "[OPTION]...",
    .about =
        "Print the derived tables in key order, one JSON object a line, without what depends on when and in which\n"
        "order things arrived: two databases with the same knowledge print the same text. Secrets that attackers\n"
        "tried are in it.\n",
    .examples = "  decnetctl dump | sha256sum\n"
                "  decnetctl dump --table=ttp_tag | head -n 3\n"
                "  decnetctl dump --tables\n",
};

/* Writing failed: errno says why. Negative, so that no outcome of the repository looks like it. */
static int write_line(void *arg, Str json)
{
    (void)arg;
    return fwrite(json.data, 1, json.len, stdout) == json.len && putchar('\n') != EOF ? 0 : -errno;
}

static void print_tables(void)
{
    CtlTable t = {.heads = {"table", "ordered by", "without"}};
    for (size_t i = 0; i < dump_n_tables(); i++) {
        const DumpTable *d = dump_table(i);
        ctl_cell(&t, "%s", d->name);
        ctl_cell(&t, "%s", d->key);
        ctl_cell(&t, "%s", d->without);
    }
    ctl_print_table(&t, "");
}

static bool is_table(const char *name, const char **ret_near)
{
    cleanup(freep) const char **names = calloc(dump_n_tables(), sizeof(*names));
    if (!names)
        abort();
    for (size_t i = 0; i < dump_n_tables(); i++) {
        names[i] = dump_table(i)->name;
        if (str_eq_cstr(str_from(name), names[i]))
            return true;
    }
    *ret_near = text_nearest(str_from(name), names, dump_n_tables(), 4);
    return false;
}

int cmd_dump(int argc, char **argv)
{
    const char *table = NULL, *near = NULL;
    bool tables = false;
    const CliOption options[] = {
        {"table", NULL, &table, "NAME\tonly this table"},
        {"tables", &tables, NULL, "show which tables there are, what orders them and what is left out"},
    };
    cleanup(ctl_end) Ctl ctl = {0};

    if (!ctl_begin(&ctl, argc, argv, &help, options, ARRAY_SIZE(options)))
        return ctl.code;
    if (ctl.n_args > 0)
        return ctl_usage(&ctl, "unexpected argument '%s'", ctl.args[0]);
    if (tables) {
        print_tables();
        return 0;
    }
    if (table && !is_table(table, &near))
        return ctl_usage(&ctl, "there is no table '%s' in the dump%s%s%s", table, near ? "; did you mean '" : "",
                         near ? near : "", near ? "'?" : "");
    int code = ctl_connect_current(&ctl);
    if (code != 0)
        return code;
    int r = dump_write(ctl.repo, table, write_line, NULL);
    if (r < 0)
        return ctl_fail(&ctl, EXIT_FAILED, "cannot write to standard output: %m");
    return r ? ctl_fail_repo(&ctl, r) : 0;
}
