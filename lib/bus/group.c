/* Membership of a consumer group. librdkafka tells of a move through its rebalance callback and then waits for assign
 * or unassign; the answer may come long after the callback returned, which leaves the caller time to finish the
 * transaction at hand and to look up where the new partitions begin. */
#include "private.h"

#include <errno.h>
#include <string.h>

#include "base/json.h"
#include "base/time.h"

enum { POLL_MS = 5, STALE_US = 50000 };
enum { MEMBER_ID_MS = 500, LEAVE_MS = 3000 }; /* librdkafka repeats a request to join once a second */

static bool is_cooperative(rd_kafka_t *rk)
{
    const char *protocol = rd_kafka_rebalance_protocol(rk);
    return protocol && strcmp(protocol, "COOPERATIVE") == 0;
}

static rd_kafka_topic_partition_list_t *list_of(BusConsumer *c, const BusPosition *positions, size_t n)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)n);
    for (size_t i = 0; i < n; i++)
        bus_list_add(c, list, positions[i].topic, positions[i].partition)->offset = positions[i].offset;
    return list;
}

int bus_consumer_join(BusConsumer *c, const BusTopic *const *topics)
{
    cleanup(bus_list_freep) rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(8);

    for (; *topics; topics++)
        bus_list_add(c, list, *topics, RD_KAFKA_PARTITION_UA);
    rd_kafka_resp_err_t err = rd_kafka_subscribe(c->rk, list);
    if (err)
        return bus_fail(&c->error, -EINVAL, "joining the group: %s", rd_kafka_err2str(err));
    c->group.member = true;
    return 0;
}

/* Topics of the move that the table has; the group can only move what we subscribed to. */
static void remember(BusConsumer *c, BusMove move, const rd_kafka_topic_partition_list_t *list)
{
    size_t prefix = strlen(c->prefix);

    bus_group_free(&c->group);
    bus_group_hint(c, NULL);
    c->group.partitions = calloc((size_t)list->cnt + 1, sizeof(*c->group.partitions));
    if (!c->group.partitions)
        abort();
    for (int i = 0; i < list->cnt; i++) {
        const BusTopic *topic = bus_topic_find(str_from(list->elems[i].topic + prefix));
        if (topic)
            c->group.partitions[c->group.n++] = (BusPosition){topic, list->elems[i].partition, BUS_OFFSET_BEGINNING};
    }
    c->group.move = move;
    c->group.news = true;
}

void bus_group_hint(BusConsumer *c, rd_kafka_topic_partition_list_t *list)
{
    bus_list_freep(&c->group.hint);
    c->group.hint = list;
}

static void send_hint(BusConsumer *c)
{
    if (c->group.hint)
        rd_kafka_commit(c->rk, c->group.hint, 1);
    bus_group_hint(c, NULL);
}

/* A commit must not be under way while the group forms a new generation: it waits behind the request to join, comes to
 * the coordinator with the old generation, and librdkafka then takes the whole assignment for lost (all releases up to
 * now). Only the statistics tell of such a time, as it begins long before the rebalance callback. What is left is the
 * time between two lines of this function and the library's. */
int bus_group_on_stats(rd_kafka_t *rk, char *json, size_t bytes, void *opaque)
{
    BusConsumer *c = opaque;
    int64_t at_us = 0;

    if (!c->group.hint || c->group.move != BUS_MOVE_NONE)
        return 0;
    cleanup(json_putp) json_object *stats = json_parse((Str){json, bytes});
    bool fresh = json_get_int(stats, "ts", &at_us) && clock_monotonic_us() - at_us < STALE_US;
    if (fresh && str_eq_cstr(json_get_str(json_get_object(stats, "cgrp"), "join_state"), "steady"))
        send_hint(c);
    return 0; /* the library frees the text */
}

BusRebalance bus_consumer_rebalance(const BusConsumer *c)
{
    return (BusRebalance){c->group.move, c->group.partitions, c->group.n};
}

