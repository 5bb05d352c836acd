/* The producer: idempotent, acknowledged by all replicas, one delivery call for each record. */
#include "private.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/time.h"

struct BusProducer {
    rd_kafka_t *rk;
    char *prefix;
    rd_kafka_topic_t *topics[BUS_TOPIC_N]; /* made at first use */
    bool known[BUS_TOPIC_N];               /* the broker has it */
    int64_t next_check_us;
    BusDeliveryFn delivered;
    void *arg;
    BusLink link;
    size_t outstanding;
    BusError error;
};

static void on_error(rd_kafka_t *rk, int err, const char *reason, void *opaque)
{
    BusProducer *p = opaque;
    bus_link_error(&p->link, rk, err, reason);
}

static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
    BusProducer *p = opaque;
    int r = bus_outcome(m->err, BUS_E_AWAY); /* not acknowledged, for whatever reason: to be sent again */

    p->outstanding--;
    if (r != 0)
        bus_fail(&p->error, r, "a record for %s was not acknowledged: %s", rd_kafka_topic_name(m->rkt),
                 rd_kafka_err2str(m->err)); /* not message_errstr(): of a record that we sent it shows the value */
    if (r == BUS_E_AWAY)
        bus_link_down(&p->link);
    p->delivered(p->arg, m->_private, r);
}

int bus_producer_open(const Config *config, BusDeliveryFn delivered, void *arg, BusProducer **ret, char **ret_error)
{
    cleanup(bus_producer_closep) BusProducer *p = calloc(1, sizeof(*p));
    rd_kafka_conf_t *conf;

    if (!p)
        abort();
    p->delivered = delivered;
    p->arg = arg;
    conf = bus_conf_new(config, BUS_ROLE_PRODUCER, NULL, NULL, ret_error);
    if (!conf)
        return -EINVAL;
    rd_kafka_conf_set_opaque(conf, p);
    rd_kafka_conf_set_error_cb(conf, on_error);
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    p->rk = bus_client_new(RD_KAFKA_PRODUCER, conf, ret_error);
    if (!p->rk)
        return -EINVAL;
    p->prefix = bus_topic_full_name(config->kafka_topic_prefix, "");
    *ret = TAKE_PTR(p);
    return 0;
}

