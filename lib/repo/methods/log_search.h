/* The search language of the log methods. A query is split into words as a POSIX shell does (quotes, backslashes); when
 * a quote is left open, at white space instead. A word with a colon asks for a column or for a member of `fields`, one
 * without is looked for in the line, decky, service and address. All words have to match.
 *
 *   service:ssh attacker:203.0.113.7 "invalid user" user:root */
#pragma once

#include "base/text.h"

typedef enum LogColumn {
    LOG_COLUMN_DECKY,
    LOG_COLUMN_SERVICE,
    LOG_COLUMN_EVENT_TYPE,
    LOG_COLUMN_ATTACKER_IP,
    LOG_COLUMNS
} LogColumn;

typedef enum LogTermKind { LOG_TERM_COLUMN, LOG_TERM_FIELD, LOG_TERM_TEXT } LogTermKind;

typedef struct LogTerm {
    LogTermKind kind;
    LogColumn column; /* of LOG_TERM_COLUMN */
    Str key;          /* of LOG_TERM_FIELD: letters, digits and underscores */
    Str value;        /* what has to be equal, or contained */
} LogTerm;

/* The terms of @query in their order, in @arena; words that match everything are left out. */
LogTerm *log_search_parse(Arena *arena, Str query, size_t *ret_n);
