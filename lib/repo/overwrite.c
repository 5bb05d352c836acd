#include "overwrite.h"

#include <string.h>

/* Rows of different keys, in key order. */
typedef struct Folded {
    char *rows;
    size_t n;
    Uuid *ids;
} Folded;

static char *row_at(const Overwrite *o, const void *rows, size_t i)
{
    return (char *)rows + i * o->row_bytes;
}

static int by_key(const void *a, const void *b, void *arg)
{
    const Overwrite *o = arg;
    const char *x = *(char *const *)a, *y = *(char *const *)b;
    int c = o->compare(x, y);
    return c ? c : (x > y) - (x < y);
}

/* Sorts by key and makes one row of equal ones; @place[i] tells where row i went. */
static Folded fold(const Overwrite *o, Arena *scratch, const void *rows, size_t n, size_t *place)
{
    Folded f = {.rows = arena_calloc(scratch, n, o->row_bytes), .ids = arena_calloc(scratch, n, sizeof(*f.ids))};
    const char **order = arena_calloc(scratch, n, sizeof(*order));

    for (size_t i = 0; i < n; i++)
        order[i] = row_at(o, rows, i);
    qsort_r(order, n, sizeof(*order), by_key, (void *)o);
    for (size_t i = 0; i < n; i++) {
        char *row = row_at(o, f.rows, f.n), *before = row - o->row_bytes;
        bool repeats = f.n && o->compare(before, order[i]) == 0;
        memcpy(row, order[i], o->row_bytes);
        if (repeats && o->merge)
            o->merge(row, before);
        if (repeats)
            memcpy(before, row, o->row_bytes);
        f.n += !repeats;
        place[(size_t)(order[i] - (const char *)rows) / o->row_bytes] = f.n - 1;
    }
    return f;
}

/* The ids of rows that were there and stayed as they were. */
static int find_unchanged(Repo *repo, const Overwrite *o, const Folded *f, const size_t *unchanged, size_t n)
{
    cleanup(args_free) Args args = {0};
    cleanup(pgresult_freep) PGresult *result = NULL;

    if (n == 0)
        return 0;
    ArgArray *keys = arg_array(&args, o->key_type);
    for (size_t i = 0; i < n; i++)
        o->bind_key(keys, row_at(o, f->rows, unchanged[i]));
    int r = repo_exec(repo, &o->find, &args, &result);
    if (r == 0 && (size_t)PQntuples(result) != n)
        return repo_fail(repo, REPO_E_RETRY, o->find.name, "%s was removed meanwhile", o->vanished);
    for (int i = 0; r == 0 && i < PQntuples(result); i++)
        f->ids[unchanged[res_int(result, i, 0) - 1]] = res_uuid(result, i, 1);
    return r;
}

static int write_folded(Repo *repo, const Overwrite *o, Arena *scratch, const Folded *f, uint64_t given)
{
    cleanup(args_free) Args args = {0};
    cleanup(pgresult_freep) PGresult *result = NULL;
    size_t *unchanged = arena_calloc(scratch, f->n, sizeof(*unchanged)), n_unchanged = 0;
    int at = 0;

    o->bind(&args, f->rows, f->n, given);
    int r = repo_exec(repo, &o->write, &args, &result);
    if (r != 0)
        return r;
    for (size_t i = 0; i < f->n; i++) {
        if (at < PQntuples(result) && o->is_key(result, at, row_at(o, f->rows, i)))
            f->ids[i] = res_uuid(result, at++, 1);
        else
            unchanged[n_unchanged++] = i;
    }
    return find_unchanged(repo, o, f, unchanged, n_unchanged);
}

int overwrite_rows(Repo *repo, const Overwrite *o, const void *rows, size_t n, uint64_t given, Uuid *ids)
{
    cleanup(arena_freep) Arena *scratch = NULL;

    if (n == 0)
        return 0;
    scratch = arena_new();
    size_t *place = arena_calloc(scratch, n, sizeof(*place));
    Folded f = fold(o, scratch, rows, n, place);
    int r = write_folded(repo, o, scratch, &f, given);
    for (size_t i = 0; r == 0 && i < n; i++)
        ids[i] = f.ids[place[i]];
    return r;
}
