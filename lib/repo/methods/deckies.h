/* What the tables of deckies have in common: the columns that say what a decky is and how it is. */
#pragma once

#include "methods.h"

#define DECKY_COLUMNS(X)                                                                                               \
    X(services, COLUMN_TEXTS, 0, 0, "'[]'")                                                                            \
    X(decky_config, COLUMN_JSON, COLUMN_NULLABLE, 0, "NULL")                                                           \
    X(decky_ip, COLUMN_TEXT, COLUMN_NULLABLE, 0, "NULL")                                                               \
    X(state, COLUMN_TEXT, 0, 0, "'pending'")                                                                           \
    X(last_error, COLUMN_TEXT, COLUMN_NULLABLE, 0, "NULL")                                                             \
    X(compose_hash, COLUMN_TEXT, COLUMN_NULLABLE, 0, "NULL")                                                           \
    X(last_seen, COLUMN_TIME, COLUMN_NULLABLE, 0, "NULL")

#define DECKY_NAMES DECKY_COLUMNS(UPSERT_NAME)
#define DECKY_VALUES DECKY_COLUMNS(UPSERT_VALUE)
#define DECKY_KEEP DECKY_COLUMNS(UPSERT_KEEP)
