/* A hash by name, a heap by due time, a list by last line. Lists and text of a session are owned one by one: most
 * sessions have next to none. */
#include "sessions.h"

#include <string.h>
#include <utlist.h>

#include "base/limits.h"

#define NOT_IN_HEAP SIZE_MAX
/* Bytes of an event that are not commands: names, login, and the artifact list. */
#define EVENT_FRAME_BYTES (LIMIT_SESSION_ARTIFACT_BYTES + 32 * 1024)
enum { ARTIFACT_FRAME_BYTES = 128 };

static void *checked(void *p)
{
    if (!p)
        abort(); /* as the arena does: no caller could go on */
    return p;
}

static void list_push(SessionList *list, Session *s)
{
    if (list->n == list->cap) {
        list->cap = list->cap ? list->cap * 2 : 64;
        list->items = checked(reallocarray(list->items, list->cap, sizeof(*list->items)));
    }
    list->items[list->n++] = s;
}

static Str text_copy(Str s)
{
    if (!s.data)
        return s;
    char *data = checked(malloc(s.len + 1));
    if (s.len)
        memcpy(data, s.data, s.len);
    data[s.len] = '\0';
    return (Str){data, s.len};
}

void session_set_text(Str *field, Str value)
{
    Str copy = text_copy(value);
    free((char *)field->data);
    *field = copy;
}

/* --- heap by (due, sid) --- */

static bool due_before(const Session *a, const Session *b)
{
    return a->due_us != b->due_us ? a->due_us < b->due_us : uuid_cmp(&a->row.sid, &b->row.sid) < 0;
}

static void heap_place(SessionList *heap, Session *s, size_t i)
{
    heap->items[i] = s;
    s->heap_index = i;
}

static void heap_up(SessionList *heap, Session *s)
{
    size_t i = s->heap_index;

    for (; i > 0 && due_before(s, heap->items[(i - 1) / 2]); i = (i - 1) / 2)
        heap_place(heap, heap->items[(i - 1) / 2], i);
    heap_place(heap, s, i);
}

static void heap_down(SessionList *heap, Session *s)
{
    size_t i = s->heap_index;

    for (;;) {
        size_t child = 2 * i + 1;
        if (child + 1 < heap->n && due_before(heap->items[child + 1], heap->items[child]))
            child++;
        if (child >= heap->n || !due_before(heap->items[child], s))
            break;
        heap_place(heap, heap->items[child], i);
        i = child;
    }
    heap_place(heap, s, i);
}

static void heap_remove(SessionList *heap, Session *s)
{
    size_t i = s->heap_index;
    Session *last = heap->items[--heap->n];

    s->heap_index = NOT_IN_HEAP;
    if (last == s)
        return;
    heap_place(heap, last, i);
    heap_up(heap, last);
    heap_down(heap, last);
}

void sessions_set_due(Sessions *all, Session *s, int64_t due_us)
{
    s->due_us = due_us;
    if (s->heap_index == NOT_IN_HEAP) {
        DL_APPEND(all->by_touch, s);
        list_push(&all->heap, s);
        s->heap_index = all->heap.n - 1;
    }
    heap_up(&all->heap, s);
    heap_down(&all->heap, s);
}

Session *sessions_first_due(const Sessions *all, int64_t *ret_due_us)
{
    if (!all->heap.n)
        return NULL;
    *ret_due_us = all->heap.items[0]->due_us;
    return all->heap.items[0];
}

Session *sessions_longest_silent(const Sessions *all)
{
    return all->by_touch;
}

void sessions_set_all_due(Sessions *all, int64_t (*due)(void *arg, Session *s), void *arg)
{
    for (size_t i = 0; i < all->heap.n; i++)
        all->heap.items[i]->due_us = due(arg, all->heap.items[i]);
    for (size_t i = all->heap.n / 2; i-- > 0;)
        heap_down(&all->heap, all->heap.items[i]);
}

void sessions_touch(Sessions *all, Session *s)
{
    DL_DELETE(all->by_touch, s);
    DL_APPEND(all->by_touch, s);
}

