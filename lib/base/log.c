/* One line per message: formats it for the journal, a terminal, a file or a JSON collector, and holds repetitions back
 * so that a broken dependency cannot fill a disk. Single-threaded, like every program of the project. */
#define SD_JOURNAL_SUPPRESS_LOCATION
#include "log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#include "json.h"
#include "limits.h"
#include "time.h"

enum {
    RATE_SLOTS = 256,   /* remembered (event, fields) pairs, a power of two */
    RATE_PROBES = 8,    /* slots looked at for one pair */
    JOURNAL_FIELDS = 24 /* own fields of a journal entry included */
};

typedef struct RateSlot {
    uint64_t key;
    int64_t written_us;
    uint64_t held_back;
    bool used;
} RateSlot;

/* What one message looks like to the three writers. */
typedef struct Entry {
    LogLevel level;
    const char *event;
    const LogField *fields;
    Str message;
    uint64_t held_back;
} Entry;

static struct {
    const char *worker, *instance;
    LogLevel level;
    LogFormat format; /* never AUTO once initialised */
    bool colour;
    RateSlot slots[RATE_SLOTS];
    uint64_t held_back_elsewhere; /* counts of slots that were given to other messages */
} logger = {.level = LOG_LEVEL_INFO, .format = LOG_FORMAT_TEXT};

static const struct {
    LogLevel level;
    const char *name, *colour;
} levels[] = {
    {LOG_LEVEL_ERR, "err", "\033[1;31m"},    {LOG_LEVEL_WARNING, "warning", "\033[33m"},
    {LOG_LEVEL_NOTICE, "notice", "\033[1m"}, {LOG_LEVEL_INFO, "info", ""},
    {LOG_LEVEL_DEBUG, "debug", "\033[2m"},
};

static const char *const format_names[] = {
    [LOG_FORMAT_AUTO] = "auto",
    [LOG_FORMAT_TEXT] = "text",
    [LOG_FORMAT_JSON] = "json",
    [LOG_FORMAT_JOURNAL] = "journal",
};

bool log_level_parse(Str name, LogLevel *ret)
{
    for (size_t i = 0; i < ARRAY_SIZE(levels); i++) {
        if (str_eq_cstr(name, levels[i].name)) {
            *ret = levels[i].level;
            return true;
        }
    }
    return false;
}

bool log_format_parse(Str name, LogFormat *ret)
{
    for (size_t i = 0; i < ARRAY_SIZE(format_names); i++) {
        if (str_eq_cstr(name, format_names[i])) {
            *ret = (LogFormat)i;
            return true;
        }
    }
    return false;
}

const char *log_level_name(LogLevel level)
{
    for (size_t i = 0; i < ARRAY_SIZE(levels); i++)
        if (levels[i].level == level)
            return levels[i].name;
    return "info";
}

const char *log_format_name(LogFormat format)
{
    return format_names[format];
}

/* systemd sets JOURNAL_STREAM to device and inode of the stream that it connected; a redirection changes them. */
static bool stderr_is_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    unsigned long long device, inode;
    struct stat st;

    return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 && fstat(STDERR_FILENO, &st) == 0 &&
           st.st_dev == device && st.st_ino == inode;
}

void log_init(const char *worker, const char *instance, LogLevel level, LogFormat format)
{
    logger.worker = worker;
    logger.instance = instance;
    logger.level = level;
    logger.format = format != LOG_FORMAT_AUTO ? format : stderr_is_journal() ? LOG_FORMAT_JOURNAL : LOG_FORMAT_TEXT;
    logger.colour = logger.format == LOG_FORMAT_TEXT && isatty(STDERR_FILENO) && !getenv("NO_COLOR");
}

bool log_enabled(LogLevel level)
{
    return level <= logger.level;
}

/* --- rate limit --- */

static uint64_t fnv1a(uint64_t hash, const char *text)
{
    for (; *text; text++)
        hash = (hash ^ (uint8_t)*text) * UINT64_C(1099511628211);
    return (hash ^ 0xff) * UINT64_C(1099511628211); /* end mark, so that "ab","c" differs from "a","bc" */
}

static uint64_t rate_key(const char *event, const LogField *fields)
{
    uint64_t key = fnv1a(UINT64_C(14695981039346656037), event);
    for (; fields && fields->name; fields++)
        key = fnv1a(fnv1a(key, fields->name), fields->value ? fields->value : "");
    return key;
}

