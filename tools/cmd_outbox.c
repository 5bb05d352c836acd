/* decnetctl outbox: events that are committed and wait for the broker. */
#include <stdio.h>

#include "decnetctl.h"
#include "repo/listings.h"

static const CtlHelp help = {
    .synopsis = "[OPTION]...",
    .about =
        "Show per producer how many events wait for the broker, and since when. Rows go within seconds while a\n"
        "producer runs; old ones are relayed by its next run. Those of dlq-replay: decnetctl dlq replay; those of\n"
        "observe: decnetctl observe.\n",
    .examples = "  decnetctl outbox\n"
                "  decnetctl outbox --json\n",
};

static int print_json(const Ctl *ctl, const OutboxProducer *rows, size_t n)
{
    cleanup(buf_free) Buf json = {0};
    JsonWriter w = {.buf = &json};

    json_begin_array(&w);
    for (size_t i = 0; i < n; i++) {
        json_begin_object(&w);
        json_put_str(&w, "producer", rows[i].producer);
        json_put_int(&w, "rows", rows[i].rows);
        json_put_int(&w, "events", rows[i].events);
        json_put_int(&w, "bytes", rows[i].bytes);
        json_put_double(&w, "oldest_s", rows[i].oldest_s);
        json_end_object(&w);
    }
    json_end_array(&w);
    return ctl_print_json(ctl, &json);
}

static void print_table(const OutboxProducer *rows, size_t n)
{
    CtlTable t = {.heads = {"producer", ">rows", ">events", ">bytes", ">oldest"}};

    for (size_t i = 0; i < n; i++) {
        ctl_cell_str(&t, rows[i].producer);
        ctl_cell(&t, "%lld", (long long)rows[i].rows);
        ctl_cell(&t, "%lld", (long long)rows[i].events);
        ctl_cell(&t, "%lld", (long long)rows[i].bytes);
        ctl_cell(&t, "%.1f s", rows[i].oldest_s);
    }
    ctl_print_table(&t, "The outbox is empty.");
}

int cmd_outbox(int argc, char **argv)
{
    cleanup(ctl_end) Ctl ctl = {0};
    const CliOption options[] = {
        {"json", &ctl.json, NULL, "print an array of {producer, rows, events, bytes, oldest_s}"}};
    OutboxProducer *rows;
    size_t n;

    if (!ctl_begin(&ctl, argc, argv, &help, options, ARRAY_SIZE(options)))
        return ctl.code;
    if (ctl.n_args > 0)
        return ctl_usage(&ctl, "unexpected argument '%s'", ctl.args[0]);
    int code = ctl_connect_current(&ctl);
    if (code != 0)
        return code;
    int r = outbox_list(ctl.repo, ctl.arena, &rows, &n);
    if (r != 0)
        return ctl_fail_repo(&ctl, r);
    if (ctl.json)
        return print_json(&ctl, rows, n);
    print_table(rows, n);
    return 0;
}
