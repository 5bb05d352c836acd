/* Secrets are hashed from the original bytes, so every spelling that Cowrie ever used for the same password must come
 * out as the same bytes here. */
#include "secret.h"

#include <string.h>

#include "base/limits.h"

static bool hex_pair(const char *s, char *ret)
{
    uint8_t byte;
    if (!hex_decode(&byte, (Str){s, 2}, 1))
        return false;
    *ret = (char)byte;
    return true;
}

/* One escape at @s (after the backslash), @n bytes left. Returns how many were used, 0 when it is none. @python adds
 * the short forms that repr() writes. */
static size_t decode_escape(const char *s, size_t n, bool python, char *ret)
{
    static const char names[] = "\\'\"ntr", values[] = "\\'\"\n\t\r";

    if (n >= 3 && s[0] == 'x' && hex_pair(s + 1, ret))
        return 3;
    const char *p = n && s[0] ? strchr(names, s[0]) : NULL;
    if (!p || (!python && *p != '\\'))
        return 0;
    *ret = values[p - names];
    return 1;
}

static Str unescape(Arena *arena, Str text, bool python)
{
    char *out = arena_alloc(arena, text.len + 1);
    size_t n = 0;

    for (size_t i = 0; i < text.len;) {
        char byte = text.data[i++];
        if (byte == '\\')
            i += decode_escape(text.data + i, text.len - i, python, &byte);
        out[n++] = byte;
    }
    out[n] = '\0';
    return (Str){out, n};
}

Str python_bytes_content(Str text)
{
    if (text.len >= 3 && text.data[0] == 'b' && (text.data[1] == '\'' || text.data[1] == '"') &&
        text.data[text.len - 1] == text.data[1])
        return (Str){text.data + 2, text.len - 3};
    return text;
}

/* @text as bytes. Escaped (3.0.5 on): \xNN and \\ denote bytes. Else the text itself, except that the Python form
 * b'…' with a \x inside, which some versions wrote, denotes bytes too. */
static Str secret_bytes(Arena *arena, Str text, bool escaped)
{
    if (escaped)
        return unescape(arena, text, false);
    Str inside = python_bytes_content(text);
    if (inside.data != text.data && memmem(inside.data, inside.len, "\\x", 2))
        return unescape(arena, inside, true);
    return text;
}

static Str printable(Arena *arena, Str bytes)
{
    size_t n = MIN(bytes.len, (size_t)LIMIT_SECRET_PRINTABLE_BYTES);
    char *out = arena_memdup(arena, bytes.data, n);

    for (size_t i = 0; i < n; i++)
        if ((uint8_t)out[i] < 0x20 || (uint8_t)out[i] > 0x7e)
            out[i] = '?';
    return (Str){out, n};
}

/* Base64 of at most LIMIT_SECRET_B64_BYTES characters: of a whole number of triples, so that it still decodes. */
static Str clipped_b64(Arena *arena, Str bytes)
{
    bytes.len = MIN(bytes.len, (size_t)LIMIT_SECRET_B64_BYTES / 4 * 3);
    return base64_encode(arena, bytes);
}

Str credential_principal(Arena *arena, Str username, bool escaped)
{
    Str text = text_sanitize(arena, escaped ? unescape(arena, username, false) : username);

    text = text_clip_chars(text, LIMIT_PRINCIPAL_CHARS);
    return text.len ? str_dup(arena, text) : (Str){0};
}

CowrieCredential credential_from_password(Arena *arena, Str username, Str password, bool escaped,
                                          CredentialOutcome outcome)
{
    Str bytes = secret_bytes(arena, password, escaped);
    CowrieCredential c = {.present = true,
                          .kind = "plaintext",
                          .b64 = clipped_b64(arena, bytes),
                          .printable = printable(arena, bytes),
                          .principal = credential_principal(arena, username, escaped),
                          .outcome = outcome};

    sha256_hex(c.sha256, bytes);
    return c;
}

/* OpenSSH's own spelling of a key's fingerprint. */
static Str openssh_fingerprint(Arena *arena, Str blob)
{
    uint8_t digest[32];

    sha256(digest, blob);
    Str b64 = base64_encode(arena, (Str){(const char *)digest, sizeof(digest)});
    while (b64.len && b64.data[b64.len - 1] == '=')
        b64.len--;
    return str_from(arena_printf(arena, "SHA256:" STR_FMT, STR_ARG(b64)));
}

static Str short_text(Arena *arena, Str text)
{
    return str_dup(arena, text_sanitize(arena, text_clip(text, LIMIT_NAME_BYTES)));
}

CowrieCredential credential_from_key(Arena *arena, Str username, Str key, Str fingerprint, bool escaped,
                                     CredentialOutcome outcome)
{
    CowrieCredential c = {.kind = "ssh_publickey", .outcome = outcome};
    const char *blank = key.len ? memchr(key.data, ' ', key.len) : NULL;
    Str blob, text;

    if (!blank)
        return c;
    text = (Str){blank + 1, key.len - (size_t)(blank + 1 - key.data)};
    const char *comment = text.len ? memchr(text.data, ' ', text.len) : NULL;
    if (comment)
        text.len = (size_t)(comment - text.data);
    text = text_trim(text);
    if (!text.len || !base64_decode(arena, text, &blob))
        return c;
    c.present = true;
    sha256_hex(c.sha256, blob);
    c.b64 = clipped_b64(arena, blob);
    c.printable = openssh_fingerprint(arena, blob);
    c.principal = credential_principal(arena, username, escaped);
    c.key_fingerprint = short_text(arena, fingerprint);
    c.key_type = short_text(arena, (Str){key.data, (size_t)(blank - key.data)});
    return c;
}