/* The slot of @key, or the one to give up for it: an unused one, else the one written longest ago. */
static RateSlot *rate_slot(uint64_t key)
{
    RateSlot *victim = NULL;

    for (size_t i = 0; i < RATE_PROBES; i++) {
        RateSlot *slot = &logger.slots[(key + i) & (RATE_SLOTS - 1)];
        if (slot->used && slot->key == key)
            return slot;
        if (!victim || (victim->used && (!slot->used || slot->written_us < victim->written_us)))
            victim = slot;
    }
    logger.held_back_elsewhere += victim->held_back;
    *victim = (RateSlot){.key = key};
    return victim;
}

/* False: hold this one back. The wall clock serves because tests can move it; a step backwards opens the window. */
static bool rate_pass(const char *event, const LogField *fields, uint64_t *ret_held_back)
{
    RateSlot *slot = rate_slot(rate_key(event, fields));
    int64_t now_us = clock_now_us(), age_us = now_us - slot->written_us;

    if (slot->used && age_us >= 0 && age_us < LOG_RATE_US) {
        slot->held_back++;
        return false;
    }
    *ret_held_back = slot->held_back + logger.held_back_elsewhere;
    logger.held_back_elsewhere = 0;
    *slot = (RateSlot){.key = slot->key, .written_us = now_us, .used = true};
    return true;
}

/* --- text that may come from an attacker --- */

/* Bytes of the character at @s that a terminal could act on: C0, DEL, C1 (C2 80..9F), bidirectional overrides and
 * isolates (E2 80 AA..AE, E2 81 A6..A9). 0: harmless. */
static size_t control_bytes(const uint8_t *s, size_t n)
{
    if (s[0] < 0x20 || s[0] == 0x7f)
        return 1;
    if (n >= 2 && s[0] == 0xc2 && s[1] >= 0x80 && s[1] <= 0x9f)
        return 2;
    if (n >= 3 && s[0] == 0xe2 &&
        ((s[1] == 0x80 && s[2] >= 0xaa && s[2] <= 0xae) || (s[1] == 0x81 && s[2] >= 0xa6 && s[2] <= 0xa9)))
        return 3;
    return 0;
}

static void escape_control(Buf *out, const uint8_t *s, size_t n)
{
    unsigned c = n == 1   ? s[0]
                 : n == 2 ? (s[0] & 0x1fu) << 6 | (s[1] & 0x3fu)
                          : (s[0] & 0x0fu) << 12 | (s[1] & 0x3fu) << 6 | (s[2] & 0x3fu);
    if (c == '\n')
        buf_add(out, "\\n");
    else if (c == '\t')
        buf_add(out, "\\t");
    else if (c == '\r')
        buf_add(out, "\\r");
    else
        buf_printf(out, "\\u%04x", c);
}

static void append_escaped(Buf *out, Str s, bool escape_quotes)
{
    cleanup(arena_freep) Arena *scratch = arena_new();
    const uint8_t *p;

    s = text_sanitize(scratch, s);
    p = (const uint8_t *)s.data;
    for (size_t i = 0; i < s.len;) {
        size_t n = control_bytes(p + i, s.len - i);
        if (n)
            escape_control(out, p + i, n);
        else if (escape_quotes && (p[i] == '"' || p[i] == '\\'))
            buf_printf(out, "\\%c", p[i]);
        else
            buf_add_char(out, (char)p[i]);
        i += n ? n : 1;
    }
}

static Str field_value(const LogField *field)
{
    return text_clip_chars(str_from(field->value ? field->value : ""), LIMIT_LOG_FIELD_CHARS);
}

/* DECNET_TOPIC reads topic in text and JSON. */
static void append_short_name(Buf *out, const char *name)
{
    static const char prefix[] = "DECNET_";
    if (strncmp(name, prefix, sizeof(prefix) - 1) == 0)
        name += sizeof(prefix) - 1;
    for (; *name; name++)
        buf_add_char(out, *name >= 'A' && *name <= 'Z' ? (char)(*name - 'A' + 'a') : *name);
}

/* --- writers --- */

static void write_line(Buf *line)
{
    size_t done = 0;

    buf_add_char(line, '\n');
    while (done < line->len) {
        ssize_t n = write(STDERR_FILENO, line->data + done, line->len - done);
        if (n < 0 && errno != EINTR)
            return; /* nobody is left to tell */
        done += n > 0 ? (size_t)n : 0;
    }
}

