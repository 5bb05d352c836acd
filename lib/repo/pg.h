/* What the sources of lib/repo share: statements, typed binary parameters, typed binary results. The only header that
 * shows libpq. */
#pragma once

#include <libpq-fe.h>

#include "base/limits.h"
#include "columns.h"
#include "repo.h"

/* Built-in types by their fixed numbers (PostgreSQL's pg_type.dat). */
enum {
    PG_BOOL = 16,
    PG_BYTEA = 17,
    PG_INT8 = 20,
    PG_INT4 = 23,
    PG_TEXT = 25,
    PG_JSON = 114,
    PG_FLOAT8 = 701,
    PG_TIMESTAMPTZ = 1184,
    PG_UUID = 2950,
    PG_JSONB = 3802
};

typedef enum Shape {
    SHAPE_NONE, /* no rows come back; the number of affected rows counts */
    SHAPE_ROW,  /* exactly one row, else REPO_E_NO_ROW */
    SHAPE_ROWS,
} Shape;

typedef struct Statement {
    const char *name;
    Shape shape;
    const char *sql;
    bool plan_anew; /* plan for the parameters of each call: where filters that may be absent decide on the index */
} Statement;

/* --- parameters: built in order, bound in binary --- */
enum { ARGS_MAX = 48 };

typedef struct ArgArray {
    Buf buf;
    unsigned elem;
    int32_t n, n_null;
} ArgArray;

typedef struct Args {
    int n;
    unsigned types[ARGS_MAX];
    Buf scalars[ARGS_MAX];
    ArgArray *arrays[ARGS_MAX]; /* NULL for scalars */
    bool is_null[ARGS_MAX];
} Args;

void args_free(Args *args);      /* use with cleanup(args_free) */
void arg_str(Args *args, Str s); /* absent: NULL; repaired */
void arg_cstr(Args *args, const char *s);
void arg_uuid(Args *args, const Uuid *u); /* NULL pointer: NULL */
void arg_int8(Args *args, int64_t v);
void arg_int4(Args *args, int32_t v);
void arg_float8(Args *args, double v);
void arg_bool(Args *args, bool v);
void arg_time(Args *args, int64_t us);    /* TIME_NONE: NULL */
void arg_bytes(Args *args, Str bytes);    /* bytea; absent: NULL */
void arg_json(Args *args, Str json);      /* jsonb from JSON text; absent: NULL */
void arg_json_text(Args *args, Str json); /* json, whose keys keep their order; absent: NULL */
void arg_null(Args *args, unsigned type);
/* A one-dimensional array parameter of element type @elem; valid until args_free(). */
ArgArray *arg_array(Args *args, unsigned elem);
void arg_ids(Args *args, const int64_t *ids, size_t n); /* bigint[] */
/* uuid[]: the n that stand @stride_bytes apart from @first. */
void arg_uuids(Args *args, const Uuid *first, size_t stride_bytes, size_t n);
void array_str(ArgArray *a, Str s); /* text[]; absent: NULL element */
void array_uuid(ArgArray *a, const Uuid *u);
void array_int8(ArgArray *a, int64_t v);
void array_int4(ArgArray *a, int32_t v);
void array_float8(ArgArray *a, double v);
void array_bool(ArgArray *a, bool v);
void array_time(ArgArray *a, int64_t us);
void array_bytes(ArgArray *a, Str bytes);
void array_json(ArgArray *a, Str json);
void array_number(ArgArray *a, int64_t v);    /* bigint[]; NUMBER_NONE: NULL */
void array_tristate(ArgArray *a, Tristate v); /* boolean[]; TRI_UNKNOWN: NULL */
void array_null(ArgArray *a);
/* --- rows for repo_copy() --- */
void copy_row(Buf *row, int n_columns); /* first of all */
void copy_str(Buf *row, Str s);         /* absent: NULL; repaired */
void copy_uuid(Buf *row, const Uuid *u);
void copy_int4(Buf *row, int32_t v);
void copy_float8(Buf *row, double v);
void copy_time(Buf *row, int64_t us);
void copy_json(Buf *row, Str json);

