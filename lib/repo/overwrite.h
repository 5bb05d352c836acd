/* Many whole rows into a table by a key of one column: a row of each key is written by one statement, those that say what
 * is stored already are left alone, and the caller learns the id of each. See upsert.h for rows that are judged one by
 * one. Private to lib/repo. */
#pragma once

#include "pg.h"

typedef struct Overwrite {
    size_t row_bytes;                                                     /* of the caller's struct */
    int (*compare)(const void *a, const void *b);                         /* by key */
    void (*merge)(void *row, const void *before);                         /* of one key; NULL: the later one counts */
    void (*bind)(Args *args, const void *rows, size_t n, uint64_t given); /* as ROW_BIND does */
    unsigned key_type;
    void (*bind_key)(ArgArray *keys, const void *row);
    bool (*is_key)(const PGresult *r, int i, const void *row);
    Statement write;      /* returns (key, id) of each row that it wrote, in the order of the arrays */
    Statement find;       /* (place from 1, id) of the keys in $1 */
    const char *vanished; /* what was removed between the two, in a message */
} Overwrite;

/* @rows in any order; @ids gets the id of each. Rows go in key order, so that two writers never deadlock. */
int overwrite_rows(Repo *repo, const Overwrite *o, const void *rows, size_t n, uint64_t given, Uuid *ids) must_check;
