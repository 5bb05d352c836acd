/* The ttp worker: sessions and intelligence in, technique tags out.
 *
 * prepare() decodes and judges commands, which needs no database. apply() finds the attackers, reads their stored
 * intelligence (the catch-up: the same facts, ids and tags as the live event, so that whichever comes first wins),
 * inserts, and announces only what is new. */
#include "ttp/worker.h"

#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/metrics.h"
#include "repo/attackers.h"
#include "repo/intel.h"
#include "repo/tags.h"
#include "ttp/engine.h"

static Metric tags_new = {.name = "decnet_ttp_tags_total",
                          .help = "Tags by what became of them.",
                          .type = METRIC_COUNTER,
                          .labels = "outcome=\"new\""};
static Metric tags_known = {.name = "decnet_ttp_tags_total",
                            .help = "Tags by what became of them.",
                            .type = METRIC_COUNTER,
                            .labels = "outcome=\"known\""};
static Metric commands_seen = {.name = "decnet_ttp_commands_total", .help = "Commands judged.", .type = METRIC_COUNTER};
static Metric commands_left = {.name = "decnet_ttp_commands_over_limit_total",
                               .help = "Commands beyond the limit per event, not judged.",
                               .type = METRIC_COUNTER};

/* What the engine counts, as metrics. */
static struct {
    Metric metric;
    size_t offset; /* in TtpEngineStats, a uint64_t */
} engine_counters[] = {
    {{.name = "decnet_ttp_memo_hits_total", .help = "Commands answered from memory.", .type = METRIC_COUNTER},
     offsetof(TtpEngineStats, memo_hits)},
    {{.name = "decnet_ttp_suppressed_total", .help = "Tags below the confidence floor.", .type = METRIC_COUNTER},
     offsetof(TtpEngineStats, suppressed)},
    {{.name = "decnet_ttp_evidence_cut_total", .help = "Tags whose evidence was cut.", .type = METRIC_COUNTER},
     offsetof(TtpEngineStats, evidence_truncated)},
    {{.name = "decnet_ttp_match_limit_total", .help = "Matches given up at a PCRE2 limit.", .type = METRIC_COUNTER},
     offsetof(TtpEngineStats, confirm_limit_hits)},
};

typedef struct Tagger {
    TtpEngine *engine;
    bool repeating; /* the last batch brought commands that were tagged before: a replay, or a producer's repetition */
} Tagger;

static TtpEngine *engine_of(const Worker *w)
{
    const Tagger *t = worker_data(w);
    return t->engine;
}

static void export_counters(Worker *w)
{
    TtpEngineStats stats = ttp_engine_stats(engine_of(w));
    for (size_t i = 0; i < ARRAY_SIZE(engine_counters); i++) {
        uint64_t now = *(const uint64_t *)(const void *)((const char *)&stats + engine_counters[i].offset);
        metric_add(&engine_counters[i].metric, (double)now - metric_value(&engine_counters[i].metric));
    }
}

/* What prepare() makes of a record. */
typedef struct Decoded {
    bool is_session;
    SessionEnded session; /* attacker.session.ended */
    IntelFacts facts;     /* attacker.intel.enriched */
    TtpTags tags;         /* of the session's commands, when their ids need no look-up */
    const size_t *ends;   /* for each command, how many of the tags are its own or an earlier one's */
    char ip[IP_TEXT_BYTES];
    const Uuid *uuid;
    /* apply(): the attacker that was found */
    AttackerRef *attacker;
    char attacker_text[UUID_TEXT_BYTES];
} Decoded;

/* One tag with the record it came from. */
typedef struct Produced {
    const TtpTag *tag;
    const WorkerEvent *event;
    Str decky; /* where the command was typed; absent for intelligence */
} Produced;

