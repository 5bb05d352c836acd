/* What the worker reads from: one consumer for each topic, all members of the same group.
 *
 * One for each, because the assignor that moves as little as possible balances the number of partitions and not the
 * work: of a member with two topics it may take all partitions of the quiet one and leave it the busy one. Members that
 * differ in their topic share each topic evenly. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "internal.h"

/* A static member keeps its name over a restart; with several consumers each needs one of its own. */
static char *instance_id(const Worker *w, const BusTopic *topic)
{
    char *id = NULL;
    for (size_t i = 0; i < w->config.n_kafka && w->n_topics > 1; i++)
        if (strcmp(w->config.kafka[i].name, "group.instance.id") == 0 &&
            asprintf(&id, "%s.%s", w->config.kafka[i].value, topic->name) < 0)
            abort();
    return id;
}

static int open_one(Worker *w, size_t i, char **ret_error)
{
    cleanup(freep) char *id = instance_id(w, w->topics[i]);
    return bus_consumer_open_as(&w->config, w->spec->name, id, &w->consumers[i], ret_error);
}

int intake_open(Worker *w, char **ret_error)
{
    int r = 0;

    while (w->spec->topics[w->n_topics]) {
        assert(w->n_topics < ARRAY_SIZE(w->topics));
        w->topics[w->n_topics] = bus_topic_find(str_from(w->spec->topics[w->n_topics]));
        w->n_topics++;
    }
    for (size_t i = 0; r == 0 && i < w->n_topics; i++)
        r = open_one(w, i, ret_error);
    return r;
}

void intake_close(Worker *w)
{
    size_t n = 0;

    while (n < w->n_topics && w->consumers[n])
        n++;
    bus_consumers_close(w->consumers, n);
    memset(w->consumers, 0, sizeof(w->consumers));
}

BusConsumer *intake_of(const Worker *w, const BusTopic *topic)
{
    size_t i = 0;
    while (w->topics[i] != topic)
        i++;
    assert(i < w->n_topics);
    return w->consumers[i];
}

/* The consumer that has records goes on giving; when it has no more, the next one is asked. */
int intake_poll(Worker *w, BusRecord **ret)
{
    int r = BUS_E_TIMEOUT;

    for (size_t i = 0; i < w->n_topics && r == BUS_E_TIMEOUT; i++) {
        w->speaking %= w->n_topics;
        r = bus_consumer_poll(w->consumers[w->speaking], 0, ret);
        if (r == BUS_E_TIMEOUT)
            w->speaking++;
    }
    if (r != 0 && r != BUS_E_TIMEOUT)
        w->troubled = w->consumers[w->speaking++ % w->n_topics];
    return r;
}

void intake_next(Worker *w)
{
    w->speaking++;
}

static void for_each(Worker *w, int (*fn)(BusConsumer *))
{
    for (size_t i = 0; i < w->n_topics; i++)
        if (w->consumers[i])
            (void)!fn(w->consumers[i]); /* a partition that went meanwhile needs no flow control */
}

void intake_pause(Worker *w)
{
    for_each(w, bus_consumer_pause_all);
}

void intake_resume(Worker *w)
{
    for_each(w, bus_consumer_resume_all);
}

BusConsumer *intake_rebalancing(const Worker *w)
{
    for (size_t i = 0; i < w->n_topics; i++)
        if (bus_consumer_rebalance(w->consumers[i]).move != BUS_MOVE_NONE)
            return w->consumers[i];
    return NULL;
}

bool intake_is_away(const Worker *w)
{
    for (size_t i = 0; i < w->n_topics; i++)
        if (bus_consumer_is_away(w->consumers[i]))
            return true;
    return false;
}

const char *intake_error(const Worker *w)
{
    return w->troubled ? bus_consumer_error(w->troubled) : "no answer";
}
