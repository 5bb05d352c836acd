/* Kafka as the project sees it: a table of topics, a consumer of explicitly assigned partitions, a producer, and the
 * headers that every record carries. Only this folder knows librdkafka (2.0.2 is the floor).
 *
 * Single-threaded: one event loop calls everything here. Calls return 0, a documented positive outcome (BUS_E_*), or
 * a negative errno that this object cannot recover from. bus_consumer_error() and bus_producer_error() hold the words
 * of the last failure: what failed, on what, and what an operator can do. Nothing here logs or exits. */
#pragma once

#include "base/config.h"

enum {
    BUS_E_TIMEOUT = 1, /* nothing within the time given */
    BUS_E_AWAY,        /* no broker answers: pause, keep polling, it passes */
    BUS_E_OVERTAKEN,   /* a position is outside of what the broker holds; bus_consumer_overtaken() says which */
    BUS_E_NO_TOPIC,    /* the broker has no such topic or partition */
    BUS_E_FULL,        /* the local send queue is full: bus_producer_poll(), then send again */
    BUS_E_TOO_LARGE,   /* this record can never be sent */
    BUS_E_REJECTED,    /* the broker refuses this record or client for good (authorisation, policy) */
    BUS_E_REBALANCE,   /* the group gives or takes partitions: see bus_consumer_rebalance() */
};

const char *bus_outcome_name(int r); /* "timeout" …; for logs and metrics labels */

typedef void (*BusLogFn)(void *arg, LogLevel level, const char *facility, const char *text);

/* Once per program, before config_load(): checks kafka.* properties from then on. @log (may be NULL) receives what
 * librdkafka itself has to say, always in the thread that calls into this library. */
void bus_init(BusLogFn log, void *arg);

/* --- topics --- */

typedef enum BusCleanup { BUS_CLEANUP_DELETE, BUS_CLEANUP_COMPACT, BUS_CLEANUP_COMPACT_DELETE } BusCleanup;

typedef enum BusTopicId {
    BUS_ATTACKER_OBSERVED,
    BUS_ATTACKER_SCORED,
    BUS_ATTACKER_SESSION_ENDED,
    BUS_ATTACKER_FINGERPRINTED,
    BUS_ATTACKER_FINGERPRINT_ROTATED,
    BUS_ATTACKER_OBSERVATION,
    BUS_ATTACKER_INTEL_ENRICHED,
    BUS_CREDENTIAL_CAPTURED,
    BUS_CREDENTIAL_REUSE_DETECTED,
    BUS_EMAIL_RECEIVED,
    BUS_CANARY_TRIGGERED,
    BUS_CANARY_PLACED,
    BUS_CANARY_REVOKED,
    BUS_IDENTITY_FORMED,
    BUS_IDENTITY_OBSERVATION_LINKED,
    BUS_IDENTITY_MERGED,
    BUS_IDENTITY_UNMERGED,
    BUS_IDENTITY_CAMPAIGN_ASSIGNED,
    BUS_CAMPAIGN_FORMED,
    BUS_CAMPAIGN_IDENTITY_ASSIGNED,
    BUS_CAMPAIGN_MERGED,
    BUS_CAMPAIGN_UNMERGED,
    BUS_ATTRIBUTION_STATE_CHANGED,
    BUS_ATTRIBUTION_MULTI_ACTOR_SUSPECTED,
    BUS_TTP_TAGGED,
    BUS_TTP_RULE_FIRED,
    BUS_TTP_RULE_SUPPRESSED,
    BUS_TTP_RULE_RELOADED,
    BUS_TTP_RULE_STATE,
    BUS_SYSTEM_HEALTH,
    BUS_SYSTEM_CONTROL,
    BUS_SYSTEM_LOG,
    BUS_DLQ_TTP,
    BUS_DLQ_ATTRIBUTION,
    BUS_DLQ_ENRICH,
    BUS_DLQ_CLUSTERER,
    BUS_DLQ_CAMPAIGN,
    BUS_TOPIC_N
} BusTopicId;