void sessions_mark_dirty(Sessions *all, Session *s)
{
    if (!s->dirty)
        list_push(&all->dirty, s);
    s->dirty = true;
}

void sessions_done(Sessions *all, Session *s)
{
    s->state = SESSION_DONE;
    if (s->heap_index != NOT_IN_HEAP) {
        heap_remove(&all->heap, s);
        DL_DELETE(all->by_touch, s);
    }
    if (!s->listed_done)
        list_push(&all->done, s);
    s->listed_done = true;
}

/* --- life --- */

typedef Str *SessionTexts[8];

static void texts_of(SessionRow *r, SessionTexts ret)
{
    SessionTexts texts = {&r->sensor,         &r->session, &r->decky,      &r->username,
                          &r->client_version, &r->hassh,   &r->shard_path, &r->sensor_address};
    memcpy(ret, texts, sizeof(texts));
}

static void session_free(Session *s)
{
    SessionRow *r = &s->row;
    SessionTexts texts;

    texts_of(r, texts);
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        free((char *)texts[i]->data);
    for (size_t i = 0; i < r->n_artifact_list; i++) {
        free((char *)r->artifact_list[i].url.data);
        free((char *)r->artifact_list[i].orig_path.data);
    }
    for (size_t i = 0; i < r->n_keys; i++)
        free((char *)r->keys[i].data);
    free((SessionArtifact *)r->artifact_list);
    free((Str *)r->keys);
    free(s->part_ends);
    free(s->key);
    free(s);
}

static void make_key(Str sensor, Str session, Buf *out)
{
    buf_add_str(out, sensor);
    buf_add_char(out, '\0');
    buf_add_str(out, session);
}

Session *sessions_find(const Sessions *all, Str sensor, Str session)
{
    cleanup(buf_free) Buf key = {0};
    Session *s = NULL;

    make_key(sensor, session, &key);
    HASH_FIND(hh, all->by_key, key.data, key.len, s);
    return s;
}

Session *sessions_add(Sessions *all, const SessionRow *row)
{
    Session *s = checked(calloc(1, sizeof(*s)));
    SessionTexts texts;
    cleanup(buf_free) Buf key = {0};

    make_key(row->sensor, row->session, &key);
    s->key = TAKE_PTR(key.data);
    s->heap_index = NOT_IN_HEAP;
    s->row = *row;
    texts_of(&s->row, texts);
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        *texts[i] = text_copy(*texts[i]);
    s->row.artifact_list = NULL;
    s->row.keys = NULL;
    s->row.n_artifact_list = s->row.n_keys = 0;
    for (size_t i = 0; i < row->n_artifact_list; i++)
        (void)session_list_artifact(s, &row->artifact_list[i]);
    for (size_t i = 0; i < row->n_keys; i++)
        session_remember_key(s, row->keys[i]);
    HASH_ADD_KEYPTR(hh, all->by_key, s->key, key.len, s);
    return s;
}

void sessions_settle(Sessions *all)
{
    for (size_t i = 0; i < all->dirty.n; i++)
        all->dirty.items[i]->dirty = false;
    all->dirty.n = 0;
    for (size_t i = 0; i < all->done.n; i++) {
        Session *s = all->done.items[i];
        s->listed_done = false;
        if (s->state != SESSION_DONE)
            continue;
        assert(all->by_key); /* @s is in it */
        HASH_DELETE(hh, all->by_key, s);
        session_free(s);
    }
    all->done.n = 0;
}

void sessions_free(Sessions *all)
{
    Session *s, *tmp;

    HASH_ITER (hh, all->by_key, s, tmp) {
        HASH_DELETE(hh, all->by_key, s);
        session_free(s);
    }
    free(all->heap.items);
    free(all->dirty.items);
    free(all->done.items);
    *all = (Sessions){0};
}

/* --- lists of a session --- */

