/* Tables are hashes from key text to a row of text and numbers: enough to merge and to compare. */
#include "ingest_store.h"

#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/table.h"

typedef enum Table {
    T_LOG,
    T_ATTACKER,
    T_DECKY,
    T_SESSION,
    T_COMMAND,
    T_CREDENTIAL,
    T_BOUNTY,
    T_EVIDENCE,
    T_EVENT,
    T_N
} Table;

static const char *const table_names[T_N] = {"log",        "attacker", "decky",    "session", "command",
                                             "credential", "bounty",   "evidence", "event"};

typedef struct Row {
    char *key;
    Buf text;                            /* what does not merge */
    int64_t first_us, last_us, n, extra; /* what does */
    SessionRow session;
    Arena *arena; /* of session and command text */
    Str command;
    UT_hash_handle hh;
} Row;

struct IngestStore {
    AssemblyOptions options;
    CowrieOptions cowrie;
    Assembly *assembly;
    Row *tables[T_N];
    IngestCounts counts;
    int64_t watermark_us;
};

static Row *find_row(const IngestStore *st, Table table, const char *key)
{
    Row *row;
    HASH_FIND_STR(st->tables[table], key, row);
    return row;
}

static Row *get_row(IngestStore *st, Table table, const char *key, bool *ret_new)
{
    Row *row = find_row(st, table, key);

    *ret_new = row == NULL;
    if (row)
        return row;
    row = calloc(1, sizeof(*row));
    if (!row)
        abort();
    row->key = strdup(key);
    HASH_ADD_KEYPTR(hh, st->tables[table], row->key, strlen(row->key), row);
    return row;
}

static void table_free(Row **table)
{
    Row *row, *tmp;

    HASH_ITER (hh, *table, row, tmp) {
        HASH_DELETE(hh, *table, row);
        free(row->key);
        buf_free(&row->text);
        arena_free(row->arena);
        free(row);
    }
}

static const char *sid_key(const Uuid *sid, char out[UUID_TEXT_BYTES])
{
    uuid_format(out, sid);
    return out;
}

#define KEY(...)                                                                                                       \
    cleanup(buf_free) Buf key = {0};                                                                                   \
    buf_printf(&key, __VA_ARGS__)

/* --- storing --- */

static void store_attackers(IngestStore *st, const Effects *fx)
{
    bool is_new;

    for (size_t i = 0; i < fx->attackers.n; i++) {
        const AttackerDelta *d = &fx->attackers.items[i];
        Row *row = get_row(st, T_ATTACKER, d->ip, &is_new);
        if (is_new) {
            row->first_us = d->first_us;
            row->last_us = d->last_us;
            buf_printf(&row->text, "observed %lld " STR_FMT " %s " STR_FMT, (long long)d->observed_us,
                       STR_ARG(d->observed_decky), d->observed_service, STR_ARG(d->observed_type));
        }
        row->n += d->events;
        row->first_us = MIN(row->first_us, d->first_us);
        row->last_us = MAX(row->last_us, d->last_us);
        for (size_t k = 0; k < d->n_services; k++)
            row->extra |= strcmp(d->services[k], "ssh") == 0 ? 1 : 2;
        for (size_t k = 0; k < d->n_deckies; k++) {
            KEY("%s " STR_FMT, d->ip, STR_ARG(d->deckies[k]));
            (void)get_row(st, T_DECKY, key.data, &is_new);
        }
    }
}

static void store_sessions(IngestStore *st, const Effects *fx)
{
    char key[UUID_TEXT_BYTES];
    bool is_new;

    for (size_t i = 0; i < fx->sessions.n; i++) {
        Row *row = get_row(st, T_SESSION, sid_key(&fx->sessions.items[i].sid, key), &is_new);
        if (i && uuid_cmp(&fx->sessions.items[i - 1].sid, &fx->sessions.items[i].sid) >= 0)
            abort(); /* one statement must not touch a row twice */
        Arena *arena = arena_new();
        row->session = session_row_dup(arena, &fx->sessions.items[i]);
        arena_free(row->arena);
        row->arena = arena;
    }
}

