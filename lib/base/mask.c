/* A command is cut into words and separators as a shell would; a first pass marks the words that hold a secret because
 * of what stands around them, a second one writes, and looks into the unmarked ones. */
#include "mask.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

enum { DEPTH_MAX = 4 };

typedef enum TokenKind { TOKEN_WORD, TOKEN_PIPE, TOKEN_OPEN, TOKEN_CLOSE, TOKEN_NEWLINE, TOKEN_END } TokenKind;

typedef struct Token {
    Str text;
    TokenKind kind;
    bool secret; /* shown are its first @keep bytes, *** and its closing quote */
    size_t keep;
} Token;

typedef struct Tokens {
    Token *items;
    size_t n, cap;
} Tokens;

/* One command between separators: words [from, to), its name at @name (from <= name <= to). */
typedef struct Segment {
    size_t from, to, name;
} Segment;

/* How the value of an option shows up. */
enum { ATTACHED = 1, NEXT = 2 };

typedef struct OptionRule {
    const char *commands; /* blank-separated, with a blank at both ends */
    const char *option;
    int form;
    char keep_until; /* shown up to this character; '\0': nothing is shown */
} OptionRule;

/* From the manuals of these programs. */
static const OptionRule option_rules[] = {
    {" mysql mysqldump mysqladmin mysqlimport mysqlcheck mysqlshow mariadb mariadb-dump mariadb-admin ", "-p", ATTACHED,
     0},
    {" sshpass mongo mongosh mongodump mongorestore rdesktop usermod useradd hydra medusa smbmap nxc ", "-p",
     ATTACHED | NEXT, 0},
    {" zip unzip ipmitool ", "-P", ATTACHED | NEXT, 0},
    {" 7z 7za 7zr rar unrar ", "-p", ATTACHED, 0},
    {" curl ", "-u", ATTACHED | NEXT, ':'},
    {" curl ", "-U", ATTACHED | NEXT, ':'},
    {" curl ", "--user", NEXT, ':'},
    {" curl ", "--proxy-user", NEXT, ':'},
    {" curl ", "-b", ATTACHED | NEXT, 0},
    {" curl ", "--cookie", NEXT, 0},
    {" redis-cli ", "-a", ATTACHED | NEXT, 0},
    {" smbclient rpcclient net ", "-U", ATTACHED | NEXT, '%'},
    {" ldapsearch ldapadd ldapmodify ldapdelete ldapwhoami ", "-w", ATTACHED | NEXT, 0},
    {" plink pscp psftp ", "-pw", NEXT, 0},
};

static const char prefix_commands[] = " sudo doas busybox nohup env command exec time nice then do else if while ! { ";
static const char feeding_commands[] = " echo printf yes print ";
static const char reading_commands[] = " passwd chpasswd smbpasswd su kinit cryptsetup ";
static const char header_names[] = " authorization proxy-authorization cookie set-cookie x-api-key x-auth-token ";
static const char *const secret_names[] = {"password", "passwd",     "passphrase", "pass",
                                           "pwd",      "secret",     "token",      "api_key",
                                           "apikey",   "access_key", "secret_key", "private_key"};

/* --- words --- */

static void add_token(Tokens *t, Str text, TokenKind kind)
{
    if (t->n == t->cap) {
        t->cap = t->cap ? 2 * t->cap : 32;
        t->items = realloc(t->items, t->cap * sizeof(*t->items));
        if (!t->items)
            abort();
    }
    t->items[t->n++] = (Token){.text = text, .kind = kind};
}

/* Place behind the quote that closes the one at @i, or 0 when there is none: then it is an ordinary character. */
static size_t closing_quote(Str s, size_t i, bool *none_left)
{
    char quote = s.data[i];

    for (i++; !*none_left && i < s.len; i++) {
        if (s.data[i] == quote)
            return i + 1;
        if (s.data[i] == '\\' && quote == '"')
            i++;
    }
    *none_left = true; /* nor is there one for a later quote: do not look again */
    return 0;
}

static bool is_separator(Str s, size_t i)
{
    return strchr("|;&\n()`", s.data[i]) && s.data[i] && !(s.data[i] == '&' && i && s.data[i - 1] == '>');
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
}

static size_t word_end(Str s, size_t i, bool none_left[2])
{
    while (i < s.len && !is_blank(s.data[i]) && !is_separator(s, i)) {
        size_t end = 0;
        if (s.data[i] == '\'' || s.data[i] == '"')
            end = closing_quote(s, i, &none_left[s.data[i] == '"']);
        i = end ? end : MIN(i + (s.data[i] == '\\' ? 2 : 1), s.len);
    }
    return i;
}

