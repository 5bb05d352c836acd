#include "upsert.h"

#include <string.h>

static void set_outcome(const Upsert *u, void *row, RowOutcome outcome)
{
    memcpy((char *)row + u->outcome_at, &outcome, sizeof(outcome));
}

static bool has_outcome(const Upsert *u, const void *row, RowOutcome outcome)
{
    return memcmp((const char *)row + u->outcome_at, &outcome, sizeof(outcome)) == 0;
}

/* Runs @s on @rows. */
static int run(Repo *repo, const Upsert *u, const Statement *s, void *const *rows, size_t n, PGresult **ret_result)
{
    cleanup(args_free) Args args = {0};

    u->bind(&args, rows, n);
    if (s != &u->insert)
        u->bind_rules(&args, rows, n);
    return repo_exec(repo, s, &args, ret_result);
}

/* The rows of one outcome, in their order. */
static size_t pick(const Upsert *u, void *const *rows, size_t n, RowOutcome outcome, void **to)
{
    size_t picked = 0;

    for (size_t i = 0; i < n; i++)
        if (has_outcome(u, rows[i], outcome))
            to[picked++] = rows[i];
    return picked;
}

typedef struct Copying {
    const Upsert *u;
    void *const *rows;
} Copying;

static void copy_row_of(Buf *out, const void *arg, size_t i)
{
    const Copying *c = arg;
    c->u->copy_one(out, c->rows[i]);
}

/* All of them, and *n becomes 0, or none. */
static int copy(Repo *repo, const Upsert *u, void *const *rows, size_t *n)
{
    const Copying copying = {u, rows};
    bool stored = false;

    int r = repo_copy(repo, &u->copy, &(CopyRows){copy_row_of, &copying, *n}, &stored);
    *n = stored ? 0 : *n;
    return r;
}

/* Rows come back in the order in which they went in. Those that did not are moved to the front. */
static int insert(Repo *repo, const Upsert *u, void **rows, size_t *n)
{
    cleanup(pgresult_freep) PGresult *result = NULL;
    size_t left = 0;
    int at = 0;

    int r = run(repo, u, &u->insert, rows, *n, &result);
    if (r != 0)
        return r;
    for (size_t i = 0; i < *n; i++) {
        bool is_new = at < PQntuples(result) && u->is_key(result, at, rows[i]);
        if (!is_new)
            rows[left++] = rows[i];
        at += is_new;
    }
    *n = left;
    return 0;
}

static int removed(Repo *repo, const Statement *s)
{
    return repo_fail(repo, REPO_E_RETRY, s->name, "a row was removed while it was being written");
}

/* Sets the outcome of those that are stored; *ret_n is how many they are. */
static int judge(Repo *repo, const Upsert *u, void *const *rows, size_t n, Arena *arena, size_t *ret_n)
{
    static const RowOutcome outcomes[] = {ROW_UNCHANGED, ROW_STALE, ROW_CHANGED};
    cleanup(pgresult_freep) PGresult *result = NULL;

    int r = run(repo, u, &u->judge, rows, n, &result);
    if (r != 0)
        return r;
    *ret_n = (size_t)PQntuples(result);
    for (int i = 0; i < PQntuples(result); i++) {
        void *row = rows[res_int(result, i, 0) - 1];
        size_t verdict = (size_t)res_int(result, i, 1);
        if (verdict >= ARRAY_SIZE(outcomes))
            return repo_fail_as(repo, "23505", u->judge.name, "the id of a new row is a duplicate: another row has it");
        set_outcome(u, row, outcomes[verdict]);
        if (u->judged)
            u->judged(row, result, i, arena);
    }
    return 0;
}

/* The same for rows that are known to be stored. */
static int judge_stored(Repo *repo, const Upsert *u, void *const *rows, size_t n, Arena *arena)
{
    size_t n_stored = 0;

    int r = judge(repo, u, rows, n, arena, &n_stored);
    return r || n_stored == n ? r : removed(repo, &u->judge);
}

/* Rows of which nothing is stored as far as anybody knows. What others stored meanwhile is judged. */
static int store_new(Repo *repo, const Upsert *u, void **rows, size_t n, Arena *arena)
{
    int r = u->copy.sql ? copy(repo, u, rows, &n) : 0;
    if (r == 0 && n)
        r = insert(repo, u, rows, &n);
    return r || n == 0 ? r : judge_stored(repo, u, rows, n, arena);
}

/* What is not overwritten met a row that a third one had changed meanwhile, and lost against that. */
static int change(Repo *repo, const Upsert *u, void **rows, size_t n, Arena *arena)
{
    cleanup(pgresult_freep) PGresult *result = NULL;

    int r = run(repo, u, &u->change, rows, n, &result);
    if (r != 0)
        return r;
    for (size_t i = 0; i < n; i++)
        set_outcome(u, rows[i], ROW_STALE);
    for (int i = 0; i < PQntuples(result); i++) {
        void *row = rows[res_int(result, i, 0) - 1];
        set_outcome(u, row, ROW_CHANGED);
        if (u->changed)
            u->changed(row, result, i, arena);
    }
    return 0;
}