static int start(Worker *w)
{
    const Config *c = worker_config(w);
    cleanup(freep) char *cache = config_cache_dir(c), *error = NULL;
    TtpEngine *engine = NULL;

    int r = ttp_engine_load(c->rules_path, c->attack_catalog, cache, &engine, &error);
    if (r != 0)
        return worker_fail(w, 78, "%s", error ? error : strerror(-r));
    Tagger *tagger = calloc(1, sizeof(*tagger));
    if (!tagger)
        abort();
    tagger->engine = engine;
    worker_set_data(w, tagger);
    TtpEngineStats stats = ttp_engine_stats(engine);
    if (*ttp_engine_warnings(engine))
        log_warning("rules", "%s", ttp_engine_warnings(engine));
    log_notice("rules", "%zu rules, %zu patterns (%s), ATT&CK %s", stats.rules, stats.patterns,
               stats.pack_from_cache ? "from the cache" : "compiled",
               attack_catalog_release(ttp_engine_catalog(engine)));
    return 0;
}

static void stop(Worker *w)
{
    Tagger *t = worker_data(w);
    if (t)
        ttp_engine_free(t->engine);
    free(t);
}

/* Returns Decoded.ends. */
static const size_t *tag_commands(Worker *w, Arena *arena, const SessionEnded *s, int64_t fallback_us, TtpTags *tags)
{
    size_t *ends = arena_calloc(arena, s->n_commands + 1, sizeof(*ends));

    for (size_t i = 0; i < s->n_commands; i++) {
        const EventCommand *c = &s->commands[i];
        Str text = text_clip(c->text, LIMIT_COMMAND_BYTES);
        TtpCommand command = {.source_id = c->source_id,
                              .text = text,
                              .truncated = text.len < c->text.len,
                              .uid = c->uid,
                              .user = c->user,
                              .src = c->src,
                              .pwd = c->pwd,
                              .observed_at_us = c->ts_us != TIME_NONE         ? c->ts_us
                                                : s->ended_at_us != TIME_NONE ? s->ended_at_us
                                                                              : fallback_us};
        ttp_tags_for_command(engine_of(w), arena, &command, tags);
        ends[i] = tags->n;
    }
    return ends;
}

static void prepare_session(Worker *w, WorkerEvent *event, Decoded *d)
{
    EventReject reject = session_ended_decode(event->arena, event->payload, &d->session);

    if (reject != EVENT_OK) {
        event_refuse(event, event_reject_name(reject),
                     "attacker.session.ended: a required key is missing or of a wrong type");
        return;
    }
    d->is_session = true;
    memcpy(d->ip, d->session.attacker_ip, sizeof(d->ip));
    d->uuid = d->session.has_attacker_uuid ? &d->session.attacker_uuid : NULL;
    metric_add(&commands_seen, (double)d->session.n_commands);
    metric_add(&commands_left, (double)(d->session.n_commands_seen - d->session.n_commands));
    if (d->session.source_id.data) /* else ids rest on the attacker's uuid, which only the database knows */
        d->ends = tag_commands(w, event->arena, &d->session, event->envelope.occurred_at_us, &d->tags);
}

static void prepare_intel(WorkerEvent *event, Decoded *d)
{
    EventReject reject = intel_enriched_decode(event->arena, event->payload, &d->facts);

    if (reject != EVENT_OK) {
        event_refuse(event, event_reject_name(reject),
                     "attacker.intel.enriched: a required key is missing or of a wrong type");
        return;
    }
    if (!ip_canonical(d->facts.attacker_ip, d->ip))
        d->ip[0] = '\0';
    d->uuid = uuid_is_zero(&d->facts.attacker_uuid) ? NULL : &d->facts.attacker_uuid;
}

static void prepare(Worker *w, WorkerEvent *event)
{
    Decoded *d = arena_calloc(event->arena, 1, sizeof(*d));

    event->decoded = d;
    if (event->topic == &bus_topics[BUS_ATTACKER_SESSION_ENDED])
        prepare_session(w, event, d);
    else
        prepare_intel(event, d);
    if (event->state == EVENT_LIVE && !d->ip[0] && !d->uuid)
        event_refuse(event, event_reject_name(EVENT_NO_ANCHOR), "neither an attacker address nor an attacker uuid");
}