/* libpq's parallel arrays for the parameters; they point into @args. */
void args_bind(Args *args, const char **values, int *lengths, int *formats);

/* --- execution --- */
/* Prepares the statement on first use of this connection and runs it. @ret_result may be NULL for SHAPE_NONE. */
int repo_exec(Repo *repo, const Statement *s, Args *args, PGresult **ret_result) must_check;
/* The same without rows: *ret_affected (may be NULL) is the number of rows changed. */
int repo_run(Repo *repo, const Statement *s, Args *args, int64_t *ret_affected) must_check;
typedef struct CopyRows {
    void (*append)(Buf *out, const void *arg, size_t i); /* row i of n: copy_row() and a copy_*() for each column */
    const void *arg;
    size_t n;
} CopyRows;
/* COPY … FROM STDIN (FORMAT binary) within a transaction; nothing but name and sql of @s count. *ret_stored: all rows are
 * stored; else none is, because they are too few for it to pay, or because one of them, or one of the same key, was there
 * already. */
int repo_copy(Repo *repo, const Statement *s, const CopyRows *rows, bool *ret_stored) must_check;
/* Hands the rows to @fn one by one (row 0 of @row), in constant memory. A result other than 0 cancels the statement and
 * is returned. @fn must not use @repo. */
int repo_each(Repo *repo, const Statement *s, Args *args, int (*fn)(void *arg, const PGresult *row),
              void *arg) must_check;
/* Whether the last failure was that of a prepared statement which a change of the schema or a pooler took away. Such a
 * failure is REPO_E_RETRY; the next try prepares anew. */
bool repo_plan_died(const Repo *repo);
/* Text that is not a parameterised statement: migrations, BEGIN. */
int repo_script(Repo *repo, const char *name, const char *sql) must_check;
PGconn *repo_connection(Repo *repo);
static inline void pgresult_freep(PGresult **p)
{
    PQclear(*p);
}
/* Records an error that the library itself found; returns @outcome. */
int repo_fail(Repo *repo, int outcome, const char *statement, const char *fmt, ...) printf_like(4, 5);
/* The same where the server would have said @sqlstate, which decides the outcome. */
int repo_fail_as(Repo *repo, const char *sqlstate, const char *statement, const char *message);
void repo_hint(Repo *repo, const char *fmt, ...) printf_like(2, 3);
void repo_detail(Repo *repo, const char *fmt, ...) printf_like(2, 3); /* members of a JSON object */

/* --- results --- */
bool res_null(const PGresult *r, int row, int col);
Str res_str(const PGresult *r, int row, int col); /* borrowed; absent for NULL; jsonb without its version byte */
Uuid res_uuid(const PGresult *r, int row, int col);
int64_t res_int(const PGresult *r, int row, int col); /* int4, int8, bool */
double res_double(const PGresult *r, int row, int col);
bool res_bool(const PGresult *r, int row, int col);
int64_t res_time(const PGresult *r, int row, int col); /* TIME_NONE for NULL */
/* One value by its column's type; the columns from @from to before @to as an object keyed by their names. */
void res_write_value(const PGresult *r, int row, int col, JsonWriter *w);
void res_write_columns(const PGresult *r, int row, int from, int to, JsonWriter *w);

/* --- which of the rows that went in came back --- */
typedef struct UuidOrder {
    const Uuid *uuid;
    size_t index; /* place in the caller's array */
} UuidOrder;
/* The n uuids that stand @stride_bytes apart from @first, sorted by uuid, then by place. The caller frees. */
UuidOrder *uuid_order(const Uuid *first, size_t stride_bytes, size_t n);
/* @flags[place] = the uuid is among those in column @col of @r; of equal ones only the first. */
void res_mark_returned(const PGresult *r, int col, const UuidOrder *order, size_t n, bool *flags);
