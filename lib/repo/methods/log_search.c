#include "log_search.h"

#include <string.h>

typedef struct Words {
    Arena *arena;
    Str *items;
    size_t n, cap;
    char *text; /* room for all words without their quotes */
} Words;

static void add_word(Words *words, Str word)
{
    if (words->n == words->cap) {
        size_t cap = words->cap ? 2 * words->cap : 16;
        Str *items = arena_calloc(words->arena, cap, sizeof(*items));
        if (words->n)
            memcpy(items, words->items, words->n * sizeof(*items));
        words->items = items;
        words->cap = cap;
    }
    words->items[words->n++] = word;
}

/* --- as a shell --- */

static bool is_separator(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Appends to @word what stands in the quotes that open at @i; the place behind them, 0 when they stay open. */
static size_t take_quoted(Str s, size_t i, char *text, Str *word)
{
    char quote = s.data[i++];

    for (; i < s.len && s.data[i] != quote; i++) {
        bool escapes = quote == '"' && s.data[i] == '\\' && i + 1 < s.len;
        if (escapes && (s.data[i + 1] == '"' || s.data[i + 1] == '\\'))
            i++;
        text[word->len++] = s.data[i];
    }
    return i < s.len ? i + 1 : 0;
}

/* The word that begins at @i, written to @text; the place behind it, 0 when a quote stays open or a backslash has
 * nothing behind it. */
static size_t take_word(Str s, size_t i, char *text, Str *word)
{
    *word = (Str){text, 0};
    while (i < s.len && !is_separator(s.data[i])) {
        if (s.data[i] == '\'' || s.data[i] == '"') {
            i = take_quoted(s, i, text, word);
            if (i == 0)
                return 0;
            continue;
        }
        if (s.data[i] == '\\' && ++i == s.len)
            return 0;
        text[word->len++] = s.data[i++];
    }
    return i;
}

static bool split_as_shell(Words *words, Str s)
{
    for (size_t i = 0; i < s.len;) {
        Str word;
        if (is_separator(s.data[i])) {
            i++;
            continue;
        }
        i = take_word(s, i, words->text, &word);
        if (i == 0)
            return false;
        add_word(words, word);
        words->text += word.len;
    }
    return true;
}

/* --- at white space --- */

/* Bytes of the white space that @s begins with, 0 when it begins with none: what Unicode calls so, and the four
 * separators of ASCII. */
static size_t white_space(Str s)
{
    static const char *const wide[] = {
        "\xc2\x85",     "\xc2\xa0",     "\xe1\x9a\x80", "\xe2\x80\xa8",
        "\xe2\x80\xa9", "\xe2\x80\xaf", "\xe2\x81\x9f", "\xe3\x80\x80",
    };
    uint8_t c = (uint8_t)s.data[0];

    if (c < 0x80)
        return (c >= 0x09 && c <= 0x0d) || (c >= 0x1c && c <= 0x20);
    for (size_t i = 0; i < ARRAY_SIZE(wide); i++)
        if (str_starts(s, wide[i]))
            return strlen(wide[i]);
    bool general_space =
        str_starts(s, "\xe2\x80") && s.len > 2 && (uint8_t)s.data[2] >= 0x80 && (uint8_t)s.data[2] <= 0x8a;
    return general_space ? 3 : 0;
}

static void split_at_white_space(Words *words, Str s)
{
    size_t start = 0;

    for (size_t i = 0; i < s.len;) {
        size_t n = white_space((Str){s.data + i, s.len - i});
        if (n == 0) {
            i++;
            continue;
        }
        if (i > start)
            add_word(words, (Str){s.data + start, i - start});
        i += n;
        start = i;
    }
    if (s.len > start)
        add_word(words, (Str){s.data + start, s.len - start});
}

/* --- words to terms --- */

static const struct {
    const char *name;
    LogColumn column;
} names[] = {
    {"decky", LOG_COLUMN_DECKY},
    {"service", LOG_COLUMN_SERVICE},
    {"event", LOG_COLUMN_EVENT_TYPE},
    {"attacker", LOG_COLUMN_ATTACKER_IP},
    {"attacker-ip", LOG_COLUMN_ATTACKER_IP},
    {"attacker_ip", LOG_COLUMN_ATTACKER_IP},
};

static bool is_key_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

static Str clean_key(Arena *arena, Str key)
{
    char *out = arena_alloc(arena, key.len + 1);
    size_t len = 0;

    for (size_t i = 0; i < key.len; i++)
        if (is_key_char(key.data[i]))
            out[len++] = key.data[i];
    return (Str){out, len};
}

/* False for a word that matches everything. */
static bool read_term(Arena *arena, Str word, LogTerm *ret)
{
    const char *colon = memchr(word.data, ':', word.len);

    *ret = (LogTerm){.kind = LOG_TERM_TEXT, .value = word};
    if (!colon)
        return word.len > 0;
    Str key = {word.data, (size_t)(colon - word.data)};
    ret->value = (Str){colon + 1, word.len - key.len - 1};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (str_eq_cstr(key, names[i].name)) {
            ret->kind = LOG_TERM_COLUMN;
            ret->column = names[i].column;
            return true;
        }
    }
    ret->kind = LOG_TERM_FIELD;
    ret->key = clean_key(arena, key);
    return ret->key.len > 0;
}

LogTerm *log_search_parse(Arena *arena, Str query, size_t *ret_n)
{
    Words words = {.arena = arena, .text = arena_alloc(arena, query.len + 1)};

    if (!split_as_shell(&words, query)) {
        words.n = 0;
        split_at_white_space(&words, query);
    }
    LogTerm *terms = arena_calloc(arena, words.n + 1, sizeof(*terms));
    size_t n = 0;
    for (size_t i = 0; i < words.n; i++)
        n += read_term(arena, words.items[i], &terms[n]);
    *ret_n = n;
    return terms;
}
