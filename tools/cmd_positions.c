/* decnetctl positions: where consumer groups stand, and moving them. */
#include <stdio.h>
#include <string.h>

#include "bus/bus.h"
#include "decnetctl.h"
#include "repo/listings.h"
#include "repo/runtime.h"

static const CtlHelp help = {
    .synopsis = "[OPTION]... [list | forget GROUP [TOPIC] | set GROUP TOPIC PARTITION OFFSET | resume GROUP]",
    .about = "Show or move the positions of consumer groups. They live in PostgreSQL; a worker that runs notices a\n"
             "change at its next batch, gives up what it has in hand, and goes on after a restart.\n\n"
             "  list     every position, and which groups are paused\n"
             "  forget   begin at the beginning again: everything is read anew, which changes nothing twice\n"
             "  set      go on at OFFSET; what lies between is skipped or read anew\n"
             "  resume   end the pause of a group whose records failed too often\n\n"
             "GROUP and TOPIC with or without kafka_topic_prefix.\n",
    .examples = "  decnetctl positions\n"
                "  decnetctl positions forget ttp attacker.session.ended\n"
                "  decnetctl positions set ttp attacker.session.ended 0 12345\n"
                "  decnetctl positions resume ttp\n",
};

/* @name with the prefix that all names of this installation carry. */
static const char *full_name(Ctl *ctl, const char *name)
{
    const char *prefix = ctl->config.kafka_topic_prefix;
    return str_starts(str_from(name), prefix) ? name : arena_printf(ctl->arena, "%s%s", prefix, name);
}

/* --- list --- */

typedef struct Listing {
    PositionRow *rows;
    PausedGroup *paused;
    size_t n, n_paused;
} Listing;

static Str paused_reason(const Listing *l, Str group)
{
    for (size_t i = 0; i < l->n_paused; i++)
        if (str_eq(l->paused[i].group, group))
            return l->paused[i].reason;
    return (Str){0};
}

static int print_json(const Ctl *ctl, const Listing *l)
{
    cleanup(buf_free) Buf json = {0};
    JsonWriter w = {.buf = &json};

    json_begin_array(&w);
    for (size_t i = 0; i < l->n; i++) {
        const PositionRow *p = &l->rows[i];
        json_begin_object(&w);
        json_put_str(&w, "group", p->group);
        json_put_str(&w, "topic", p->topic);
        json_put_int(&w, "partition", p->partition);
        json_put_int(&w, "next_offset", p->next_offset);
        json_put_int(&w, "epoch", p->epoch);
        json_put_str(&w, "cluster_id", p->cluster_id);
        json_put_time(&w, "event_time", p->event_time_us);
        json_put_time(&w, "updated_at", p->updated_at_us);
        json_put_str(&w, "paused", paused_reason(l, p->group));
        json_end_object(&w);
    }
    json_end_array(&w);
    return ctl_print_json(ctl, &json);
}

static void print_text(const Listing *l)
{
    CtlTable t = {
        .heads = {"group", "topic", ">partition", ">next offset", ">epoch", "event time", "updated", "cluster"}};

    for (size_t i = 0; i < l->n; i++) {
        const PositionRow *p = &l->rows[i];
        ctl_cell_str(&t, p->group);
        ctl_cell_str(&t, p->topic);
        ctl_cell(&t, "%d", (int)p->partition);
        ctl_cell(&t, "%lld", (long long)p->next_offset);
        ctl_cell(&t, "%lld", (long long)p->epoch);
        ctl_cell_time(&t, p->event_time_us);
        ctl_cell_time(&t, p->updated_at_us);
        ctl_cell_str(&t, p->cluster_id);
    }
    ctl_print_table(&t, "No group has a position yet.");
    for (size_t i = 0; i < l->n_paused; i++)
        printf("%sGroup " STR_FMT " is paused: " STR_FMT "; go on: decnetctl positions resume " STR_FMT "%s\n",
               ctl_bold(), STR_ARG(l->paused[i].group), STR_ARG(l->paused[i].reason), STR_ARG(l->paused[i].group),
               ctl_plain());
}

