/* Options, database, messages and tables for the subcommands. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mask.h"
#include "decnetctl.h"
#include "repo/migrate.h"

enum { OPTIONS_MAX = 16 };

static void print_help(const Ctl *ctl, const CtlHelp *help, const CliOption *options, size_t n)
{
    cleanup(buf_free) Buf list = {0};

    cli_print_options(options, n, &list);
    printf("Usage: %s %s\n\n%s\nOptions:\n%s"
           "  %-28s %s\n"
           "\nExit codes: 0 done, 1 failed, 2 usage, 78 an operator has to act first (the message says how).\n"
           "Examples:\n%s",
           ctl->program, help->synopsis, help->about, list.data, "--KEY=VALUE",
           "any configuration key, see decnetctl --help", help->examples);
}

static const char *config_path(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strncmp(argv[i], "--config=", 9) == 0)
            return argv[i] + 9;
        else if (strcmp(argv[i], "--config") == 0)
            return i + 1 < argc ? argv[i + 1] : NULL;
    return NULL;
}

/* A broken configuration is the operator's, a wrong option the caller's. */
static int code_of_bad_options(int argc, char **argv)
{
    cleanup(config_free) Config probe = {0};
    cleanup(freep) char *error = NULL;
    return config_load(&probe, config_path(argc, argv), &error) == 0 ? EXIT_USAGE : EXIT_OPERATOR;
}

bool ctl_begin(Ctl *ctl, int argc, char **argv, const CtlHelp *help, const CliOption *options, size_t n)
{
    bool wants_help = false;
    const char *path = NULL;
    cleanup(freep) char *error = NULL;
    CliOption all[OPTIONS_MAX];

    assert(n + 2 <= OPTIONS_MAX);
    memcpy(all, options, n * sizeof(*all));
    all[n++] = (CliOption){"config", NULL, &path, "FILE\tread the configuration from FILE"};
    all[n++] = (CliOption){"help", &wants_help, NULL, "this text"};
    ctl->program = argv[0];
    ctl->arena = arena_new();
    ctl->code = code_of_bad_options(argc, argv); /* looked at first, as parsing moves the words */
    int r = cli_parse(argc, argv, all, n, &ctl->config, &ctl->n_args, &error);
    ctl->args = argv + 1;
    if (wants_help) {
        ctl->code = 0;
        print_help(ctl, help, all, n);
        return false;
    }
    if (r != 0)
        fprintf(stderr, "%s: %s\n", ctl->program, error);
    return r == 0;
}

void ctl_end(Ctl *ctl)
{
    repo_free(ctl->repo);
    arena_free(ctl->arena);
    config_free(&ctl->config);
}

static int connect_with(Ctl *ctl, int (*check)(Repo *repo))
{
    /* No statement time-out: whoever waits at a shell can interrupt. */
    RepoOptions options = {.conninfo = ctl->config.database, .application_name = "decnetctl"};

    ctl->repo = repo_new(&options);
    int r = repo_connect(ctl->repo);
    r = r || !check ? r : check(ctl->repo);
    return r ? ctl_fail_repo(ctl, r) : 0;
}

int ctl_connect(Ctl *ctl)
{
    return connect_with(ctl, NULL);
}

int ctl_connect_current(Ctl *ctl)
{
    return connect_with(ctl, migrate_check);
}

static void printf_like(2, 0) message(const Ctl *ctl, const char *fmt, va_list args)
{
    fflush(stdout);
    fprintf(stderr, "%s: ", ctl->program);
    vfprintf(stderr, fmt, args);
    fputc('\n', stderr);
}

int ctl_fail(const Ctl *ctl, int code, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    message(ctl, fmt, args);
    va_end(args);
    return code;
}

int ctl_usage(const Ctl *ctl, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    message(ctl, fmt, args);
    va_end(args);
    fprintf(stderr, "See %s --help\n", ctl->program);
    return EXIT_USAGE;
}

int ctl_fail_repo(const Ctl *ctl, int outcome)
{
    return ctl_fail(ctl, outcome == REPO_E_OPERATOR ? EXIT_OPERATOR : EXIT_FAILED, "%s", repo_error_text(ctl->repo));
}

bool ctl_time(const char *text, int64_t *ret_us)
{
    return time_or_date_parse(str_from(text), ret_us) == 0;
}

