/* decnet-vectors: run files of known answers through the pure cores. Plain or gzip; the shape of a file is told by its
 * content, see vectors_*.c. Prints each failing case, then "N passed, N failed". */
#include "vectors.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include "base/cli.h"

enum { EXIT_USAGE = 2, FILE_MAX_BYTES = 256 * 1024 * 1024, READ_CHUNK_BYTES = 256 * 1024, SHOWN_COMMAND_BYTES = 160 };

/* --- results --- */

void vector_check(VectorRun *run, bool ok, const char *fmt, ...)
{
    va_list ap;

    if (ok) {
        run->passed++;
        return;
    }
    run->failed++;
    printf("FAILED %s", run->file);
    if (run->line)
        printf(":%u", run->line);
    fputs(": ", stdout);
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    putchar('\n');
}

const char *vector_shown(VectorRun *run, Str text)
{
    cleanup(buf_free) Buf quoted = {0};
    json_append_string(&quoted, text_clip(text, SHOWN_COMMAND_BYTES));
    return str_cstr(run->arena, buf_str(&quoted));
}

/* --- reading --- */

static int read_file(const char *path, Buf *ret)
{
    gzFile f = gzopen(path, "rb"); /* passes plain files through */
    int r = f ? 0 : -errno;

    while (r == 0) {
        buf_reserve(ret, READ_CHUNK_BYTES);
        int n = gzread(f, ret->data + ret->len, READ_CHUNK_BYTES);
        if (n < 0)
            r = -EIO;
        if (n <= 0)
            break;
        ret->len += (size_t)n;
        ret->data[ret->len] = '\0';
        if (ret->len > FILE_MAX_BYTES)
            r = -EFBIG;
    }
    if (f && gzclose(f) != Z_OK && r == 0) /* a gzip file cut short shows only here */
        r = -EIO;
    return r;
}

/* The next line of @rest that is not blank; false at the end. */
static bool next_line(VectorRun *run, Str *rest, Str *ret)
{
    while (rest->len) {
        const char *end = memchr(rest->data, '\n', rest->len);
        size_t n = end ? (size_t)(end - rest->data) : rest->len;
        *ret = (Str){rest->data, n};
        *rest = (Str){rest->data + n + (end != NULL), rest->len - n - (end != NULL)};
        run->line++;
        if (text_trim(*ret).len)
            return true;
    }
    return false;
}

/* --- shapes --- */

static const VectorShape *const shapes[] = {
    &vector_tag_ids, &vector_reference, &vector_probes, &vector_attribution_mergers, &vector_attribution_sequences,
};

static const VectorShape *shape_of(Str text)
{
    VectorRun ignored = {0};
    Str rest = text, line = {0};

    next_line(&ignored, &rest, &line);
    cleanup(json_putp) json_object *first = json_parse(line), *all = first ? NULL : json_parse(text);
    for (size_t i = 0; i < ARRAY_SIZE(shapes); i++)
        if (shapes[i]->is(first ? first : all))
            return shapes[i];
    return NULL;
}

static bool load_engine(VectorRun *run)
{
    cleanup(freep) char *cache_dir = config_cache_dir(run->config), *error = NULL;

    if (run->engine)
        return true;
    if (ttp_engine_load(run->config->rules_path, run->config->attack_catalog, cache_dir, &run->engine, &error) == 0) {
        fputs(ttp_engine_warnings(run->engine), stderr);
        return true;
    }
    vector_check(run, false, "cannot be checked without rules:\n%s", error);
    return false;
}

static void run_lines(VectorRun *run, const VectorShape *shape, Str text)
{
    Str line;

    while (next_line(run, &text, &line)) {
        cleanup(json_putp) json_object *object = json_parse(line);
        if (json_object_is_type(object, json_type_object))
            shape->line(run, object);
        else
            vector_check(run, false, "the line is not a JSON object");
        arena_reset(run->arena);
    }
}

