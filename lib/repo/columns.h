/* Tables whose rows are written many at a time, each column as one binary array. A table is a list of rows
 * X(n, name, type, flags, max, standard): the parameter of the statement that carries the column, its name, its type
 * (COLUMN_…), flags and longest text as a dictionary of the method table checks them, and the SQL of its default. From
 * the list come the members of the row in C, the arrays and the statement, so none of the three can forget a column.
 *
 * All rows of one call set the same columns: bit n of the mask $1 says that column n is given. A column that is not
 * given keeps its stored value, or has its default in a new row, and its array stays empty. */
#pragma once

#include "event/intel_facts.h"

#define NUMBER_NONE INT64_MIN /* NULL in a member of type COLUMN_INT */

#define ROW_BIT(n_) (UINT64_C(1) << (n_))

/* --- members --- */
#define ROW_MEMBER(n_, name_, type_, ...) ROW_TYPE_##type_ name_;
#define ROW_TYPE_COLUMN_TEXT Str /* absent: NULL */
#define ROW_TYPE_COLUMN_JSON Str
#define ROW_TYPE_COLUMN_UUID const Uuid *
#define ROW_TYPE_COLUMN_INT int64_t
#define ROW_TYPE_COLUMN_BOOL Tristate
#define ROW_TYPE_COLUMN_TIME int64_t

/* --- arrays, from rows, n and given into args (pg.h) --- */
#define ROW_BIND(n_, name_, type_, ...)                                                                                \
    {                                                                                                                  \
        ArgArray *a = arg_array(args, ROW_PG_##type_);                                                                 \
        for (size_t i = 0; i < n && (given & ROW_BIT(n_)); i++)                                                        \
            ROW_PUT_##type_(a, rows[i].name_);                                                                         \
    }
#define ROW_PG_COLUMN_TEXT PG_TEXT
#define ROW_PG_COLUMN_JSON PG_JSONB
#define ROW_PG_COLUMN_UUID PG_UUID
#define ROW_PG_COLUMN_INT PG_INT8
#define ROW_PG_COLUMN_BOOL PG_BOOL
#define ROW_PG_COLUMN_TIME PG_TIMESTAMPTZ
#define ROW_PUT_COLUMN_TEXT array_str
#define ROW_PUT_COLUMN_JSON array_json
#define ROW_PUT_COLUMN_UUID array_uuid
#define ROW_PUT_COLUMN_INT array_number
#define ROW_PUT_COLUMN_BOOL array_tristate
#define ROW_PUT_COLUMN_TIME array_time

/* --- pieces of the statement: i is the row that comes, a the stored one --- */
#define ROW_GIVEN(n_) "$1 >> " #n_ " & 1 = 1"
#define ROW_NAME(n_, name_, ...) ", " #name_
#define ROW_UNNEST(n_, name_, ...) ", unnest($" #n_ ") AS " #name_
#define ROW_VALUE(n_, name_, type_, flags_, max_, standard_)                                                           \
    ", CASE WHEN " ROW_GIVEN(n_) " THEN i." #name_ " ELSE " standard_ " END"
#define ROW_KEEP(n_, name_, ...)                                                                                       \
    ", " #name_ " = CASE WHEN " ROW_GIVEN(n_) " THEN EXCLUDED." #name_ " ELSE a." #name_ " END"
#define ROW_DIFFERS(n_, name_, ...) " OR " ROW_GIVEN(n_) " AND a." #name_ " IS DISTINCT FROM EXCLUDED." #name_
