/* decnetctl dlq: records that could not be applied. */
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "decnetctl.h"
#include "dlq_replay.h"
#include "repo/dead_letters.h"

enum {
    LIST_DEFAULT = 50,
    LIST_MAX = 1000000,
    WAIT_DEFAULT_S = 30,
    WAIT_MAX_S = 3600,
    VALUE_CHARS = LIMIT_EVENT_READ_BYTES
};

static const CtlHelp help = {
    .synopsis = "[OPTION]... list | show ID | replay ID... | replay --group=GROUP | replay",
    .about = "Dead letters: records that a worker could not apply, with the reason.\n\n"
             "  list     newest first; without those that were replayed, unless --all\n"
             "  show     one whole, with headers and value (secrets that attackers tried may be in it)\n"
             "  replay   send records to their topic again, under their own event id, so that what is known already\n"
             "           stays as it is; alone it sends what an interrupted replay left in the outbox\n\n"
             "GROUP as the list shows it. replay needs the key kafka.bootstrap.servers.\n",
    .examples = "  decnetctl dlq list --group=ttp --reason=malformed\n"
                "  decnetctl dlq show 42\n"
                "  decnetctl dlq replay --group=ttp --kafka.bootstrap.servers=127.0.0.1:9092\n",
};

typedef struct Given {
    bool all;
    const char *group, *reason, *limit, *wait;
} Given;

static Given given;

/* --- list --- */

static void put_letter(JsonWriter *w, const DeadLetter *d)
{
    json_put_int(w, "id", d->id);
    json_put_str(w, "group", d->group);
    json_put_str(w, "topic", d->topic);
    json_put_int(w, "partition", d->partition);
    json_put_int(w, "offset", d->offset);
    json_put_str(w, "event_id", d->event_id);
    json_put_str(w, "reason", d->reason);
    json_put_str(w, "sqlstate", d->sqlstate);
    json_put_str(w, "message", d->message);
    json_put_int(w, "attempts", d->attempts);
    json_put_time(w, "first_seen", d->first_seen_us);
    json_put_time(w, "replayed_at", d->replayed_at_us);
    json_put_int(w, "value_bytes", d->value_bytes);
}

static int print_list_json(const Ctl *ctl, const DeadLetter *rows, size_t n)
{
    cleanup(buf_free) Buf json = {0};
    JsonWriter w = {.buf = &json};

    json_begin_array(&w);
    for (size_t i = 0; i < n; i++) {
        json_begin_object(&w);
        put_letter(&w, &rows[i]);
        json_end_object(&w);
    }
    json_end_array(&w);
    return ctl_print_json(ctl, &json);
}

static void print_list(const DeadLetter *rows, size_t n, int64_t total)
{
    CtlTable t = {.heads = {">id", "group", "topic", ">part", ">offset", "reason", "first seen", ">bytes", "message"}};

    for (size_t i = 0; i < n; i++) {
        const DeadLetter *d = &rows[i];
        ctl_cell(&t, "%lld", (long long)d->id);
        ctl_cell_str(&t, d->group);
        ctl_cell_str(&t, d->topic);
        ctl_cell(&t, "%d", (int)d->partition);
        ctl_cell(&t, "%lld", (long long)d->offset);
        ctl_cell(&t, STR_FMT "%s", STR_ARG(d->reason), d->replayed_at_us != TIME_NONE ? " (replayed)" : "");
        ctl_cell_time(&t, d->first_seen_us);
        ctl_cell(&t, "%lld", (long long)d->value_bytes);
        ctl_cell_str(&t, d->message);
    }
    ctl_print_table(&t, "There are no dead letters.");
    if (total > (int64_t)n)
        printf("%lld older ones: --limit=%lld\n", (long long)(total - (int64_t)n), (long long)total);
}

static int list(Ctl *ctl)
{
    DeadLetterFilter filter = {.group = given.group, .reason = given.reason, .with_replayed = given.all};
    int64_t limit = LIST_DEFAULT, total;
    DeadLetter *rows;
    size_t n;

    if (ctl->n_args != 1)
        return ctl_usage(ctl, "unexpected argument '%s'", ctl->args[1]);
    if (given.limit && (!text_to_int64(str_from(given.limit), &limit) || limit < 1 || limit > LIST_MAX))
        return ctl_usage(ctl, "--limit wants a number from 1 to %d, not '%s'", LIST_MAX, given.limit);
    int code = ctl_connect_current(ctl);
    if (code != 0)
        return code;
    int r = dead_letter_list(ctl->repo, ctl->arena, &filter, limit, &rows, &n, &total);
    if (r != 0)
        return ctl_fail_repo(ctl, r);
    if (ctl->json)
        return print_list_json(ctl, rows, n);
    print_list(rows, n, total);
    return 0;
}

/* --- show --- */

static bool parse_id(const char *text, int64_t *ret)
{
    return text_to_int64(str_from(text), ret) && *ret > 0;
}

