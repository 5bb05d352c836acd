/* What consumer and producer share inside lib/bus; nobody else includes this. */
#pragma once

#include <librdkafka/rdkafka.h>

#include "bus.h"
#include "offsets.h"

/* --- errors --- */

typedef struct BusError {
    char text[512];
} BusError;

/* Writes the words and returns @r, so that a failure reads `return bus_fail(…)`. */
int bus_fail(BusError *error, int r, const char *fmt, ...) printf_like(3, 4);

/* The outcome that librdkafka's @err means for our callers; @otherwise for codes without a row in the table. */
int bus_outcome(rd_kafka_resp_err_t err, int otherwise);

/* --- configuration --- */

typedef enum BusRole { BUS_ROLE_CONSUMER, BUS_ROLE_PRODUCER, BUS_ROLE_ADMIN } BusRole;

/* Our defaults, then kafka.*, then what the promises rest on. NULL and *ret_error (the caller frees) when a property is
 * wrong or no broker is named. @group and @instance_id (may be NULL) only for consumers. */
rd_kafka_conf_t *bus_conf_new(const Config *config, BusRole role, const char *group, const char *instance_id,
                              char **ret_error) must_check;

/* A client from @conf, which is consumed in any case. */
rd_kafka_t *bus_client_new(rd_kafka_type_t type, rd_kafka_conf_t *conf, char **ret_error) must_check;

/* --- the state of the connection --- */

/* librdkafka tells of each connection that breaks. It often tells when the last broker went away (not while a coordinator
 * is being looked for), and never when one is back: so we ask, when a connection broke and once a second while away. */
typedef struct BusLink {
    bool suspect;    /* a connection broke: is anybody left? */
    bool away, news; /* news: the outage was noticed and not yet reported */
    int64_t next_probe_us;
    char reason[256]; /* the last thing that went wrong with a connection */
    bool broken;      /* librdkafka gave this client up */
} BusLink;

void bus_link_error(BusLink *link, rd_kafka_t *rk, int err, const char *reason); /* for the error callback */
void bus_link_down(BusLink *link);
void bus_link_probe(BusLink *link, rd_kafka_t *rk);

/* An eventfd that librdkafka makes readable when @queue stops being empty, or -errno. */
int bus_wakeup_new(rd_kafka_queue_t *queue);
void bus_wakeup_clear(int fd);

/* --- the consumer's inside, shared with group.c --- */

typedef struct BusPartition {
    const BusTopic *topic;
    int32_t id;
    rd_kafka_topic_t *rkt; /* librdkafka's handle in the messages of this partition, for comparison only */
    BusOffsets offsets;
    bool paused;
} BusPartition;

/* A move of the group that waits for its answer. */
typedef struct BusGroup {
    bool member, ever_assigned, closing;
    bool news; /* not yet reported by bus_consumer_poll() */
    BusMove move;
    BusPosition *partitions;
    size_t n;
    rd_kafka_topic_partition_list_t *hint; /* positions to commit at the next quiet moment, or NULL */
} BusGroup;

struct BusConsumer {
    rd_kafka_t *rk;
    rd_kafka_queue_t *queue;
    int fd;
    char *prefix;
    BusPartition *partitions;
    size_t n_partitions, last; /* last: where the previous record belonged, most likely the next one's place too */
    BusLink link;
    BusPosition overtaken;
    BusConsumerStats stats;
    size_t bytes_since_wake;
    char *cluster_id;
    bool hinted; /* a commit may wait for its answer */
    BusGroup group;
    BusError error;
};

void bus_list_freep(rd_kafka_topic_partition_list_t **p);
rd_kafka_topic_partition_t *bus_list_add(BusConsumer *c, rd_kafka_topic_partition_list_t *list, const BusTopic *topic,
                                         int32_t partition);
/* Stop or go on for @n of the partitions of @c, those that do not so already. 0 or a negative errno. */
int bus_flow_change(BusConsumer *c, BusPartition *partitions, size_t n, bool pause);
/* Ends the sleep of the brokers' threads, if they sleep; may take a millisecond. */
void bus_wake_fetchers(BusConsumer *c);
BusPartition *bus_partition_find(BusConsumer *c, const BusTopic *topic, int32_t id);

void bus_group_on_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t err, rd_kafka_topic_partition_list_t *list,
                            void *opaque);
int bus_group_on_stats(rd_kafka_t *rk, char *json, size_t bytes, void *opaque);
/* Keep @list, which is taken over, until the group is at rest. */
void bus_group_hint(BusConsumer *c, rd_kafka_topic_partition_list_t *list);
/* Tell the group that these leave, those of them that are members; takes as long as a rebalance that is under way. */
void bus_group_leave(BusConsumer *const *consumers, size_t n);
/* After that: close the membership. False when the client must not be destroyed (see group.c). */
bool bus_group_close(BusConsumer *c);
void bus_group_free(BusGroup *group);
