/* The cache file: header, one byte per pattern (whether it is only prefiltered), the serialised database. */
#include "pack_cache.h"

#include <errno.h>
#include <string.h>

#include "base/file.h"
#include "base/limits.h"

static const char magic[8] = {'D', 'E', 'C', 'N', 'E', 'T', 'P', '1'};

typedef struct Header {
    char magic[sizeof(magic)];
    uint8_t key[32];
    uint8_t checksum[32]; /* SHA-256 of all that follows */
} Header;

static void add_field(Buf *buf, const void *data, size_t len)
{
    uint64_t n = len; /* the length before the bytes: no two lists of patterns look alike */
    buf_append(buf, &n, sizeof(n));
    buf_append(buf, data, len);
}

PackCacheKey pack_cache_key(const PackPattern *patterns, size_t n)
{
    cleanup(buf_free) Buf all = {0};
    hs_platform_info_t platform = {0};
    PackCacheKey key;

    hs_populate_platform(&platform);
    add_field(&all, &platform.tune, sizeof(platform.tune));
    add_field(&all, &platform.cpu_features, sizeof(platform.cpu_features));
    add_field(&all, hs_version(), strlen(hs_version()));
    for (size_t i = 0; i < n; i++) {
        add_field(&all, patterns[i].regex, strlen(patterns[i].regex));
        add_field(&all, &patterns[i].icase, sizeof(patterns[i].icase));
    }
    sha256(key.b, buf_str(&all));
    return key;
}

void pack_cache_path(Buf *ret, const char *cache_dir, const PackCacheKey *key)
{
    char hex[33];

    hex_encode(hex, key->b, 16);
    buf_printf(ret, "%s/rules-%s.hsdb", cache_dir, hex);
}

bool pack_cache_read(const char *path, const PackCacheKey *key, uint8_t *prefilter, size_t n,
                     hs_database_t **ret_database)
{
    cleanup(buf_free) Buf file = {0};
    Header header;
    uint8_t checksum[32];

    if (file_read_private(path, LIMIT_PACK_CACHE_BYTES, &file) < 0 || file.len < sizeof(header) + n)
        return false;
    memcpy(&header, file.data, sizeof(header));
    Str body = {file.data + sizeof(header), file.len - sizeof(header)};
    sha256(checksum, body);
    if (memcmp(header.magic, magic, sizeof(magic)) != 0 || memcmp(header.key, key->b, sizeof(key->b)) != 0 ||
        memcmp(header.checksum, checksum, sizeof(checksum)) != 0)
        return false;
    memcpy(prefilter, body.data, n);
    return hs_deserialize_database(body.data + n, body.len - n, ret_database) == HS_SUCCESS;
}

int pack_cache_write(const char *path, const PackCacheKey *key, const uint8_t *prefilter, size_t n,
                     const hs_database_t *database)
{
    cleanup(buf_free) Buf file = {0};
    cleanup(freep) char *bytes = NULL;
    size_t len = 0;
    Header header;

    if (hs_serialize_database(database, &bytes, &len) != HS_SUCCESS)
        return -ENOMEM;
    memcpy(header.magic, magic, sizeof(magic));
    memcpy(header.key, key->b, sizeof(key->b));
    buf_append(&file, &header, sizeof(header));
    buf_append(&file, prefilter, n);
    buf_append(&file, bytes, len);
    sha256(((Header *)file.data)->checksum, (Str){file.data + sizeof(header), file.len - sizeof(header)});
    return file.len > LIMIT_PACK_CACHE_BYTES ? -EFBIG : file_write_private(path, buf_str(&file));
}
