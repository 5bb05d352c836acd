/* A database for the assembly, in memory: it stores effects as a writer would, loads sessions back when the assembly
 * does not know them, and can be asked for the state in a form that two runs can be compared by. What it must not hold
 * twice, it checks. */
#pragma once

#include "ingest/assembly.h"

typedef struct IngestStore IngestStore;

IngestStore *ingest_store_new(const AssemblyOptions *options, const CowrieOptions *cowrie);
void ingest_store_free(IngestStore *store);

/* Feed lines (whole text, '\n' after each) in chunks of @chunk lines. */
void ingest_store_feed(IngestStore *store, Str text, size_t chunk);
void ingest_store_begin_source(IngestStore *store);
/* The end of input. */
void ingest_store_flush(IngestStore *store, size_t chunk);
/* A killed process: memory is lost, the database and the watermark stay. */
void ingest_store_crash(IngestStore *store);

typedef struct IngestCounts {
    int64_t lines, rejects[COWRIE_REJECTS];
    int64_t logs, synthetic_logs, attackers, deckies, sessions, telnet_sessions, announced, parts, with_commands,
        by_eof;
    int64_t commands, errored, credentials, attempts, fingerprints, artifacts, download_attempts, evidence;
} IngestCounts;
IngestCounts ingest_store_counts(const IngestStore *store);
AssemblyCounters ingest_store_assembly_counters(const IngestStore *store);

/* Everything that is stored and announced, as text in key order. @events: the announcements too. */
void ingest_store_dump(const IngestStore *store, bool events, Buf *out);