/* Every live event gets its attacker, or is put off until there is one. */
static int resolve_attackers(Worker *w, Batch *batch)
{
    size_t n = batch_count(batch), k = 0;
    AttackerRef *refs = arena_calloc(worker_scratch(w), n + 1, sizeof(*refs));

    for (size_t i = 0; i < n; i++) {
        WorkerEvent *e = batch_event(batch, i);
        Decoded *d = e->decoded;
        if (e->state != EVENT_LIVE)
            continue;
        refs[k] = (AttackerRef){.ip = d->ip, .uuid = d->uuid};
        d->attacker = &refs[k++];
    }
    int r = attackers_resolve(worker_repo(w), refs, k);
    for (size_t i = 0; r == 0 && i < n; i++) {
        WorkerEvent *e = batch_event(batch, i);
        Decoded *d = e->decoded;
        if (e->state == EVENT_LIVE && !d->attacker->exists)
            event_defer(e, d->ip, d->uuid);
        else if (e->state == EVENT_LIVE)
            uuid_format(d->attacker_text, &d->attacker->found);
    }
    return r;
}

static int by_uuid(const void *a, const void *b)
{
    return uuid_cmp(a, b);
}

/* Stored intelligence of the attackers whose sessions ended, one entry for each distinct attacker. */
typedef struct Stored {
    Uuid *attackers;
    IntelFacts *facts;
    bool *has_row;
    size_t n;
} Stored;

static int read_stored_intel(Worker *w, Batch *batch, Stored *stored)
{
    Arena *arena = worker_scratch(w);
    size_t n = batch_count(batch), k = 0;

    stored->attackers = arena_calloc(arena, n + 1, sizeof(*stored->attackers));
    for (size_t i = 0; i < n; i++) {
        const WorkerEvent *e = batch_event(batch, i);
        const Decoded *d = e->decoded;
        if (e->state == EVENT_LIVE && d->is_session)
            stored->attackers[k++] = d->attacker->found;
    }
    qsort(stored->attackers, k, sizeof(*stored->attackers), by_uuid);
    for (size_t i = 0; i < k; i++)
        if (stored->n == 0 || uuid_cmp(&stored->attackers[stored->n - 1], &stored->attackers[i]) != 0)
            stored->attackers[stored->n++] = stored->attackers[i];
    stored->facts = arena_calloc(arena, stored->n + 1, sizeof(*stored->facts));
    stored->has_row = arena_calloc(arena, stored->n + 1, sizeof(*stored->has_row));
    return intel_read(worker_repo(w), arena, stored->attackers, stored->n, stored->facts, stored->has_row);
}

static const IntelFacts *stored_facts(const Stored *stored, const Uuid *attacker)
{
    const Uuid *hit = bsearch(attacker, stored->attackers, stored->n, sizeof(*hit), by_uuid);
    size_t i = hit ? (size_t)(hit - stored->attackers) : 0;
    return hit && stored->has_row[i] ? &stored->facts[i] : NULL;
}

/* Commands of a session without an id are numbered under the attacker's uuid. */
static const size_t *tag_anonymous_session(Worker *w, const WorkerEvent *event, const Decoded *d, TtpTags *tags)
{
    SessionEnded named = d->session;
    Arena *arena = worker_scratch(w);

    named.commands = arena_calloc(arena, named.n_commands + 1, sizeof(*named.commands));
    for (size_t i = 0; i < named.n_commands; i++) {
        EventCommand *c = &named.commands[i];
        *c = d->session.commands[i];
        if (!c->source_id.data)
            c->source_id = event_command_source_id(arena, str_from(d->attacker_text), c->index);
    }
    return tag_commands(w, arena, &named, event->envelope.occurred_at_us, tags);
}

/* What one event brings. */
typedef struct EventTags {
    TtpTags commands, intel;
    const size_t *ends; /* as Decoded.ends */
} EventTags;

