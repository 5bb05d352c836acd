/* decnet-consume: stands in for the readers of our events. Prints the records of the named topics as lines
 * {"topic", "partition", "offset", "key", "value", "headers": {NAME: TEXT}}, partition by partition as they come, up to
 * where each stood at the start; with --follow for ever. Knows nothing of groups and commits nothing. */
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "bus/bus.h"

enum { WAIT_MS = 10000, POLL_MS = 100 };

typedef struct Reader {
    BusConsumer *consumer;
    BusPosition *positions;
    BusWatermarks *marks;
    size_t n;
    bool follow;
} Reader;

static void print_record(const BusRecord *record, Buf *buf)
{
    JsonWriter w = {.buf = buf};

    buf_clear(buf);
    json_begin_object(&w);
    json_put_cstr(&w, "topic", record->topic->name);
    json_put_int(&w, "partition", record->partition);
    json_put_int(&w, "offset", record->offset);
    json_put_str(&w, "key", record->key);
    json_put_str(&w, "value", record->value);
    json_key(&w, "headers");
    json_begin_object(&w);
    for (size_t i = 0; i < record->n_headers; i++)
        json_put_str(&w, record->headers[i].name.data, record->headers[i].value);
    json_end_object(&w);
    json_end_object(&w);
    puts(buf->data);
    fflush(stdout);
}

/* Where the partition of @record stands now, and whether that was the last one wanted of it. */
static void note(Reader *r, const BusRecord *record)
{
    for (size_t i = 0; i < r->n; i++)
        if (r->positions[i].topic == record->topic && r->positions[i].partition == record->partition)
            r->positions[i].offset = record->offset + 1;
}

static bool is_done(const Reader *r)
{
    for (size_t i = 0; i < r->n; i++)
        if (r->positions[i].offset < r->marks[i].high)
            return false;
    return !r->follow;
}

static int read_all(Reader *r)
{
    cleanup(buf_free) Buf buf = {0};

    while (!is_done(r)) {
        cleanup(bus_record_freep) BusRecord *record = NULL;
        int got = bus_consumer_poll(r->consumer, POLL_MS, &record);
        if (got == 0) {
            print_record(record, &buf);
            note(r, record);
        } else if (got != BUS_E_TIMEOUT) {
            return got;
        }
    }
    return 0;
}

static int start(Reader *r, const Config *config, const BusTopic *const *topics, char **error)
{
    int got = bus_consumer_open(config, "test", &r->consumer, error);

    got = got ? got : bus_consumer_partitions(r->consumer, topics, WAIT_MS, &r->positions, &r->n);
    if (got != 0)
        return got;
    r->marks = calloc(r->n + 1, sizeof(*r->marks));
    for (size_t i = 0; i < r->n; i++)
        r->marks[i] = (BusWatermarks){r->positions[i].topic, r->positions[i].partition, 0, 0};
    got = bus_consumer_watermarks(r->consumer, r->marks, r->n, WAIT_MS);
    for (size_t i = 0; i < r->n; i++)
        r->positions[i].offset = r->marks[i].low;
    return got ? got : bus_consumer_assign(r->consumer, r->positions, r->n, WAIT_MS);
}

int main(int argc, char **argv)
{
    const BusTopic *topics[BUS_TOPIC_N + 1] = {0};
    cleanup(freep) char *error = NULL;
    Config config = {0};
    Reader r = {0};
    size_t n = 0;

    bus_init(NULL, NULL);
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--follow") == 0)
            r.follow = true;
        else if (n == BUS_TOPIC_N || !(topics[n++] = bus_topic_find(str_from(argv[i]))))
            return fprintf(stderr, "decnet-consume: there is no topic %s\n", argv[i]), 2;
    }
    int got = config_load(&config, NULL, &error);
    got = got ? got : start(&r, &config, topics, &error);
    got = got ? got : read_all(&r);
    if (got != 0)
        fprintf(stderr, "decnet-consume: %s\n", error ? error : r.consumer ? bus_consumer_error(r.consumer) : "failed");
    bus_consumer_close(r.consumer);
    free(r.positions);
    free(r.marks);
    config_free(&config);
    return got ? 1 : 0;
}