static void add_partitions(BusConsumer *c, const BusPosition *positions, size_t n)
{
    BusPartition *grown = realloc(c->partitions, (c->n_partitions + n + 1) * sizeof(*grown));
    if (!grown)
        abort();
    c->partitions = grown;
    for (size_t i = 0; i < n; i++)
        c->partitions[c->n_partitions++] = (BusPartition){.topic = positions[i].topic,
                                                          .id = positions[i].partition,
                                                          .offsets = bus_offsets_from(positions[i].offset)};
}

/* A partition that is paused when it is given up would still be so when it comes back: they go flowing. */
static void remove_partitions(BusConsumer *c, const BusPosition *positions, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        BusPartition *p = bus_partition_find(c, positions[i].topic, positions[i].partition);
        if (p) {
            (void)!bus_flow_change(c, p, 1, false);
            *p = c->partitions[--c->n_partitions];
        }
    }
    c->last = 0;
}

static int assign(BusConsumer *c, const BusPosition *positions, size_t n)
{
    cleanup(bus_list_freep) rd_kafka_topic_partition_list_t *list = list_of(c, positions, n);
    rd_kafka_error_t *error = NULL;
    rd_kafka_resp_err_t err = 0;

    if (is_cooperative(c->rk)) {
        error = rd_kafka_incremental_assign(c->rk, list);
        err = error ? rd_kafka_error_code(error) : 0;
        rd_kafka_error_destroy(error);
    } else { /* an eager assignor gives the whole assignment anew */
        (void)!bus_consumer_resume_all(c);
        c->n_partitions = 0;
        err = rd_kafka_assign(c->rk, list);
    }
    if (err)
        return bus_fail(&c->error, -EIO, "taking %zu partitions: %s", n, rd_kafka_err2str(err));
    add_partitions(c, positions, n);
    c->group.ever_assigned = true;
    return 0;
}

static int unassign(BusConsumer *c)
{
    cleanup(bus_list_freep) rd_kafka_topic_partition_list_t *list = list_of(c, c->group.partitions, c->group.n);
    rd_kafka_error_t *error = NULL;
    rd_kafka_resp_err_t err = 0;

    remove_partitions(c, c->group.partitions, c->group.n);
    if (is_cooperative(c->rk)) {
        error = rd_kafka_incremental_unassign(c->rk, list);
        err = error ? rd_kafka_error_code(error) : 0;
        rd_kafka_error_destroy(error);
    } else {
        err = rd_kafka_assign(c->rk, NULL);
    }
    return err ? bus_fail(&c->error, -EIO, "giving up %zu partitions: %s", c->group.n, rd_kafka_err2str(err)) : 0;
}

/* librdkafka pauses all partitions from the callback to the answer. If a fetch request ends in between, the broker's
 * thread finds nothing to fetch and sleeps for up to a second, as the end of the pause does not wake it. */
int bus_consumer_answer(BusConsumer *c, const BusPosition *positions, size_t n)
{
    int r = c->group.move == BUS_MOVE_ASSIGNED ? assign(c, positions, n) : c->group.move ? unassign(c) : 0;
    bus_group_free(&c->group);
    bus_wake_fetchers(c);
    return r;
}

void bus_group_free(BusGroup *group)
{
    free(group->partitions);
    group->partitions = NULL;
    group->n = 0;
    group->move = BUS_MOVE_NONE;
    group->news = false;
}

/* A pending assignment is taken at its end, where it gives no records, only to be given back by the close. */
static void answer_anyhow(BusConsumer *c)
{
    for (size_t i = 0; i < c->group.n; i++)
        c->group.partitions[i].offset = BUS_OFFSET_END;
    (void)!bus_consumer_answer(c, c->group.partitions, c->group.n);
}

