/* One table holds every key: its type, bounds, default and help. Reading, checking, printing and the help text all
 * walk that table, so a new key is one new row. */
#include "config.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "limits.h"

#define DEFAULT_FILE "/etc/decnet/decnet.conf"
#define ENV_PREFIX "DECNET_"
#define KAFKA_PREFIX "kafka."

extern char **environ;

int (*config_check_kafka)(const Config *config, char **ret_error);

typedef enum KeyType { KEY_TEXT, KEY_CONNINFO, KEY_NAME, KEY_INT, KEY_BOOL, KEY_LEVEL, KEY_FORMAT } KeyType;

typedef struct Key {
    const char *name;
    KeyType type;
    size_t offset;
    const char *standard; /* the default, in the spelling of the file */
    int64_t min, max;     /* of KEY_INT */
    const char *help;
} Key;

static const Key keys[] = {
    {"database", KEY_CONNINFO, offsetof(Config, database), "", 0, 0,
     "PostgreSQL: connection string, URI or service=name; empty takes PGHOST, PGSERVICE and their like"},
    {"kafka_topic_prefix", KEY_NAME, offsetof(Config, kafka_topic_prefix), "", 0, 0,
     "put before every topic and group name, e.g. prod."},
    {"instance", KEY_NAME, offsetof(Config, instance), "0", 0, 0, "name of this process among its like"},
    {"rules_path", KEY_TEXT, offsetof(Config, rules_path), "/usr/share/decnet/rules:/etc/decnet/rules", 0, 0,
     "folders with rule files, ':' between them; of two rules with one id the later wins"},
    {"attack_catalog", KEY_TEXT, offsetof(Config, attack_catalog), "/usr/share/decnet/attack-catalog.json", 0, 0,
     "ATT&CK catalogue file"},
    {"stateless_primitives", KEY_TEXT, offsetof(Config, stateless_primitives), "motor.digraph_simhash", 0, 0,
     "primitives, ',' between them, whose observations are kept without a state of their own"},
    {"cache_dir", KEY_TEXT, offsetof(Config, cache_dir), "", 0, 0,
     "folder for compiled rules; empty takes $CACHE_DIRECTORY, else the XDG cache"},
    {"metrics_listen", KEY_TEXT, offsetof(Config, metrics_listen), "", 0, 0,
     "host:port for metrics and health; empty: none; port 0 picks a free one"},
    {"metrics_port_file", KEY_TEXT, offsetof(Config, metrics_port_file), "", 0, 0,
     "file that receives the port of metrics_listen once it listens"},
    {"log_level", KEY_LEVEL, offsetof(Config, log_level), "info", 0, 0, "err, warning, notice, info or debug"},
    {"log_format", KEY_FORMAT, offsetof(Config, log_format), "auto", 0, 0,
     "auto, text, json or journal; auto: the journal when it reads standard error"},
    {"batch_records", KEY_INT, offsetof(Config, batch_records), "1000", 1, LIMIT_BATCH_RECORDS,
     "most records in one transaction"},
    {"batch_bytes", KEY_INT, offsetof(Config, batch_bytes), "8388608", LIMIT_EVENT_READ_BYTES, INT64_C(1) << 30,
     "most bytes of record values in one transaction"},
    {"batch_age_ms", KEY_INT, offsetof(Config, batch_age_ms), "200", 0, 60000,
     "a batch that is not full waits no longer than this"},
    {"statement_timeout_ms", KEY_INT, offsetof(Config, statement_timeout_ms), "60000", 0, 86400000,
     "PostgreSQL ends a statement after this time; 0: never"},
    {"solo", KEY_BOOL, offsetof(Config, solo), "false", 0, 0,
     "take all partitions by assignment instead of joining the consumer group"},
};

/* Variables that belong to tests and tools, not to the table; '*' stands for any text. */
static const char *const env_others[] = {
    "DECNET_CONFIG",     "DECNET_CLOCK_OFFSET_US", "DECNET_SOURCE_ROOT", "DECNET_STATE_FILE",
    "DECNET_ADMIN_USER", "DECNET_ADMIN_PASSWORD",  "DECNET_TEST_*",      "DECNET_*_PROGRAM",
};

static const char *const kafka_secrets[] = {"password",           "secret", "pem",  "ssl.key",
                                            "oauthbearer.config", "jaas",   "kinit"};

/* --- messages --- */

static int fail(char **ret_error, const char *fmt, ...) printf_like(2, 3);

static int fail(char **ret_error, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    if (vasprintf(ret_error, fmt, args) < 0)
        *ret_error = NULL;
    va_end(args);
    return -EINVAL;
}