static void append_text_fields(Buf *line, const LogField *fields)
{
    for (; fields && fields->name; fields++) {
        Str value = field_value(fields);
        bool quote = value.len == 0;
        for (size_t i = 0; i < value.len; i++)
            quote = quote || (uint8_t)value.data[i] <= ' ' || value.data[i] == '"' || value.data[i] == '\\';
        buf_add_char(line, ' ');
        append_short_name(line, fields->name);
        buf_add(line, quote ? "=\"" : "=");
        append_escaped(line, value, true);
        buf_add(line, quote ? "\"" : "");
    }
}

static void write_text(const Entry *e)
{
    cleanup(buf_free) Buf line = {0};
    char time[TIME_TEXT_BYTES];
    const char *colour = "";

    for (size_t i = 0; logger.colour && i < ARRAY_SIZE(levels); i++)
        if (levels[i].level == e->level)
            colour = levels[i].colour;
    time_format(time, clock_now_us());
    buf_printf(&line, "%s %s%s%s %s: ", time, colour, log_level_name(e->level), *colour ? "\033[0m" : "", e->event);
    append_escaped(&line, e->message, false);
    append_text_fields(&line, e->fields);
    if (e->held_back)
        buf_printf(&line, " (%llu like this held back)", (unsigned long long)e->held_back);
    write_line(&line);
}

static void write_json(const Entry *e)
{
    cleanup(buf_free) Buf line = {0}, name = {0};
    JsonWriter w = {.buf = &line};

    json_begin_object(&w);
    json_put_time(&w, "time", clock_now_us());
    json_put_cstr(&w, "level", log_level_name(e->level));
    json_put_cstr(&w, "event", e->event);
    if (logger.worker)
        json_put_cstr(&w, "worker", logger.worker);
    if (logger.instance)
        json_put_cstr(&w, "instance", logger.instance);
    json_put_str(&w, "message", e->message);
    for (const LogField *f = e->fields; f && f->name; f++) {
        buf_clear(&name);
        append_short_name(&name, f->name);
        json_put_str(&w, name.data, field_value(f));
    }
    if (e->held_back)
        json_put_int(&w, "held_back", (int64_t)e->held_back);
    json_end_object(&w);
    write_line(&line);
}

static void journal_field(Arena *arena, struct iovec *iov, int *n, const char *name, const char *value)
{
    if (!value || *n == JOURNAL_FIELDS)
        return;
    char *text = arena_printf(arena, "%s=%s", name, value);
    iov[(*n)++] = (struct iovec){.iov_base = text, .iov_len = strlen(text)};
}

static int write_journal(const Entry *e)
{
    cleanup(arena_freep) Arena *arena = arena_new();
    cleanup(buf_free) Buf text = {0};
    struct iovec iov[JOURNAL_FIELDS];
    int n = 0;

    append_escaped(&text, e->message, false);
    if (e->held_back)
        buf_printf(&text, " (%llu like this held back)", (unsigned long long)e->held_back);
    journal_field(arena, iov, &n, "MESSAGE", text.data ? text.data : "");
    journal_field(arena, iov, &n, "PRIORITY", arena_printf(arena, "%d", (int)e->level));
    journal_field(arena, iov, &n, "DECNET_EVENT", e->event);
    journal_field(arena, iov, &n, "DECNET_WORKER", logger.worker);
    journal_field(arena, iov, &n, "DECNET_INSTANCE", logger.instance);
    for (const LogField *f = e->fields; f && f->name; f++) {
        buf_clear(&text);
        append_escaped(&text, field_value(f), false);
        journal_field(arena, iov, &n, f->name, text.data ? text.data : "");
    }
    return sd_journal_sendv(iov, n);
}

void log_write(LogLevel level, const char *event, const LogField *fields, const char *fmt, ...)
{
    cleanup(freep) char *message = NULL;
    Entry e = {.level = level, .event = event, .fields = fields};
    va_list args;
    int n;

    if (!log_enabled(level) || (level >= LOG_LEVEL_WARNING && !rate_pass(event, fields, &e.held_back)))
        return;
    va_start(args, fmt);
    n = vasprintf(&message, fmt, args);
    va_end(args);
    e.message = n < 0 ? STR("(this message could not be formatted)")
                      : text_clip((Str){message, (size_t)n}, LIMIT_LOG_MESSAGE_BYTES);

    if (logger.format == LOG_FORMAT_JOURNAL && write_journal(&e) >= 0)
        return;
    if (logger.format == LOG_FORMAT_JSON)
        write_json(&e);
    else
        write_text(&e); /* also when the journal is not there */
}