static void store_commands(IngestStore *st, const Effects *fx)
{
    char sid[UUID_TEXT_BYTES];
    bool is_new;

    for (size_t i = 0; i < fx->commands.n; i++) {
        const NewCommand *c = &fx->commands.items[i];
        KEY("%s#%09lld", sid_key(&c->sid, sid), (long long)c->ordinal);
        Row *row = get_row(st, T_COMMAND, key.data, &is_new);
        if (!is_new)
            abort(); /* two commands with one ordinal */
        row->arena = arena_new();
        row->command = str_dup(row->arena, c->text);
        row->first_us = c->time_us;
        row->extra = c->truncated;
    }
    for (size_t i = 0; i < fx->errored.n; i++) {
        const ErroredMark *m = &fx->errored.items[i];
        for (int64_t ordinal = m->to; ordinal-- > m->from;) {
            KEY("%s#%09lld", sid_key(&m->sid, sid), (long long)ordinal);
            Row *row = find_row(st, T_COMMAND, key.data);
            if (!row)
                abort();
            if (memmem(row->command.data, row->command.len, m->text.data, m->text.len)) {
                row->n = 1; /* errored */
                break;
            }
        }
    }
}

static void store_credentials(IngestStore *st, const Effects *fx)
{
    for (size_t i = 0; i < fx->credentials.n; i++) {
        const CredentialDelta *d = &fx->credentials.items[i];
        bool is_new;
        KEY("%s " STR_FMT " %s %s %s " STR_FMT "%s", d->ip, STR_ARG(d->decky), d->service, d->kind, d->sha256,
            STR_ARG(d->principal), d->principal.data ? "" : "(null)");
        Row *row = get_row(st, T_CREDENTIAL, key.data, &is_new);
        if (is_new) {
            row->first_us = d->first_us;
            row->last_us = d->last_us;
            row->extra = d->outcome;
        }
        if (d->last_us > row->last_us || (d->last_us == row->last_us && (int64_t)d->outcome > row->extra))
            row->extra = d->outcome;
        row->n += d->attempts;
        row->first_us = MIN(row->first_us, d->first_us);
        row->last_us = MAX(row->last_us, d->last_us);
    }
    st->counts.attempts += (int64_t)fx->attempts.n;
}

static void store_findings(IngestStore *st, const Effects *fx)
{
    bool is_new;

    for (size_t i = 0; i < fx->bounties.n; i++) {
        const BountyRow *b = &fx->bounties.items[i];
        KEY("%s %s " STR_FMT, b->ip, b->type, STR_ARG(b->payload));
        Row *row = get_row(st, T_BOUNTY, key.data, &is_new);
        row->extra = strcmp(b->type, "fingerprint") == 0;
    }
    for (size_t i = 0; i < fx->evidence.n; i++) {
        const EvidenceRow *e = &fx->evidence.items[i];
        KEY("%s %s " STR_FMT, e->ip, e->kind, STR_ARG(e->value));
        Row *row = get_row(st, T_EVIDENCE, key.data, &is_new);
        row->first_us = is_new ? e->first_us : MIN(row->first_us, e->first_us);
        row->last_us = is_new ? e->last_us : MAX(row->last_us, e->last_us);
        row->n += e->seen;
    }
}

static void store_announcements(IngestStore *st, const Effects *fx)
{
    char sid[UUID_TEXT_BYTES];
    bool is_new;

    for (size_t i = 0; i < fx->announcements.n; i++) {
        const Announcement *a = &fx->announcements.items[i];
        KEY("%s %d", sid_key(&a->row->sid, sid), a->part);
        Row *row = get_row(st, T_EVENT, key.data, &is_new);
        if (!is_new)
            abort(); /* one part announced twice */
        buf_printf(&row->text, "of %d [%lld,%lld) %s %lld artifacts %zu", a->parts, (long long)a->from,
                   (long long)a->to, a->row->ended_reason, (long long)a->row->ended_at_us, a->row->n_artifact_list);
        st->counts.parts++;
        if (a->part == 1) {
            st->counts.announced++;
            st->counts.with_commands += a->row->commands > 0;
            st->counts.by_eof += strcmp(a->row->ended_reason, "eof") == 0;
        }
    }
    for (size_t i = 0; i < fx->logs.n; i++) {
        Row *row = get_row(st, T_LOG, sid_key(&fx->logs.items[i].id, sid), &is_new);
        if (is_new) {
            buf_printf(&row->text, "%s %s " STR_FMT, fx->logs.items[i].event_type, fx->logs.items[i].service,
                       STR_ARG(fx->logs.items[i].fields));
            row->extra = 1;
        }
    }
}

static void commit(IngestStore *st)
{
    const Effects *fx = assembly_effects(st->assembly);

    store_attackers(st, fx);
    store_sessions(st, fx);
    store_commands(st, fx);
    store_credentials(st, fx);
    store_findings(st, fx);
    store_announcements(st, fx);
    st->watermark_us = assembly_watermark_us(st->assembly);
    assembly_forget_effects(st->assembly);
}