/* Keys and values may hold anything: shown short and without control characters. */
static void append_shown(Buf *out, Str s)
{
    for (size_t i = 0; i < s.len; i++) {
        if ((uint8_t)s.data[i] < 0x20 || s.data[i] == 0x7f)
            buf_printf(out, "\\x%02x", (unsigned)(uint8_t)s.data[i]);
        else
            buf_add_char(out, s.data[i]);
    }
}

static char *shown(Arena *arena, Str s)
{
    cleanup(buf_free) Buf out = {0};
    append_shown(&out, text_clip(s, LIMIT_LOG_FIELD_CHARS));
    return str_cstr(arena, buf_str(&out));
}

/* --- the table --- */

static const Key *key_find(Str name)
{
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
        if (str_eq_cstr(name, keys[i].name))
            return &keys[i];
    return NULL;
}

static Str key_normalize(Arena *arena, Str key)
{
    char *name = str_cstr(arena, key);
    for (size_t i = 0; i < key.len; i++)
        if (name[i] == '-')
            name[i] = '_';
    return (Str){name, key.len};
}

static bool kafka_key(Str name, Str *ret_property)
{
    const size_t n = sizeof(KAFKA_PREFIX) - 1;
    if (!str_starts(name, KAFKA_PREFIX) || name.len == n)
        return false;
    *ret_property = (Str){name.data + n, name.len - n};
    return true;
}

bool config_is_key(Str key)
{
    cleanup(arena_freep) Arena *arena = arena_new();
    Str name = key_normalize(arena, key), property;

    return key_find(name) || kafka_key(name, &property);
}

static int fail_unknown(Str name, const char *where, char **ret_error)
{
    cleanup(arena_freep) Arena *arena = arena_new();
    const char *names[ARRAY_SIZE(keys)], *near;

    for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
        names[i] = keys[i].name;
    near = text_nearest(name, names, ARRAY_SIZE(names), MAX((size_t)2, name.len / 3));
    if (str_starts(name, "kafka_") && !near)
        return fail(ret_error, "%s: unknown key \"%s\"; properties of librdkafka are written kafka.<property>", where,
                    shown(arena, name));
    if (near)
        return fail(ret_error, "%s: unknown key \"%s\"; did you mean \"%s\"?", where, shown(arena, name), near);
    return fail(ret_error, "%s: unknown key \"%s\"; --help lists all keys", where, shown(arena, name));
}

/* --- values --- */

static void *field(Config *config, const Key *key)
{
    return (char *)config + key->offset;
}

static const void *field_const(const Config *config, const Key *key)
{
    return (const char *)config + key->offset;
}

static char *must_strndup(Str s)
{
    char *text = malloc(s.len + 1);
    if (!text)
        abort();
    if (s.len)
        memcpy(text, s.data, s.len);
    text[s.len] = '\0';
    return text;
}

static int set_bool(bool *ret, Str value, const char **ret_expected)
{
    static const char *const words[][2] = {{"false", "true"}, {"no", "yes"}, {"off", "on"}, {"0", "1"}};

    for (size_t i = 0; i < ARRAY_SIZE(words); i++)
        for (int on = 0; on <= 1; on++)
            if (str_eq_cstr(value, words[i][on])) {
                *ret = on;
                return 0;
            }
    *ret_expected = "true or false";
    return -EINVAL;
}

static int set_int(Arena *arena, const Key *key, int64_t *ret, Str value, const char **ret_expected)
{
    int64_t v;

    if (text_to_int64(value, &v) && v >= key->min && v <= key->max) {
        *ret = v;
        return 0;
    }
    *ret_expected = arena_printf(arena, "a number from %lld to %lld", (long long)key->min, (long long)key->max);
    return -EINVAL;
}