static void tokenize(Tokens *t, Str s)
{
    static const TokenKind kinds[] = {
        ['|'] = TOKEN_PIPE, ['('] = TOKEN_OPEN, [')'] = TOKEN_CLOSE, ['\n'] = TOKEN_NEWLINE,
        [';'] = TOKEN_END,  ['&'] = TOKEN_END,  ['`'] = TOKEN_END};
    bool none_left[2] = {false, false};

    for (size_t i = 0; i < s.len;) {
        if (is_blank(s.data[i])) {
            i++;
        } else if (is_separator(s, i)) {
            bool doubled = i + 1 < s.len && s.data[i + 1] == s.data[i] && (s.data[i] == '|' || s.data[i] == '&');
            add_token(t, (Str){s.data + i, doubled ? 2 : 1}, doubled ? TOKEN_END : kinds[(uint8_t)s.data[i]]);
            i += doubled ? 2 : 1;
        } else {
            size_t end = word_end(s, i, none_left);
            add_token(t, (Str){s.data + i, end - i}, TOKEN_WORD);
            i = end;
        }
    }
}

static bool is_quoted(Str s)
{
    return s.len >= 2 && (s.data[0] == '\'' || s.data[0] == '"') && s.data[s.len - 1] == s.data[0];
}

static Str unquoted(Str s)
{
    return is_quoted(s) ? (Str){s.data + 1, s.len - 2} : s;
}

/* @name stands in the blank-separated @list, whatever the case. */
static bool in_list(Str name, const char *list)
{
    for (const char *p = list; name.len && (p = strchr(p, ' ')) && p[1]; p++) {
        size_t len = strcspn(p + 1, " ");
        if (len == name.len && strncasecmp(p + 1, name.data, len) == 0)
            return true;
    }
    return false;
}

static Str command_name(Str word)
{
    Str s = unquoted(word);
    const char *slash = s.len ? memrchr(s.data, '/', s.len) : NULL;
    if (slash)
        s = (Str){slash + 1, s.len - (size_t)(slash + 1 - s.data)};
    if (s.len && s.data[0] == '\\') /* \cp skips an alias */
        s = (Str){s.data + 1, s.len - 1};
    return s;
}

static bool is_secret_name(Str name)
{
    if (str_eq(name, STR("PWD")) || str_eq(name, STR("OLDPWD"))) /* where the shell stands */
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(secret_names); i++) {
        size_t len = strlen(secret_names[i]), at = 0;
        if (name.len < len)
            continue;
        for (const char *p = name.data + name.len - len; at < len; at++)
            if (secret_names[i][at] != (p[at] == '-' ? '_' : tolower((uint8_t)p[at])))
                break;
        if (at == len)
            return true;
    }
    return false;
}

/* --- marking --- */

static void mark(Token *t, size_t keep)
{
    t->secret = true;
    t->keep = keep ? keep : is_quoted(t->text);
}

/* The part behind @until is secret; without @until in it nothing is, or all of it when @or_all. */
static void mark_after(Token *t, char until, bool or_all)
{
    const char *p = until && t->text.len ? memchr(t->text.data, until, t->text.len) : NULL;
    if (p)
        mark(t, (size_t)(p + 1 - t->text.data));
    else if (!until || or_all)
        mark(t, 0);
}

static Str segment_name(const Tokens *t, const Segment *s)
{
    return s->name < s->to ? command_name(t->items[s->name].text) : (Str){"", 0};
}

static void mark_options(Tokens *t, const Segment *s)
{
    Str name = segment_name(t, s);
    bool used[ARRAY_SIZE(option_rules)] = {false}; /* behind it may stand another command, with options of its own */

    for (size_t i = s->name + 1; i < s->to; i++) {
        Str word = t->items[i].text;
        if (word.len < 2 || word.data[0] != '-')
            continue;
        bool has_next = i + 1 < s->to && !str_starts(t->items[i + 1].text, "-");
        if (has_next && str_starts(word, "--") && is_secret_name(word))
            mark(&t->items[i + 1], 0);
        for (size_t k = 0; k < ARRAY_SIZE(option_rules); k++) {
            const OptionRule *rule = &option_rules[k];
            size_t len = strlen(rule->option);
            if (used[k] || !str_starts(word, rule->option) || !in_list(name, rule->commands))
                continue;
            used[k] = true;
            if (word.len > len && (rule->form & ATTACHED) && !rule->keep_until)
                mark(&t->items[i], len);
            else if (word.len > len && (rule->form & ATTACHED))
                mark_after(&t->items[i], rule->keep_until, false);
            else if (word.len == len && (rule->form & NEXT) && has_next)
                mark_after(&t->items[i + 1], rule->keep_until, false);
        }
    }
}

