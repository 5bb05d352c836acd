/* Neither the size of chunks nor a crash nor a second reading changes what is stored and announced. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include "fakes/ingest_store.h"

static Arena *arena;
static const CowrieOptions cowrie = {0};

enum { GRACE_S = 30, IDLE_S = 3600 };

static void setup(void)
{
    arena = arena_new();
}

static void teardown(void)
{
    arena_free(arena);
}

TestSuite(cowrie_replay, .init = setup, .fini = teardown, .timeout = 60);

static void read_sample(Buf *out)
{
    const char *root = getenv("DECNET_SOURCE_ROOT");
    const char *path = arena_printf(arena, "%s/tests/samples/cowrie.jsonl.gz", root ? root : ".");
    gzFile file = gzopen(path, "rb");
    char piece[65536];
    int n;

    cr_assert_not_null(file, "%s", path);
    while ((n = gzread(file, piece, sizeof(piece))) > 0)
        buf_append(out, piece, (size_t)n);
    gzclose(file);
    cr_assert_gt(out->len, 100000);
}

static IngestStore *ingest(const AssemblyOptions *options, Str text, size_t chunk)
{
    IngestStore *store = ingest_store_new(options, &cowrie);
    ingest_store_feed(store, text, chunk);
    ingest_store_flush(store, chunk);
    return store;
}

static void assert_same(const IngestStore *store, const Buf *want, const char *what)
{
    cleanup(buf_free) Buf got = {0};
    ingest_store_dump(store, true, &got);
    if (str_eq(buf_str(want), buf_str(&got)))
        return;
    size_t i = 0;
    while (i < want->len && i < got.len && want->data[i] == got.data[i])
        i++;
    while (i > 0 && want->data[i - 1] != '\n')
        i--;
    cr_assert_fail("%s: %.300s\nbut was %.300s", what, got.data + i, want->data + i);
}

Test(cowrie_replay, chunk_size_changes_nothing)
{
    static const AssemblyOptions settings[] = {
        {.grace_us = GRACE_S * US_PER_S},
        {.grace_us = GRACE_S * US_PER_S,
         .idle_timeout_us = 5 * US_PER_S}, /* sessions end and open again all the time */
        {.grace_us = 0, .idle_timeout_us = 5 * US_PER_S, .announce_all = true},
        {.grace_us = GRACE_S * US_PER_S, .max_sessions = 2},
    };
    static const size_t chunks[] = {1, 7, 500};
    cleanup(buf_free) Buf text = {0};

    read_sample(&text);
    for (size_t s = 0; s < ARRAY_SIZE(settings); s++) {
        cleanup(buf_free) Buf want = {0};
        IngestStore *store = ingest(&settings[s], buf_str(&text), 100000);
        ingest_store_dump(store, true, &want);
        ingest_store_free(store);
        for (size_t c = 0; c < ARRAY_SIZE(chunks); c++) {
            store = ingest(&settings[s], buf_str(&text), chunks[c]);
            assert_same(store, &want, arena_printf(arena, "setting %zu, chunks of %zu", s, chunks[c]));
            ingest_store_free(store);
        }
    }
}

Test(cowrie_replay, crash_after_any_commit_changes_nothing)
{
    static const AssemblyOptions settings[] = {
        {.grace_us = GRACE_S * US_PER_S, .idle_timeout_us = IDLE_S * US_PER_S},
        {.grace_us = GRACE_S * US_PER_S, .idle_timeout_us = 5 * US_PER_S},
    };
    cleanup(buf_free) Buf text = {0};

    read_sample(&text);
    for (size_t s = 0; s < ARRAY_SIZE(settings); s++) {
        cleanup(buf_free) Buf want = {0};
        IngestStore *store = ingest(&settings[s], buf_str(&text), 50);
        ingest_store_dump(store, true, &want);
        ingest_store_free(store);

        store = ingest_store_new(&settings[s], &cowrie);
        for (Str rest = buf_str(&text); rest.len;) {
            size_t n = MIN((size_t)17001, rest.len);
            while (n < rest.len && rest.data[n - 1] != '\n')
                n++;
            ingest_store_feed(store, (Str){rest.data, n}, 50);
            ingest_store_crash(store);
            rest = (Str){rest.data + n, rest.len - n};
        }
        ingest_store_flush(store, 50);
        assert_same(store, &want, "killed every 50 lines or so");
        ingest_store_free(store);
    }
}

Test(cowrie_replay, reading_again_adds_nothing)
{
    AssemblyOptions options = {.grace_us = GRACE_S * US_PER_S, .idle_timeout_us = IDLE_S * US_PER_S};
    cleanup(buf_free) Buf text = {0}, want = {0};

    read_sample(&text);
    IngestStore *store = ingest(&options, buf_str(&text), 50);
    ingest_store_dump(store, true, &want);
    cr_assert_eq(ingest_store_counts(store).logs, 2988);
    ingest_store_begin_source(store);
    ingest_store_feed(store, buf_str(&text), 50);
    ingest_store_flush(store, 50);
    assert_same(store, &want, "second reading");
    ingest_store_free(store);

    store = ingest_store_new(&options, &cowrie);
    size_t half = text.len / 2;
    while (text.data[half - 1] != '\n')
        half++;
    ingest_store_feed(store, (Str){text.data, half}, 50);
    ingest_store_crash(store);
    ingest_store_begin_source(store); /* the position was lost too */
    ingest_store_feed(store, buf_str(&text), 50);
    ingest_store_flush(store, 50);
    assert_same(store, &want, "killed half way, read from the start");
    ingest_store_free(store);
}