/* Names become part of topics, groups and lock names: what Kafka allows in a topic, and short. */
static int check_name(Str value, const char **ret_expected)
{
    *ret_expected = "at most 64 of the characters a-z A-Z 0-9 . _ -";
    if (value.len > 64)
        return -EINVAL;
    for (size_t i = 0; i < value.len; i++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-", value.data[i]))
            return -EINVAL;
    return 0;
}

static int set_value(Arena *arena, Config *config, const Key *key, Str value, const char **ret_expected)
{
    void *place = field(config, key);

    switch (key->type) {
    case KEY_INT:
        return set_int(arena, key, place, value, ret_expected);
    case KEY_BOOL:
        return set_bool(place, value, ret_expected);
    case KEY_LEVEL:
        *ret_expected = "err, warning, notice, info or debug";
        return log_level_parse(value, place) ? 0 : -EINVAL;
    case KEY_FORMAT:
        *ret_expected = "auto, text, json or journal";
        return log_format_parse(value, place) ? 0 : -EINVAL;
    case KEY_NAME:
        if (check_name(value, ret_expected) < 0)
            return -EINVAL;
        break;
    case KEY_TEXT:
    case KEY_CONNINFO:
        break;
    }
    free(*(char **)place);
    *(char **)place = must_strndup(value);
    return 0;
}

static int set_kafka(Config *config, Str property, Str value, const char *where, char **ret_error)
{
    cleanup(freep) char *reason = NULL;
    ConfigProperty *p = NULL;

    for (size_t i = 0; i < config->n_kafka; i++)
        if (str_eq_cstr(property, config->kafka[i].name))
            p = &config->kafka[i];
    if (!p) {
        ConfigProperty *more = realloc(config->kafka, (config->n_kafka + 1) * sizeof(*more));
        if (!more)
            abort();
        config->kafka = more;
        p = &more[config->n_kafka++];
        *p = (ConfigProperty){.name = must_strndup(property)};
    }
    free(p->value);
    p->value = must_strndup(value);
    if (config_check_kafka && config_check_kafka(config, &reason) < 0)
        return fail(ret_error, "%s: %s", where, reason ? reason : "a kafka.* property is refused");
    return 0;
}

int config_set(Config *config, Str key, Str value, const char *where, char **ret_error)
{
    cleanup(arena_freep) Arena *arena = arena_new();
    Str name = key_normalize(arena, key), property;
    const Key *row = key_find(name);
    const char *expected = "";

    if (!row && !kafka_key(name, &property))
        return fail_unknown(name, where, ret_error);
    if (value.len && memchr(value.data, '\0', value.len))
        return fail(ret_error, "%s: the value of %s holds a NUL byte", where, shown(arena, name));
    if (!row)
        return set_kafka(config, property, value, where, ret_error);
    if (set_value(arena, config, row, value, &expected) < 0)
        return fail(ret_error, "%s: %s = \"%s\" is not %s", where, row->name, shown(arena, value), expected);
    return 0;
}

/* --- the three sources --- */

static const char *own_defaults[ARRAY_SIZE(keys)]; /* of this program; NULL: the table's */

void config_default(const char *key, const char *value)
{
    const Key *row = key_find(str_from(key));

    assert(row);
    own_defaults[row - keys] = value;
}

static const char *default_of(const Key *key)
{
    const char *own = own_defaults[key - keys];
    return own ? own : key->standard;
}

static int load_defaults(Config *config, char **ret_error)
{
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        int r = config_set(config, str_from(keys[i].name), str_from(default_of(&keys[i])), "default", ret_error);
        if (r < 0)
            return r;
    }
    return 0;
}

static int load_line(Config *config, Str line, const char *where, char **ret_error)
{
    const char *equals;

    line = text_trim(line);
    if (line.len == 0 || line.data[0] == '#')
        return 0;
    equals = memchr(line.data, '=', line.len);
    if (!equals)
        return fail(ret_error, "%s: expected \"key = value\"", where);
    size_t n = (size_t)(equals - line.data);
    return config_set(config, text_trim((Str){line.data, n}), text_trim((Str){equals + 1, line.len - n - 1}), where,
                      ret_error);
}

static void fclosep(FILE **f)
{
    if (*f)
        fclose(*f);
}

static int load_file(Config *config, const char *path, bool must_exist, char **ret_error)
{
    cleanup(fclosep) FILE *file = fopen(path, "re");
    cleanup(freep) char *line = NULL;
    cleanup(buf_free) Buf where = {0};
    size_t cap = 0;
    ssize_t n;

    if (!file && errno == ENOENT && !must_exist)
        return 0;
    for (int number = 1; file && (n = getline(&line, &cap, file)) >= 0; number++) {
        buf_clear(&where);
        buf_printf(&where, "%s:%d", path, number);
        int r = load_line(config, (Str){line, (size_t)n}, where.data, ret_error);
        if (r < 0)
            return r;
    }
    if (!file || ferror(file)) {
        int saved = errno;
        fail(ret_error, "cannot read the configuration %s: %s", path, strerror(saved));
        return saved ? -saved : -EIO;
    }
    return 0;
}