static bool reads_secret(const Tokens *t, const Segment *s)
{
    if (in_list(segment_name(t, s), reading_commands))
        return true;
    for (size_t i = s->from; i < s->name && i + 1 < s->to; i++) /* sudo -S, whatever it runs */
        if (str_eq_cstr(command_name(t->items[i].text), "sudo"))
            for (size_t k = i + 1; k < s->to && str_starts(t->items[k].text, "-"); k++)
                if (memchr(t->items[k].text.data, 'S', t->items[k].text.len))
                    return true;
    return false;
}

/* Words handed to a command that reads a secret. */
static void mark_words(Tokens *t, size_t from, size_t to, char until)
{
    for (size_t i = from; i < to; i++)
        if (t->items[i].kind == TOKEN_WORD && !str_starts(t->items[i].text, "-"))
            mark_after(&t->items[i], until, true);
}

/* Everything that is echoed in the pipeline that ends before token @end, groups in parentheses included; what stands
 * before @behind went to an earlier reader. */
static void mark_feeders(Tokens *t, size_t behind, size_t end, char until)
{
    size_t depth = 0, from = end, word_end = end;

    while (from > behind) {
        TokenKind kind = t->items[from - 1].kind;
        if (kind == TOKEN_OPEN && depth == 0)
            break;
        if ((kind == TOKEN_END || kind == TOKEN_NEWLINE) && depth == 0)
            break;
        depth += kind == TOKEN_CLOSE;
        depth -= kind == TOKEN_OPEN;
        from--;
        bool feeds = kind == TOKEN_WORD && in_list(command_name(t->items[from].text), feeding_commands);
        if (feeds)
            mark_words(t, from + 1, word_end, until);
        if (feeds || kind != TOKEN_WORD)
            word_end = from;
    }
}

/* <<< word, or the lines of a here-document. Returns the token behind them. */
static size_t mark_here(Tokens *t, const Segment *s, char until)
{
    size_t end = s->to;

    for (size_t i = s->from; i < s->to; i++) {
        Str word = t->items[i].text;
        if (str_eq(word, STR("<<<")) && i + 1 < s->to) {
            mark_after(&t->items[i + 1], until, true);
        } else if (str_starts(word, "<<<") && word.len > 3) {
            mark(&t->items[i], 3);
        } else if (str_starts(word, "<<")) {
            Str tag = word.len > 2 ? (Str){word.data + 2, word.len - 2} : i + 1 < s->to ? t->items[i + 1].text : word;
            if (tag.len && tag.data[0] == '-')
                tag = (Str){tag.data + 1, tag.len - 1};
            for (; end < t->n && !str_eq(t->items[end].text, unquoted(tag)); end++)
                mark_words(t, end, end + 1, until);
        }
    }
    return end;
}

static bool is_assignment(Str word)
{
    const char *equals = word.len ? memchr(word.data, '=', word.len) : NULL;
    return equals && equals > word.data && word.data[0] != '-';
}

static void mark_secrets(Tokens *t)
{
    size_t behind = 0;

    for (size_t i = 0; i < t->n;) {
        Segment s = {.from = i, .to = i, .name = i};
        while (s.to < t->n && t->items[s.to].kind == TOKEN_WORD)
            s.to++;
        while (s.name + 1 < s.to &&
               (is_assignment(t->items[s.name].text) || in_list(command_name(t->items[s.name].text), prefix_commands) ||
                (s.name > s.from && str_starts(t->items[s.name].text, "-"))))
            s.name++;
        mark_options(t, &s);
        if (reads_secret(t, &s)) {
            char until = str_eq_cstr(segment_name(t, &s), "chpasswd") ? ':' : '\0';
            if (i && t->items[i - 1].kind == TOKEN_PIPE)
                mark_feeders(t, behind, i - 1, until);
            behind = s.to = mark_here(t, &s, until);
        }
        i = s.to + 1;
    }
}

/* --- writing --- */

typedef enum Carry { CARRY_NONE, CARRY_NEXT, CARRY_REST } Carry;

static bool is_name_char(char c)
{
    return isalnum((uint8_t)c) || c == '_' || c == '-' || c == '.';
}

/* The name that ends before @i, a quote between allowed: "password":"x". */
static Str name_before(Str s, size_t i)
{
    size_t end = i;
    if (end && (s.data[end - 1] == '"' || s.data[end - 1] == '\''))
        end--;
    if (end && s.data[end - 1] == '\\')
        end--;
    size_t from = end;
    while (from && is_name_char(s.data[from - 1]))
        from--;
    return (Str){s.data + from, end - from};
}

