#include "ingest/stored.h"

#include "base/table.h"

enum { KEEP = 10000 };

typedef struct Entry {
    SessionMark mark;
    bool pending;
    UT_hash_handle hh; /* by mark.sid */
} Entry;

struct Stored {
    Entry *by_sid; /* in the order in which they came */
};

Stored *stored_new(void)
{
    Stored *all = calloc(1, sizeof(*all));
    if (!all)
        abort();
    return all;
}

void stored_free(Stored *all)
{
    Entry *e, *next;

    if (!all)
        return;
    HASH_ITER (hh, all->by_sid, e, next) {
        HASH_DEL(all->by_sid, e);
        free(e);
    }
    free(all);
}

static Entry *find(const Stored *all, const Uuid *sid)
{
    Entry *e = NULL;
    HASH_FIND(hh, all->by_sid, sid, sizeof(*sid), e);
    return e;
}

static Entry *add(Stored *all, const Uuid *sid)
{
    Entry *e = calloc(1, sizeof(*e));
    if (!e)
        abort();
    e->mark.sid = *sid;
    HASH_ADD(hh, all->by_sid, mark.sid, sizeof(e->mark.sid), e);
    return e;
}

void stored_note(Stored *all, const StoredSession *row)
{
    Entry *e = find(all, &row->sid);

    e = e ? e : add(all, &row->sid);
    e->mark = session_mark(row);
    e->pending = row->pending;
}

bool stored_mark(const Stored *all, const Uuid *sid, SessionMark *ret)
{
    const Entry *e = find(all, sid);
    if (e)
        *ret = e->mark;
    return e;
}

void stored_settle(Stored *all, size_t n_open)
{
    for (size_t n = HASH_COUNT(all->by_sid); n-- > 0 && HASH_COUNT(all->by_sid) > 2 * n_open + KEEP;) {
        Entry *oldest = all->by_sid;
        HASH_DEL(all->by_sid, oldest);
        if (oldest->pending)
            HASH_ADD(hh, all->by_sid, mark.sid, sizeof(oldest->mark.sid), oldest);
        else
            free(oldest);
    }
}
