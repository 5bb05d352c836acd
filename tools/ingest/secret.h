/* What Cowrie logged as user name, password or key → the bytes that the attacker sent. */
#pragma once

#include "cowrie.h"

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
