/* Makes and checks the topics of the table with Kafka's admin requests. A client of its own for each call: topics are
 * made once in the life of an installation. */
#include "private.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/time.h"
#include "topic_settings.h"

enum { SLICE_MS = 100, SHOWN_MS = 10000 };

typedef struct Admin {
    rd_kafka_t *rk;
    rd_kafka_queue_t *queue;
    BusLink link;
    bool credentials; /* the broker refuses who we are */
    const char *prefix;
    const BusTopicOptions *options;
    Arena *arena;
    BusTopicReport *reports;
    bool raced[BUS_TOPIC_N]; /* was not shown, yet the broker says that it is there */
    int brokers;
    char **ret_error;
} Admin;

static int fail(Admin *a, int r, const char *fmt, ...) printf_like(3, 4);

static int fail(Admin *a, int r, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    if (vasprintf(a->ret_error, fmt, args) < 0)
        *a->ret_error = NULL;
    va_end(args);
    return r;
}

/* What a request as a whole came to. */
static int fail_request(Admin *a, const char *what, rd_kafka_resp_err_t err, const char *text)
{
    int r = a->credentials ? BUS_E_REJECTED : bus_outcome(err, -EIO);

    if (r == BUS_E_AWAY)
        return fail(a, r, "%s: no broker answers (%s); check kafka.bootstrap.servers", what,
                    a->link.reason[0] ? a->link.reason : text);
    return fail(a, r, "%s: %s", what, a->credentials ? a->link.reason : text);
}

static void on_error(rd_kafka_t *rk, int err, const char *reason, void *opaque)
{
    Admin *a = opaque;

    if (err == RD_KAFKA_RESP_ERR__AUTHENTICATION)
        a->credentials = true;
    bus_link_error(&a->link, rk, err, reason);
}

static int admin_open(Admin *a, const Config *config)
{
    rd_kafka_conf_t *conf = bus_conf_new(config, BUS_ROLE_ADMIN, NULL, NULL, a->ret_error);

    if (!conf)
        return -EINVAL;
    rd_kafka_conf_set_opaque(conf, a);
    rd_kafka_conf_set_error_cb(conf, on_error);
    a->rk = bus_client_new(RD_KAFKA_PRODUCER, conf, a->ret_error);
    if (!a->rk)
        return -EINVAL;
    a->queue = rd_kafka_queue_new(a->rk);
    a->prefix = config->kafka_topic_prefix;
    for (size_t i = 0; i < BUS_TOPIC_N; i++)
        a->reports[i] = (BusTopicReport){
            .topic = &bus_topics[i],
            .name = arena_printf(a->arena, "%s%s", a->prefix, bus_topics[i].name),
            .state = BUS_TOPIC_MISSING,
            .wanted_partitions = a->options->partitions ? a->options->partitions : bus_topics[i].partitions,
        };
    return 0;
}

static void admin_close(Admin *a)
{
    if (a->queue)
        rd_kafka_queue_destroy(a->queue);
    if (a->rk)
        rd_kafka_destroy(a->rk);
}

static BusTopicReport *find_report(Admin *a, const char *name)
{
    for (size_t i = 0; i < BUS_TOPIC_N; i++)
        if (strcmp(a->reports[i].name, name) == 0)
            return &a->reports[i];
    return NULL;
}

/* --- what is there --- */

static void see_topic(Admin *a, const struct rd_kafka_metadata_topic *t)
{
    BusTopicReport *report = find_report(a, t->topic);

    if (!report || t->err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART || t->partition_cnt == 0)
        return;
    report->partitions = t->partition_cnt;
    report->replicas = t->partitions[0].replica_cnt;
    if (report->state == BUS_TOPIC_MISSING)
        report->state = BUS_TOPIC_THERE;
}