static bool matches(const char *pattern, Str name)
{
    const char *star = strchr(pattern, '*');
    if (!star)
        return str_eq_cstr(name, pattern);
    size_t head = (size_t)(star - pattern), tail = strlen(star + 1);
    return name.len > head + tail && memcmp(name.data, pattern, head) == 0 &&
           memcmp(name.data + name.len - tail, star + 1, tail) == 0;
}

static bool env_is_other(Str name)
{
    for (size_t i = 0; i < ARRAY_SIZE(env_others); i++)
        if (matches(env_others[i], name))
            return true;
    return false;
}

/* DECNET_BATCH_RECORDS is batch_records. A key of the table wins; any other DECNET_KAFKA_A_B is kafka.a.b. */
static Str env_key(Arena *arena, Str name)
{
    const size_t skip = sizeof(ENV_PREFIX) - 1;
    Str key = str_dup(arena, (Str){name.data + skip, name.len - skip});
    char *text = (char *)key.data;

    for (size_t i = 0; i < key.len; i++)
        if (text[i] >= 'A' && text[i] <= 'Z')
            text[i] = (char)(text[i] - 'A' + 'a');
    if (!key_find(key) && str_starts(key, "kafka_"))
        for (size_t i = 0; i < key.len; i++)
            if (text[i] == '_')
                text[i] = '.';
    return key;
}

static int load_environment(Config *config, char **ret_error)
{
    cleanup(arena_freep) Arena *arena = arena_new();

    for (char **e = environ; e && *e; e++) {
        const char *equals = strchr(*e, '=');
        Str name = {*e, equals ? (size_t)(equals - *e) : 0};

        if (!str_starts(name, ENV_PREFIX) || env_is_other(name))
            continue;
        const char *where = arena_printf(arena, "environment variable " STR_FMT, STR_ARG(name));
        int r = config_set(config, env_key(arena, name), str_from(equals + 1), where, ret_error);
        if (r < 0)
            return r;
    }
    return 0;
}

int config_load(Config *config, const char *path_or_null, char **ret_error)
{
    const char *path = path_or_null ? path_or_null : getenv("DECNET_CONFIG");
    int r;

    *config = (Config){0};
    *ret_error = NULL;
    r = load_defaults(config, ret_error);
    if (r == 0)
        r = load_file(config, path ? path : DEFAULT_FILE, path != NULL, ret_error);
    if (r == 0)
        r = load_environment(config, ret_error);
    return r;
}

void config_free(Config *config)
{
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
        if (keys[i].type == KEY_TEXT || keys[i].type == KEY_CONNINFO || keys[i].type == KEY_NAME)
            free(*(char **)field(config, &keys[i]));
    for (size_t i = 0; i < config->n_kafka; i++) {
        free(config->kafka[i].name);
        free(config->kafka[i].value);
    }
    free(config->kafka);
    *config = (Config){0};
}

char *config_cache_dir(const Config *config)
{
    const char *systemd = getenv("CACHE_DIRECTORY"), *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    cleanup(buf_free) Buf path = {0};

    if (config->cache_dir && *config->cache_dir)
        buf_add(&path, config->cache_dir);
    else if (systemd && *systemd)
        buf_append(&path, systemd, strcspn(systemd, ":"));
    else if (xdg && *xdg == '/') /* the XDG specification: a relative path counts as unset */
        buf_printf(&path, "%s/decnet", xdg);
    else if (home && *home)
        buf_printf(&path, "%s/.cache/decnet", home);
    return TAKE_PTR(path.data);
}

/* --- printing --- */

static bool kafka_is_secret(const char *property)
{
    if (strcmp(property, "ssl.key.location") == 0) /* a path, and the first thing to look at when TLS fails */
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(kafka_secrets); i++)
        if (strstr(property, kafka_secrets[i]))
            return true;
    return false;
}

static void append_value(Buf *out, const Config *config, const Key *key)
{
    const void *place = field_const(config, key);

    switch (key->type) {
    case KEY_INT:
        buf_printf(out, "%lld", (long long)*(const int64_t *)place);
        break;
    case KEY_BOOL:
        buf_add(out, *(const bool *)place ? "true" : "false");
        break;
    case KEY_LEVEL:
        buf_add(out, log_level_name(*(const LogLevel *)place));
        break;
    case KEY_FORMAT:
        buf_add(out, log_format_name(*(const LogFormat *)place));
        break;
    case KEY_CONNINFO:
        config_mask_conninfo(out, *(char *const *)place);
        break;
    case KEY_TEXT:
    case KEY_NAME:
        append_shown(out, str_from(*(char *const *)place));
        break;
    }
}

