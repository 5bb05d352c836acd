/* Rate of the rule engine on a file of commands, one a line, compared with bare hs_scan.
 *
 *   engine_bench COMMANDS [RULES]
 *
 * COMMANDS may be gzip. RULES (default 1000) is how many rules the engine gets: the shipped ones, the rest made up
 * from a few shapes with words of their own. Prints, as medians of interleaved runs:
 *   stream      the engine with its memo, over the file as it is
 *   distinct    the engine without help of the memo: every line once, behind a prefix that differs in each round
 *   hs_scan     the same distinct lines through the same patterns, nothing else
 * The engine's files come from DECNET_SOURCE_ROOT. */
#include <dirent.h>
#include <hs/hs.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "base/file.h"
#include "base/limits.h"
#include "base/time.h"
#include "ttp/engine.h"

enum { ROUNDS = 5, DEFAULT_RULES = 1000, FILE_MAX_BYTES = 512 * 1024 * 1024, HITS = 64, PREFIX_BYTES = 24 };

typedef struct Lines {
    Str *items;
    size_t n;
} Lines;

static void die(const char *what, const char *why)
{
    fprintf(stderr, "engine_bench: %s: %s\n", what, why);
    exit(1);
}

static void read_commands(const char *path, Buf *text)
{
    gzFile f = gzopen(path, "rb");
    int n;

    if (!f)
        die(path, "cannot be read");
    do {
        buf_reserve(text, 1 << 18);
        n = gzread(f, text->data + text->len, 1 << 18);
        text->len += n > 0 ? (size_t)n : 0;
    } while (n > 0 && text->len < FILE_MAX_BYTES);
    if (n < 0 || gzclose(f) != Z_OK)
        die(path, "damaged");
}

static Lines split(Str text)
{
    Lines lines = {0};
    size_t cap = 0;

    while (text.len) {
        const char *end = memchr(text.data, '\n', text.len);
        size_t n = end ? (size_t)(end - text.data) : text.len;
        if (lines.n == cap) {
            cap = MAX(cap * 2, 1024);
            lines.items = realloc(lines.items, cap * sizeof(Str));
        }
        lines.items[lines.n++] = (Str){text.data, n};
        text = (Str){text.data + n + (end != NULL), text.len - n - (end != NULL)};
    }
    return lines;
}

static int by_text(const void *a, const void *b)
{
    return str_cmp(*(const Str *)a, *(const Str *)b);
}

/* Every line once, each behind room for a prefix that makes it new in each round. */
static Lines distinct_lines(Arena *arena, Lines all)
{
    Lines lines = {malloc((all.n + 1) * sizeof(Str)), 0};

    memcpy(lines.items, all.items, all.n * sizeof(Str));
    qsort(lines.items, all.n, sizeof(Str), by_text);
    for (size_t i = 0; i < all.n; i++) {
        if (lines.n && str_eq(lines.items[i], (Str){lines.items[lines.n - 1].data + PREFIX_BYTES,
                                                    lines.items[lines.n - 1].len - PREFIX_BYTES}))
            continue;
        Str line = lines.items[i];
        char *copy = arena_alloc(arena, line.len + PREFIX_BYTES);
        memcpy(copy + PREFIX_BYTES, line.data, line.len);
        lines.items[lines.n++] = (Str){copy, line.len + PREFIX_BYTES};
    }
    return lines;
}

static void renew(Lines lines)
{
    static unsigned round;
    char prefix[PREFIX_BYTES + 1];

    round++;
    snprintf(prefix, sizeof(prefix), "%0*u ", PREFIX_BYTES - 1, round);
    for (size_t i = 0; i < lines.n; i++)
        memcpy((char *)(uintptr_t)lines.items[i].data, prefix, PREFIX_BYTES);
}

/* --- rules --- */

static void write_made_up_rule(const char *folder, size_t i)
{
    static const char *const shapes[] = {
        "\\btool%zu\\b[^|;]*\\s-[a-z]*x",
        "\\b(?:cat|head|tail)\\b[^|;]*/opt/app%zu/secret",
        "/etc/service%zu\\.d/",
        "(?:^|[;&|(\\n])\\s*(?:sudo\\s+)?probe%zu\\s+--?[a-z]+",
        "\\bfetch%zu\\s+(?:-\\w+\\s+)*https?://",
    };
    cleanup(buf_free) Buf text = {0};
    char path[512], pattern[256];

    snprintf(pattern, sizeof(pattern), "%s", shapes[i % ARRAY_SIZE(shapes)]);
    char *number = strstr(pattern, "%zu");
    buf_printf(&text, "rule_id: M%04zu\nrule_version: 1\nname: made_up\napplies_to: [command]\nmatch:\n  icase: %s\n",
               i, i % 2 ? "true" : "false");
    buf_printf(&text, "  pattern: '%.*s%zu%s'\nemits:\n", (int)(number - pattern), pattern, i, number + 3);
    buf_add(&text, "  - {tactic: TA0002, technique_id: T1059, confidence: 0.5}\nevidence_fields: [command_text]\n");
    snprintf(path, sizeof(path), "%s/M%04zu.yaml", folder, i);
    if (file_write_private(path, buf_str(&text)) < 0)
        die(path, "cannot be written");
}

static void remove_folder(const char *folder)
{
    DIR *dir = opendir(folder);
    struct dirent *entry;
    char path[1024];

    while (dir && (entry = readdir(dir))) {
        snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        unlink(path);
    }
    if (dir)
        closedir(dir);
    rmdir(folder);
}