/* All topics in one request: asking for one by name may create it. */
static int look(Admin *a)
{
    const struct rd_kafka_metadata *m = NULL;
    int64_t end_us = clock_monotonic_us() + (int64_t)a->options->timeout_ms * 1000;
    rd_kafka_resp_err_t err;

    do { /* in slices, so that the reasons of failures are heard */
        err = rd_kafka_metadata(a->rk, 1, NULL, &m, SLICE_MS);
        rd_kafka_poll(a->rk, 0);
    } while (bus_outcome(err, -EIO) == BUS_E_AWAY && !a->credentials && clock_monotonic_us() < end_us);
    if (err)
        return fail_request(a, "listing the topics", err, rd_kafka_err2str(err));
    a->brokers = m->broker_cnt;
    for (int i = 0; i < m->topic_cnt; i++)
        see_topic(a, &m->topics[i]);
    rd_kafka_metadata_destroy(m);
    return 0;
}

static int refuse_embedded(Admin *a)
{
    char *id = rd_kafka_clusterid(a->rk, a->options->timeout_ms);
    bool embedded = bus_cluster_is_embedded(id);

    if (id)
        rd_kafka_mem_free(a->rk, id);
    if (!embedded)
        return 0;
    return fail(
        a, BUS_E_REJECTED,
        "this is the embedded broker: it has every topic from its start and no settings of topics, so that there "
        "is nothing to create or check; kafka.bootstrap.servers names an Apache Kafka for this");
}

/* --- requests --- */

static rd_kafka_AdminOptions_t *request_options(Admin *a, rd_kafka_admin_op_t op, bool waits)
{
    rd_kafka_AdminOptions_t *options = rd_kafka_AdminOptions_new(a->rk, op);

    rd_kafka_AdminOptions_set_request_timeout(options, a->options->timeout_ms, NULL, 0);
    if (waits) /* on the broker, until its controller has made them */
        rd_kafka_AdminOptions_set_operation_timeout(options, a->options->timeout_ms, NULL, 0);
    return options;
}

/* The answer to the request that was just put on its way; librdkafka itself ends it after its time. */
static rd_kafka_event_t *await(Admin *a)
{
    rd_kafka_event_t *event;

    while (!(event = rd_kafka_queue_poll(a->queue, SLICE_MS)))
        rd_kafka_poll(a->rk, 0);
    return event;
}

static void event_freep(rd_kafka_event_t **p)
{
    if (*p)
        rd_kafka_event_destroy(*p);
}

/* --- creating --- */

static rd_kafka_NewTopic_t *new_topic(Admin *a, const BusTopicReport *report, int32_t replication)
{
    char reason[256] = "";
    NameValue settings[BUS_TOPIC_SETTINGS_MAX];
    size_t n = bus_topic_settings(a->arena, report->topic, settings);
    rd_kafka_NewTopic_t *t =
        rd_kafka_NewTopic_new(report->name, report->wanted_partitions, replication, reason, sizeof(reason));

    if (!t) {
        fail(a, -EINVAL, "topic %s: %s", report->name, reason);
        return NULL;
    }
    for (size_t i = 0; i < n; i++)
        rd_kafka_NewTopic_set_config(t, str_cstr(a->arena, settings[i].name), str_cstr(a->arena, settings[i].value));
    if (replication >= BUS_REPLICATION_SAFE)
        rd_kafka_NewTopic_set_config(t, "min.insync.replicas", "2");
    return t;
}

static void take_created(Admin *a, const rd_kafka_topic_result_t *result)
{
    BusTopicReport *report = find_report(a, rd_kafka_topic_result_name(result));
    const char *text = rd_kafka_topic_result_error_string(result);

    if (!report)
        return;
    switch (rd_kafka_topic_result_error(result)) {
    case RD_KAFKA_RESP_ERR_NO_ERROR:
        report->state = BUS_TOPIC_CREATED;
        report->partitions = report->wanted_partitions;
        break;
    case RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS:
        a->raced[report - a->reports] = true;
        break;
    default:
        report->state = BUS_TOPIC_REFUSED;
        report->why = arena_printf(a->arena, "%s", text ? text : rd_kafka_err2str(rd_kafka_topic_result_error(result)));
    }
}

