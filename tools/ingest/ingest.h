/* One ingest run: files in order, chunks of lines, retries, follow mode, end. */
#pragma once

#include "ingest/backlog.h"
#include "ingest/input.h"
#include "ingest/progress.h"
#include "ingest/writer.h"

typedef struct IngestOptions {
    AssemblyOptions assembly;
    CowrieOptions cowrie;
    size_t chunk_lines;    /* lines in one transaction */
    int64_t chunk_wait_us; /* --follow: a chunk that is not full waits so long for more */
    bool follow;
} IngestOptions;

typedef struct IngestCounts {
    int64_t lines; /* that are events, stored before or not */
    int64_t bad[COWRIE_REJECTS];
    int64_t new_lines, new_attackers;
} IngestCounts;

typedef struct Ingest {
    const Config *config;
    const IngestOptions *options;
    Repo *repo;
    Outbox *outbox;
    Backlog *backlog;
    Assembly *assembly;
    Writer *writer;
    Progress progress;
    IngestCounts counts;
    Arena *arena; /* of the chunk being read */
    CowrieEvent *events;
    size_t n_events, chunk_bytes;
    int64_t chunk_started_us;
    const volatile int *stop; /* set by a signal: finish the chunk and end */
    char error[1200];         /* what went wrong, and what to do */
    int exit_code;
} Ingest;

/* @n paths: files, "-", or folders of logs. With options->follow exactly one file, the live log. 0, or a negative
 * errno with ingest->error and ingest->exit_code set. */
int ingest_run(Ingest *ingest, char **paths, size_t n) must_check;
