/* Letters become events of the outbox and are marked in one transaction, then they are published from memory: whatever
 * dies in between, each letter is sent at least once, and always under its own event id. */
#include "dlq_replay.h"

#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "repo/dead_letters.h"
#include "repo/listings.h"
#include "worker/outbox.h"

enum { BATCH_LETTERS = 20, HEADERS_MAX = 16, RELAY_AGE_MS = 30000 };

static const char producer[] = "dlq-replay";

typedef struct Replay {
    Ctl *ctl;
    Outbox *outbox;
    const DlqReplay *what;
    int64_t after; /* id of the last letter of the previous batch */
    /* of one batch */
    size_t n_claimed, n_sent;
    int64_t last;
    /* of all */
    size_t total, skipped;
} Replay;

/* The record's own headers; the event id is added when the record had none, so that readers know it again. */
static size_t read_headers(Arena *arena, const DeadLetter *d, EventHeader headers[HEADERS_MAX])
{
    cleanup(json_putp) json_object *list = json_parse(d->headers_json);
    size_t n = 0, n_list = json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
    bool has_id = false;

    for (size_t i = 0; i < n_list && n < HEADERS_MAX - 1; i++) {
        json_object *pair = json_object_array_get_idx(list, i);
        if (!json_object_is_type(pair, json_type_array))
            continue;
        headers[n] = (EventHeader){str_dup(arena, json_str(json_object_array_get_idx(pair, 0))),
                                   str_dup(arena, json_str(json_object_array_get_idx(pair, 1)))};
        has_id |= str_eq_cstr(headers[n].name, BUS_HEADER_EVENT_ID);
        n++;
    }
    if (!has_id && d->event_id.data)
        headers[n++] = (EventHeader){STR(BUS_HEADER_EVENT_ID), d->event_id};
    return n;
}

/* The table's name of the letter's topic, or NULL with a message why it cannot be sent. */
static const BusTopic *topic_of(const Replay *r, const DeadLetter *d)
{
    const char *prefix = r->ctl->config.kafka_topic_prefix;
    Str name = d->topic;

    if (str_starts(name, prefix))
        name = (Str){name.data + strlen(prefix), name.len - strlen(prefix)};
    const BusTopic *topic = bus_topic_find(name);
    if (!topic)
        ctl_fail(r->ctl, 0, "letter %lld stays: " STR_FMT " is none of our topics with the prefix '%s'",
                 (long long)d->id, STR_ARG(d->topic), prefix);
    else if (d->value_bytes > LIMIT_EVENT_BYTES)
        ctl_fail(r->ctl, 0, "letter %lld stays: %lld bytes are more than a broker takes", (long long)d->id,
                 (long long)d->value_bytes);
    return d->value_bytes > LIMIT_EVENT_BYTES ? NULL : topic;
}

static int missing_id(const Replay *r, const DeadLetter *letters, size_t n)
{
    for (size_t i = 0; i < r->what->n_ids; i++) {
        bool found = false;
        for (size_t k = 0; k < n && !found; k++)
            found = letters[k].id == r->what->ids[i];
        if (!found)
            return ctl_fail(r->ctl, REPO_E_NO_ROW, "there is no dead letter %lld; nothing was sent",
                            (long long)r->what->ids[i]);
    }
    return 0;
}

static int replay_batch(Repo *repo, void *arg)
{
    Replay *r = arg;
    cleanup(arena_freep) Arena *arena = arena_new();
    DeadLetter *letters;
    size_t n, n_sent = 0;

    outbox_begin(r->outbox);
    int e = dead_letter_claim(repo, arena, r->what->ids, r->what->n_ids, r->what->group, r->after, BATCH_LETTERS,
                              &letters, &n);
    e = e ? e : missing_id(r, letters, n);
    for (size_t i = 0; e == 0 && i < n; i++) {
        EventHeader headers[HEADERS_MAX];
        const BusTopic *topic = topic_of(r, &letters[i]);
        if (!topic)
            continue;
        size_t n_headers = read_headers(arena, &letters[i], headers);
        outbox_add_raw(r->outbox, topic->name, letters[i].key, letters[i].value, headers, n_headers);
        letters[n_sent++] = letters[i];
    }
    if (e != 0)
        return e;
    r->n_claimed = n;
    r->n_sent = n_sent;
    r->last = n ? letters[n - 1].id : r->after; /* moving the sent ones forward leaves the last one where it is */
    e = outbox_write(r->outbox, repo);
    return e || !n_sent ? e : dead_letter_mark_replayed(repo, letters, n_sent);
}

static int replay_all(Replay *r)
{
    do {
        int e = repo_transaction(r->ctl->repo, replay_batch, r);
        if (e != 0)
            return e;
        outbox_committed(r->outbox);
        r->total += r->n_sent;
        r->skipped += r->n_claimed - r->n_sent;
        r->after = r->last;
        e = outbox_drain(r->outbox, r->ctl->repo, r->what->wait_ms);
        if (e != 0)
            return e;
        if (!outbox_is_settled(r->outbox) || !outbox_broker_healthy(r->outbox))
            return 0; /* no broker: the next batch would wait as long */
    } while (r->what->group && r->n_claimed == BATCH_LETTERS);
    return 0;
}

/* What could not be delivered stays in the outbox: said, and 1. */
static int say_waiting(const Replay *r)
{
    OutboxProducer *rows;
    size_t n;

    int e = outbox_list(r->ctl->repo, r->ctl->arena, &rows, &n);
    if (e != 0)
        return ctl_fail_repo(r->ctl, e);
    for (size_t i = 0; i < n; i++)
        if (str_eq_cstr(rows[i].producer, producer))
            return ctl_fail(r->ctl, EXIT_FAILED,
                            "the broker has not acknowledged %lld events; they wait in the outbox: run decnetctl dlq "
                            "replay when it is there",
                            (long long)rows[i].events);
    return 0;
}

static int finish(Replay *r, int e)
{
    if (e == REPO_E_NO_ROW)
        return EXIT_FAILED; /* said already */
    if (e == REPO_E_IN_DOUBT)
        return ctl_fail(r->ctl, EXIT_FAILED, "the connection broke during COMMIT; run decnetctl dlq replay again");
    if (e != 0)
        return ctl_fail_repo(r->ctl, e);
    printf("%zu letter%s replayed%s\n", r->total, r->total == 1 ? "" : "s",
           r->skipped ? "; the others are named above" : "");
    int code = say_waiting(r);
    return code || !r->skipped ? code : EXIT_FAILED;
}

/* Nothing new: what an interrupted replay left behind. */
static int relay_left_behind(Replay *r)
{
    int e = outbox_tick(r->outbox, r->ctl->repo, 0);
    if (e != 0)
        return ctl_fail_repo(r->ctl, e);
    int code = say_waiting(r);
    if (code == 0)
        puts("Nothing of an earlier replay waits in the outbox.");
    return code;
}

int dlq_replay(Ctl *ctl, const DlqReplay *what)
{
    cleanup(freep) char *error = NULL;
    cleanup(outbox_freep) Outbox *outbox = NULL;
    Replay r = {.ctl = ctl, .what = what};

    if (outbox_new(&ctl->config, producer, "decnetctl/dlq-replay", &outbox, &error) != 0)
        return ctl_fail(ctl, EXIT_OPERATOR, "Kafka: %s", error ? error : "no producer");
    r.outbox = outbox;
    if (!what->n_ids && !what->group)
        return relay_left_behind(&r);
    int e = outbox_tick(outbox, ctl->repo, RELAY_AGE_MS);
    return finish(&r, e ? e : replay_all(&r));
}