static rd_kafka_resp_err_t send_create(Admin *a, rd_kafka_NewTopic_t **topics, size_t n, int *ret)
{
    cleanup(event_freep) rd_kafka_event_t *event = NULL;
    rd_kafka_AdminOptions_t *options = request_options(a, RD_KAFKA_ADMIN_OP_CREATETOPICS, true);
    size_t n_results;

    rd_kafka_CreateTopics(a->rk, topics, n, options, a->queue);
    rd_kafka_AdminOptions_destroy(options);
    event = await(a);
    rd_kafka_resp_err_t err = rd_kafka_event_error(event);
    if (err) {
        *ret = fail_request(a, "creating the topics", err, rd_kafka_event_error_string(event));
        return err;
    }
    const rd_kafka_topic_result_t **results =
        rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &n_results);
    for (size_t i = 0; i < n_results; i++)
        take_created(a, results[i]);
    *ret = 0;
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static rd_kafka_resp_err_t create_missing(Admin *a, int32_t replication, int *ret)
{
    rd_kafka_NewTopic_t *topics[BUS_TOPIC_N];
    rd_kafka_resp_err_t err = RD_KAFKA_RESP_ERR_NO_ERROR;
    size_t n = 0;

    *ret = 0;
    for (size_t i = 0; *ret == 0 && i < BUS_TOPIC_N; i++) {
        if (a->reports[i].state != BUS_TOPIC_MISSING)
            continue;
        topics[n] = new_topic(a, &a->reports[i], replication);
        if (topics[n])
            n++;
        else
            *ret = -EINVAL;
    }
    if (*ret == 0 && n > 0)
        err = send_create(a, topics, n, ret);
    rd_kafka_NewTopic_destroy_array(topics, n);
    return err;
}

/* Brokers before 2.4 do not know "your own default": there it is 3, or as many as there are brokers. */
static int create(Admin *a)
{
    int32_t replication = a->options->replication;
    int r;
    rd_kafka_resp_err_t err = create_missing(a, replication, &r);

    if (err == RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE && replication == BUS_REPLICATION_DEFAULT) {
        free(TAKE_PTR(*a->ret_error));
        create_missing(a, MIN(BUS_REPLICATION_SAFE, a->brokers), &r);
    }
    return r;
}

static bool all_shown(const Admin *a)
{
    for (size_t i = 0; i < BUS_TOPIC_N; i++) {
        const BusTopicReport *report = &a->reports[i];
        bool expected = report->state == BUS_TOPIC_CREATED || a->raced[i];
        if (expected && report->replicas == 0)
            return false;
    }
    return true;
}

/* The controller's word reaches the brokers a moment later; whoever starts a worker next wants to find the topics. */
static int await_shown(Admin *a)
{
    int64_t end_us = clock_monotonic_us() + MIN(SHOWN_MS, a->options->timeout_ms) * INT64_C(1000);
    int r = 0;

    while (r == 0 && !all_shown(a) && clock_monotonic_us() < end_us) {
        r = look(a);
        if (r == 0 && !all_shown(a))
            usleep(SLICE_MS * 1000);
    }
    for (size_t i = 0; r == 0 && i < BUS_TOPIC_N; i++) {
        if (a->raced[i] && a->reports[i].state == BUS_TOPIC_MISSING) {
            a->reports[i].state = BUS_TOPIC_REFUSED;
            a->reports[i].why = "it exists, but the broker does not show it: this user needs DESCRIBE on it";
        }
    }
    return r;
}

/* --- checking --- */

static Str entry_value(const rd_kafka_ConfigResource_t *resource, Str name)
{
    size_t n;
    const rd_kafka_ConfigEntry_t **entries = rd_kafka_ConfigResource_configs(resource, &n);

    for (size_t i = 0; i < n; i++)
        if (str_eq_cstr(name, rd_kafka_ConfigEntry_name(entries[i])))
            return str_from(rd_kafka_ConfigEntry_value(entries[i]));
    return (Str){0};
}

static void compare_settings(Admin *a, const BusTopicReport *report, const rd_kafka_ConfigResource_t *resource,
                             Buf *differences)
{
    NameValue settings[BUS_TOPIC_SETTINGS_MAX];
    size_t n = bus_topic_settings(a->arena, report->topic, settings);

    for (size_t i = 0; i < n; i++) {
        Str have = entry_value(resource, settings[i].name);
        if (!bus_setting_equal(settings[i].value, have))
            bus_difference_add(differences, settings[i].name, have, settings[i].value);
    }
}

