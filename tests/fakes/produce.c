/* decnet-produce: stands in for the programs that publish events which the tests need. Reads lines
 * {"topic": NAME, "key": TEXT, "value": TEXT or JSON, "headers": {NAME: TEXT}} from standard input and sends each to
 * the broker that the configuration names, in order. A value that is a string is sent as its bytes, anything else as
 * JSON; null is a tombstone. Ends with 0 once the broker has acknowledged every record. */
#include <stdio.h>

#include "base/json.h"
#include "bus/bus.h"

enum { FLUSH_MS = 30000, HEADERS_MAX = 16, NEW_TOPIC_TRIES = 50 };

static int n_refused;

static void delivered(void *arg, void *opaque, int err)
{
    if (err != 0 && n_refused++ == 0)
        fprintf(stderr, "decnet-produce: a record was not delivered: %s\n", bus_outcome_name(err));
}

static Str value_of(json_object *line)
{
    json_object *value = json_member(line, "value");

    if (!value || json_object_is_type(value, json_type_string))
        return json_str(value);
    return str_from(json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN));
}

static size_t headers_of(json_object *line, BusHeader *headers)
{
    json_object *given = json_get_object(line, "headers");
    size_t n = 0;

    if (!given)
        return 0;
    json_object_object_foreach (given, name, value) {
        if (n < HEADERS_MAX)
            headers[n++] = (BusHeader){str_from(name), json_str(value)};
    }
    return n;
}

static bool send_line(BusProducer *producer, Str text)
{
    cleanup(json_putp) json_object *line = json_parse(text);
    BusHeader headers[HEADERS_MAX];
    const BusTopic *topic = bus_topic_find(json_get_str(line, "topic"));
    size_t n = headers_of(line, headers);
    int r = BUS_E_NO_TOPIC;

    /* A topic that was made a moment ago may not have come round to this client yet. */
    for (int tries = 0; topic && tries < NEW_TOPIC_TRIES; tries += r == BUS_E_NO_TOPIC) {
        r = bus_producer_send(producer, topic, json_get_str(line, "key"), value_of(line), headers, n, NULL);
        if (r != BUS_E_FULL && r != BUS_E_NO_TOPIC)
            break;
        bus_producer_poll(producer, 100);
    }
    bus_producer_poll(producer, 0);
    if (r != 0)
        fprintf(stderr, "decnet-produce: cannot send " STR_FMT "\n", STR_ARG(text_clip(text, 200)));
    return r == 0;
}

static bool send_all(BusProducer *producer)
{
    char *line = NULL;
    size_t size = 0;
    ssize_t n;
    bool good = true;

    while (good && (n = getline(&line, &size, stdin)) > 0)
        good = send_line(producer, (Str){line, (size_t)n});
    free(line);
    return good;
}

int main(void)
{
    cleanup(freep) char *error = NULL;
    Config config = {0};
    BusProducer *producer = NULL;
    bool good = false;

    bus_init(NULL, NULL);
    if (config_load(&config, NULL, &error) == 0 && bus_producer_open(&config, delivered, NULL, &producer, &error) == 0)
        good = send_all(producer) && bus_producer_flush(producer, FLUSH_MS) == 0;
    if (error)
        fprintf(stderr, "decnet-produce: %s\n", error);
    bus_producer_close(producer);
    config_free(&config);
    return good && n_refused == 0 ? 0 : 1;
}