typedef struct BusTopic {
    const char *name; /* without the prefix of the installation; also the event type */
    const char *key;  /* what records are keyed by */
    int32_t partitions;
    BusCleanup cleanup;
    int64_t retention_ms; /* -1: for ever */
    bool loss_allowed;    /* false: nothing can derive these records again */
    const char *settings; /* further topic settings "a=b,c=d" or NULL */
} BusTopic;

extern const BusTopic bus_topics[BUS_TOPIC_N]; /* &bus_topics[BUS_TTP_TAGGED] is a constant expression */

const BusTopic *bus_topic_find(Str name);         /* without prefix; NULL when the table has no such topic */
const BusTopic *bus_topic_dlq(const char *group); /* NULL for a group that is not one of the five */
/* Prefix and name, for topics and groups alike. The caller frees. */
char *bus_topic_full_name(const char *prefix, const char *name);

/* Wildcards of the event contract over '.'-separated tokens: '*' is exactly one token that is not empty, '>' one or
 * more tokens to the end, whatever stands behind it in the pattern. */
bool bus_topic_match(Str pattern, Str topic);

/* The partition of @n that Java clients choose for @key (murmur2); an absent key has none: -1. */
int32_t bus_murmur2_partition(Str key, int32_t n);

/* True for the embedded broker, which forgets the oldest 5 MiB of a partition silently: feed it with care. */
bool bus_cluster_is_embedded(const char *cluster_id);

/* --- making and checking the topics of the table --- */

typedef enum BusTopicState {
    BUS_TOPIC_THERE, /* and as the table wants it */
    BUS_TOPIC_CREATED,
    BUS_TOPIC_DIFFERS,
    BUS_TOPIC_MISSING,
    BUS_TOPIC_REFUSED, /* the broker does not make it, or does not let us see it */
} BusTopicState;

const char *bus_topic_state_name(BusTopicState state); /* "there", "created" … */

typedef struct BusTopicReport {
    const BusTopic *topic;
    const char *name; /* with prefix */
    BusTopicState state;
    int32_t partitions, wanted_partitions; /* partitions, replicas: what the broker has; 0 unknown */
    int32_t replicas;
    const char *why; /* in what it differs, or why it is refused; NULL otherwise */
} BusTopicReport;

#define BUS_REPLICATION_DEFAULT (-1)
#define BUS_REPLICATION_SAFE 3 /* from this many replicas on two have to be in sync (min.insync.replicas) */

typedef struct BusTopicOptions {
    int32_t partitions; /* of every topic; 0: the table's */
    int32_t
        replication; /* replicas of new topics, or BUS_REPLICATION_DEFAULT: the broker's default.replication.factor */
    int timeout_ms;  /* for each question to the broker */
} BusTopicOptions;

/* Make the topics that are missing, change none that are there, and wait until the broker shows the new ones. One report
 * for each topic of the table, in its order; texts live in @arena. Returns 0 whatever the reports say; else the message
 * is in *ret_error (the caller frees): BUS_E_AWAY, BUS_E_REJECTED (wrong credentials, or the embedded broker, which has
 * neither a request to make topics nor settings), -EINVAL for a configuration that cannot work, another negative
 * errno. */
int bus_topics_create(const Config *config, const BusTopicOptions *options, Arena *arena,
                      BusTopicReport ret[BUS_TOPIC_N], char **ret_error) must_check;
/* The same without making anything. */
int bus_topics_check(const Config *config, const BusTopicOptions *options, Arena *arena,
                     BusTopicReport ret[BUS_TOPIC_N], char **ret_error) must_check;

/* --- records --- */

typedef NameValue BusHeader;

