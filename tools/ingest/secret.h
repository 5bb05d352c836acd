/* What Cowrie logged as user name, password or key → the bytes that the attacker sent. */
#pragma once

#include "cowrie.h"

/* @text as bytes. Escaped (3.0.5 on): \xNN and \\ denote bytes. Else the text itself, except that the Python form
 * b'…' with a \x inside, which some versions wrote, denotes bytes too. */
Str secret_bytes(Arena *arena, Str text, bool escaped);

/* Python's b'…' or b"…" around text: what is inside, else @text. */
Str python_bytes_content(Str text);

/* A credential from a password; @principal and @password as logged. */
CowrieCredential credential_from_password(Arena *arena, Str principal, Str password, bool escaped,
                                          CredentialOutcome outcome);
/* From an OpenSSH public key "<type> <base64>[ comment]"; present is false when @key is not that. */
CowrieCredential credential_from_key(Arena *arena, Str principal, Str key, Str fingerprint, bool escaped,
                                     CredentialOutcome outcome);
/* User name as it is stored: unescaped, repaired, clipped; absent when empty. */
Str credential_principal(Arena *arena, Str username, bool escaped);