int ctl_act(Ctl *ctl, const CtlAction *actions, size_t n)
{
    const char *names[OPTIONS_MAX], *word = ctl->n_args ? ctl->args[0] : NULL;

    assert(n <= OPTIONS_MAX);
    for (size_t i = 0; i < n; i++) {
        names[i] = actions[i].name;
        if (word && strcmp(word, names[i]) == 0)
            return actions[i].run(ctl);
    }
    if (!word)
        return ctl_usage(ctl, "what to do is missing");
    const char *near = text_nearest(str_from(word), names, n, 3);
    return ctl_usage(ctl, "'%s' is nothing to do%s%s%s", word, near ? "; did you mean '" : "", near ? near : "",
                     near ? "'?" : "");
}

/* --- showing --- */

static const char *escape(const char *sequence)
{
    static int colours = -1;
    if (colours < 0) {
        const char *term = getenv("TERM"), *no = getenv("NO_COLOR");
        colours = isatty(STDOUT_FILENO) && term && strcmp(term, "dumb") != 0 && !(no && *no);
    }
    return colours ? sequence : "";
}

const char *ctl_bold(void)
{
    return escape("\033[1m");
}

const char *ctl_dim(void)
{
    return escape("\033[2m");
}

const char *ctl_plain(void)
{
    return escape("\033[0m");
}

/* Code points that would move the cursor, hide, or turn the direction of what stands beside them. */
static bool is_unseen(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
           (c >= 0x2060 && c <= 0x206f) || c == 0xfeff;
}

static uint32_t code_point(Str c)
{
    static const uint8_t masks[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    uint32_t v = (uint8_t)c.data[0] & masks[c.len];
    for (size_t i = 1; i < c.len; i++)
        v = v << 6 | ((uint8_t)c.data[i] & 0x3f);
    return v;
}

/* The valid character at the start of @s, or an absent Str: then its first byte stands for itself. */
static Str first_char(Arena *scratch, Str s)
{
    uint8_t lead = (uint8_t)s.data[0];
    Str c = {s.data, lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4};
    return c.len <= s.len && text_sanitize(scratch, c).data == c.data ? c : (Str){0};
}

static void show_char(Buf *out, Str c)
{
    static const struct {
        char c;
        const char *shown;
    } names[] = {{'\n', "\\n"}, {'\r', "\\r"}, {'\t', "\\t"}, {'\033', "\\e"}};
    uint32_t point = code_point(c);

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (c.data[0] == names[i].c) {
            buf_add(out, names[i].shown);
            return;
        }
    }
    if (is_unseen(point))
        buf_printf(out, point < 0x80 ? "\\x%02x" : "\\u%04x", point);
    else
        buf_add_str(out, c);
}

void ctl_show_bytes(Buf *out, Str bytes, size_t max_chars)
{
    cleanup(arena_freep) Arena *scratch = arena_new();

    for (size_t n = 0; bytes.len && n < max_chars; n++) {
        Str c = first_char(scratch, bytes);
        if (c.data)
            show_char(out, c);
        else
            buf_printf(out, "\\x%02x", (uint8_t)bytes.data[0]);
        bytes = (Str){bytes.data + MAX(c.len, (size_t)1), bytes.len - MAX(c.len, (size_t)1)};
    }
    if (bytes.len)
        buf_add(out, "\xe2\x80\xa6");
}

void ctl_show_command(Buf *out, Str command, size_t max_chars)
{
    cleanup(buf_free) Buf masked = {0};

    mask_command(&masked, command);
    ctl_show_bytes(out, buf_str(&masked), max_chars);
}

void ctl_cell(CtlTable *t, const char *fmt, ...)
{
    char text[256];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    buf_add(&t->cells, text);
    buf_add_char(&t->cells, '\0');
    t->n_cells++;
}

void ctl_cell_str(CtlTable *t, Str s)
{
    cleanup(buf_free) Buf shown = {0};
    if (s.data)
        ctl_show_command(&shown, s, 120);
    ctl_cell(t, "%s", s.data ? buf_str(&shown).data : "-");
}

void ctl_cell_time(CtlTable *t, int64_t us)
{
    char text[TIME_TEXT_BYTES];
    time_format(text, us);
    ctl_cell(t, "%.10s %.8s", us == TIME_NONE ? "-" : text, us == TIME_NONE ? "" : text + 11);
}

