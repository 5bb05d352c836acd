/* Messages for operators. Programs log, libraries return errors. To the journal with structured fields when standard
 * error is connected to it, else to standard error as text (coloured on a terminal) or as one JSON object a line.
 * Attacker-controlled text belongs in fields, where it is escaped and cut, or not in the log at all; secrets and
 * command text never. */
#pragma once

#include "text.h"

#define LOG_RATE_US (10 * INT64_C(1000000)) /* the same message at most once in this time */

/* Values are those of syslog and the journal. */
typedef enum LogLevel {
    LOG_LEVEL_ERR = 3,     /* needs a human */
    LOG_LEVEL_WARNING = 4, /* degraded, tried again */
    LOG_LEVEL_NOTICE = 5,  /* start, stop, leader change, reload */
    LOG_LEVEL_INFO = 6,    /* one line per pass, with counts */
    LOG_LEVEL_DEBUG = 7    /* per event */
} LogLevel;
typedef enum LogFormat { LOG_FORMAT_AUTO, LOG_FORMAT_TEXT, LOG_FORMAT_JSON, LOG_FORMAT_JOURNAL } LogFormat;

/* A structured field, journal name in capitals, e.g. {"DECNET_TOPIC", "attacker.observed"}. */
typedef struct LogField {
    const char *name, *value;
} LogField;

/* @worker goes into DECNET_WORKER, @instance into DECNET_INSTANCE; both borrowed for the life of the process, NULL
 * leaves the field out. Format auto takes the journal when $JOURNAL_STREAM names standard error, else text. Before
 * this call messages from info upwards go out as text. */
void log_init(const char *worker, const char *instance, LogLevel level, LogFormat format);
bool log_enabled(LogLevel level);

/* @event is a stable short name for filters ("position_overtaken"); @fields may be NULL, else ends with {0}. The same
 * event at level warning or lower is written at most once in 10 s with the same fields; what was held back is
 * counted and said with the next one. Field values are cut to LIMIT_LOG_FIELD_CHARS, control characters escaped. A
 * journal that does not answer is replaced by text on standard error. */
void log_write(LogLevel level, const char *event, const LogField *fields, const char *fmt, ...) printf_like(4, 5);

#define log_err(event, ...) log_write(LOG_LEVEL_ERR, event, NULL, __VA_ARGS__)
#define log_warning(event, ...) log_write(LOG_LEVEL_WARNING, event, NULL, __VA_ARGS__)
#define log_notice(event, ...) log_write(LOG_LEVEL_NOTICE, event, NULL, __VA_ARGS__)
#define log_info(event, ...) log_write(LOG_LEVEL_INFO, event, NULL, __VA_ARGS__)

bool log_level_parse(Str name, LogLevel *ret);   /* err, warning, notice, info, debug */
bool log_format_parse(Str name, LogFormat *ret); /* auto, text, json, journal */
const char *log_level_name(LogLevel level);
const char *log_format_name(LogFormat format);
