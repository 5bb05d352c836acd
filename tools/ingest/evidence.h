/* Addresses that an attacker's URLs and commands point to: `c2` (host:port) and `download_url`. Pure.
 *
 * Not evidence: private, loopback and reserved hosts, the sensor's own address, and the stop list of hosts that
 * anybody uses (package mirrors, code hosting, search engines, address echo services). What is obfuscated (percent,
 * hex, quotes inside) is left alone: a wrong guess would tie strangers together. */
#pragma once

#include "base/text.h"

#define EVIDENCE_URLS_MAX 64 /* places taken from one command; a longer list is noise or an attack on the table */

typedef enum EvidencePlaceKind { PLACE_C2, PLACE_DOWNLOAD_URL } EvidencePlaceKind;

typedef struct EvidencePlace {
    EvidencePlaceKind kind;
    Str value; /* in the arena; each value once */
} EvidencePlace;

typedef struct EvidencePlaces {
    EvidencePlace items[2 * EVIDENCE_URLS_MAX];
    size_t n;
    size_t n_dropped; /* places beyond the bound */
} EvidencePlaces;

/* What @url points to, nothing when it is no http, https, ftp or tftp URL. @sensor_address (may be absent) is
 * canonical. Appends to @ret, which the caller cleared at first. */
void evidence_from_url(Arena *arena, Str url, Str sensor_address, EvidencePlaces *ret);
/* The same for every URL in a command line, for /dev/tcp/HOST/PORT and /dev/udp/HOST/PORT, and for the address that
 * tftp, ftpget, nc, ncat or netcat is given when there is exactly one. */
void evidence_from_command(Arena *arena, Str command, Str sensor_address, EvidencePlaces *ret);
/* True when @host (lower case) or a parent domain of it is on the stop list. */
bool evidence_host_is_common(Str host);