static TtpEngine *load_engine(size_t n_rules)
{
    const char *root = getenv("DECNET_SOURCE_ROOT");
    char folder[] = "/tmp/decnet-engine-bench-XXXXXX", path[1024], catalog[1024];
    TtpEngine *engine = NULL;
    char *error = NULL;

    if (!root || !mkdtemp(folder))
        die("DECNET_SOURCE_ROOT", "must name the source tree, and /tmp must be writable");
    snprintf(path, sizeof(path), "%s/workers/ttp/rules:%s", root, folder);
    snprintf(catalog, sizeof(catalog), "%s/workers/ttp/attack/enterprise-attack.json", root);
    for (size_t i = 25; i < n_rules; i++)
        write_made_up_rule(folder, i);
    int r = 0;
    for (int i = 0; r == 0 && i < 2; i++) {
        int64_t start = clock_monotonic_us();
        ttp_engine_free(engine);
        r = ttp_engine_load(path, catalog, folder, &engine, &error);
        if (r == 0)
            printf("load %s    %8.1f ms\n", ttp_engine_stats(engine).pack_from_cache ? "(cached)  " : "(compiled)",
                   (double)(clock_monotonic_us() - start) / 1000);
    }
    remove_folder(folder);
    if (r < 0)
        die("rules", error);
    return engine;
}

/* --- bare Hyperscan --- */

static hs_database_t *bare_database(const TtpRuleSet *rules, hs_scratch_t **ret_scratch)
{
    size_t n = 0, at = 0;
    hs_database_t *database = NULL;
    hs_compile_error_t *error = NULL;

    for (size_t i = 0; i < rules->n_rules; i++)
        n += rules->rules[i]->n_patterns;
    const char **regexes = calloc(n, sizeof(*regexes));
    unsigned *flags = calloc(n, sizeof(*flags)), *ids = calloc(n, sizeof(*ids));
    for (size_t i = 0; i < rules->n_rules; i++)
        for (size_t k = 0; k < rules->rules[i]->n_patterns; k++, at++) {
            regexes[at] = rules->rules[i]->patterns[k];
            flags[at] = HS_FLAG_SINGLEMATCH | (rules->rules[i]->icase ? HS_FLAG_CASELESS : 0);
            ids[at] = (unsigned)at;
        }
    if (hs_compile_multi(regexes, flags, ids, (unsigned)n, HS_MODE_BLOCK, NULL, &database, &error) != HS_SUCCESS ||
        hs_alloc_scratch(database, ret_scratch) != HS_SUCCESS)
        die("patterns", error ? error->message : "no memory");
    free(regexes);
    free(flags);
    free(ids);
    return database;
}

static int count_match(unsigned id, unsigned long long from, unsigned long long to, unsigned flags, void *context)
{
    ++*(size_t *)context;
    return 0;
}

/* --- runs, each giving commands a second --- */

static double rate(size_t n, int64_t start_us)
{
    return (double)n / ((double)MAX(clock_monotonic_us() - start_us, 1) / US_PER_S);
}

static double run_engine(TtpEngine *engine, Lines lines, size_t *ret_hits)
{
    const TtpRule *hits[HITS];
    int64_t start = clock_monotonic_us();

    for (size_t i = 0; i < lines.n; i++)
        *ret_hits += ttp_engine_match_command(engine, lines.items[i], hits, HITS);
    return rate(lines.n, start);
}

static double run_bare(const hs_database_t *database, hs_scratch_t *scratch, Lines lines, size_t *ret_hits)
{
    int64_t start = clock_monotonic_us();

    for (size_t i = 0; i < lines.n; i++)
        hs_scan(database, lines.items[i].data, (unsigned)lines.items[i].len, 0, scratch, count_match, ret_hits);
    return rate(lines.n, start);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double values[ROUNDS])
{
    qsort(values, ROUNDS, sizeof(*values), by_value);
    return values[ROUNDS / 2];
}

int main(int argc, char **argv)
{
    cleanup(buf_free) Buf text = {0};
    cleanup(arena_freep) Arena *arena = arena_new();
    double stream[ROUNDS], distinct[ROUNDS], bare[ROUNDS], ratio[ROUNDS];
    size_t hits = 0, bare_hits = 0;
    int64_t n_rules = DEFAULT_RULES;
    hs_scratch_t *scratch = NULL;

    if (argc < 2 || (argc > 2 && !text_to_int64(str_from(argv[2]), &n_rules))) {
        fputs("Usage: engine_bench COMMANDS [RULES]\n", stderr);
        return 2;
    }
    read_commands(argv[1], &text);
    Lines all = split(buf_str(&text)), once = distinct_lines(arena, all);
    TtpEngine *engine = load_engine((size_t)n_rules);
    hs_database_t *database = bare_database(ttp_engine_rules(engine), &scratch);
    for (int i = 0; i < ROUNDS; i++) {
        stream[i] = run_engine(engine, all, &hits);
        renew(once);
        distinct[i] = run_engine(engine, once, &hits);
        bare[i] = run_bare(database, scratch, once, &bare_hits);
        ratio[i] = distinct[i] / bare[i];
    }
    TtpEngineStats stats = ttp_engine_stats(engine);
    printf("rules %zu, patterns %zu, commands %zu, distinct %zu, memo hits %.1f %%\n", stats.rules, stats.patterns,
           all.n, once.n, 100.0 * (double)stats.memo_hits / (double)MAX(stats.commands, 1));
    printf("stream     %10.0f commands/s\n", median(stream));
    printf("distinct   %10.0f commands/s\n", median(distinct));
    printf("hs_scan    %10.0f commands/s\n", median(bare));
    printf("distinct / hs_scan %.2f\n", median(ratio));
    ttp_engine_free(engine);
    hs_free_scratch(scratch);
    hs_free_database(database);
    free(all.items);
    free(once.items);
    return hits && bare_hits ? 0 : 1;
}
