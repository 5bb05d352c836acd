/* Compiling and scanning a pack of patterns. */
#define PCRE2_CODE_UNIT_WIDTH 8

#include "pack.h"

#include <errno.h>
#include <hs/hs.h>
#include <limits.h>
#include <pcre2.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"

#include "pack_cache.h"

struct PatternPack {
    hs_database_t *database;
    hs_scratch_t *scratch;
    size_t n;
    pcre2_code **confirm; /* per pattern; NULL when Hyperscan's word is final */
    size_t n_confirm;
    pcre2_match_data *match_data;
    pcre2_match_context *match_context;
    uint64_t limit_hits;
    char *warning;
    bool from_cache;
};

/* What one compilation needs at hand. */
typedef struct Build {
    const PackPattern *patterns;
    size_t n;
    uint8_t *prefilter; /* per pattern: Hyperscan only prefilters it */
    size_t *ret_index;
    char **ret_error;
} Build;

static unsigned hs_flags(const Build *b, size_t i)
{
    return HS_FLAG_SINGLEMATCH | (b->patterns[i].icase ? HS_FLAG_CASELESS : 0) |
           (b->prefilter[i] ? HS_FLAG_PREFILTER : 0);
}

static int refuse(const Build *b, size_t index, const char *what)
{
    *b->ret_index = index;
    *b->ret_error = strdup(what);
    return -EINVAL;
}

/* NULL when Hyperscan accepts pattern @i under its present flags, else why not (caller frees). */
static char *hs_objection(const Build *b, size_t i)
{
    hs_expr_info_t *info = NULL;
    hs_compile_error_t *error = NULL;
    char *why = NULL;

    if (hs_expression_info(b->patterns[i].regex, hs_flags(b, i), &info, &error) != HS_SUCCESS) {
        why = strdup(error && error->message ? error->message : "refused by Hyperscan");
        hs_free_compile_error(error);
    }
    free(info);
    return why;
}

/* No setting inside a pattern may loosen what we fix here: UTF would make invalid text an error. */
static pcre2_code *pcre2_compile_pattern(const PackPattern *p, char *why, size_t why_bytes)
{
    int code = 0;
    PCRE2_SIZE offset = 0;
    uint32_t options = PCRE2_NEVER_UTF | PCRE2_NEVER_UCP | (p->icase ? PCRE2_CASELESS : 0);
    pcre2_code *compiled = pcre2_compile((PCRE2_SPTR)p->regex, PCRE2_ZERO_TERMINATED, options, &code, &offset, NULL);

    if (!compiled && why) {
        PCRE2_UCHAR text[160];
        pcre2_get_error_message(code, text, sizeof(text));
        snprintf(why, why_bytes, "%s at character %zu", (const char *)text, offset + 1);
    }
    return compiled;
}

/* Let Hyperscan only prefilter pattern @i, if PCRE2 can confirm it. */
static int demote(Build *b, size_t i, const char *objection)
{
    char why[256];
    pcre2_code *compiled = pcre2_compile_pattern(&b->patterns[i], why, sizeof(why));

    if (!compiled)
        return refuse(b, i, why);
    pcre2_code_free(compiled);
    if (b->prefilter[i])
        return refuse(b, i, objection);
    b->prefilter[i] = 1;
    cleanup(freep) char *still = hs_objection(b, i);
    return still ? refuse(b, i, objection) : 0;
}

static int choose_engines(Build *b)
{
    for (size_t i = 0; i < b->n; i++) {
        cleanup(freep) char *objection = hs_objection(b, i);
        int r = objection ? demote(b, i, objection) : 0;
        if (r < 0)
            return r;
    }
    return 0;
}

static int compile_once(const Build *b, hs_database_t **ret, int *ret_index, char **ret_why)
{
    cleanup(freep) const char **regexes = calloc(b->n, sizeof(*regexes));
    cleanup(freep) unsigned *flags = calloc(b->n, sizeof(*flags)), *ids = calloc(b->n, sizeof(*ids));
    hs_compile_error_t *error = NULL;

    if (!regexes || !flags || !ids)
        return -ENOMEM;
    for (size_t i = 0; i < b->n; i++) {
        regexes[i] = b->patterns[i].regex;
        flags[i] = hs_flags(b, i);
        ids[i] = (unsigned)i;
    }
    if (hs_compile_multi(regexes, flags, ids, (unsigned)b->n, HS_MODE_BLOCK, NULL, ret, &error) == HS_SUCCESS)
        return 0;
    *ret_index = error ? error->expression : -1;
    *ret_why = strdup(error && error->message ? error->message : "refused by Hyperscan");
    hs_free_compile_error(error);
    return -EINVAL;
}

/* Some patterns are only found too large once they are compiled: demote them one by one. */
static int compile_all(Build *b, hs_database_t **ret)
{
    int r = choose_engines(b);

    while (r == 0) {
        cleanup(freep) char *why = NULL;
        int index = -1;
        r = compile_once(b, ret, &index, &why);
        if (r != -EINVAL)
            return r;
        r = index >= 0 ? demote(b, (size_t)index, why) : refuse(b, b->n, why);
    }
    return r;
}

