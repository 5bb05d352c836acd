/* Parameters in PostgreSQL's binary form (send/recv functions of each type; arrays as in array_recv). */
#include <string.h>

#include "pg.h"

#define PG_EPOCH_US INT64_C(946684800000000) /* 2000-01-01, where timestamptz counts from */

static void put32(Buf *buf, uint32_t v)
{
    uint32_t be = __builtin_bswap32(v);
    buf_append(buf, &be, sizeof(be));
}

static void put64(Buf *buf, uint64_t v)
{
    uint64_t be = __builtin_bswap64(v);
    buf_append(buf, &be, sizeof(be));
}

static void put_double(Buf *buf, double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof(bits));
    put64(buf, bits);
}

static void put_text(Buf *buf, Str s)
{
    cleanup(arena_freep) Arena *scratch = NULL;

    if (!text_is_ascii(s)) {
        scratch = arena_new();
        s = text_sanitize(scratch, s);
    }
    buf_add_str(buf, s);
}

static void put_json(Buf *buf, Str json)
{
    buf_add_char(buf, 1); /* version of jsonb's wire form */
    buf_add_str(buf, json);
}

static Buf *scalar(Args *args, unsigned type)
{
    assert(args->n < ARGS_MAX);
    args->types[args->n] = type;
    return &args->scalars[args->n++];
}

void args_free(Args *args)
{
    for (int i = 0; i < args->n; i++) {
        buf_free(&args->scalars[i]);
        if (args->arrays[i])
            buf_free(&args->arrays[i]->buf);
        free(args->arrays[i]);
    }
    args->n = 0;
}

void arg_null(Args *args, unsigned type)
{
    scalar(args, type);
    args->is_null[args->n - 1] = true;
}

void arg_str(Args *args, Str s)
{
    if (!s.data)
        arg_null(args, PG_TEXT);
    else
        put_text(scalar(args, PG_TEXT), s);
}

void arg_cstr(Args *args, const char *s)
{
    arg_str(args, str_from(s));
}

void arg_uuid(Args *args, const Uuid *u)
{
    if (!u)
        arg_null(args, PG_UUID);
    else
        buf_append(scalar(args, PG_UUID), u->b, sizeof(u->b));
}

void arg_int8(Args *args, int64_t v)
{
    put64(scalar(args, PG_INT8), (uint64_t)v);
}

void arg_int4(Args *args, int32_t v)
{
    put32(scalar(args, PG_INT4), (uint32_t)v);
}

void arg_float8(Args *args, double v)
{
    put_double(scalar(args, PG_FLOAT8), v);
}

void arg_bool(Args *args, bool v)
{
    buf_add_char(scalar(args, PG_BOOL), v);
}

void arg_time(Args *args, int64_t us)
{
    if (us == TIME_NONE)
        arg_null(args, PG_TIMESTAMPTZ);
    else
        put64(scalar(args, PG_TIMESTAMPTZ), (uint64_t)(us - PG_EPOCH_US));
}

void arg_bytes(Args *args, Str bytes)
{
    if (!bytes.data)
        arg_null(args, PG_BYTEA);
    else
        buf_add_str(scalar(args, PG_BYTEA), bytes);
}

void arg_json(Args *args, Str json)
{
    if (!json.data)
        arg_null(args, PG_JSONB);
    else
        put_json(scalar(args, PG_JSONB), json);
}

void arg_json_text(Args *args, Str json)
{
    if (!json.data)
        arg_null(args, PG_JSON);
    else
        buf_add_str(scalar(args, PG_JSON), json);
}

static unsigned array_type(unsigned elem)
{
    static const struct {
        unsigned elem, array;
    } types[] = {{PG_BOOL, 1000},   {PG_BYTEA, 1001},       {PG_INT4, 1007}, {PG_TEXT, 1009}, {PG_INT8, 1016},
                 {PG_FLOAT8, 1022}, {PG_TIMESTAMPTZ, 1185}, {PG_UUID, 2951}, {PG_JSONB, 3807}};
    for (size_t i = 0; i < ARRAY_SIZE(types); i++)
        if (types[i].elem == elem)
            return types[i].array;
    assert(!"array of a type without a row in the table");
    return 0;
}

/* The header is written when the parameter is bound, in array_finish(); until then its 20 bytes are a place holder. */
enum { ARRAY_HEADER_BYTES = 20 };

ArgArray *arg_array(Args *args, unsigned elem)
{
    ArgArray *a = calloc(1, sizeof(*a));
    if (!a)
        abort();
    a->elem = elem;
    buf_append(&a->buf, (char[ARRAY_HEADER_BYTES]){0}, ARRAY_HEADER_BYTES);
    scalar(args, array_type(elem));
    args->arrays[args->n - 1] = a;
    return a;
}

void arg_ids(Args *args, const int64_t *ids, size_t n)
{
    ArgArray *a = arg_array(args, PG_INT8);
    for (size_t i = 0; i < n; i++)
        array_int8(a, ids[i]);
}

