/* decnet-vectors: run files of known answers through the tagging core. Plain or gzip, told apart by content:
 *
 *   tag ids      one JSON object: {"namespace": uuid, "vectors": [{source_kind, source_id, rule_id, rule_version,
 *                technique_id, sub_technique_id, uuid}]}
 *   reference    lines {"command", "rules": [[rule, technique, sub, tactic, confidence]]}: each listed rule must fire
 *   probes       lines {"rule", "command", "expect"}: must and should fire, must_not do not; control: no rule at all
 *
 * Prints each failing case, then "N passed, N failed". */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include "base/cli.h"
#include "base/json.h"
#include "base/limits.h"
#include "ttp/engine.h"

enum { EXIT_USAGE = 2, FILE_MAX_BYTES = 256 * 1024 * 1024, READ_CHUNK_BYTES = 256 * 1024, SHOWN_COMMAND_BYTES = 160 };

typedef struct Run {
    const Config *config;
    TtpEngine *engine; /* loaded when the first file needs it */
    Arena *arena;      /* of one case */
    size_t passed, failed;
    const char *file;
    unsigned line; /* 0: the file as a whole */
} Run;

/* --- results --- */

printf_like(3, 4) static void check(Run *run, bool ok, const char *fmt, ...)
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

static const char *shown(Run *run, Str text)
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
static bool next_line(Run *run, Str *rest, Str *ret)
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

/* --- tag ids --- */

static bool is_tag_ids(json_object *first)
{
    return json_get_array(first, "vectors") && json_get_str(first, "namespace").data;
}

static void check_tag_id(Run *run, json_object *v)
{
    int64_t version = 0, number = 0;
    Uuid want;
    char got[UUID_TEXT_BYTES];

    json_get_int(v, "n", &number);
    if (!json_get_int(v, "rule_version", &version) || !uuid_parse_text(json_get_str(v, "uuid"), &want)) {
        check(run, false, "vector %lld has no integer rule_version, or no uuid", (long long)number);
        return;
    }
    Uuid id = ttp_tag_id(json_get_str(v, "source_kind"), json_get_str(v, "source_id"), json_get_str(v, "rule_id"),
                         version, json_get_str(v, "technique_id"), json_get_str(v, "sub_technique_id"));
    uuid_format(got, &id);
    check(run, uuid_cmp(&id, &want) == 0, "vector %lld: tag id is %s, not " STR_FMT, (long long)number, got,
          STR_ARG(json_get_str(v, "uuid")));
}

static void run_tag_ids(Run *run, Str text)
{
    cleanup(json_putp) json_object *root = json_parse(text);
    json_object *vectors = json_get_array(root, "vectors");
    Uuid ns;

    check(run, uuid_parse_text(json_get_str(root, "namespace"), &ns) && uuid_cmp(&ns, &UUID_NS_TTP_TAG) == 0,
          "the namespace of tag ids differs from ours");
    for (size_t i = 0; i < json_object_array_length(vectors); i++)
        check_tag_id(run, json_object_array_get_idx(vectors, i));
}

/* --- rules on commands --- */

static TtpTags tags_of(Run *run, Str command)
{
    Str cut = text_clip(command, LIMIT_COMMAND_BYTES);
    TtpCommand c = {
        .source_id = STR("vector"), .text = cut, .truncated = cut.len < command.len, .observed_at_us = TIME_NONE};
    TtpTags tags = {0};

    ttp_tags_for_command(run->engine, run->arena, &c, &tags);
    return tags;
}

static bool is_reference(json_object *first)
{
    return json_get_str(first, "command").data && json_get_array(first, "rules");
}

static bool tag_is(const TtpTag *tag, Str technique, Str sub, Str tactic, double confidence)
{
    return str_eq_cstr(technique, tag->technique) && str_eq_cstr(sub, tag->sub ? tag->sub : "") &&
           str_eq_cstr(tactic, tag->tactic) && fabs(tag->confidence - confidence) < 1e-9;
}

/* One [rule, technique, sub, tactic, confidence]. */
static void check_listed(Run *run, const TtpTags *tags, Str command, json_object *row)
{
    Str rule = json_str(json_object_array_get_idx(row, 0)), technique = json_str(json_object_array_get_idx(row, 1)),
        sub = json_str(json_object_array_get_idx(row, 2)), tactic = json_str(json_object_array_get_idx(row, 3));
    double confidence = json_object_get_double(json_object_array_get_idx(row, 4));
    bool fired = false, same = false;

    for (size_t i = 0; i < tags->n; i++) {
        if (!str_eq_cstr(rule, tags->items[i].rule->id))
            continue;
        fired = true;
        same = same || tag_is(&tags->items[i], technique, sub, tactic, confidence);
    }
    check(run, same, STR_FMT " %s on %s", STR_ARG(rule),
          fired ? "fires with another technique, tactic or confidence" : "does not fire", shown(run, command));
}