void config_print(const Config *config, Buf *out)
{
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        buf_printf(out, "# %s\n%s = ", keys[i].help, keys[i].name);
        append_value(out, config, &keys[i]);
        buf_add_char(out, '\n');
    }
    for (size_t i = 0; i < config->n_kafka; i++) {
        buf_printf(out, KAFKA_PREFIX "%s = ", config->kafka[i].name);
        if (kafka_is_secret(config->kafka[i].name))
            buf_add(out, "***");
        else
            append_shown(out, str_from(config->kafka[i].value));
        buf_add_char(out, '\n');
    }
}

void config_print_help(Buf *out)
{
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        cleanup(buf_free) Buf option = {0};

        buf_printf(&option, "--%s=VALUE", keys[i].name);
        for (char *c = option.data; *c && *c != '='; c++)
            if (*c == '_')
                *c = '-';
        const char *value = default_of(&keys[i]);
        buf_printf(out, "  %-30s %s (%s)\n", option.data, keys[i].help, *value ? value : "empty");
    }
    buf_printf(out, "  %-30s %s\n", "--kafka.PROPERTY=VALUE",
               "handed to librdkafka, e.g. --kafka.bootstrap.servers=HOST:PORT");
}

/* --- masking of connection strings --- */

static bool conninfo_is_secret(Str name)
{
    static const char *const words[] = {"password", "secret", "scram_client_key", "scram_server_key"};

    for (size_t i = 0; i < ARRAY_SIZE(words); i++)
        if (name.len && memmem(name.data, name.len, words[i], strlen(words[i])))
            return true;
    return name.len && memchr(name.data, '%', name.len); /* a URI may spell a name with escapes: better too much */
}

/* scheme://user:password@host/db?key=value&… The password ends at the last '@' there is: an unescaped '@', '/' or '?'
 * inside it makes the URI wrong, but must not show it. */
static void mask_uri(Buf *out, const char *uri)
{
    const char *user = strstr(uri, "://") + 3, *at = strrchr(user, '@'), *rest = at ? at : user;
    const char *colon = at ? memchr(user, ':', (size_t)(at - user)) : NULL, *query = strchr(rest, '?');

    append_shown(out, (Str){uri, (size_t)((colon ? colon + 1 : rest) - uri)});
    buf_add(out, colon ? "***" : "");
    append_shown(out, (Str){rest, query ? (size_t)(query + 1 - rest) : strlen(rest)});
    for (const char *p = query ? query + 1 : ""; *p;) {
        size_t pair = strcspn(p, "&"), name = strcspn(p, "=&");
        bool secret = name < pair && conninfo_is_secret((Str){p, name});

        append_shown(out, (Str){p, secret ? name + 1 : pair});
        buf_add(out, secret ? "***" : "");
        p += pair;
        if (*p == '&')
            buf_add_char(out, *p++);
    }
}

static size_t blanks(const char *p)
{
    return strspn(p, " \t\r\n\f\v");
}

/* Length of a value in libpq's rules: quoted with '…', or up to white space; a backslash takes the next byte along.
 * 0 and *ret_bad for a quote that never ends. */
static size_t conninfo_value_bytes(const char *p, bool *ret_bad)
{
    bool quoted = *p == '\'';
    size_t i = quoted ? 1 : 0;

    for (; p[i] && (quoted ? p[i] != '\'' : !blanks(p + i)); i++)
        if (p[i] == '\\' && p[i + 1])
            i++;
    if (quoted && p[i] != '\'') {
        *ret_bad = true;
        return 0;
    }
    return quoted ? i + 1 : i;
}

void config_mask_conninfo(Buf *out, const char *conninfo)
{
    cleanup(buf_free) Buf masked = {0};
    bool bad = false;
    const char *p = conninfo + blanks(conninfo);

    if (strncmp(p, "postgresql://", 13) == 0 || strncmp(p, "postgres://", 11) == 0) {
        mask_uri(out, p);
        return;
    }
    while (*p && !bad) {
        Str name = {p, strcspn(p, "= \t\r\n\f\v")};
        p += name.len;
        p += blanks(p);
        if (*p++ != '=' || name.len == 0) {
            bad = true;
            break;
        }
        p += blanks(p);
        Str value = {p, conninfo_value_bytes(p, &bad)};
        if (masked.len)
            buf_add_char(&masked, ' ');
        append_shown(&masked, name);
        buf_add_char(&masked, '=');
        append_shown(&masked, conninfo_is_secret(name) ? STR("***") : value);
        p += value.len;
        p += blanks(p);
    }
    if (bad)
        buf_add(out, "***");
    else
        buf_add_str(out, buf_str(&masked));
}