static void append(Produced *produced, size_t *n, const EventTags *tags, const WorkerEvent *event)
{
    const SessionEnded *s = &((const Decoded *)event->decoded)->session;

    for (size_t i = 0, command = 0; i < tags->commands.n; i++) {
        while (i >= tags->ends[command])
            command++;
        Str decky = s->commands[command].decky_id;
        produced[(*n)++] = (Produced){&tags->commands.items[i], event, decky.data ? decky : s->decky_id};
    }
    for (size_t i = 0; i < tags->intel.n; i++)
        produced[(*n)++] = (Produced){&tags->intel.items[i], event, {0}};
}

/* All tags of an event, wherever they come from. */
static size_t tags_of_event(Worker *w, const WorkerEvent *e, const Stored *stored, EventTags *ret)
{
    const Decoded *d = e->decoded;
    const IntelFacts *facts = d->is_session ? stored_facts(stored, &d->attacker->found) : &d->facts;

    *ret = (EventTags){.commands = d->tags, .ends = d->ends};
    if (d->is_session && !d->session.source_id.data)
        ret->ends = tag_anonymous_session(w, e, d, &ret->commands);
    if (facts)
        ttp_tags_for_intel(engine_of(w), worker_scratch(w), facts, str_from(d->attacker_text), &ret->intel);
    return ret->commands.n + ret->intel.n;
}

static Produced *produce(Worker *w, Batch *batch, const Stored *stored, size_t *ret_n)
{
    Arena *arena = worker_scratch(w);
    size_t n = batch_count(batch), total = 0;
    EventTags *tags = arena_calloc(arena, n + 1, sizeof(*tags));

    for (size_t i = 0; i < n; i++)
        if (batch_event(batch, i)->state == EVENT_LIVE)
            total += tags_of_event(w, batch_event(batch, i), stored, &tags[i]);
    Produced *produced = arena_calloc(arena, total + 1, sizeof(*produced));
    *ret_n = 0;
    for (size_t i = 0; i < n; i++)
        if (batch_event(batch, i)->state == EVENT_LIVE)
            append(produced, ret_n, &tags[i], batch_event(batch, i));
    return produced;
}

static int by_tag(const void *a, const void *b)
{
    const Produced *x = a, *y = b;
    int c = uuid_cmp(&x->tag->uuid, &y->tag->uuid);
    return c ? c : (x->event->offset > y->event->offset) - (x->event->offset < y->event->offset);
}

/* One of each id: two sessions of one attacker bring the same intelligence. */
static size_t distinct(Produced *produced, size_t n)
{
    size_t kept = 0;
    qsort(produced, n, sizeof(*produced), by_tag);
    for (size_t i = 0; i < n; i++)
        if (kept == 0 || uuid_cmp(&produced[kept - 1].tag->uuid, &produced[i].tag->uuid) != 0)
            produced[kept++] = produced[i];
    return kept;
}

static TagRow row_of(const Worker *w, const Produced *p)
{
    const Tagger *tagger = worker_data(w);
    const Decoded *d = p->event->decoded;
    const TtpTag *t = p->tag;
    bool intel = t->source_kind == TTP_INTEL; /* says something of the attacker, not of a session or a decoy */
    return (TagRow){
        .uuid = t->uuid,
        .source_kind = str_from(ttp_kind_name(t->source_kind)),
        .source_id = t->source_id,
        .attacker_uuid = &d->attacker->found,
        .session_id = intel ? (Str){0} : d->session.session_id,
        .decky_id = p->decky,
        .tactic = str_from(t->tactic),
        .technique_id = str_from(t->technique),
        .sub_technique_id = str_from(t->sub),
        .confidence = t->confidence,
        .rule_id = str_from(t->rule->id),
        .rule_version = t->rule->version,
        .evidence = t->evidence,
        .attack_release = str_from(attack_catalog_release(ttp_engine_catalog(engine_of(w)))),
        .mitre_url = str_from(t->mitre_url),
        .observed_at_us = t->observed_at_us,
        .maybe_stored = intel || tagger->repeating, /* every session of an attacker brings the same intelligence */
    };
}

