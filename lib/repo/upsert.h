/* Many rows into a table by their key, at the price that the batch deserves. A table says in a row of data how it is
 * done; these statements do it, and each runs only for the rows that the ones before left open:
 *
 *   judge   compares what is stored with what came, without a lock and without a write: all that a replay needs. First
 *           where the caller has a reason to think that some are stored, else after the new ones
 *   copy    what has no row yet, all of it or nothing: all that a large batch of new rows needs. A savepoint undoes it
 *           when there was one after all. Optional
 *   insert  the same, skipping what is there (ON CONFLICT DO NOTHING)
 *   lock    locks, only where rows of one call share a key and later ones change more than the first
 *   change  locks, compares again and overwrites
 *
 * An insert takes its rows from unnest()s side by side in the select list, which puts them down nowhere in between, as
 * one in FROM does. Rows of one call that share a key follow each other in the caller's order: the first of each key in one
 * round, the second in the next. Rows go in key order in each statement, inserts come first, and what later rounds change
 * is locked before anything changes, so two writers wait for each other and never deadlock. Private to lib/repo. */
#pragma once

#include "pg.h"

/* The verdict column of `judge`. TAKEN: there is no row of this key, another unique column collides with another row. */
#define UPSERT_SAME "0"
#define UPSERT_STALE "1"
#define UPSERT_DIFFERS "2"
#define UPSERT_TAKEN "3"

typedef struct Upsert {
    size_t row_bytes, outcome_at;                                /* of the caller's struct; where its RowOutcome is */
    int (*compare)(const void *a, const void *b);                /* by the whole key */
    void (*bind)(Args *args, void *const *rows, size_t n);       /* what is stored */
    void (*bind_rules)(Args *args, void *const *rows, size_t n); /* behind that for judge and change: how to do it */
    Statement copy;                              /* FROM STDIN (FORMAT binary); no .sql: there is none */
    void (*copy_one)(Buf *out, const void *row); /* the row of it */
    Statement insert;                            /* returns the key of each row that went in */
    bool (*is_key)(const PGresult *r, int i, const void *row);
    Statement judge;  /* returns (place from 1, verdict, …) of each row that is stored */
    Statement lock;   /* returns a row, of any shape, for each that is stored, and locks them as `change` does */
    Statement change; /* returns (place from 1, …) of each row that it overwrote */
    void (*judged)(void *row, const PGresult *r, int i, Arena *arena); /* takes what stands behind; may be NULL */
    void (*changed)(void *row, const PGresult *r, int i, Arena *arena);
} Upsert;

/* Sets the outcome of every row. What the callbacks keep goes to @arena. Where u->copy is set, within a transaction.
 * @maybe_stored spares the attempt to COPY; a wrong guess costs time only. */
int upsert_rows(Repo *repo, const Upsert *u, void *rows, size_t n, bool maybe_stored, Arena *arena) must_check;
/* The same without writing: what is not stored is ROW_NEW. */
int upsert_compare(Repo *repo, const Upsert *u, void *rows, size_t n, Arena *arena) must_check;