static int prepare_confirmation(PatternPack *pack, const Build *b)
{
    pack->confirm = calloc(b->n, sizeof(*pack->confirm));
    pack->match_data = pcre2_match_data_create(1, NULL);
    pack->match_context = pcre2_match_context_create(NULL);
    if (!pack->confirm || !pack->match_data || !pack->match_context)
        return -ENOMEM;
    pcre2_set_match_limit(pack->match_context, LIMIT_PCRE2_MATCH);
    pcre2_set_depth_limit(pack->match_context, LIMIT_PCRE2_DEPTH);
    pcre2_set_heap_limit(pack->match_context, LIMIT_PCRE2_HEAP_KIB);
    for (size_t i = 0; i < b->n; i++) {
        char why[256];
        if (!b->prefilter[i])
            continue;
        pack->confirm[i] = pcre2_compile_pattern(&b->patterns[i], why, sizeof(why));
        if (!pack->confirm[i])
            return refuse(b, i, why);
        pack->n_confirm++;
    }
    return 0;
}

static int obtain_database(PatternPack *pack, Build *b, const char *cache_dir)
{
    cleanup(buf_free) Buf path = {0};
    PackCacheKey key = pack_cache_key(b->patterns, b->n);

    if (cache_dir && cache_dir[0])
        pack_cache_path(&path, cache_dir, &key);
    if (path.len && pack_cache_read(path.data, &key, b->prefilter, b->n, &pack->database)) {
        pack->from_cache = true;
        return 0;
    }
    memset(b->prefilter, 0, b->n);
    int r = compile_all(b, &pack->database);
    if (r == 0 && path.len) {
        int kept = pack_cache_write(path.data, &key, b->prefilter, b->n, pack->database);
        if (kept < 0 &&
            asprintf(&pack->warning, "%s: cannot keep the compiled rules: %s", path.data, strerror(-kept)) < 0)
            pack->warning = NULL;
    }
    return r;
}

int pattern_pack_compile(const PackPattern *patterns, size_t n, const char *cache_dir, PatternPack **ret,
                         size_t *ret_index, char **ret_error)
{
    cleanup(pattern_pack_freep) PatternPack *pack = calloc(1, sizeof(*pack));
    cleanup(freep) uint8_t *prefilter = calloc(n + 1, 1);
    Build b = {.patterns = patterns, .n = n, .prefilter = prefilter, .ret_index = ret_index, .ret_error = ret_error};

    if (!pack || !prefilter)
        return -ENOMEM;
    pack->n = n;
    if (n == 0) {
        *ret = TAKE_PTR(pack);
        return 0;
    }
    if (hs_valid_platform() != HS_SUCCESS)
        return refuse(&b, n, "this CPU lacks SSSE3, which Hyperscan needs");
    int r = obtain_database(pack, &b, cache_dir);
    if (r == 0)
        r = prepare_confirmation(pack, &b);
    if (r == 0 && hs_alloc_scratch(pack->database, &pack->scratch) != HS_SUCCESS)
        r = -ENOMEM;
    if (r == 0)
        *ret = TAKE_PTR(pack);
    return r;
}

void pattern_pack_free(PatternPack *pack)
{
    if (!pack)
        return;
    for (size_t i = 0; pack->confirm && i < pack->n; i++)
        pcre2_code_free(pack->confirm[i]);
    free(pack->confirm);
    pcre2_match_data_free(pack->match_data);
    pcre2_match_context_free(pack->match_context);
    hs_free_scratch(pack->scratch);
    hs_free_database(pack->database);
    free(pack->warning);
    free(pack);
}

typedef struct Hits {
    uint32_t *ids;
    size_t n;
} Hits;

static int on_match(unsigned id, unsigned long long from, unsigned long long to, unsigned flags, void *context)
{
    Hits *hits = context;
    hits->ids[hits->n++] = id; /* once each: every pattern is compiled with HS_FLAG_SINGLEMATCH */
    return 0;
}

static bool confirm(PatternPack *pack, size_t id, Str text)
{
    int r =
        pcre2_match(pack->confirm[id], (PCRE2_SPTR)text.data, text.len, 0, 0, pack->match_data, pack->match_context);

    if (r < 0 && r != PCRE2_ERROR_NOMATCH)
        pack->limit_hits++;
    return r >= 0;
}

size_t pattern_pack_scan(PatternPack *pack, Str text, uint32_t *ret_ids)
{
    Hits hits = {.ids = ret_ids};
    size_t n = 0;

    if (pack->n == 0 || text.len == 0) /* no pattern matches the empty text, Hyperscan refuses those that would */
        return 0;
    assert(text.len <= UINT_MAX);
    hs_error_t r = hs_scan(pack->database, text.data, (unsigned)text.len, 0, pack->scratch, on_match, &hits);
    assert(r == HS_SUCCESS); /* it can only fail for wrong arguments */
    (void)r;
    if (pack->n_confirm == 0)
        return hits.n;
    for (size_t i = 0; i < hits.n; i++)
        if (!pack->confirm[ret_ids[i]] || confirm(pack, ret_ids[i], text))
            ret_ids[n++] = ret_ids[i];
    return n;
}

bool pattern_pack_from_cache(const PatternPack *pack)
{
    return pack->from_cache;
}

const char *pattern_pack_warning(const PatternPack *pack)
{
    return pack->warning;
}

size_t pattern_pack_confirmed(const PatternPack *pack)
{
    return pack->n_confirm;
}

uint64_t pattern_pack_limit_hits(const PatternPack *pack)
{
    return pack->limit_hits;
}