static EventTag event_tag(Arena *arena, const TtpTag *t, Buf *buf)
{
    EventTag tag = {.uuid = t->uuid,
                    .rule_id = str_from(t->rule->id),
                    .tactic = str_from(t->tactic),
                    .technique_id = str_from(t->technique),
                    .sub_technique_id = str_from(t->sub),
                    .confidence = t->confidence};
    buf_clear(buf);
    event_tag_encode(&tag, buf);
    tag.json = str_dup(arena, buf_str(buf));
    return tag;
}

/* At most LIMIT_EVENT_TAGS to an event: what a session with 10,000 commands shows still fits a record. */
static void announce_technique(Worker *w, TagEvent *event, const EventTag *tags, size_t n, Buf *buf)
{
    char topic[64];
    snprintf(topic, sizeof(topic), "ttp.rule.fired." STR_FMT, STR_ARG(tags[0].technique_id));
    for (size_t i = 0; i < n; i += LIMIT_EVENT_TAGS) {
        event->tags = tags + i;
        event->n_tags = MIN(n - i, (size_t)LIMIT_EVENT_TAGS);
        Uuid id = ttp_rule_fired_id(tags[0].technique_id, event->tags, event->n_tags);
        buf_clear(buf);
        ttp_rule_fired_encode(event, tags[0].technique_id, &id, buf);
        worker_emit(w, "ttp.rule.fired", str_from(topic), &id, tags[0].technique_id, buf_str(buf));
    }
}

/* The new tags of one record, in order of technique: ttp.tagged, and ttp.rule.fired for each technique among them. */
static void announce(Worker *w, const WorkerEvent *source, const EventTag *tags, size_t n, bool intel, Buf *buf)
{
    const Decoded *d = source->decoded;
    TagEvent event = {.attacker_uuid = d->attacker->found,
                      .has_attacker_uuid = true,
                      .session_id = intel ? (Str){0} : d->session.session_id,
                      .occurred_at_us = source->envelope.occurred_at_us};

    for (size_t i = 0; i < n; i += LIMIT_EVENT_TAGS) {
        event.tags = tags + i;
        event.n_tags = MIN(n - i, (size_t)LIMIT_EVENT_TAGS);
        Uuid id = ttp_tagged_id(event.tags, event.n_tags);
        buf_clear(buf);
        ttp_tagged_encode(&event, &id, buf);
        worker_emit(w, "ttp.tagged", STR("ttp.tagged"), &id, str_from(d->attacker_text), buf_str(buf));
    }
    for (size_t i = 0, k; i < n; i = k) {
        for (k = i + 1; k < n && str_eq(tags[k].technique_id, tags[i].technique_id);)
            k++;
        announce_technique(w, &event, tags + i, k - i, buf);
    }
}

static int by_source(const Produced *x, const Produced *y)
{
    bool intel_x = x->tag->source_kind == TTP_INTEL, intel_y = y->tag->source_kind == TTP_INTEL;
    return x->event != y->event ? (x->event > y->event) - (x->event < y->event) : intel_x - intel_y;
}

static int by_source_and_technique(const void *a, const void *b)
{
    const Produced *x = a, *y = b;
    int c = by_source(x, y);
    c = c ? c : strcmp(x->tag->technique, y->tag->technique);
    return c ? c : uuid_cmp(&x->tag->uuid, &y->tag->uuid);
}

/* Events of tags, one source at a time. */
typedef struct Announcement {
    Worker *w;
    Produced *produced;
    EventTag *tags;
    size_t n, at;
    bool sorted;
    Buf buf;
} Announcement;

static void announcement_free(Announcement *a)
{
    buf_free(&a->buf);
}

/* Of those of the @n produced ones that @wanted says. */
static Announcement announcement_of(Worker *w, const Produced *produced, const bool *wanted, size_t n)
{
    Announcement a = {.w = w};

    a.produced = arena_alloc(worker_scratch(w), (n + 1) * sizeof(*a.produced));
    a.tags = arena_alloc(worker_scratch(w), (n + 1) * sizeof(*a.tags));
    for (size_t i = 0; i < n; i++)
        if (wanted[i])
            a.produced[a.n++] = produced[i];
    return a;
}

