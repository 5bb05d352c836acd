/* What the ingest makes of Cowrie logs, without a database: counts per file, and how fast. A line of numbers for each
 * .jsonl or .jsonl.gz file named, each taken as a log of its own, read to its end, without an idle time-out.
 *
 *   assembly_counts [--chunk=LINES] [--compare] FILE…
 *
 * --compare reads each file with chunks of 1, 7 and 500 lines too and fails if anything that is stored or announced
 * differs. */
#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include "fakes/ingest_store.h"

static int read_all(const char *path, Buf *out)
{
    gzFile file = gzopen(path, "rb");
    char piece[65536];
    int n;

    if (!file)
        return -1;
    while ((n = gzread(file, piece, sizeof(piece))) > 0)
        buf_append(out, piece, (size_t)n);
    gzclose(file);
    return n;
}

static IngestStore *run(Str text, size_t chunk)
{
    AssemblyOptions options = {.grace_us = 30 * US_PER_S};
    IngestStore *store = ingest_store_new(&options, &(CowrieOptions){0});

    ingest_store_feed(store, text, chunk);
    ingest_store_flush(store, chunk);
    return store;
}

static void print_counts(const char *path, const IngestCounts *c, double seconds)
{
    const char *slash = strrchr(path, '/');

    printf(
        "%-36s lines %lld bad %lld attackers %lld deckies %lld sessions %lld (telnet %lld) announced %lld parts %lld "
        "with_commands %lld commands %lld errored %lld credentials %lld attempts %lld fingerprints %lld artifacts %lld "
        "download_attempts %lld by_eof %lld evidence %lld session_recorded %lld  %.0f lines/s\n",
        slash ? slash + 1 : path, (long long)c->logs, (long long)(c->lines - c->rejects[COWRIE_OK]),
        (long long)c->attackers, (long long)c->deckies, (long long)c->sessions, (long long)c->telnet_sessions,
        (long long)c->announced, (long long)c->parts, (long long)c->with_commands, (long long)c->commands,
        (long long)c->errored, (long long)c->credentials, (long long)c->attempts, (long long)c->fingerprints,
        (long long)c->artifacts, (long long)c->download_attempts, (long long)c->by_eof, (long long)c->evidence,
        (long long)c->synthetic_logs, (double)c->lines / seconds);
}

/* 0 when all chunk sizes lead to the same. */
static int compare(const char *path, Str text, const IngestStore *store)
{
    static const size_t chunks[] = {1, 7, 500};
    cleanup(buf_free) Buf want = {0};
    int failed = 0;

    ingest_store_dump(store, true, &want);
    for (size_t i = 0; i < ARRAY_SIZE(chunks); i++) {
        cleanup(buf_free) Buf got = {0};
        IngestStore *other = run(text, chunks[i]);
        ingest_store_dump(other, true, &got);
        ingest_store_feed(other, text, 500); /* a second pass must add nothing */
        ingest_store_flush(other, 500);
        cleanup(buf_free) Buf again = {0};
        ingest_store_dump(other, true, &again);
        ingest_store_free(other);
        if (!str_eq(buf_str(&want), buf_str(&got)) || !str_eq(buf_str(&got), buf_str(&again))) {
            printf("%s: chunks of %zu lines differ%s\n", path, chunks[i],
                   str_eq(buf_str(&want), buf_str(&got)) ? " in the second pass" : "");
            failed = 1;
        }
    }
    return failed;
}

int main(int argc, char **argv)
{
    size_t chunk = 500;
    bool want_compare = false;
    int failed = 0;

    for (int i = 1; i < argc; i++) {
        int64_t n;
        if (strncmp(argv[i], "--chunk=", 8) == 0 && text_to_int64(str_from(argv[i] + 8), &n) && n > 0) {
            chunk = (size_t)n;
            continue;
        }
        if (strcmp(argv[i], "--compare") == 0) {
            want_compare = true;
            continue;
        }
        cleanup(buf_free) Buf text = {0};
        if (read_all(argv[i], &text) < 0) {
            fprintf(stderr, "%s: cannot be read\n", argv[i]);
            return 1;
        }
        int64_t start_us = clock_monotonic_us();
        IngestStore *store = run(buf_str(&text), chunk);
        double seconds = (double)(clock_monotonic_us() - start_us) / US_PER_S;
        IngestCounts counts = ingest_store_counts(store);
        print_counts(argv[i], &counts, seconds);
        if (want_compare)
            failed |= compare(argv[i], buf_str(&text), store);
        ingest_store_free(store);
    }
    return failed;
}
