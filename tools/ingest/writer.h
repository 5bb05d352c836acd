/* Stores what the assembly made of a chunk of lines: rows, outgoing events and the position in the log, all in one
 * transaction. The only part of the ingest that talks to the repository. */
#pragma once

#include "assembly.h"
#include "repo/repo.h"
#include "worker/outbox.h"

typedef struct Chunk {
    CowrieEvent *events; /* lines that are events, in file order */
    size_t n;
    Str source_id;  /* whose position moves; sessions are marked with it */
    bool resumable; /* false for standard input: no position is kept */
    int64_t from_bytes, to_bytes;
    bool flush;          /* instead of lines: end what is open, at most some sessions */
    bool flush_again;    /* out: there is more to flush */
    int64_t n_new;       /* out: lines that were not stored before */
    int64_t n_attackers; /* out: attackers that were not known before */
} Chunk;

typedef struct Writer Writer;

/* All borrowed. */
Writer *writer_new(Repo *repo, Outbox *outbox, Assembly *assembly);
void writer_free(Writer *w); /* accepts NULL */

/* Sessions that an earlier run of @source_id left open or not announced, into the assembly. */
int writer_restore(Writer *w, Str source_id) must_check;
/* 0 when the chunk is stored and its events are handed to the outbox. REPO_E_RETRY: the database is away; call again
 * with the same chunk. REPO_E_FENCED: another ingester reads this log. REPO_E_OPERATOR or a negative errno: give up. */
int writer_store(Writer *w, Chunk *chunk) must_check;