static void run_reference_line(Run *run, json_object *line)
{
    Str command = json_get_str(line, "command");
    json_object *rules = json_get_array(line, "rules");

    if (!command.data || !rules) {
        check(run, false, "the line lacks \"command\" or \"rules\"");
        return;
    }
    TtpTags tags = tags_of(run, command);
    for (size_t i = 0; i < json_object_array_length(rules); i++) {
        json_object *row = json_object_array_get_idx(rules, i);
        if (json_object_is_type(row, json_type_array) && json_object_array_length(row) == 5)
            check_listed(run, &tags, command, row);
        else
            check(run, false, "entry %zu of \"rules\" is not [rule, technique, sub, tactic, confidence]", i + 1);
    }
}

static bool is_probe(json_object *first)
{
    return json_get_str(first, "command").data && json_get_str(first, "expect").data;
}

static bool rule_fired(const TtpTags *tags, Str rule)
{
    for (size_t i = 0; i < tags->n; i++)
        if (str_eq_cstr(rule, tags->items[i].rule->id))
            return true;
    return false;
}

static void run_probe_line(Run *run, json_object *line)
{
    Str command = json_get_str(line, "command"), expect = json_get_str(line, "expect"),
        rule = json_get_str(line, "rule");
    bool wanted = str_eq(expect, STR("must")) || str_eq(expect, STR("should"));
    bool control = str_eq(expect, STR("control"));

    if (!command.data || (!control && !rule.data) || (!wanted && !control && !str_eq(expect, STR("must_not")))) {
        check(run, false,
              "the line lacks \"command\" or \"rule\", or \"expect\" is none of must, should, must_not, "
              "control");
        return;
    }
    TtpTags tags = tags_of(run, command);
    if (control)
        check(run, tags.n == 0, "%s fires on the control %s", tags.n ? tags.items[0].rule->id : "",
              shown(run, command));
    else
        check(run, rule_fired(&tags, rule) == wanted, STR_FMT " %s on %s", STR_ARG(rule),
              wanted ? "does not fire" : "fires", shown(run, command));
}

/* --- shapes --- */

typedef struct Shape {
    bool (*is)(json_object *first);
    bool needs_engine;
    void (*whole)(Run *run, Str text);                /* one JSON text, or */
    void (*line)(Run *run, json_object *line_object); /* one a line */
} Shape;

static const Shape shapes[] = {
    {is_tag_ids, false, run_tag_ids, NULL},
    {is_reference, true, NULL, run_reference_line},
    {is_probe, true, NULL, run_probe_line},
};

static const Shape *shape_of(Str text)
{
    Run ignored = {0};
    Str rest = text, line = {0};

    next_line(&ignored, &rest, &line);
    cleanup(json_putp) json_object *first = json_parse(line), *all = first ? NULL : json_parse(text);
    for (size_t i = 0; i < ARRAY_SIZE(shapes); i++)
        if (shapes[i].is(first ? first : all))
            return &shapes[i];
    return NULL;
}

static bool load_engine(Run *run)
{
    cleanup(freep) char *cache_dir = config_cache_dir(run->config), *error = NULL;

    if (run->engine)
        return true;
    if (ttp_engine_load(run->config->rules_path, run->config->attack_catalog, cache_dir, &run->engine, &error) == 0) {
        fputs(ttp_engine_warnings(run->engine), stderr);
        return true;
    }
    check(run, false, "cannot be checked without rules:\n%s", error);
    return false;
}

static void run_lines(Run *run, const Shape *shape, Str text)
{
    Str line;

    while (next_line(run, &text, &line)) {
        cleanup(json_putp) json_object *object = json_parse(line);
        if (json_object_is_type(object, json_type_object))
            shape->line(run, object);
        else
            check(run, false, "the line is not a JSON object");
        arena_reset(run->arena);
    }
}

static void run_file(Run *run, const char *path)
{
    cleanup(buf_free) Buf text = {0};
    size_t before = run->passed + run->failed;

    run->file = path;
    run->line = 0;
    int r = read_file(path, &text);
    if (r < 0) {
        check(run, false, "cannot be read: %s", r == -EIO ? "damaged or cut short" : strerror(-r));
        return;
    }
    const Shape *shape = shape_of(buf_str(&text));
    if (!shape) {
        check(run, false, "of no known shape; tag ids, reference rules per command and probes are known");
        return;
    }
    if (shape->needs_engine && !load_engine(run))
        return;
    if (shape->whole)
        shape->whole(run, buf_str(&text));
    else
        run_lines(run, shape, buf_str(&text));
    run->line = 0;
    if (run->passed + run->failed == before)
        check(run, false, "holds no case");
}

static void print_usage(FILE *out)
{
    cleanup(buf_free) Buf help = {0};

    config_print_help(&help);
    fprintf(out,
            "Usage: decnet-vectors [OPTION]... FILE...\n"
            "Run files of known answers through the tagging core and name each case that fails.\n"
            "\nFiles, plain or gzip: tag ids, reference rules per command, probes.\n"
            "Exit status: 0 when every case passes, 1 when one fails, 2 for a wrong command line.\n"
            "\nOptions (of the configuration, rules_path, attack_catalog and cache_dir are used):\n%s",
            help.data);
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
    Run run = {.config = &config, .arena = arena_new()};
    for (int i = 1; i <= n; i++)
        run_file(&run, argv[i]);
    printf("%zu passed, %zu failed\n", run.passed, run.failed);
    ttp_engine_free(run.engine);
    arena_free(run.arena);
    return run.failed ? 1 : 0;
}