/* The headers that every record of ours carries, and the one of an observation. */
#define BUS_HEADER_EVENT_ID "decnet-event-id"
#define BUS_HEADER_EVENT_TYPE "decnet-event-type"
#define BUS_HEADER_TOPIC "decnet-topic"
#define BUS_HEADER_SCHEMA_VERSION "decnet-schema-version"
#define BUS_HEADER_PRODUCED_AT "decnet-produced-at"
#define BUS_HEADER_SOURCE "decnet-source"
#define BUS_HEADER_PRIMITIVE "decnet-primitive"
#define BUS_OWN_HEADERS 7 /* at the most */
#define BUS_SCHEMA_VERSION "1"

/* Fills @out and returns how many they are. @reference_topic is the full topic of the reference's bus (e.g.
 * attacker.observation.motor.x), absent when it equals the Kafka topic; an observation's primitive is what it has behind
 * that. @source is "<worker>/<instance>@<host>". Values borrow from the arguments, the time is written into @arena. */
size_t bus_headers(Arena *arena, BusHeader out[BUS_OWN_HEADERS], const BusTopic *topic, Str event_id,
                   Str reference_topic, int64_t produced_us, Str source);

/* One record. Everything borrows from librdkafka's message, which lives until bus_record_free(). */
typedef struct BusRecord {
    const BusTopic *topic;
    int32_t partition;
    int64_t offset;
    Str key, value; /* absent value: a tombstone */
    const BusHeader *headers;
    size_t n_headers;
    int64_t timestamp_us; /* TIME_NONE when the record has none */
    void *opaque;         /* librdkafka's message */
} BusRecord;

void bus_record_free(BusRecord *record); /* accepts NULL */
static inline void bus_record_freep(BusRecord **p)
{
    bus_record_free(*p);
}

/* --- consumer --- */

#define BUS_OFFSET_BEGINNING INT64_C(-2) /* where the partition's log begins at this moment */
#define BUS_OFFSET_END INT64_C(-1)       /* records that come after the assignment */

typedef struct BusConsumer BusConsumer;

typedef struct BusPosition {
    const BusTopic *topic;
    int32_t partition;
    int64_t offset; /* the next one to read, or BUS_OFFSET_* */
} BusPosition;

typedef struct BusWatermarks {
    const BusTopic *topic;
    int32_t partition;
    int64_t low, high; /* oldest offset kept, and the one after the newest; -1 when that is unknown */
} BusWatermarks;

/* What the poll found wrong with the flow of offsets, since the consumer was opened. */
typedef struct BusConsumerStats {
    uint64_t records, bytes; /* given to the caller */
    uint64_t repeated;       /* below the expected offset: dropped */
    uint64_t rewinds;        /* gaps answered by reading again from the expected offset */
    uint64_t gaps;           /* gaps that stayed (compaction, transaction markers): accepted */
    uint64_t gap_offsets;    /* offsets in them */
} BusConsumerStats;

/* A consumer of group @group (without prefix). It commits nothing and assigns nothing by itself; partitions come from
 * bus_consumer_assign(), or from the group after bus_consumer_join(). Returns 0, or -EINVAL for a configuration that cannot work, with the
 * message in *ret_error (the caller frees). Does not wait for a broker. */
int bus_consumer_open(const Config *config, const char *group, BusConsumer **ret, char **ret_error) must_check;
/* The same with a name of its own for a static member: @instance_id replaces kafka.group.instance.id. */
int bus_consumer_open_as(const Config *config, const char *group, const char *instance_id, BusConsumer **ret,
                         char **ret_error) must_check;
/* Accepts NULL. Free all records before: librdkafka waits for them. A member leaves its group (not a static one, which is
 * expected back): for that it waits up to 3 s for the end of a rebalance. */
void bus_consumer_close(BusConsumer *consumer);
/* The same for all members that this process has in a group, none of them NULL: they leave at once, as a rebalance may
 * wait for each of them. */
void bus_consumers_close(BusConsumer *const *consumers, size_t n);
static inline void bus_consumer_closep(BusConsumer **p)
{
    bus_consumer_close(*p);
}

