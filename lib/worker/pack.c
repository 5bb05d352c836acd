#include "pack.h"

#include <errno.h>
#include <lz4.h>
#include <string.h>

#include "base/limits.h"

enum {
    SEAL_BYTES_MIN = 4096, /* less is one page of a table anyway */
    SEALED_HEAD_BYTES = 8,
    RAW_BYTES_MAX = 2 * LIMIT_OUTBOX_ROW_BYTES + LIMIT_EVENT_READ_BYTES /* a record as it came is a pack of its own */
};
static const uint32_t sealed_mark = UINT32_MAX; /* no event is that large */

static void put_le(Buf *buf, uint64_t v, int n)
{
    char bytes[8];

    for (int i = 0; i < n; i++)
        bytes[i] = (char)(v >> (8 * i));
    buf_append(buf, bytes, (size_t)n);
}

static void put_sized(Buf *buf, Str s, int n_bytes)
{
    put_le(buf, s.data || n_bytes != 4 ? s.len : UINT32_MAX, n_bytes);
    buf_add_str(buf, s);
}

void pack_add(Buf *pack, const PackedEvent *event)
{
    size_t at = pack->len;
    put_le(pack, 0, 4);
    put_sized(pack, event->topic, 2);
    put_sized(pack, event->key, 4);
    put_sized(pack, event->value, 4);
    put_le(pack, event->n_headers, 2);
    for (size_t i = 0; i < event->n_headers; i++) {
        put_sized(pack, event->headers[i].name, 2);
        put_sized(pack, event->headers[i].value, 4);
    }
    uint32_t size = (uint32_t)(pack->len - at - 4);
    for (int i = 0; i < 4; i++)
        pack->data[at + (size_t)i] = (char)(size >> (8 * i));
}

static bool get_le(Str pack, size_t *at, int n, uint64_t *ret)
{
    if (pack.len - *at < (size_t)n)
        return false;
    uint64_t v = 0;
    for (int i = 0; i < n; i++)
        v |= (uint64_t)(uint8_t)pack.data[*at + (size_t)i] << (8 * i);
    *at += (size_t)n;
    *ret = v;
    return true;
}

static bool get_sized(Str pack, size_t *at, int n_bytes, Str *ret)
{
    uint64_t len;
    if (!get_le(pack, at, n_bytes, &len))
        return false;
    if (n_bytes == 4 && len == UINT32_MAX) {
        *ret = (Str){0};
        return true;
    }
    if (pack.len - *at < len)
        return false;
    *ret = (Str){pack.data + *at, (size_t)len};
    *at += (size_t)len;
    return true;
}

int pack_next(Str pack, size_t *at, PackedEvent *ret)
{
    uint64_t size, n_headers;
    if (*at == pack.len)
        return 0;
    if (!get_le(pack, at, 4, &size) || pack.len - *at < size)
        return -EBADMSG;
    Str event = {pack.data, *at + (size_t)size};
    if (!get_sized(event, at, 2, &ret->topic) || !get_sized(event, at, 4, &ret->key) ||
        !get_sized(event, at, 4, &ret->value) || !get_le(event, at, 2, &n_headers) ||
        n_headers > ARRAY_SIZE(ret->headers))
        return -EBADMSG;
    ret->n_headers = (size_t)n_headers;
    for (size_t i = 0; i < ret->n_headers; i++)
        if (!get_sized(event, at, 2, &ret->headers[i].name) || !get_sized(event, at, 4, &ret->headers[i].value))
            return -EBADMSG;
    return *at == event.len ? 1 : -EBADMSG;
}

static uint32_t u32_at(const char *at)
{
    const uint8_t *b = (const uint8_t *)at;
    return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

void pack_seal(Buf *ret, Str pack)
{
    int bound = pack.len <= RAW_BYTES_MAX ? LZ4_compressBound((int)pack.len) : 0;

    buf_clear(ret);
    if (pack.len >= SEAL_BYTES_MIN && bound > 0) {
        put_le(ret, sealed_mark, 4);
        put_le(ret, pack.len, 4);
        buf_reserve(ret, (size_t)bound);
        int n = LZ4_compress_default(pack.data, ret->data + ret->len, (int)pack.len, bound);
        if (n > 0 && SEALED_HEAD_BYTES + (size_t)n < pack.len) {
            ret->len += (size_t)n;
            return;
        }
        buf_clear(ret);
    }
    buf_add_str(ret, pack);
}

int pack_unseal(Buf *ret, Str sealed)
{
    buf_clear(ret);
    if (sealed.len < SEALED_HEAD_BYTES || u32_at(sealed.data) != sealed_mark) {
        buf_add_str(ret, sealed);
        return 0;
    }
    uint32_t raw = u32_at(sealed.data + 4);
    if (raw > RAW_BYTES_MAX || sealed.len > RAW_BYTES_MAX)
        return -EBADMSG;
    buf_reserve(ret, raw);
    int n = LZ4_decompress_safe(sealed.data + SEALED_HEAD_BYTES, ret->data, (int)(sealed.len - SEALED_HEAD_BYTES),
                                (int)raw);
    if (n != (int)raw)
        return -EBADMSG;
    ret->len = raw;
    return 0;
}