/* Length of the value at the start of @s, and in *ret_keep its opening quote. */
static size_t value_length(Str s, size_t *ret_keep)
{
    size_t start = s.len && s.data[0] == '\\' ? 1 : 0, end;

    *ret_keep = 0;
    if (start < s.len && (s.data[start] == '"' || s.data[start] == '\'')) {
        *ret_keep = start + 1;
        for (end = start + 1; end < s.len && s.data[end] != s.data[start] && s.data[end] != '\\';)
            end++;
        return end;
    }
    for (end = 0; end < s.len && !strchr("&;,\"'}) \t\n", s.data[end]);)
        end++;
    return end;
}

static size_t write_value(Buf *out, Str s)
{
    size_t keep, len = value_length(s, &keep);
    buf_add_str(out, (Str){s.data, keep});
    if (len > keep)
        buf_add(out, MASK_TEXT);
    return len;
}

/* "://user:secret@": the secret. Returns how many bytes behind "://" were written. */
static size_t write_userinfo(Buf *out, Str s)
{
    size_t end = 0, at = 0;
    while (end < s.len && !strchr("/?# \t\n\"'", s.data[end])) {
        if (s.data[end] == '@')
            at = end;
        end++;
    }
    const char *colon = at ? memchr(s.data, ':', at) : NULL;
    if (!colon)
        return 0;
    buf_add_str(out, (Str){s.data, (size_t)(colon + 1 - s.data)});
    buf_add(out, MASK_TEXT);
    return at;
}

static Carry write_plain(Buf *out, Str s)
{
    for (size_t i = 0; i < s.len;) {
        Str rest = {s.data + i, s.len - i};
        if (str_starts(rest, "://")) {
            buf_add(out, "://");
            i += 3 + write_userinfo(out, (Str){rest.data + 3, rest.len - 3});
            continue;
        }
        buf_add_char(out, s.data[i++]);
        if (rest.data[0] != '=' && rest.data[0] != ':')
            continue;
        Str name = name_before(s, i - 1), value = {s.data + i, s.len - i};
        if (rest.data[0] == ':' && in_list(name, header_names)) {
            bool scheme_only = in_list(value, " basic bearer digest negotiate ");
            if (value.len)
                buf_add(out, MASK_TEXT);
            if (value.len && (value.data[value.len - 1] == '"' || value.data[value.len - 1] == '\''))
                buf_add_char(out, value.data[value.len - 1]);
            return value.len == 0 ? CARRY_REST : scheme_only ? CARRY_NEXT : CARRY_NONE;
        }
        if (!is_secret_name(name))
            continue;
        if (value.len == 0)
            return rest.data[0] == ':' ? CARRY_NEXT : CARRY_NONE;
        i += write_value(out, value);
    }
    return CARRY_NONE;
}

static void write_command(Buf *out, Str s, int depth);

static Carry write_word(Buf *out, const Token *t, int depth)
{
    Str s = t->text;

    if (t->secret) {
        bool closes = is_quoted(s) && t->keep < s.len;
        buf_add_str(out, (Str){s.data, MIN(t->keep, s.len)});
        buf_add(out, MASK_TEXT);
        if (closes)
            buf_add_char(out, s.data[0]);
        return CARRY_NONE;
    }
    if (!is_quoted(s) || depth + 1 >= DEPTH_MAX)
        return write_plain(out, s);
    buf_add_char(out, s.data[0]);
    write_command(out, unquoted(s), depth + 1);
    buf_add_char(out, s.data[0]);
    return CARRY_NONE;
}

static void write_command(Buf *out, Str s, int depth)
{
    Tokens t = {0};
    Carry carry = CARRY_NONE;
    const char *at = s.data;

    tokenize(&t, s);
    mark_secrets(&t);
    for (size_t i = 0; i < t.n; i++) {
        Token *token = &t.items[i];
        buf_add_str(out, (Str){at, (size_t)(token->text.data - at)});
        at = token->text.data + token->text.len;
        if (carry == CARRY_REST) {
            buf_add(out, MASK_TEXT);
            at = s.data + s.len;
            break;
        }
        if (token->kind != TOKEN_WORD) {
            buf_add_str(out, token->text);
            continue;
        }
        if (carry == CARRY_NEXT && !token->secret) {
            size_t len = write_value(out, token->text);
            buf_add_str(out, (Str){token->text.data + len, token->text.len - len});
            carry = CARRY_NONE;
            continue;
        }
        carry = write_word(out, token, depth);
    }
    buf_add_str(out, (Str){at, (size_t)(s.data + s.len - at)});
    free(t.items);
}

void mask_command(Buf *out, Str command)
{
    if (command.len)
        write_command(out, command, 0);
}