/* All partitions of @topics (NULL-terminated) as the broker has them, offset BUS_OFFSET_BEGINNING; the caller frees.
 * Returns 0, BUS_E_NO_TOPIC, BUS_E_AWAY or a negative errno. */
int bus_consumer_partitions(BusConsumer *consumer, const BusTopic *const *topics, int timeout_ms, BusPosition **ret,
                            size_t *ret_n) must_check;

/* Replace the whole assignment; @n 0 gives all partitions up. Topics and partitions are checked with the broker first,
 * because librdkafka would wait for a missing one without a word. Returns 0, BUS_E_NO_TOPIC, BUS_E_AWAY, or a negative
 * errno. */
int bus_consumer_assign(BusConsumer *consumer, const BusPosition *positions, size_t n, int timeout_ms) must_check;

/* --- membership of the group, instead of bus_consumer_assign() ---
 * The group moves partitions; it waits for our answer to each move. Start offsets are ours, never the group's. */

/* Become a member for @topics (NULL-terminated), with the assignor that moves as little as possible
 * (cooperative-sticky, unless kafka.partition.assignment.strategy or kafka.group.protocol say otherwise). 0 or a
 * negative errno; does not wait for a broker. */
int bus_consumer_join(BusConsumer *consumer, const BusTopic *const *topics) must_check;

typedef enum BusMove {
    BUS_MOVE_NONE,
    BUS_MOVE_ASSIGNED, /* these partitions are to become ours */
    BUS_MOVE_REVOKED,  /* these are to be given up; until the answer nobody else has them */
    BUS_MOVE_LOST,     /* these are gone: another may be at work on them already */
} BusMove;

typedef struct BusRebalance {
    BusMove move;
    const BusPosition *partitions; /* offset: BUS_OFFSET_BEGINNING */
    size_t n;
} BusRebalance;

/* The move that waits for an answer; BUS_MOVE_NONE when there is none. Valid until the answer. Records of partitions
 * that stay keep coming meanwhile. */
BusRebalance bus_consumer_rebalance(const BusConsumer *consumer);
/* The answer. For BUS_MOVE_ASSIGNED @positions are the partitions of the move with their start offsets, in any order;
 * they begin unpaused. For the others NULL. Returns 0, or a negative errno (the membership is then of no use). */
int bus_consumer_answer(BusConsumer *consumer, const BusPosition *positions, size_t n) must_check;

/* One record in *ret, which the caller frees. Offsets of a partition arrive strictly rising, without gaps except those
 * that the log itself has. Returns 0, BUS_E_TIMEOUT, BUS_E_AWAY (at once when an outage is noticed, then instead of
 * BUS_E_TIMEOUT until a broker answers), BUS_E_REBALANCE (once per move), BUS_E_OVERTAKEN, BUS_E_NO_TOPIC,
 * BUS_E_REJECTED, or a negative errno. */
int bus_consumer_poll(BusConsumer *consumer, int timeout_ms, BusRecord **ret) must_check;

/* Readable while something may wait in bus_consumer_poll(): poll until BUS_E_TIMEOUT, then wait on this. Owned by the
 * consumer. */
int bus_consumer_fd(const BusConsumer *consumer);

/* Fetching stops or goes on; an assignment starts unpaused. Records fetched before a pause are not given out, they are
 * fetched again. After a resume the first record may take a second. Return 0, BUS_E_NO_TOPIC for a partition that is not assigned, or a negative errno. */
int bus_consumer_pause_all(BusConsumer *consumer) must_check;
int bus_consumer_resume_all(BusConsumer *consumer) must_check;
int bus_consumer_pause(BusConsumer *consumer, const BusTopic *topic, int32_t partition) must_check;
int bus_consumer_resume(BusConsumer *consumer, const BusTopic *topic, int32_t partition) must_check;