static const Uuid *uuid_at(const Uuid *first, size_t stride_bytes, size_t i)
{
    return (const Uuid *)(const void *)((const char *)first + i * stride_bytes);
}

void arg_uuids(Args *args, const Uuid *first, size_t stride_bytes, size_t n)
{
    ArgArray *a = arg_array(args, PG_UUID);
    for (size_t i = 0; i < n; i++)
        array_uuid(a, uuid_at(first, stride_bytes, i));
}

static void array_finish(ArgArray *a)
{
    uint32_t header[] = {a->n > 0, a->n_null > 0, a->elem, (uint32_t)a->n, 1};
    for (size_t i = 0; i < ARRAY_SIZE(header); i++)
        header[i] = __builtin_bswap32(header[i]);
    memcpy(a->buf.data, header, sizeof(header));
    if (a->n == 0) /* an empty array has no dimension: only ndim, flags, type */
        a->buf.len = 12;
}

/* Elements of an array and columns of a COPY row have the same form: a length, -1 for NULL, and so many bytes. */

static void put_field(Buf *buf, const void *data, size_t len)
{
    put32(buf, (uint32_t)len);
    buf_append(buf, data, len);
}

static void put_null(Buf *buf)
{
    put32(buf, UINT32_MAX);
}

/* A field whose length is known only after it was written. */
static void put_field_from(Buf *buf, void (*put)(Buf *, Str), Str s)
{
    if (!s.data) {
        put_null(buf);
        return;
    }
    size_t at = buf->len;
    put32(buf, 0);
    put(buf, s);
    uint32_t len = __builtin_bswap32((uint32_t)(buf->len - at - 4));
    memcpy(buf->data + at, &len, sizeof(len));
}

static void put_field64(Buf *buf, uint64_t v)
{
    uint64_t be = __builtin_bswap64(v);
    put_field(buf, &be, sizeof(be));
}

void copy_row(Buf *row, int n_columns)
{
    uint16_t be = __builtin_bswap16((uint16_t)n_columns);
    buf_append(row, &be, sizeof(be));
}

void copy_str(Buf *row, Str s)
{
    put_field_from(row, put_text, s);
}

void copy_json(Buf *row, Str json)
{
    put_field_from(row, put_json, json);
}

void copy_uuid(Buf *row, const Uuid *u)
{
    if (!u)
        put_null(row);
    else
        put_field(row, u->b, sizeof(u->b));
}

void copy_int4(Buf *row, int32_t v)
{
    uint32_t be = __builtin_bswap32((uint32_t)v);
    put_field(row, &be, sizeof(be));
}

void copy_float8(Buf *row, double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof(bits));
    put_field64(row, bits);
}

void copy_time(Buf *row, int64_t us)
{
    if (us == TIME_NONE)
        put_null(row);
    else
        put_field64(row, (uint64_t)(us - PG_EPOCH_US));
}

/* One element more; where it is written. */
static Buf *element(ArgArray *a, bool is_null)
{
    a->n++;
    a->n_null += is_null;
    return &a->buf;
}

void array_null(ArgArray *a)
{
    put_null(element(a, true));
}

void array_str(ArgArray *a, Str s)
{
    copy_str(element(a, !s.data), s);
}

void array_json(ArgArray *a, Str json)
{
    copy_json(element(a, !json.data), json);
}

void array_bytes(ArgArray *a, Str bytes)
{
    put_field_from(element(a, !bytes.data), buf_add_str, bytes);
}

void array_uuid(ArgArray *a, const Uuid *u)
{
    copy_uuid(element(a, !u), u);
}

void array_int8(ArgArray *a, int64_t v)
{
    put_field64(element(a, false), (uint64_t)v);
}

void array_int4(ArgArray *a, int32_t v)
{
    copy_int4(element(a, false), v);
}

void array_float8(ArgArray *a, double v)
{
    copy_float8(element(a, false), v);
}

void array_bool(ArgArray *a, bool v)
{
    put_field(element(a, false), &(char){v}, 1);
}

void array_time(ArgArray *a, int64_t us)
{
    copy_time(element(a, us == TIME_NONE), us);
}

void array_number(ArgArray *a, int64_t v)
{
    if (v == NUMBER_NONE)
        array_null(a);
    else
        array_int8(a, v);
}

void array_tristate(ArgArray *a, Tristate v)
{
    if (v == TRI_UNKNOWN)
        array_null(a);
    else
        array_bool(a, v == TRI_YES);
}

void args_bind(Args *args, const char **values, int *lengths, int *formats)
{
    for (int i = 0; i < args->n; i++) {
        if (args->arrays[i])
            array_finish(args->arrays[i]);
        const Buf *buf = args->arrays[i] ? &args->arrays[i]->buf : &args->scalars[i];
        values[i] = args->is_null[i] ? NULL : buf->data ? buf->data : "";
        lengths[i] = (int)buf->len;
        formats[i] = 1;
    }
}