static void judge(Admin *a, const rd_kafka_ConfigResource_t *resource)
{
    cleanup(buf_free) Buf differences = {0};
    BusTopicReport *report = find_report(a, rd_kafka_ConfigResource_name(resource));
    char is[16], should[16];

    if (!report)
        return;
    if (rd_kafka_ConfigResource_error(resource)) {
        const char *text = rd_kafka_ConfigResource_error_string(resource);
        report->state = BUS_TOPIC_REFUSED;
        report->why = arena_printf(a->arena, "its settings cannot be read: %s",
                                   text ? text : rd_kafka_err2str(rd_kafka_ConfigResource_error(resource)));
        return;
    }
    if (report->partitions != report->wanted_partitions) {
        snprintf(is, sizeof(is), "%d", (int)report->partitions);
        snprintf(should, sizeof(should), "%d", (int)report->wanted_partitions);
        bus_difference_add(&differences, STR("partitions"), str_from(is), str_from(should));
    }
    compare_settings(a, report, resource, &differences);
    if (differences.len) {
        report->state = BUS_TOPIC_DIFFERS;
        report->why = str_cstr(a->arena, buf_str(&differences));
    }
}

/* Partitions and settings of the topics that were there before. */
static int check_settings(Admin *a)
{
    cleanup(event_freep) rd_kafka_event_t *event = NULL;
    rd_kafka_ConfigResource_t *resources[BUS_TOPIC_N];
    size_t n = 0;

    for (size_t i = 0; i < BUS_TOPIC_N; i++)
        if (a->reports[i].state == BUS_TOPIC_THERE)
            resources[n++] = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, a->reports[i].name);
    if (n == 0)
        return 0;
    rd_kafka_AdminOptions_t *options = request_options(a, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS, false);
    rd_kafka_DescribeConfigs(a->rk, resources, n, options, a->queue);
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_ConfigResource_destroy_array(resources, n);
    event = await(a);
    rd_kafka_resp_err_t err = rd_kafka_event_error(event);
    if (err)
        return fail_request(a, "reading the settings of the topics", err, rd_kafka_event_error_string(event));
    const rd_kafka_ConfigResource_t **found =
        rd_kafka_DescribeConfigs_result_resources(rd_kafka_event_DescribeConfigs_result(event), &n);
    for (size_t i = 0; i < n; i++)
        judge(a, found[i]);
    return 0;
}

/* --- the two ways in --- */

const char *bus_topic_state_name(BusTopicState state)
{
    static const char *const names[] = {
        [BUS_TOPIC_THERE] = "there",     [BUS_TOPIC_CREATED] = "created", [BUS_TOPIC_DIFFERS] = "differs",
        [BUS_TOPIC_MISSING] = "missing", [BUS_TOPIC_REFUSED] = "refused",
    };
    return names[state];
}

static int run(const Config *config, const BusTopicOptions *options, bool creates, Arena *arena,
               BusTopicReport *reports, char **ret_error)
{
    cleanup(admin_close) Admin a = {.options = options, .arena = arena, .reports = reports, .ret_error = ret_error};
    int r;

    *ret_error = NULL;
    r = admin_open(&a, config);
    r = r ? r : look(&a);
    r = r ? r : refuse_embedded(&a);
    if (r == 0 && creates) {
        r = create(&a);
        r = r ? r : await_shown(&a);
    }
    return r ? r : check_settings(&a);
}

int bus_topics_create(const Config *config, const BusTopicOptions *options, Arena *arena,
                      BusTopicReport ret[BUS_TOPIC_N], char **ret_error)
{
    return run(config, options, true, arena, ret, ret_error);
}

int bus_topics_check(const Config *config, const BusTopicOptions *options, Arena *arena,
                     BusTopicReport ret[BUS_TOPIC_N], char **ret_error)
{
    return run(config, options, false, arena, ret, ret_error);
}