/* Go on at @position->offset (a number, not BUS_OFFSET_*) of an assigned partition. Returns 0, BUS_E_NO_TOPIC when it
 * is not assigned, BUS_E_TIMEOUT when librdkafka did not get to it, or a negative errno. */
int bus_consumer_seek(BusConsumer *consumer, const BusPosition *position, int timeout_ms) must_check;

/* Asks the brokers for low and high of @n partitions (topic and partition are inputs). Returns 0, BUS_E_AWAY,
 * BUS_E_NO_TOPIC or a negative errno. */
int bus_consumer_watermarks(BusConsumer *consumer, BusWatermarks *marks, size_t n, int timeout_ms) must_check;

/* Tell the broker where the group stands. A hint for lag monitors only: asynchronous, failures are ignored, nothing is
 * ever read back from it. A member of a group sends it at the next moment when its group is at rest. */
void bus_consumer_commit_hint(BusConsumer *consumer, const BusPosition *positions, size_t n);

/* The id of the cluster, borrowed, asked for once. Returns 0 or BUS_E_AWAY. */
int bus_consumer_cluster_id(BusConsumer *consumer, int timeout_ms, const char **ret) must_check;

/* After BUS_E_OVERTAKEN: the partition and the offset that the broker does not hold. */
BusPosition bus_consumer_overtaken(const BusConsumer *consumer);
bool bus_consumer_is_away(const BusConsumer *consumer);
BusConsumerStats bus_consumer_stats(const BusConsumer *consumer);
const char *bus_consumer_error(const BusConsumer *consumer);

/* --- producer --- */

typedef struct BusProducer BusProducer;

/* Called from bus_producer_poll() and bus_producer_flush(), once for every record that bus_producer_send() took.
 * @err: 0 acknowledged by all in-sync replicas; BUS_E_AWAY not acknowledged in time (it may be there nevertheless);
 * BUS_E_NO_TOPIC, BUS_E_TOO_LARGE, BUS_E_REJECTED never; a negative errno when the producer broke. */
typedef void (*BusDeliveryFn)(void *arg, void *opaque, int err);

/* An idempotent producer (acks=all, linger 20 ms, lz4, murmur2, message.timeout.ms 120 s; kafka.* may change what the
 * promises do not rest on). Errors as bus_consumer_open(). */
int bus_producer_open(const Config *config, BusDeliveryFn delivered, void *arg, BusProducer **ret,
                      char **ret_error) must_check;
/* Drops what was not acknowledged: each such record still gets its delivery call, with BUS_E_AWAY. Accepts NULL. */
void bus_producer_close(BusProducer *producer);
static inline void bus_producer_closep(BusProducer **p)
{
    bus_producer_close(*p);
}

/* Queue a copy. An absent @key goes to any partition, an absent @value is a tombstone. Returns 0 (the delivery call
 * will follow), BUS_E_FULL, BUS_E_TOO_LARGE, BUS_E_NO_TOPIC, or -ENOTRECOVERABLE when librdkafka gave this producer
 * up: close it, open a new one, publish again. */
int bus_producer_send(BusProducer *producer, const BusTopic *topic, Str key, Str value, const BusHeader *headers,
                      size_t n_headers, void *opaque) must_check;

/* Make delivery calls for at most @timeout_ms; returns how many. */
int bus_producer_poll(BusProducer *producer, int timeout_ms);
/* The same until nothing is outstanding: 0, or BUS_E_TIMEOUT (also early, when an outage is noticed). */
int bus_producer_flush(BusProducer *producer, int timeout_ms) must_check;

/* Taken by bus_producer_send() and without delivery call yet. */
size_t bus_producer_outstanding(const BusProducer *producer);
/* False from the moment that no broker answers or a record was not acknowledged in time, until a broker answers again
 * (asked once a second by bus_producer_poll()), and for ever after -ENOTRECOVERABLE. */
bool bus_producer_healthy(const BusProducer *producer);
const char *bus_producer_error(const BusProducer *producer);
