/* What the sources of the method table share: the row itself, a call with its checked values, and dictionaries that
 * become rows. Private to lib/repo/method*.c. */
#pragma once

#include "method.h"
#include "pg.h"

typedef struct MethodValue {
    bool is_null;
    Str text;          /* TEXT, FILTER, IP; of UUID as it was given */
    Uuid uuid;         /* UUID, unless malformed */
    bool malformed;    /* UUID */
    int64_t number;    /* INT, COUNT, BOOL, and TIME in µs */
    json_object *json; /* OBJECT, LIST, JSON; borrowed */
} MethodValue;

typedef struct MethodCall {
    Repo *repo;
    const Method *method;
    Arena *arena; /* of this call */
    MethodValue values[METHOD_PARAMS_MAX];
} MethodCall;

/* Appends the result to @w. Runs in a transaction and may run again after a rollback. */
typedef int (*MethodRun)(MethodCall *call, JsonWriter *w);
typedef void (*MethodWriteRow)(const PGresult *r, int row, JsonWriter *w);

struct Method {
    const char *name;
    MethodParam params[METHOD_PARAMS_MAX];
    const char *returns;
    bool writes, iterates;
    MethodShape shape;
    Statement statement;      /* its $n are the parameters in order; or */
    MethodRun run;            /* this, for what one statement cannot say */
    MethodWriteRow write_row; /* NULL: every column */
};

/* "method_" keeps a method's prepared statement apart from others of the same name. */
#define METHOD_STATEMENT(method_, sql_) .statement = {.name = "method_" method_, .shape = SHAPE_ROWS, .sql = sql_}

typedef struct MethodGroup {
    const Method *methods;
    const size_t *n;
} MethodGroup;
extern const Method methods_attackers[], methods_captures[], methods_intel[], methods_logs[], methods_ttp[];
extern const size_t n_methods_attackers, n_methods_captures, n_methods_intel, n_methods_logs, n_methods_ttp;

/* Runs @s with the parameters in order and writes its rows as the method's shape says. */
int method_run_statement(MethodCall *call, const Statement *s, JsonWriter *w);
void method_write_rows(const MethodCall *call, const PGresult *r, JsonWriter *w);
/* REPO_E_INVALID with a message that begins with the method's name. */
int method_invalid(const MethodCall *call, const char *fmt, ...) printf_like(2, 3);

/* --- dictionaries --- */
typedef enum ColumnType {
    COLUMN_TEXT,
    COLUMN_IP,   /* canonical when it is an address */
    COLUMN_UUID, /* malformed: refused */
    COLUMN_INT,
    COLUMN_DOUBLE,
    COLUMN_BOOL,
    COLUMN_TIME,
    COLUMN_JSON,           /* a value, or text that holds JSON; other text is refused */
    COLUMN_JSON_OR_STRING, /* other text becomes a JSON string */
    COLUMN_OBJECT,         /* an object, no text */
} ColumnType;

enum { COLUMN_REQUIRED = 1, COLUMN_NULLABLE = 2 };

typedef struct Column {
    const char *name;
    ColumnType type;
    unsigned flags;
    size_t max_chars; /* longer text is cut; 0: no bound */
} Column;

/* Writes @data as a clean object: known keys that are present, types checked, text repaired and cut, times and ids in
 * one spelling. Other keys are ignored. @where names the dictionary in messages. REPO_E_INVALID. */
int data_write(const MethodCall *call, const char *where, json_object *data, const Column *columns, size_t n,
               JsonWriter *w) must_check;

/* The pieces of an upsert that overwrites only what is given, from a list of rows X(name, type, flags, max, default):
 * $1 is the clean object, r the record made from it, a the stored row. */
#define UPSERT_NAME(name_, ...) ", " #name_
#define UPSERT_VALUE(name_, type_, flags_, max_, standard_)                                                            \
    ", CASE WHEN $1 ? '" #name_ "' THEN r." #name_ " ELSE " standard_ " END"
#define UPSERT_KEEP(name_, ...)                                                                                        \
    ", " #name_ " = CASE WHEN $1 ? '" #name_ "' THEN EXCLUDED." #name_ " ELSE a." #name_ " END"
#define UPSERT_COLUMN(name_, type_, flags_, max_, standard_) {#name_, type_, flags_, max_},
