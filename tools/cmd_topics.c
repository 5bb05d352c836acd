/* decnetctl topics: makes the topics of the event contract on a broker, and checks them. */
#include <stdio.h>
#include <string.h>

#include "bus/bus.h"
#include "decnetctl.h"

enum { TIMEOUT_MS = 15000, PARTITIONS_MAX = 10000, REPLICATION_MAX = 100 };

static const CtlHelp help = {
    .synopsis = "[OPTION]... create | check",
    .about =
        "Make or check the topics on the broker that kafka.bootstrap.servers names.\n\n"
        "  create   make what is missing, with the partitions, the cleanup policy and the retention that the\n"
        "           project needs; topics that are there stay as they are\n"
        "  check    only look\n\n"
        "Both show every topic: created, there, missing, differs (in what), or refused (why); and end with 1 when\n"
        "something is missing, differs or is refused. Names begin with kafka_topic_prefix, so that several\n"
        "installations can share a broker.\n",
    .examples = "  decnetctl topics create --kafka.bootstrap.servers=kafka1:9092 --replication=3\n"
                "  decnetctl topics check\n"
                "  decnetctl topics create --kafka_topic_prefix=prod.\n",
};

typedef struct Topics {
    BusTopicOptions options;
    BusTopicReport reports[BUS_TOPIC_N];
} Topics;

static Topics topics = {.options = {.replication = BUS_REPLICATION_DEFAULT, .timeout_ms = TIMEOUT_MS}};

static void print_row(CtlTable *t, const BusTopicReport *report)
{
    ctl_cell(t, "%s", report->name);
    ctl_cell(t, "%s", bus_topic_state_name(report->state));
    ctl_cell(t, "%d", (int)(report->partitions ? report->partitions : report->wanted_partitions));
    if (report->replicas)
        ctl_cell(t, "%d", (int)report->replicas);
    else
        ctl_cell(t, "-");
    ctl_cell(t, "%s", report->why ? report->why : "");
}

static void print_text(int n_bad, int n_created)
{
    CtlTable t = {.heads = {"topic", "state", ">partitions", ">replicas", "why"}};

    for (size_t i = 0; i < BUS_TOPIC_N; i++)
        print_row(&t, &topics.reports[i]);
    ctl_print_table(&t, "");
    printf("%s%d topics: %d created, %d to look at%s\n", ctl_bold(), BUS_TOPIC_N, n_created, n_bad, ctl_plain());
}

static int print_json(const Ctl *ctl)
{
    cleanup(buf_free) Buf json = {0};
    JsonWriter w = {.buf = &json};

    json_begin_array(&w);
    for (size_t i = 0; i < BUS_TOPIC_N; i++) {
        const BusTopicReport *report = &topics.reports[i];
        json_begin_object(&w);
        json_put_cstr(&w, "topic", report->name);
        json_put_cstr(&w, "state", bus_topic_state_name(report->state));
        json_put_int(&w, "partitions", report->partitions);
        json_put_int(&w, "wanted_partitions", report->wanted_partitions);
        json_put_int(&w, "replicas", report->replicas);
        json_put_cstr(&w, "why", report->why);
        json_end_object(&w);
    }
    json_end_array(&w);
    return ctl_print_json(ctl, &json);
}

static int show(Ctl *ctl)
{
    int n_created = 0, n_bad = 0, code = 0;

    for (size_t i = 0; i < BUS_TOPIC_N; i++) {
        n_created += topics.reports[i].state == BUS_TOPIC_CREATED;
        n_bad += topics.reports[i].state != BUS_TOPIC_CREATED && topics.reports[i].state != BUS_TOPIC_THERE;
    }
    if (ctl->json)
        code = print_json(ctl);
    else
        print_text(n_bad, n_created);
    return n_bad ? EXIT_FAILED : code;
}

static int act(Ctl *ctl, int (*work)(const Config *, const BusTopicOptions *, Arena *, BusTopicReport *, char **))
{
    cleanup(freep) char *error = NULL;

    if (ctl->n_args > 1)
        return ctl_usage(ctl, "unexpected argument '%s'", ctl->args[1]);
    int r = work(&ctl->config, &topics.options, ctl->arena, topics.reports, &error);
    if (r != 0)
        return ctl_fail(ctl, r == BUS_E_AWAY ? EXIT_FAILED : EXIT_OPERATOR, "%s", error ? error : bus_outcome_name(r));
    return show(ctl);
}

static int create(Ctl *ctl)
{
    return act(ctl, bus_topics_create);
}

static int check(Ctl *ctl)
{
    return act(ctl, bus_topics_check);
}

static bool read_count(const char *text, int64_t max, int32_t *ret)
{
    int64_t n;

    if (!text)
        return true;
    if (!text_to_int64(str_from(text), &n) || n < 1 || n > max)
        return false;
    *ret = (int32_t)n;
    return true;
}

int cmd_topics(int argc, char **argv)
{
    static const CtlAction actions[] = {{"create", create}, {"check", check}};
    const char *partitions = NULL, *replication = NULL;
    cleanup(ctl_end) Ctl ctl = {0};
    const CliOption options[] = {
        {"replication", NULL, &replication, "N\tcreate: replicas of each new topic (the broker's default)"},
        {"partitions", NULL, &partitions, "N\tof every topic, instead of the numbers that the project has for each"},
        {"json", &ctl.json, NULL, "print an array of {topic, state, partitions, wanted_partitions, replicas, why}"},
    };

    if (!ctl_begin(&ctl, argc, argv, &help, options, ARRAY_SIZE(options)))
        return ctl.code;
    if (!read_count(partitions, PARTITIONS_MAX, &topics.options.partitions))
        return ctl_usage(&ctl, "'%s' is no number of partitions (1 to %d)", partitions, PARTITIONS_MAX);
    if (!read_count(replication, REPLICATION_MAX, &topics.options.replication))
        return ctl_usage(&ctl, "'%s' is no number of replicas (1 to %d)", replication, REPLICATION_MAX);
    return ctl_act(&ctl, actions, ARRAY_SIZE(actions));
}