static uint64_t get_be(const char *p, int n)
{
    uint64_t v = 0;
    for (int i = 0; i < n; i++)
        v = v << 8 | (uint8_t)p[i];
    return v;
}

bool res_null(const PGresult *r, int row, int col)
{
    return PQgetisnull(r, row, col);
}

Str res_str(const PGresult *r, int row, int col)
{
    if (res_null(r, row, col))
        return (Str){0};
    Str s = {PQgetvalue(r, row, col), (size_t)PQgetlength(r, row, col)};
    if (PQftype(r, col) == PG_JSONB && s.len)
        s = (Str){s.data + 1, s.len - 1};
    return s;
}

Uuid res_uuid(const PGresult *r, int row, int col)
{
    Uuid u = {{0}};
    if (!res_null(r, row, col) && PQgetlength(r, row, col) == (int)sizeof(u.b))
        memcpy(u.b, PQgetvalue(r, row, col), sizeof(u.b));
    return u;
}

int64_t res_int(const PGresult *r, int row, int col)
{
    const char *p = PQgetvalue(r, row, col);
    switch (PQgetlength(r, row, col)) {
    case 1:
        return *p;
    case 4:
        return (int32_t)get_be(p, 4);
    case 8:
        return (int64_t)get_be(p, 8);
    default:
        return 0;
    }
}

double res_double(const PGresult *r, int row, int col)
{
    double v = 0;
    if (PQgetlength(r, row, col) == 8) {
        uint64_t bits = get_be(PQgetvalue(r, row, col), 8);
        memcpy(&v, &bits, sizeof(v));
    }
    return v;
}

bool res_bool(const PGresult *r, int row, int col)
{
    return res_int(r, row, col) != 0;
}

int64_t res_time(const PGresult *r, int row, int col)
{
    return res_null(r, row, col) ? TIME_NONE : res_int(r, row, col) + PG_EPOCH_US;
}

void res_write_value(const PGresult *r, int row, int col, JsonWriter *w)
{
    Str s = res_str(r, row, col);
    char uuid[UUID_TEXT_BYTES];
    Uuid u;

    if (!s.data) {
        json_value_null(w);
        return;
    }
    switch (PQftype(r, col)) {
    case PG_BOOL:
        json_value_bool(w, res_bool(r, row, col));
        break;
    case PG_INT4:
    case PG_INT8:
        json_value_int(w, res_int(r, row, col));
        break;
    case PG_FLOAT8:
        json_value_double(w, res_double(r, row, col));
        break;
    case PG_TIMESTAMPTZ:
        json_value_time(w, res_time(r, row, col));
        break;
    case PG_UUID:
        u = res_uuid(r, row, col);
        uuid_format(uuid, &u);
        json_value_str(w, str_from(uuid));
        break;
    case PG_JSON:
    case PG_JSONB:
        json_value_raw(w, s);
        break;
    case PG_BYTEA: { /* hex, as nothing else is safe in JSON */
        cleanup(freep) char *hex = malloc(2 * s.len + 1);
        if (!hex)
            abort();
        hex_encode(hex, s.data, s.len);
        json_value_str(w, str_from(hex));
        break;
    }
    default:
        json_value_str(w, s);
    }
}

void res_write_columns(const PGresult *r, int row, int from, int to, JsonWriter *w)
{
    json_begin_object(w);
    for (int col = from; col < to; col++) {
        json_key(w, PQfname(r, col));
        res_write_value(r, row, col, w);
    }
    json_end_object(w);
}

static int by_uuid(const void *a, const void *b)
{
    const UuidOrder *x = a, *y = b;
    int c = uuid_cmp(x->uuid, y->uuid);
    return c ? c : (x->index > y->index) - (x->index < y->index);
}

UuidOrder *uuid_order(const Uuid *first, size_t stride_bytes, size_t n)
{
    UuidOrder *order = malloc((n + 1) * sizeof(*order));
    if (!order)
        abort();
    for (size_t i = 0; i < n; i++)
        order[i] = (UuidOrder){uuid_at(first, stride_bytes, i), i};
    qsort(order, n, sizeof(*order), by_uuid);
    return order;
}

static int by_bytes(const void *a, const void *b)
{
    return uuid_cmp(a, b);
}

void res_mark_returned(const PGresult *r, int col, const UuidOrder *order, size_t n, bool *flags)
{
    size_t n_ids = (size_t)PQntuples(r);
    cleanup(freep) Uuid *ids = malloc((n_ids + 1) * sizeof(*ids));
    if (!ids)
        abort();
    for (size_t i = 0; i < n_ids; i++)
        ids[i] = res_uuid(r, (int)i, col);
    qsort(ids, n_ids, sizeof(*ids), by_bytes);
    for (size_t i = 0, j = 0; i < n; i++) { /* both sorted: one walk; an id that came back once marks one row */
        bool hit = j < n_ids && uuid_cmp(order[i].uuid, &ids[j]) == 0;
        flags[order[i].index] = hit;
        j += hit;
    }
}
