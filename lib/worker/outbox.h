/* Outgoing events: collected during a transaction, written with it as few packed rows, published from memory after
 * COMMIT, deleted by a later transaction once the broker has acknowledged them. What a crash leaves behind is relayed
 * under the same event ids. Used by the workers and by the ingester.
 *
 * A relay may publish an event twice and out of order within its key: readers deduplicate by event id. */
#pragma once

#include "base/config.h"
#include "bus/bus.h"
#include "event/event.h"
#include "repo/repo.h"

typedef struct Outbox Outbox;

/* @producer names whose rows these are (a group, or "ingest"), @source goes into the header decnet-source; both
 * borrowed, as is @config. Creates the Kafka producer: 0, or an outcome of bus_producer_new(). */
int outbox_new(const Config *config, const char *producer, const char *source, Outbox **ret,
               char **ret_error) must_check;
void outbox_free(Outbox *o); /* accepts NULL; does not wait */
static inline void outbox_freep(Outbox **p)
{
    outbox_free(*p);
}

/* Asked before each event is handed to librdkafka; false holds it and all behind it back until the next poll. For a
 * broker that forgets what is not read in time. NULL: no gate. */
typedef bool (*OutboxGate)(void *arg, const BusTopic *topic, Str key, size_t bytes);
void outbox_set_gate(Outbox *o, OutboxGate gate, void *arg);

/* --- within a transaction, in this order; outbox_begin() again after a rollback --- */
void outbox_begin(Outbox *o);
void outbox_add(Outbox *o, const char *topic, Str decnet_topic, const Uuid *event_id, Str key, Str payload);
/* A record as it came, with headers of its own: for dlq.<group>. */
void outbox_add_raw(Outbox *o, const char *topic, Str key, Str value, const EventHeader *headers, size_t n);
/* Rows of what was collected, and deletion of what was acknowledged since. */
int outbox_write(Outbox *o, Repo *repo) must_check;
/* After COMMIT: publish from memory. Never waits for the broker. */
void outbox_committed(Outbox *o);
/* The same without publishing yet: outbox_poll(), outbox_step(), outbox_tick() or the next release do that. */
void outbox_release(Outbox *o);

/* --- between transactions --- */
/* Publish and serve deliveries; delete acknowledged rows that have waited 1 s; once a second relay rows older than
 * @relay_age_ms. A REPO_E_* outcome of the database. */
int outbox_tick(Outbox *o, Repo *repo, int64_t relay_age_ms) must_check;
/* The same without publishing: for a caller that publishes by outbox_step(). */
int outbox_upkeep(Outbox *o, Repo *repo, int64_t relay_age_ms) must_check;
/* Publish and serve deliveries; no database. */
void outbox_poll(Outbox *o, int timeout_ms);
/* The same a little at a time, while something else is waited for: true when there is more to be done at once. */
bool outbox_step(Outbox *o);
/* Nothing published is waiting for its acknowledgement or deletion in this process. */
bool outbox_is_settled(const Outbox *o);
/* How many events were relayed since the last call. */
size_t outbox_take_relayed(Outbox *o);
/* Rows that the relay came across and that are no packs: they stay, and it goes round them. */
size_t outbox_damaged_rows(const Outbox *o);
size_t outbox_pending_bytes(const Outbox *o); /* committed, and not yet acknowledged by the broker */
size_t outbox_outstanding(const Outbox *o);   /* records that librdkafka holds */
bool outbox_broker_healthy(const Outbox *o);
/* Wait for deliveries at most @timeout_ms, then delete what was acknowledged. */
int outbox_drain(Outbox *o, Repo *repo, int timeout_ms) must_check;
