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

typedef enum BusRole { BUS_ROLE_CONSUMER, BUS_ROLE_PRODUCER } BusRole;

/* Our defaults, then kafka.*, then what the promises rest on. NULL and *ret_error (the caller frees) when a property is
 * wrong or no broker is named. @group only for consumers. */
rd_kafka_conf_t *bus_conf_new(const Config *config, BusRole role, const char *group, char **ret_error) must_check;

/* A client from @conf, which is consumed in any case. */
rd_kafka_t *bus_client_new(rd_kafka_type_t type, rd_kafka_conf_t *conf, char **ret_error) must_check;

/* --- the state of the connection --- */

/* librdkafka tells when the last broker went away, but not when one is back: while away we ask once a second. */
typedef struct BusLink {
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