static bool same_artifact(const SessionArtifact *a, const SessionArtifact *b)
{
    return strcmp(a->sha256, b->sha256) == 0 && str_eq(a->url, b->url) && str_eq(a->orig_path, b->orig_path);
}

bool session_list_artifact(Session *s, const SessionArtifact *artifact)
{
    SessionRow *r = &s->row;
    size_t bytes = ARTIFACT_FRAME_BYTES + 6 * (artifact->url.len + artifact->orig_path.len); /* if all is escaped */

    for (size_t i = 0; i < r->n_artifact_list; i++)
        if (same_artifact(&r->artifact_list[i], artifact))
            return true;
    if (r->n_artifact_list == LIMIT_SESSION_ARTIFACTS || s->artifact_bytes + bytes > LIMIT_SESSION_ARTIFACT_BYTES)
        return false;
    SessionArtifact *list =
        checked(reallocarray((SessionArtifact *)r->artifact_list, r->n_artifact_list + 1, sizeof(*list)));
    list[r->n_artifact_list] = *artifact;
    list[r->n_artifact_list].url = text_copy(artifact->url);
    list[r->n_artifact_list].orig_path = text_copy(artifact->orig_path);
    r->artifact_list = list;
    r->n_artifact_list++;
    s->artifact_bytes += bytes;
    return true;
}

bool session_has_key(const Session *s, Str fingerprint)
{
    for (size_t i = 0; i < s->row.n_keys; i++)
        if (str_eq(s->row.keys[i], fingerprint))
            return true;
    return false;
}

void session_remember_key(Session *s, Str fingerprint)
{
    SessionRow *r = &s->row;

    if (!fingerprint.len || session_has_key(s, fingerprint) || r->n_keys == LIMIT_SESSION_KEYS)
        return;
    Str *keys = checked(reallocarray((Str *)r->keys, r->n_keys + 1, sizeof(*keys)));
    keys[r->n_keys++] = text_copy(fingerprint);
    r->keys = keys;
}

/* --- splitting an event that would become too large --- */

/* What the next command adds to its event, with the longest id there is, and with a guess at the user's name while
 * nobody has logged in. */
static size_t command_bytes(const Session *s, Str text)
{
    EventCommand c = {.text = text,
                      .source_id = STR("00000000-0000-0000-0000-000000000000#9223372036854775807"),
                      .decky_id = s->row.decky,
                      .user = s->row.username.data ? s->row.username
                                                   : STR("................................................"),
                      .src = str_from(s->row.src_ip)};
    return session_command_json_bytes(&c);
}

static int64_t part_start(const Session *s)
{
    return s->n_part_ends ? s->part_ends[s->n_part_ends - 1] : s->row.commands_sent;
}

void session_plan_command(Session *s, Str text)
{
    size_t bytes = command_bytes(s, text);

    if (s->part_commands > 0 &&
        (s->part_commands == LIMIT_PART_COMMANDS || s->part_bytes + bytes > LIMIT_EVENT_BYTES - EVENT_FRAME_BYTES)) {
        int64_t end = part_start(s) + s->part_commands;
        if (s->n_part_ends == s->part_ends_cap) {
            s->part_ends_cap = s->part_ends_cap ? s->part_ends_cap * 2 : 4;
            s->part_ends = checked(reallocarray(s->part_ends, s->part_ends_cap, sizeof(*s->part_ends)));
        }
        s->part_ends[s->n_part_ends++] = end;
        s->part_commands = 0;
        s->part_bytes = 0;
    }
    s->part_commands++;
    s->part_bytes += bytes;
}

int64_t *session_take_parts(Session *s, Arena *arena, size_t *ret_n)
{
    int64_t *ends = arena_calloc(arena, s->n_part_ends + 1, sizeof(*ends));

    if (s->n_part_ends)
        memcpy(ends, s->part_ends, s->n_part_ends * sizeof(*ends));
    ends[s->n_part_ends] = s->row.commands;
    *ret_n = s->n_part_ends + 1;
    s->n_part_ends = 0;
    s->part_commands = 0;
    s->part_bytes = 0;
    return ends;
}