/* Rows of different keys in key order are judged, and stored where there was none; @part has room for all of them. */
static int store(Repo *repo, const Upsert *u, void *const *rows, size_t n, void **part, bool maybe_stored, Arena *arena)
{
    size_t ignored;
    int r = 0;

    for (size_t i = 0; i < n; i++)
        set_outcome(u, rows[i], ROW_NEW);
    if (maybe_stored)
        r = judge(repo, u, rows, n, arena, &ignored);
    size_t n_part = r ? 0 : pick(u, rows, n, ROW_NEW, part);
    return n_part ? store_new(repo, u, part, n_part, arena) : r;
}

/* Those of them that were judged to differ. */
static int change_some(Repo *repo, const Upsert *u, void *const *rows, size_t n, void **part, Arena *arena)
{
    size_t n_part = pick(u, rows, n, ROW_CHANGED, part);
    return n_part ? change(repo, u, part, n_part, arena) : 0;
}

/* Puts the first row of each key of which any row is going to change to @keys, and keeps such a key's later rows. Both
 * come in key order. */
static size_t pick_keys(const Upsert *u, void *const *first, size_t n_first, void **later, size_t *n_later, void **keys)
{
    size_t picked = 0, kept = 0, at = 0;

    for (size_t i = 0; i < n_first; i++) {
        bool changes = has_outcome(u, first[i], ROW_CHANGED);
        size_t end = at;
        for (; end < *n_later && u->compare(later[end], first[i]) == 0; end++)
            changes |= has_outcome(u, later[end], ROW_CHANGED);
        if (changes) {
            keys[picked++] = first[i];
            memmove(later + kept, later + at, (end - at) * sizeof(*later));
            kept += end - at;
        }
        at = end;
    }
    *n_later = kept;
    return picked;
}

/* Later rows of a key may change what its first one left alone, and smaller keys than that changed: so all that will
 * change is locked first. A verdict about a key that does not change stands, and needs no lock. */
static int lock_keys(Repo *repo, const Upsert *u, void *const *first, size_t n_first, void **later, size_t *n_later,
                     void **part, Arena *arena)
{
    cleanup(pgresult_freep) PGresult *result = NULL;

    int r = judge_stored(repo, u, later, *n_later, arena);
    size_t n = r ? 0 : pick_keys(u, first, n_first, later, n_later, part);
    if (r != 0 || *n_later == 0)
        return r;
    r = run(repo, u, &u->lock, part, n, &result);
    return r || (size_t)PQntuples(result) == n ? r : removed(repo, &u->lock);
}

static int by_key(const void *a, const void *b, void *arg)
{
    const Upsert *u = arg;
    const char *x = *(char *const *)a, *y = *(char *const *)b;
    int c = u->compare(x, y);
    return c ? c : (x > y) - (x < y);
}

/* Moves the first row of each key to @round, keeps the others; returns how many were moved. */
static size_t take_round(const Upsert *u, void **sorted, size_t *n, void **round)
{
    size_t taken = 0, kept = 0;

    for (size_t i = 0; i < *n; i++) {
        if (taken && u->compare(round[taken - 1], sorted[i]) == 0)
            sorted[kept++] = sorted[i];
        else
            round[taken++] = sorted[i];
    }
    *n = kept;
    return taken;
}

/* Sorted rows: the first of each key, then round by round what follows. */
static int write_rounds(Repo *repo, const Upsert *u, void **sorted, size_t n, bool maybe_stored, Arena *arena)
{
    void **round = sorted + n, **part = round + n;
    size_t taken = take_round(u, sorted, &n, round);

    int r = store(repo, u, round, taken, part, maybe_stored, arena);
    if (r == 0 && n)
        r = lock_keys(repo, u, round, taken, sorted, &n, part, arena);
    r = r ? r : change_some(repo, u, round, taken, part, arena);
    while (r == 0 && n) {
        taken = take_round(u, sorted, &n, round);
        r = judge_stored(repo, u, round, taken, arena);
        r = r ? r : change_some(repo, u, round, taken, part, arena);
    }
    return r;
}

int upsert_rows(Repo *repo, const Upsert *u, void *rows, size_t n, bool maybe_stored, Arena *arena)
{
    cleanup(freep) void **sorted = calloc(3 * n + 1, sizeof(*sorted)); /* and two thirds for write_rounds() */

    if (!sorted)
        abort();
    for (size_t i = 0; i < n; i++)
        sorted[i] = (char *)rows + i * u->row_bytes;
    qsort_r(sorted, n, sizeof(*sorted), by_key, (void *)u);
    return n ? write_rounds(repo, u, sorted, n, maybe_stored, arena) : 0;
}

int upsert_compare(Repo *repo, const Upsert *u, void *rows, size_t n, Arena *arena)
{
    cleanup(freep) void **all = calloc(n + 1, sizeof(*all));
    size_t n_stored;

    if (!all)
        abort();
    for (size_t i = 0; i < n; i++) {
        all[i] = (char *)rows + i * u->row_bytes;
        set_outcome(u, all[i], ROW_NEW);
    }
    return n ? judge(repo, u, all, n, arena, &n_stored) : 0;
}