static size_t string_bytes(Str s) /* that begins with its quote */
{
    size_t n = 1;

    while (n < s.len && s.data[n] != '"')
        n += s.data[n] == '\\' ? 2 : 1;
    return MIN(n + 1, s.len);
}

/* json-c cuts integers to 64 bits, but keeps a number with a point as it was written. */
static void add_points(Str text, Buf *out)
{
    enum { DIGITS_THAT_FIT = 18 };

    while (text.len) {
        size_t n = *text.data == '"' ? string_bytes(text) : strspn(text.data, "+-.eE0123456789");
        Str part = {text.data, MAX(n, (size_t)1)};
        buf_add_str(out, part);
        if (*part.data != '"' && part.len > DIGITS_THAT_FIT && strcspn(part.data, ".eE") >= part.len)
            buf_add(out, ".0");
        text = (Str){text.data + part.len, text.len - part.len};
    }
}

static void run_whole(VectorRun *run, const VectorShape *shape, Str text)
{
    cleanup(buf_free) Buf exact = {0};
    add_points(text, &exact);
    cleanup(json_putp) json_object *root = json_parse(buf_str(&exact));

    shape->whole(run, root);
    arena_reset(run->arena);
}

/* "tag ids, reference rules per command, probes": what a message can offer. */
static void add_known_shapes(Buf *out)
{
    for (size_t i = 0; i < ARRAY_SIZE(shapes); i++) {
        buf_add(out, i ? ", " : "");
        buf_add(out, shapes[i]->what);
    }
}

static void run_file(VectorRun *run, const char *path)
{
    cleanup(buf_free) Buf text = {0};
    size_t before = run->passed + run->failed;

    run->file = path;
    run->line = 0;
    int r = read_file(path, &text);
    if (r < 0) {
        vector_check(run, false, "cannot be read: %s", r == -EIO ? "damaged or cut short" : strerror(-r));
        return;
    }
    const VectorShape *shape = shape_of(buf_str(&text));
    if (!shape) {
        cleanup(buf_free) Buf known = {0};
        add_known_shapes(&known);
        vector_check(run, false, "of no known shape; known are %s", known.data);
        return;
    }
    if (shape->needs_engine && !load_engine(run))
        return;
    if (shape->whole)
        run_whole(run, shape, buf_str(&text));
    else
        run_lines(run, shape, buf_str(&text));
    run->line = 0;
    if (run->passed + run->failed == before)
        vector_check(run, false, "holds no case");
}

static void print_usage(FILE *out)
{
    cleanup(buf_free) Buf help = {0}, known = {0};

    add_known_shapes(&known);
    config_print_help(&help);
    fprintf(out,
            "Usage: decnet-vectors [OPTION]... FILE...\n"
            "Run files of known answers through the pure cores and name each case that fails.\n"
            "\nFiles, plain or gzip: %s.\n"
            "Exit status: 0 when every case passes, 1 when one fails, 2 for a wrong command line.\n"
            "\nOptions (of the configuration, rules_path, attack_catalog and cache_dir are used):\n%s",
            known.data, help.data);
}

int main(int argc, char **argv)
{
    bool help = false;
    const CliOption options[] = {{"help", &help, NULL, "show this text"}};
    cleanup(config_free) Config config = {0};
    cleanup(freep) char *error = NULL;
    int n = 0;

    if (cli_parse(argc, argv, options, ARRAY_SIZE(options), &config, &n, &error) < 0) {
        fprintf(stderr, "decnet-vectors: %s\n", error);
        return EXIT_USAGE;
    }
    if (help || n == 0) {
        print_usage(help ? stdout : stderr);
        return help ? 0 : EXIT_USAGE;
    }
    VectorRun run = {.config = &config, .arena = arena_new()};
    for (int i = 1; i <= n; i++)
        run_file(&run, argv[i]);
    printf("%zu passed, %zu failed\n", run.passed, run.failed);
    ttp_engine_free(run.engine);
    arena_free(run.arena);
    return run.failed ? 1 : 0;
}
