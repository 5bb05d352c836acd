/* SHA1_*() is deprecated in favour of EVP, which costs several times as much for names this short. */
#define OPENSSL_API_COMPAT 0x10100000L
#include "uuid.h"

#include <openssl/sha.h>
#include <string.h>
#include <uuid/uuid.h>

const Uuid UUID_NS_EVENT = {
    {0x42, 0x50, 0x39, 0x19, 0xd4, 0x81, 0x56, 0x59, 0x9d, 0xe6, 0x7c, 0xc1, 0x03, 0x07, 0xb7, 0x66}};
const Uuid UUID_NS_SESSION = {
    {0xfd, 0xbc, 0x0a, 0x5a, 0x27, 0xe1, 0x53, 0xbb, 0xbb, 0xea, 0xc6, 0xa4, 0xac, 0x0e, 0x19, 0xd5}};
const Uuid UUID_NS_LOG = {
    {0x5e, 0x3e, 0x80, 0xac, 0xcd, 0x59, 0x59, 0x20, 0xa7, 0x83, 0xbd, 0x6c, 0xbe, 0x61, 0xbd, 0x3a}};
const Uuid UUID_NS_ATTACKER = {
    {0x51, 0x41, 0x43, 0xf9, 0x59, 0x48, 0x54, 0x82, 0xaa, 0x1a, 0x5b, 0x7c, 0x8c, 0xc4, 0xf6, 0x28}};
const Uuid UUID_NS_TTP_TAG = {
    {0x1c, 0xa3, 0x1f, 0x08, 0x55, 0x22, 0x5a, 0xae, 0x83, 0x71, 0xfe, 0x81, 0xf0, 0xe3, 0x9d, 0xe3}};
const Uuid UUID_NS_OBSERVATION = {
    {0x8f, 0x1c, 0xad, 0xbd, 0xfd, 0xa2, 0x53, 0x13, 0xbe, 0x4f, 0xc6, 0x0a, 0xb9, 0xdf, 0xd8, 0x85}};
const Uuid UUID_NS_IDENTITY = {
    {0xf2, 0x3c, 0x25, 0x7d, 0x6f, 0x18, 0x51, 0xdd, 0xa3, 0xad, 0xfb, 0x47, 0x06, 0x1c, 0x67, 0x3a}};

Uuid uuid_v5(const Uuid *ns, Str name)
{
    return uuid_v5_joined(ns, &name, 1);
}

/* Short parts are gathered: half the cost of a name's hash was in calls for a few bytes each. */
typedef struct Hash {
    SHA_CTX sha;
    char gathered[256];
    size_t n;
} Hash;

static void hash_flush(Hash *h)
{
    SHA1_Update(&h->sha, h->gathered, h->n);
    h->n = 0;
}

static void hash_add(Hash *h, const void *bytes, size_t n)
{
    if (n > sizeof(h->gathered) - h->n)
        hash_flush(h);
    if (n > sizeof(h->gathered)) {
        SHA1_Update(&h->sha, bytes, n);
    } else if (n > 0) {
        memcpy(h->gathered + h->n, bytes, n);
        h->n += n;
    }
}

Uuid uuid_v5_joined(const Uuid *ns, const Str *parts, size_t n)
{
    uint8_t digest[SHA_DIGEST_LENGTH];
    Hash hash;
    Uuid u;

    SHA1_Init(&hash.sha);
    hash.n = 0;
    hash_add(&hash, ns->b, sizeof(ns->b));
    for (size_t i = 0; i < n; i++) {
        if (i)
            hash_add(&hash, "|", 1);
        hash_add(&hash, parts[i].data, parts[i].len);
    }
    hash_flush(&hash);
    SHA1_Final(digest, &hash.sha);
    memcpy(u.b, digest, sizeof(u.b));
    u.b[6] = (uint8_t)((u.b[6] & 0x0f) | 0x50); /* RFC 9562: version 5 */
    u.b[8] = (uint8_t)((u.b[8] & 0x3f) | 0x80);
    return u;
}

Uuid uuid_v5_of(const Uuid *ns, const Uuid *of)
{
    char text[UUID_TEXT_BYTES];

    uuid_format(text, of);
    return uuid_v5(ns, str_from(text));
}

void uuid_format(char out[UUID_TEXT_BYTES], const Uuid *u)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < sizeof(u->b); i++) {
        *out++ = digits[u->b[i] >> 4];
        *out++ = digits[u->b[i] & 15];
        if (i == 3 || i == 5 || i == 7 || i == 9)
            *out++ = '-';
    }
    *out = '\0';
}

bool uuid_parse_text(Str text, Uuid *ret)
{
    char digits[32];
    size_t n = 0;

    if (text.len != 32 && text.len != 36)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        bool dash_place = text.len == 36 && (i == 8 || i == 13 || i == 18 || i == 23);
        if (dash_place != (text.data[i] == '-'))
            return false;
        if (!dash_place)
            digits[n++] = text.data[i];
    }
    return hex_decode(ret->b, (Str){digits, n}, sizeof(ret->b));
}

int uuid_cmp(const Uuid *a, const Uuid *b)
{
    return memcmp(a->b, b->b, sizeof(a->b));
}

bool uuid_is_zero(const Uuid *u)
{
    return uuid_cmp(u, &(Uuid){{0}}) == 0;
}

Uuid uuid_random(void)
{
    Uuid u;
    uuid_generate_random(u.b);
    return u;
}
