/* What the sources of the method table share: the row itself, a call with its checked values, and dictionaries that
 * become rows. Private to lib/repo/methods. */
#pragma once

#include "repo/method.h"
#include "repo/pg.h"

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
    bool streams; /* a list without a bound: read row by row, never held twice; its statement alone, no .run */
    MethodShape shape;
    Statement statement;      /* its $n are the parameters in order; or */
    MethodRun run;            /* this, for what one statement cannot say */
    MethodWriteRow write_row; /* NULL: every column; of METHOD_MAP and METHOD_GROUPS all but the key */
};

/* The row of one method; the fields that it sets follow. Its name has to stand in list.h. The statement's name
 * keeps its prepared statement apart from others of the same name; the statement's text is .statement.sql. */
#define METHOD(name_, ...)                                                                                             \
    const Method method_##name_ = {                                                                                    \
        .name = #name_, .statement.name = "method_" #name_, .statement.shape = SHAPE_ROWS, __VA_ARGS__}

#define LISTED(group_, name_) extern const Method method_##name_;
#include "list.h"
#undef LISTED

typedef struct Column Column;

/* Runs @s with the parameters in order and writes its rows as the method's shape says. */
int method_run_statement(MethodCall *call, const Statement *s, JsonWriter *w);
void method_write_rows(const MethodCall *call, const PGresult *r, JsonWriter *w);
/* A row whose columns from @first_optional on are left out when they are null. */
void method_write_given(const PGresult *r, int row, int first_optional, JsonWriter *w);
/* The list of a method whose uuid parameter @i is a filter: its statement finds null for none, and a malformed one, which
 * is bound as null too, gives an empty list without it. */
int method_run_filtered(MethodCall *call, int i, JsonWriter *w);
/* Checks the dictionary of parameter @i against @columns, runs @s on it ($1, jsonb) and writes what comes back. */
int method_run_dictionary(MethodCall *call, int i, const Column *columns, size_t n, const Statement *s, JsonWriter *w);
/* The same for a change of a stored row: its uuid is parameter 0 ($2), the dictionary parameter 1 ($1), of which every key
 * has to be in @columns. */
int method_run_patch(MethodCall *call, const Column *columns, size_t n, const Statement *s, JsonWriter *w);
/* Records @outcome with a message; see repo.h. @detail_json: members of an object, or NULL. */
int method_fail(const MethodCall *call, int outcome, const char *detail_json, const char *fmt, ...) printf_like(4, 5);
/* REPO_E_INVALID. */
int method_invalid(const MethodCall *call, const char *fmt, ...) printf_like(2, 3);
/* Text parameter @i, absent for null; its uuid, NULL for null or malformed. */
Str method_text(const MethodCall *call, int i);
const Uuid *method_uuid(const MethodCall *call, int i);
void method_write_uuid(JsonWriter *w, const Uuid *uuid);
/* The canonical spelling of an address, in @arena; other text as it is. */
Str method_canonical_ip(Arena *arena, Str text);
/* Binds parameter @i as its type says. */
void method_bind(const MethodCall *call, int i, Args *args);

/* Binds parameter @i as the id of a row to point to: a malformed one becomes one that no row has, so that it fails like
 * an unknown one, where a row is about to point to it. */
void method_bind_parent(const MethodCall *call, int i, Args *args);

/* "Column holds the text of a parameter, in any case": ILIKE, as its hits can be estimated before a plan is made. */
#define COLUMN_HOLDS(column, search)                                                                                   \
    column " ILIKE '%' || regexp_replace(" search ", '([\\\\%_])', '\\\\\\1', 'g') || '%'"