void bus_producer_close(BusProducer *p)
{
    enum { LAST_FLUSHES = 50, LAST_FLUSH_MS = 100 };

    if (!p)
        return;
    if (p->rk) {
        rd_kafka_purge(p->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
        /* Only hands the delivery calls out: nothing is left to send. Each piece of news ends one flush early. */
        for (int i = 0; p->outstanding > 0 && i < LAST_FLUSHES; i++)
            rd_kafka_flush(p->rk, LAST_FLUSH_MS);
    }
    for (size_t i = 0; i < ARRAY_SIZE(p->topics); i++)
        if (p->topics[i])
            rd_kafka_topic_destroy(p->topics[i]);
    if (p->rk)
        rd_kafka_destroy(p->rk);
    free(p->prefix);
    free(p);
}

/* --- sending --- */

/* Which topics of the table the broker has; asks for all at once, because asking for one may create it. */
static rd_kafka_resp_err_t learn_topics(BusProducer *p)
{
    enum { LEARN_MS = 1000 };
    const struct rd_kafka_metadata *m = NULL;
    rd_kafka_resp_err_t err = rd_kafka_metadata(p->rk, 1, NULL, &m, LEARN_MS);
    size_t prefix = strlen(p->prefix);

    for (int i = 0; !err && i < m->topic_cnt; i++) {
        const char *name = m->topics[i].topic;
        const BusTopic *t = strncmp(name, p->prefix, prefix) == 0 ? bus_topic_find(str_from(name + prefix)) : NULL;
        if (t && m->topics[i].err == RD_KAFKA_RESP_ERR_NO_ERROR)
            p->known[t - bus_topics] = true;
    }
    if (m)
        rd_kafka_metadata_destroy(m);
    return err;
}

/* A topic must exist before anything is sent to it: brokers that create topics by themselves give them the wrong number
 * of partitions. While no broker answers the record is taken and librdkafka decides. */
static int check_topic(BusProducer *p, const BusTopic *topic)
{
    size_t id = (size_t)(topic - bus_topics);

    assert(id < BUS_TOPIC_N);
    if (p->known[id] || p->link.away)
        return 0;
    if (clock_monotonic_us() >= p->next_check_us) {
        rd_kafka_resp_err_t err = learn_topics(p);
        p->next_check_us = clock_monotonic_us() + (err ? 0 : US_PER_S);
        if (err)
            return 0;
    }
    if (p->known[id])
        return 0;
    return bus_fail(&p->error, BUS_E_NO_TOPIC,
                    "the broker has no topic %s%s; create the topics, or check kafka_topic_prefix and the permissions",
                    p->prefix, topic->name);
}

static rd_kafka_topic_t *topic_handle(BusProducer *p, const BusTopic *topic)
{
    rd_kafka_topic_t **place = &p->topics[topic - bus_topics];

    if (!*place) {
        cleanup(freep) char *name = bus_topic_full_name(p->prefix, topic->name);
        *place = rd_kafka_topic_new(p->rk, name, NULL);
    }
    return *place;
}

static rd_kafka_headers_t *headers_of(const BusHeader *headers, size_t n)
{
    rd_kafka_headers_t *list = rd_kafka_headers_new(n);

    for (size_t i = 0; i < n; i++)
        rd_kafka_header_add(list, headers[i].name.data, (ssize_t)headers[i].name.len, headers[i].value.data,
                            (ssize_t)headers[i].value.len);
    return list;
}

int bus_producer_send(BusProducer *p, const BusTopic *topic, Str key, Str value, const BusHeader *headers,
                      size_t n_headers, void *opaque)
{
    int r = check_topic(p, topic);

    if (r != 0)
        return r;
    if (p->link.broken)
        return bus_fail(&p->error, -ENOTRECOVERABLE, "the producer cannot go on: %s", p->link.reason);
    rd_kafka_topic_t *rkt = topic_handle(p, topic);
    if (!rkt)
        return bus_fail(&p->error, -EIO, "topic %s%s: %s", p->prefix, topic->name,
                        rd_kafka_err2str(rd_kafka_last_error()));
    rd_kafka_headers_t *list = headers_of(headers, n_headers);
    rd_kafka_resp_err_t err =
        rd_kafka_producev(p->rk, RD_KAFKA_V_RKT(rkt), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                          RD_KAFKA_V_KEY(key.data, key.len), RD_KAFKA_V_VALUE((void *)(uintptr_t)value.data, value.len),
                          RD_KAFKA_V_HEADERS(list), RD_KAFKA_V_OPAQUE(opaque), RD_KAFKA_V_END);
    if (err) {
        rd_kafka_headers_destroy(list); /* taken over only on success */
        return bus_fail(&p->error, bus_outcome(err, -EIO), "sending %zu bytes to %s%s: %s", value.len, p->prefix,
                        topic->name, rd_kafka_err2str(err));
    }
    p->outstanding++;
    return 0;
}

/* "attacker.observation.motor.x": "motor.x"; empty when there is nothing behind the Kafka topic. */
static Str primitive_of(const BusTopic *topic, Str reference_topic)
{
    size_t prefix = strlen(topic->name) + 1;
    bool has_one = topic == &bus_topics[BUS_ATTACKER_OBSERVATION] && reference_topic.len > prefix;

    return has_one ? (Str){reference_topic.data + prefix, reference_topic.len - prefix} : (Str){0};
}

size_t bus_headers(Arena *arena, BusHeader out[BUS_OWN_HEADERS], const BusTopic *topic, Str event_id,
                   Str reference_topic, int64_t produced_us, Str source)
{
    char *time = arena_alloc(arena, TIME_TEXT_BYTES);
    Str name = str_from(topic->name), primitive = primitive_of(topic, reference_topic);

    time_format(time, produced_us);
    const BusHeader headers[BUS_OWN_HEADERS] = {
        {STR(BUS_HEADER_EVENT_ID), event_id},
        {STR(BUS_HEADER_EVENT_TYPE), name},
        {STR(BUS_HEADER_TOPIC), reference_topic.data ? reference_topic : name},
        {STR(BUS_HEADER_SCHEMA_VERSION), STR(BUS_SCHEMA_VERSION)},
        {STR(BUS_HEADER_PRODUCED_AT), str_from(time)},
        {STR(BUS_HEADER_SOURCE), source},
        {STR(BUS_HEADER_PRIMITIVE), primitive}, /* the last, as most have none */
    };
    memcpy(out, headers, sizeof(headers));
    return primitive.len ? BUS_OWN_HEADERS : BUS_OWN_HEADERS - 1;
}

/* --- deliveries --- */

int bus_producer_poll(BusProducer *p, int timeout_ms)
{
    size_t before = p->outstanding;

    bus_link_probe(&p->link, p->rk);
    rd_kafka_poll(p->rk, timeout_ms);
    p->link.news = false;
    return (int)(before - p->outstanding);
}

int bus_producer_flush(BusProducer *p, int timeout_ms)
{
    if (rd_kafka_flush(p->rk, timeout_ms) == RD_KAFKA_RESP_ERR_NO_ERROR)
        return 0;
    return bus_fail(&p->error, BUS_E_TIMEOUT, "%zu records are not acknowledged yet (%s)", p->outstanding,
                    p->link.away ? p->link.reason : "the broker is slow");
}

size_t bus_producer_outstanding(const BusProducer *p)
{
    return p->outstanding;
}

bool bus_producer_healthy(const BusProducer *p)
{
    return !p->link.away && !p->link.broken;
}

const char *bus_producer_error(const BusProducer *p)
{
    return p->error.text;
}

/* A door for tests, see offsets.h. */
void bus_producer_break(BusProducer *p)
{
    rd_kafka_test_fatal_error(p->rk, RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, "broken by a test");
}