static int print_letter_json(const Ctl *ctl, const DeadLetter *d)
{
    cleanup(buf_free) Buf json = {0};
    JsonWriter w = {.buf = &json};

    json_begin_object(&w);
    put_letter(&w, d);
    json_key(&w, "headers");
    json_value_raw(&w, d->headers_json);
    json_put_str(&w, "key", d->key);
    json_put_str(&w, "value", d->value);
    json_end_object(&w);
    return ctl_print_json(ctl, &json);
}

static void print_field(const char *name, Str value)
{
    cleanup(buf_free) Buf shown = {0};

    if (!value.data)
        return;
    ctl_show_bytes(&shown, value, VALUE_CHARS);
    printf("%s%-11s%s %s\n", ctl_dim(), name, ctl_plain(), buf_str(&shown).data);
}

static void print_headers(const DeadLetter *d)
{
    cleanup(json_putp) json_object *headers = json_parse(d->headers_json);
    size_t n = json_object_is_type(headers, json_type_array) ? json_object_array_length(headers) : 0;

    for (size_t i = 0; i < n; i++) {
        json_object *pair = json_object_array_get_idx(headers, i);
        cleanup(buf_free) Buf line = {0};
        if (!json_object_is_type(pair, json_type_array))
            continue;
        buf_add_str(&line, json_str(json_object_array_get_idx(pair, 0)));
        buf_add(&line, ": ");
        buf_add_str(&line, json_str(json_object_array_get_idx(pair, 1)));
        print_field("header", buf_str(&line));
    }
}

static void print_letter(Ctl *ctl, const DeadLetter *d)
{
    char at[TIME_TEXT_BYTES];

    print_field("id", str_from(arena_printf(ctl->arena, "%lld", (long long)d->id)));
    print_field("group", d->group);
    print_field("record", str_from(arena_printf(ctl->arena, STR_FMT "/%d offset %lld", STR_ARG(d->topic),
                                                (int)d->partition, (long long)d->offset)));
    print_field("event id", d->event_id);
    print_field("reason", d->reason);
    print_field("sqlstate", d->sqlstate);
    print_field("message", d->message);
    print_field("attempts", str_from(arena_printf(ctl->arena, "%lld", (long long)d->attempts)));
    time_format(at, d->first_seen_us);
    print_field("first seen", str_from(at));
    if (d->replayed_at_us != TIME_NONE) {
        time_format(at, d->replayed_at_us);
        print_field("replayed at", str_from(at));
    }
    print_headers(d);
    print_field("key", d->key);
    print_field("value", d->value);
}

static int show(Ctl *ctl)
{
    DeadLetter letter;
    int64_t id;

    if (ctl->n_args != 2 || !parse_id(ctl->args[1], &id))
        return ctl_usage(ctl, "show wants the id of one dead letter");
    int code = ctl_connect_current(ctl);
    if (code != 0)
        return code;
    int r = dead_letter_read(ctl->repo, ctl->arena, id, &letter);
    if (r == REPO_E_NO_ROW)
        return ctl_fail(ctl, EXIT_FAILED, "there is no dead letter %lld", (long long)id);
    if (r != 0)
        return ctl_fail_repo(ctl, r);
    if (ctl->json)
        return print_letter_json(ctl, &letter);
    print_letter(ctl, &letter);
    return 0;
}

/* --- replay --- */

static int replay(Ctl *ctl)
{
    size_t n = (size_t)ctl->n_args - 1;
    int64_t *ids = arena_calloc(ctl->arena, n + 1, sizeof(*ids));
    double wait_s = WAIT_DEFAULT_S;

    if (n && given.group)
        return ctl_usage(ctl, "either ids or --group");
    if (given.wait && (!text_to_double(str_from(given.wait), &wait_s) || wait_s < 0 || wait_s > WAIT_MAX_S))
        return ctl_usage(ctl, "--wait wants seconds from 0 to %d, not '%s'", WAIT_MAX_S, given.wait);
    for (size_t i = 0; i < n; i++)
        if (!parse_id(ctl->args[i + 1], &ids[i]))
            return ctl_usage(ctl, "'%s' is no id of a dead letter", ctl->args[i + 1]);
    int code = ctl_connect_current(ctl);
    DlqReplay what = {.ids = ids, .n_ids = n, .group = given.group, .wait_ms = (int)(wait_s * 1000)};
    return code ? code : dlq_replay(ctl, &what);
}

int cmd_dlq(int argc, char **argv)
{
    static const CtlAction actions[] = {{"list", list}, {"show", show}, {"replay", replay}};
    cleanup(ctl_end) Ctl ctl = {0};
    const CliOption options[] = {
        {"group", NULL, &given.group, "GROUP\tlist, replay: only of this consumer group"},
        {"reason", NULL, &given.reason, "R\tlist: only for this reason"},
        {"limit", NULL, &given.limit, "N\tlist: the N newest (50)"},
        {"wait", NULL, &given.wait, "SECONDS\treplay: wait so long for the broker (30)"},
        {"all", &given.all, NULL, "list: with those that were replayed"},
        {"json", &ctl.json, NULL, "list, show: print JSON"},
    };

    given = (Given){0};
    if (!ctl_begin(&ctl, argc, argv, &help, options, ARRAY_SIZE(options)))
        return ctl.code;
    return ctl_act(&ctl, actions, ARRAY_SIZE(actions));
}