static int list(Ctl *ctl)
{
    Listing l = {0};

    if (ctl->n_args > 1)
        return ctl_usage(ctl, "unexpected argument '%s'", ctl->args[1]);
    int code = ctl_connect_current(ctl);
    if (code != 0)
        return code;
    int r = position_list(ctl->repo, ctl->arena, &l.rows, &l.n);
    r = r ? r : pause_list(ctl->repo, ctl->arena, &l.paused, &l.n_paused);
    if (r != 0)
        return ctl_fail_repo(ctl, r);
    if (ctl->json)
        return print_json(ctl, &l);
    print_text(&l);
    return 0;
}

/* --- changes --- */

static int forget(Ctl *ctl)
{
    int64_t n;

    if (ctl->n_args < 2 || ctl->n_args > 3)
        return ctl_usage(ctl, "forget wants GROUP [TOPIC]");
    const char *group = full_name(ctl, ctl->args[1]);
    const char *topic = ctl->n_args == 3 ? full_name(ctl, ctl->args[2]) : NULL;
    int code = ctl_connect_current(ctl);
    if (code != 0)
        return code;
    int r = position_forget(ctl->repo, group, topic, &n);
    if (r != 0)
        return ctl_fail_repo(ctl, r);
    if (n == 0)
        return ctl_fail(ctl, EXIT_FAILED, "group %s has no position%s%s", group, topic ? " on " : "",
                        topic ? topic : "");
    printf("%lld position%s forgotten; the next start of %s begins at the beginning\n", (long long)n, n == 1 ? "" : "s",
           group);
    return 0;
}

static int set(Ctl *ctl)
{
    int64_t partition, offset;

    if (ctl->n_args != 5)
        return ctl_usage(ctl, "set wants GROUP TOPIC PARTITION OFFSET");
    if (!text_to_int64(str_from(ctl->args[3]), &partition) || partition < 0 || partition > INT32_MAX)
        return ctl_usage(ctl, "'%s' is no partition", ctl->args[3]);
    if (!text_to_int64(str_from(ctl->args[4]), &offset) || offset < 0)
        return ctl_usage(ctl, "'%s' is no offset", ctl->args[4]);
    const char *group = full_name(ctl, ctl->args[1]), *topic = full_name(ctl, ctl->args[2]);
    int code = ctl_connect_current(ctl);
    if (code != 0)
        return code;
    int r = position_set(ctl->repo, group, topic, (int32_t)partition, offset);
    if (r != 0)
        return ctl_fail_repo(ctl, r);
    printf("group %s goes on at %s/%lld offset %lld\n", group, topic, (long long)partition, (long long)offset);
    return 0;
}

static int resume(Ctl *ctl)
{
    bool was_paused;

    if (ctl->n_args != 2)
        return ctl_usage(ctl, "resume wants GROUP");
    const char *group = full_name(ctl, ctl->args[1]);
    int code = ctl_connect_current(ctl);
    if (code != 0)
        return code;
    int r = pause_clear(ctl->repo, group, &was_paused);
    if (r != 0)
        return ctl_fail_repo(ctl, r);
    printf(was_paused ? "group %s goes on\n" : "group %s was not paused\n", group);
    return 0;
}

int cmd_positions(int argc, char **argv)
{
    static const CtlAction actions[] = {{"list", list}, {"forget", forget}, {"set", set}, {"resume", resume}};
    cleanup(ctl_end) Ctl ctl = {0};
    const CliOption options[] = {{"json", &ctl.json, NULL, "list: print an array of positions"}};

    if (!ctl_begin(&ctl, argc, argv, &help, options, ARRAY_SIZE(options)))
        return ctl.code;
    if (ctl.n_args == 0)
        return list(&ctl);
    return ctl_act(&ctl, actions, ARRAY_SIZE(actions));
}