/* --- loading --- */

/* What has no column goes through the state, as in a database. */
static void load_row(IngestStore *st, const Row *row)
{
    cleanup(arena_freep) Arena *arena = arena_new();
    char sid[UUID_TEXT_BYTES];
    SessionRow loaded = row->session;

    if (!session_state_decode(arena, session_state_encode(arena, &row->session), &loaded))
        abort();
    assembly_restore(st->assembly, &loaded);
    for (int64_t i = loaded.commands_sent; i < loaded.commands; i++) {
        KEY("%s#%09lld", sid_key(&loaded.sid, sid), (long long)i);
        Row *command = find_row(st, T_COMMAND, key.data);
        if (!command)
            abort();
        assembly_restore_command(st->assembly, &loaded, command->command);
    }
}

static void load_session(IngestStore *st, const CowrieEvent *e)
{
    char sid[UUID_TEXT_BYTES];
    const Row *row = find_row(st, T_SESSION, sid_key(&e->sid, sid));

    if (row && !assembly_knows(st->assembly, e))
        load_row(st, row);
}

/* What a starting process must have in memory: nobody may ever send these sessions another line. */
static void load_waiting(IngestStore *st)
{
    Row *row, *tmp;

    HASH_ITER (hh, st->tables[T_SESSION], row, tmp) {
        if (row->session.ended_at_us == TIME_NONE || row->session.pending)
            load_row(st, row);
    }
}

/* --- feeding --- */

static void feed_event(IngestStore *st, const CowrieEvent *e)
{
    char id[UUID_TEXT_BYTES];
    bool is_new;
    Row *log = get_row(st, T_LOG, sid_key(&e->log_id, id), &is_new);
    AssemblyLine line = assembly_line(st->assembly, e, is_new);

    if (!is_new)
        return;
    st->counts.download_attempts += str_eq_cstr(e->event_type, "download_attempt");
    cleanup(arena_freep) Arena *arena = arena_new();
    Str fields = cowrie_fields(arena, e, &line.sid, line.ordinal);
    buf_printf(&log->text, "%lld %s " STR_FMT " %s " STR_FMT " " STR_FMT, (long long)e->time_us, line.ip,
               STR_ARG(line.decky), line.service, STR_ARG(e->event_type), STR_ARG(fields));
}

static void feed_chunk(IngestStore *st, const Str *lines, size_t n)
{
    cleanup(arena_freep) Arena *arena = arena_new();
    CowrieEvent *events = arena_calloc(arena, n, sizeof(*events));
    size_t n_events = 0;

    for (size_t i = 0; i < n; i++) {
        CowrieReject reject = cowrie_parse(arena, &st->cowrie, lines[i], &events[n_events]);
        st->counts.lines++;
        st->counts.rejects[reject]++;
        n_events += reject == COWRIE_OK;
    }
    for (size_t i = 0; i < n_events; i++)
        load_session(st, &events[i]);
    for (size_t i = 0; i < n_events; i++)
        feed_event(st, &events[i]);
    commit(st);
}

void ingest_store_feed(IngestStore *st, Str text, size_t chunk)
{
    Str *lines = calloc(chunk, sizeof(*lines));
    size_t n = 0;

    if (!lines)
        abort();
    while (text.len) {
        const char *end = memchr(text.data, '\n', text.len);
        size_t len = end ? (size_t)(end - text.data) + 1 : text.len;
        lines[n++] = (Str){text.data, len};
        text = (Str){text.data + len, text.len - len};
        if (n == chunk || !text.len) {
            feed_chunk(st, lines, n);
            n = 0;
        }
    }
    free(lines);
}

void ingest_store_begin_source(IngestStore *st)
{
    assembly_begin_source(st->assembly, TIME_NONE);
}

void ingest_store_flush(IngestStore *st, size_t chunk)
{
    bool more = true;

    while (more) {
        more = assembly_flush(st->assembly, chunk);
        commit(st);
    }
}

void ingest_store_crash(IngestStore *st)
{
    assembly_free(st->assembly);
    st->assembly = assembly_new(&st->options);
    assembly_begin_source(st->assembly, st->watermark_us);
    load_waiting(st);
}

IngestStore *ingest_store_new(const AssemblyOptions *options, const CowrieOptions *cowrie)
{
    IngestStore *st = calloc(1, sizeof(*st));

    if (!st)
        abort();
    st->options = *options;
    st->cowrie = *cowrie;
    st->assembly = assembly_new(options);
    st->watermark_us = TIME_NONE;
    return st;
}

