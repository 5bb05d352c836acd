/* What the database knows, in a form that two databases can be compared by: the derived tables in key order, without
 * what depends on when and in which order things arrived. */
#pragma once

#include "repo.h"

typedef struct DumpTable {
    const char *name;    /* of the table */
    const char *key;     /* what its rows are ordered by, for people */
    const char *without; /* what is left out of a row or changed, and why, for people */
} DumpTable;

size_t dump_n_tables(void);
const DumpTable *dump_table(size_t i);

/* One row as a JSON object whose first member "table" names it; @json is borrowed. A value other than 0 ends the dump
 * and is returned. */
typedef int (*DumpWrite)(void *arg, Str json);

/* Writes the rows of table @name (NULL: of all), read in one snapshot and constant memory, in a transaction of its
 * own. REPO_E_INVALID when there is no such table. */
int dump_write(Repo *repo, const char *name, DumpWrite write, void *arg) must_check;