void bus_group_on_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t err, rd_kafka_topic_partition_list_t *list,
                            void *opaque)
{
    BusConsumer *c = opaque;
    bool revoke = err == RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS;

    if (!revoke && err != RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
        rd_kafka_assign(rk, NULL); /* an error of the group protocol: librdkafka joins again by itself */
        return;
    }
    remember(c, !revoke ? BUS_MOVE_ASSIGNED : rd_kafka_assignment_lost(rk) ? BUS_MOVE_LOST : BUS_MOVE_REVOKED, list);
    if (c->group.closing) /* whoever leaves waits for it right here */
        answer_anyhow(c);
}

/* --- leaving ---
 *
 * Whoever ends without a word keeps the group waiting until the session time-out, and whoever comes next with it. But
 * rd_kafka_consumer_close() says nothing (2.0.2) for a member without partitions, as the second of two is while the first
 * one has not given up half of them yet, and nothing while a rebalance is under way. rd_kafka_unsubscribe() says it in
 * either case, in the second when the rebalance is over; so it comes first and is given time. */

static void serve(BusConsumer *c)
{
    rd_kafka_message_t *m = rd_kafka_consumer_poll(c->rk, POLL_MS);
    if (m)
        rd_kafka_message_destroy(m);
}

/* The coordinator gives it with the answer to the first request to join; it goes with the word of leaving. */
static bool has_member_id(const BusConsumer *c)
{
    cleanup(freep) char *id = rd_kafka_memberid(c->rk);
    return id && *id;
}

static bool has_setting(const BusConsumer *c, const char *name, const char *value)
{
    char text[64] = "";
    size_t size = sizeof(text);
    return rd_kafka_conf_get(rd_kafka_conf(c->rk), name, text, &size) == RD_KAFKA_CONF_OK &&
           (value ? strcmp(text, value) == 0 : *text);
}

/* A static member keeps its place in the group, to find it again after a restart. The newer protocol, where the broker
 * moves partitions, leaves by a close. */
static bool leaves_by_unsubscribing(const BusConsumer *c)
{
    return !has_setting(c, "group.instance.id", NULL) && !has_setting(c, "group.protocol", "consumer");
}

static bool is_leaving(const BusConsumer *c)
{
    return c->group.closing && leaves_by_unsubscribing(c) && has_member_id(c);
}

static void begin_to_leave(BusConsumer *c)
{
    int64_t until_us = clock_monotonic_us() + MEMBER_ID_MS * US_PER_MS;

    while (!has_member_id(c) && clock_monotonic_us() < until_us)
        serve(c);
    c->group.closing = true;
    if (c->group.move != BUS_MOVE_NONE)
        answer_anyhow(c);
    send_hint(c); /* from here on nothing can be lost by it */
    if (leaves_by_unsubscribing(c))
        (void)!rd_kafka_unsubscribe(c->rk);
}

/* All at once: a rebalance that one waits for may wait for another. */
void bus_group_leave(BusConsumer *const *consumers, size_t n)
{
    int64_t until_us = clock_monotonic_us() + LEAVE_MS * US_PER_MS;
    bool waiting = true;

    for (size_t i = 0; i < n; i++)
        if (consumers[i]->group.member && !consumers[i]->link.away) /* else there is nobody to say farewell to */
            begin_to_leave(consumers[i]);
    while (waiting && clock_monotonic_us() < until_us) {
        waiting = false;
        for (size_t i = 0; i < n; i++) {
            if (!is_leaving(consumers[i]))
                continue;
            serve(consumers[i]);
            waiting = true;
        }
    }
}

/* Ending a client that never had an assignment aborts the whole process in librdkafka 2.0.2 (its issue 4312, mended in
 * 2.3.0), and closing one that still waits for a rebalance would wait on. */
bool bus_group_close(BusConsumer *c)
{
    enum { MENDED = 0x02030000 };

    if (is_leaving(c))
        return false;
    if (c->group.closing)
        rd_kafka_consumer_close(c->rk);
    return !c->group.member || c->group.ever_assigned || rd_kafka_version() >= MENDED;
}