void ingest_store_free(IngestStore *st)
{
    if (!st)
        return;
    for (size_t i = 0; i < T_N; i++)
        table_free(&st->tables[i]);
    assembly_free(st->assembly);
    free(st);
}

/* --- asking --- */

static void count_deckies(const IngestStore *st, IngestCounts *c)
{
    Row *names = NULL, *row, *tmp;

    HASH_ITER (hh, st->tables[T_DECKY], row, tmp) {
        const char *name = strchr(row->key, ' ') + 1;
        Row *seen;
        HASH_FIND_STR(names, name, seen);
        if (seen)
            continue;
        seen = calloc(1, sizeof(*seen));
        if (!seen)
            abort();
        seen->key = strdup(name);
        HASH_ADD_KEYPTR(hh, names, seen->key, strlen(seen->key), seen);
    }
    c->deckies = HASH_COUNT(names);
    table_free(&names);
}

IngestCounts ingest_store_counts(const IngestStore *st)
{
    IngestCounts c = st->counts;
    Row *row, *tmp;

    c.attackers = HASH_COUNT(st->tables[T_ATTACKER]);
    c.sessions = HASH_COUNT(st->tables[T_SESSION]);
    c.commands = HASH_COUNT(st->tables[T_COMMAND]);
    c.credentials = HASH_COUNT(st->tables[T_CREDENTIAL]);
    c.evidence = HASH_COUNT(st->tables[T_EVIDENCE]);
    count_deckies(st, &c);
    HASH_ITER (hh, st->tables[T_LOG], row, tmp) {
        c.synthetic_logs += row->extra;
        c.logs += !row->extra;
    }
    HASH_ITER (hh, st->tables[T_SESSION], row, tmp) {
        c.telnet_sessions += strcmp(row->session.service, "telnet") == 0;
    }
    HASH_ITER (hh, st->tables[T_COMMAND], row, tmp) {
        c.errored += row->n;
    }
    HASH_ITER (hh, st->tables[T_BOUNTY], row, tmp) {
        c.fingerprints += row->extra;
        c.artifacts += !row->extra;
    }
    return c;
}

AssemblyCounters ingest_store_assembly_counters(const IngestStore *st)
{
    return assembly_counters(st->assembly);
}

static int row_cmp(const void *a, const void *b)
{
    return strcmp((*(Row *const *)a)->key, (*(Row *const *)b)->key);
}

static void dump_session(const SessionRow *r, Buf *out)
{
    cleanup(arena_freep) Arena *arena = arena_new();

    buf_printf(out, " %s:%lld %s " STR_FMT "/" STR_FMT " [%lld %lld %lld] %s %.6f", r->src_ip, (long long)r->src_port,
               r->service, STR_ARG(r->sensor), STR_ARG(r->session), (long long)r->started_at_us,
               (long long)r->last_event_at_us, (long long)r->ended_at_us, r->ended_reason ? r->ended_reason : "open",
               r->duration_s);
    buf_printf(out, " " STR_FMT " ok %d tries %lld " STR_FMT " " STR_FMT " c %lld/%lld a %lld f %lld p %lld " STR_FMT,
               STR_ARG(r->username), r->login_ok, (long long)r->login_attempts, STR_ARG(r->client_version),
               STR_ARG(r->hassh), (long long)r->commands, (long long)r->commands_sent, (long long)r->artifacts,
               (long long)r->forwards, (long long)r->parts_sent, STR_ARG(r->shard_path));
    Str state = session_state_encode(arena, r);
    buf_printf(out, " " STR_FMT, STR_ARG(state));
}

void ingest_store_dump(const IngestStore *st, bool events, Buf *out)
{
    for (size_t t = 0; t < T_N; t++) {
        size_t n = 0, total = HASH_COUNT(st->tables[t]);
        Row **rows = calloc(total + 1, sizeof(*rows)), *row, *tmp;
        if (!rows)
            abort();
        HASH_ITER (hh, st->tables[t], row, tmp) {
            rows[n++] = row;
        }
        qsort(rows, n, sizeof(*rows), row_cmp);
        for (size_t i = 0; i < n && (t != T_EVENT || events); i++) {
            row = rows[i];
            buf_printf(out, "%s %s %lld %lld %lld %lld ", table_names[t], row->key, (long long)row->first_us,
                       (long long)row->last_us, (long long)row->n, (long long)row->extra);
            buf_add_str(out, buf_str(&row->text));
            buf_add_str(out, row->command);
            if (t == T_SESSION)
                dump_session(&row->session, out);
            buf_add_char(out, '\n');
        }
        free(rows);
    }
}