/* --- dictionaries --- */
typedef enum ColumnType {
    COLUMN_TEXT,
    COLUMN_IP,   /* canonical when it is an address */
    COLUMN_UUID, /* malformed: refused */
    COLUMN_ID,   /* text; the one spelling when it is a uuid */
    COLUMN_INT,
    COLUMN_DOUBLE,
    COLUMN_BOOL,
    COLUMN_TIME,
    COLUMN_JSON,           /* a value, or text that holds JSON; other text is refused */
    COLUMN_JSON_OR_STRING, /* other text becomes a JSON string */
    COLUMN_JSON_LIST,      /* a list, or text that holds one */
    COLUMN_JSON_OBJECT,    /* an object, or text that holds one */
    COLUMN_LITERAL,        /* any value as it is; text is a value and never parsed */
    COLUMN_COUNT,          /* an integer of four bytes that is not negative */
    COLUMN_SHARE,          /* a number from 0 to 1 */
    COLUMN_TEXTS,          /* a list of texts, or text that holds one */
    COLUMN_INTS,           /* a list of integers, or text that holds one */
} ColumnType;

enum { COLUMN_REQUIRED = 1, COLUMN_NULLABLE = 2, COLUMN_STRICT = 4 /* too long: refused */ };

struct Column {
    const char *name;
    ColumnType type;
    unsigned flags;
    size_t max_chars; /* longer text is cut; 0: no bound */
};

/* Writes @data as a clean object: known keys that are present, types checked, text repaired and cut, times and ids in
 * one spelling. Other keys are ignored. @where names the dictionary in messages. REPO_E_INVALID. */
int data_write(const MethodCall *call, const char *where, json_object *data, const Column *columns, size_t n,
               JsonWriter *w) must_check;
/* The same for a change of a stored row: a key that @columns does not name is refused (repository F43). */
int data_write_patch(const MethodCall *call, const char *where, json_object *data, const Column *columns, size_t n,
                     JsonWriter *w) must_check;

/* Parameter @i cleaned by data_write() as an object, for those who read it member by member. The caller releases. */
int data_object(const MethodCall *call, int i, const Column *columns, size_t n, json_object **ret) must_check;

/* The pieces of an upsert that overwrites only what is given, from a list of rows X(name, type, flags, max, default):
 * $1 is the clean object, r the record made from it, a the stored row. */
#define UPSERT_NAME(name_, ...) ", " #name_
#define UPSERT_VALUE(name_, type_, flags_, max_, standard_)                                                            \
    ", CASE WHEN $1 ? '" #name_ "' THEN r." #name_ " ELSE " standard_ " END"
#define UPSERT_KEEP(name_, ...)                                                                                        \
    ", " #name_ " = CASE WHEN $1 ? '" #name_ "' THEN EXCLUDED." #name_ " ELSE a." #name_ " END"
#define PATCH_SET(name_, ...) ", " #name_ " = CASE WHEN $1 ? '" #name_ "' THEN r." #name_ " ELSE a." #name_ " END"
#define UPSERT_COLUMN(name_, type_, flags_, max_, standard_) {#name_, type_, flags_, max_},

/* A row of columns.h out of a clean object: o the object, row and given the result. */
#define UPSERT_ROW_COLUMN(n_, name_, type_, flags_, max_, standard_) {#name_, type_, flags_, max_},
#define ROW_READ(n_, name_, type_, ...)                                                                                \
    if (json_object_object_get_ex(o, #name_, &value)) {                                                                \
        row.name_ = ROW_READ_##type_(call, value);                                                                     \
        given |= ROW_BIT(n_);                                                                                          \
    }
#define ROW_READ_COLUMN_TEXT(call_, value_) json_str(value_)
#define ROW_READ_COLUMN_JSON data_json
#define ROW_READ_COLUMN_UUID data_uuid
#define ROW_READ_COLUMN_INT(call_, value_) ((value_) ? json_object_get_int64(value_) : NUMBER_NONE)
#define ROW_READ_COLUMN_BOOL(call_, value_)                                                                            \
    (!(value_) ? TRI_UNKNOWN : json_object_get_boolean(value_) ? TRI_YES : TRI_NO)
#define ROW_READ_COLUMN_TIME(call_, value_) data_time(value_)
/* Values of a clean object; null gives an absent Str, NULL, TIME_NONE. They live as long as the call. */
Str data_json(const MethodCall *call, json_object *value);
const Uuid *data_uuid(const MethodCall *call, json_object *value);
int64_t data_time(json_object *value);
