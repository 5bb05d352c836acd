/* Messages for operators. Programs log, libraries return errors. To the journal with structured fields when standard
 * error is connected to it, else to standard error as text (coloured on a terminal) or as one JSON object a line.
 * Attacker-controlled text belongs in fields, where it is escaped and cut, or not in the log at all; secrets and
 * command text never. */
#pragma once

#include "text.h"

typedef enum LogLevel { LOG_LEVEL_ERR = 3, LOG_LEVEL_WARNING = 4, LOG_LEVEL_NOTICE = 5, LOG_LEVEL_INFO = 6, LOG_LEVEL_DEBUG = 7 } LogLevel;
typedef enum LogFormat { LOG_FORMAT_AUTO, LOG_FORMAT_TEXT, LOG_FORMAT_JSON, LOG_FORMAT_JOURNAL } LogFormat;

/* A structured field, journal name in capitals, e.g. {"DECNET_TOPIC", "attacker.observed"}. */
typedef struct LogField {
    const char *name, *value;
} LogField;

/* @worker goes into DECNET_WORKER, @instance into DECNET_INSTANCE; both borrowed for the life of the process. */
void log_init(const char *worker, const char *instance, LogLevel level, LogFormat format);
bool log_enabled(LogLevel level);

/* @event is a stable short name for filters ("position_overtaken"); @fields may be NULL, else ends with {0}. The same
 * event at level warning or lower is written at most once in 10 s with the same fields; what was held back is
 * counted and said with the next one. */
void log_write(LogLevel level, const char *event, const LogField *fields, const char *fmt, ...) printf_like(4, 5);

#define log_err(event, ...) log_write(LOG_LEVEL_ERR, event, NULL, __VA_ARGS__)
#define log_warning(event, ...) log_write(LOG_LEVEL_WARNING, event, NULL, __VA_ARGS__)
#define log_notice(event, ...) log_write(LOG_LEVEL_NOTICE, event, NULL, __VA_ARGS__)
#define log_info(event, ...) log_write(LOG_LEVEL_INFO, event, NULL, __VA_ARGS__)
#define log_debug(event, ...) log_write(LOG_LEVEL_DEBUG, event, NULL, __VA_ARGS__)

bool log_level_parse(Str name, LogLevel *ret); /* err, warning, notice, info, debug */
bool log_format_parse(Str name, LogFormat *ret); /* auto, text, json, journal */