static size_t width_of(const char *text)
{
    size_t n = 0;
    for (; *text; text++)
        n += ((uint8_t)*text & 0xc0) != 0x80; /* characters, not bytes */
    return n;
}

static void print_cell(const char *text, size_t width, bool right, bool last)
{
    int pad = (int)(width - width_of(text));
    printf("%*s%s%*s", right ? pad : 0, "", text, right || last ? 0 : pad, "");
    fputs(last ? "\n" : "  ", stdout);
}

void ctl_print_table(CtlTable *t, const char *empty)
{
    size_t widths[CTL_TABLE_COLUMNS] = {0}, n = 0;
    const char *cell = t->cells.data;

    for (; n < CTL_TABLE_COLUMNS && t->heads[n]; n++)
        widths[n] = width_of(t->heads[n] + (t->heads[n][0] == '>'));
    assert(n > 0);
    for (size_t i = 0; i < t->n_cells; i++, cell += strlen(cell) + 1)
        widths[i % n] = MAX(widths[i % n], width_of(cell));
    if (t->n_cells == 0)
        puts(empty);
    else
        fputs(ctl_dim(), stdout);
    for (size_t i = 0; t->n_cells && i < n; i++)
        print_cell(t->heads[i] + (t->heads[i][0] == '>'), widths[i], t->heads[i][0] == '>', i + 1 == n);
    fputs(t->n_cells ? ctl_plain() : "", stdout);
    cell = t->cells.data;
    for (size_t i = 0; i < t->n_cells; i++, cell += strlen(cell) + 1)
        print_cell(cell, widths[i % n], t->heads[i % n][0] == '>', (i + 1) % n == 0);
    buf_free(&t->cells);
    t->n_cells = 0;
}

int ctl_print_json(const Ctl *ctl, const Buf *json)
{
    Str text = buf_str(json);
    if (fwrite(text.data, 1, text.len, stdout) != text.len || putchar('\n') == EOF)
        return ctl_fail(ctl, EXIT_FAILED, "cannot write to standard output: %m");
    return 0;
}

/* --- JSON for people --- */

enum { INDENT = 2 };

static void break_line(Buf *out, size_t depth)
{
    buf_printf(out, "\n%*s", (int)depth * INDENT, "");
}

/* The string that begins at @json; returns its length. */
static size_t pretty_string(Buf *out, Arena *scratch, Str json)
{
    size_t i = 1;

    buf_add_char(out, '"');
    while (i < json.len && json.data[i] != '"') {
        Str rest = {json.data + i, json.len - i};
        Str c = json.data[i] == '\\' ? (Str){rest.data, MIN(rest.len, (size_t)2)} : first_char(scratch, rest);
        if (c.data && c.len > 0 && c.data[0] != '\\' && is_unseen(code_point(c)))
            buf_printf(out, "\\u%04x", code_point(c));
        else
            buf_append(out, rest.data, c.data ? c.len : 1);
        i += c.data ? c.len : 1;
    }
    buf_add_char(out, '"');
    return i + 1;
}

static void put_pretty(Buf *out, Str json)
{
    cleanup(arena_freep) Arena *scratch = arena_new();
    size_t depth = 0;

    for (size_t i = 0; i < json.len; i++) {
        char c = json.data[i], last = out->len ? out->data[out->len - 1] : '\0';
        if (strchr("}]", c)) {
            depth -= depth > 0;
            if (last != '{' && last != '[')
                break_line(out, depth);
        } else if (!strchr(" \t\r\n,:", c) && (last == '{' || last == '[')) {
            break_line(out, depth);
        }
        if (c == '"')
            i += pretty_string(out, scratch, (Str){json.data + i, json.len - i}) - 1;
        else if (!strchr(" \t\r\n", c))
            buf_add_char(out, c);
        depth += c == '{' || c == '[';
        if (c == ',')
            break_line(out, depth);
        else if (c == ':')
            buf_add_char(out, ' ');
    }
}

int ctl_print_pretty(Str json)
{
    cleanup(buf_free) Buf text = {0};

    put_pretty(&text, json);
    buf_add_char(&text, '\n');
    return fwrite(text.data, 1, text.len, stdout) == text.len ? 0 : -1;
}
