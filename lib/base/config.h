/* Configuration: one table of keys for all programs, read from a file, the environment and the command line, in rising
 * precedence. Keys that a program does not use are allowed, so that one file serves a whole host.
 *
 *   file          key = value        ('#' starts a comment line)
 *   environment   DECNET_KEY=value   (DECNET_KAFKA_SECURITY_PROTOCOL is kafka.security.protocol)
 *   command line  --key=value        (dashes or underscores)
 *
 * kafka.<property> goes to librdkafka as it is; `database` is a libpq connection string, URI or service=name. */
#pragma once

#include "log.h"

typedef struct ConfigProperty {
    char *name, *value;
} ConfigProperty;

typedef struct Config {
    char *database;             /* libpq connection string; "" uses libpq's own environment (PGHOST, PGSERVICE …) */
    char *kafka_topic_prefix;   /* before every topic and group name */
    char *instance;             /* this process among its like: log field, application_name */
    char *rules_path;           /* folders with rule files, ':' between; later wins by id */
    char *attack_catalog;       /* ATT&CK catalogue file */
    char *stateless_primitives; /* observations of these have no state, ',' between them */
    char *cache_dir;            /* compiled rules; "" derives it: $CACHE_DIRECTORY, else the XDG cache */
    char *metrics_listen;       /* host:port for /metrics and health; "" none; port 0 picks one */
    char *metrics_port_file;    /* where the port is written once it listens; "" nowhere */
    LogLevel log_level;
    LogFormat log_format;
    int64_t batch_records; /* most records in one transaction, 1 .. LIMIT_BATCH_RECORDS */
    int64_t batch_bytes;   /* most bytes of record values in one transaction */
    int64_t batch_age_ms;  /* a batch is not held back longer than this */
    int64_t statement_timeout_ms;
    bool solo;             /* take all partitions by assignment instead of joining a group */
    ConfigProperty *kafka; /* the kafka.* properties, n_kafka of them, last value wins */
    size_t n_kafka;
} Config;

/* Defaults, then the file @path_or_null, else $DECNET_CONFIG, else /etc/decnet/decnet.conf if it exists (a named file
 * must exist), then the environment. Unknown DECNET_* variables are refused, except those that tests and tools use:
 * DECNET_CONFIG, DECNET_CLOCK_OFFSET_US, DECNET_SOURCE_ROOT, DECNET_STATE_FILE, DECNET_ADMIN_USER,
 * DECNET_ADMIN_PASSWORD, DECNET_TEST_* and DECNET_*_PROGRAM. On failure returns -EINVAL (a message names the place,
 * the key and the nearest known one) or the negative errno of reading the file; the message is in *ret_error, which
 * the caller frees, and @config still wants config_free(). */
int config_load(Config *config, const char *path_or_null, char **ret_error) must_check;
/* A default that suits this program better than the table's, for a key of the table; call it before config_load().
 * Both are borrowed for good. */
void config_default(const char *key, const char *value);
/* One "key" and "value" from the command line; dashes in @key count as underscores. Same errors; @where begins the
 * message ("command line"). Secret values never appear in messages. */
int config_set(Config *config, Str key, Str value, const char *where, char **ret_error) must_check;
void config_free(Config *config); /* zeroes it; accepts a half-built one */

/* True for options that config_set() would take, so that a program's option parser can hand them over. */
bool config_is_key(Str key);
/* The folder for compiled rules: cache_dir, else the first of $CACHE_DIRECTORY, else $XDG_CACHE_HOME/decnet, else
 * $HOME/.cache/decnet; NULL when none is set: do without a cache. The caller frees. */
char *config_cache_dir(const Config *config);

/* "key = value" lines with comments; secrets (passwords in connection strings, kafka.*password*, *.secret …) masked. */
void config_print(const Config *config, Buf *out);
/* The rows of the table for --help and the manual: "  --key=VALUE   help (default)". */
void config_print_help(Buf *out);
/* @conninfo, in key=value or URI form, with its passwords replaced by ***; what cannot be parsed is masked whole. */
void config_mask_conninfo(Buf *out, const char *conninfo);
/* Validates kafka.* names and values, called after each such key; set by bus_init() so that lib/base does not depend
 * on librdkafka. Returns 0, or -EINVAL and a message. */
extern int (*config_check_kafka)(const Config *config, char **ret_error);