/* False when nothing is left. */
static bool announce_next(void *arg)
{
    Announcement *a = arg;
    size_t from = a->at;

    if (!a->sorted)
        qsort(a->produced, a->n, sizeof(*a->produced), by_source_and_technique);
    a->sorted = true;
    for (; a->at < a->n && by_source(&a->produced[a->at], &a->produced[from]) == 0; a->at++)
        a->tags[a->at] = event_tag(worker_scratch(a->w), a->produced[a->at].tag, &a->buf);
    if (a->at > from)
        announce(a->w, a->produced[from].event, a->tags + from, a->at - from,
                 a->produced[from].tag->source_kind == TTP_INTEL, &a->buf);
    return a->at < a->n;
}

static void announce_all(Announcement *a)
{
    while (announce_next(a))
        continue;
}

/* Stores the tags and announces those that are new. Mostly all are that are thought to be, so their events are written
 * while PostgreSQL stores them, and are taken back if one was there already. */
static int store(Worker *w, const Produced *produced, size_t n, bool *is_new)
{
    Arena *arena = worker_scratch(w);
    TagRow *rows = arena_alloc(arena, (n + 1) * sizeof(*rows));
    bool *guess = arena_calloc(arena, n + 1, sizeof(*guess)), right = true;

    for (size_t i = 0; i < n; i++) {
        rows[i] = row_of(w, &produced[i]);
        guess[i] = !rows[i].maybe_stored;
    }
    cleanup(announcement_free) Announcement guessed = announcement_of(w, produced, guess, n), rest = {0};
    worker_meanwhile(w, announce_next, &guessed);
    int r = tags_insert(worker_repo(w), rows, n, is_new);
    worker_meanwhile(w, NULL, NULL);
    if (r != 0)
        return r;
    for (size_t i = 0; i < n; i++)
        right &= is_new[i] || !guess[i];
    if (right)
        announce_all(&guessed);
    else
        worker_take_back_events(w);
    for (size_t i = 0; i < n; i++)
        guess[i] = is_new[i] && !(right && guess[i]);
    rest = announcement_of(w, produced, guess, n);
    announce_all(&rest);
    return 0;
}

static void count(Tagger *tagger, const Produced *produced, const bool *is_new, size_t n)
{
    size_t n_new = 0;

    tagger->repeating = false;
    for (size_t i = 0; i < n; i++) {
        n_new += is_new[i];
        tagger->repeating |= !is_new[i] && produced[i].tag->source_kind != TTP_INTEL;
    }
    metric_add(&tags_new, (double)n_new);
    metric_add(&tags_known, (double)(n - n_new));
}

static int apply(Worker *w, Batch *batch)
{
    Stored stored = {0};
    size_t n;

    int r = resolve_attackers(w, batch);
    r = r ? r : read_stored_intel(w, batch, &stored);
    if (r != 0)
        return r;
    Produced *produced = produce(w, batch, &stored, &n);
    n = distinct(produced, n);
    bool *is_new = arena_calloc(worker_scratch(w), n + 1, sizeof(*is_new));
    r = store(w, produced, n, is_new);
    if (r != 0)
        return r;
    count(worker_data(w), produced, is_new, n);
    export_counters(w);
    return 0;
}

static const char *const topics[] = {"attacker.session.ended", "attacker.intel.enriched", NULL};

const WorkerSpec ttp_worker = {
    .name = "ttp",
    .summary =
        "Tags what attackers did with MITRE ATT&CK techniques: attacker.session.ended and attacker.intel.enriched in,\n"
        "rows of ttp_tag, ttp.tagged and ttp.rule.fired out.",
    .topics = topics,
    .start = start,
    .prepare = prepare,
    .apply = apply,
    .stop = stop,
};
