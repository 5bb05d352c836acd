/* What the intelligence providers said about one attacker, as the tagging rules see it: the projection of a row of
 * attacker_intel, or of the event attacker.intel.enriched. Absent answers stay absent (an absent Str, a false has_*,
 * TRI_UNKNOWN): "not asked" is not "no". Text borrows from whoever decoded it. */
#pragma once

#include "base/time.h"
#include "base/uuid.h"

typedef enum Tristate { TRI_UNKNOWN, TRI_NO, TRI_YES } Tristate;

typedef struct StrList {
    const Str *items;
    size_t n;
} StrList;

typedef struct IntList {
    const int64_t *items;
    size_t n;
} IntList;

typedef struct IntelFacts {
    Uuid attacker_uuid;
    Str attacker_ip;
    Str aggregate_verdict; /* malicious, suspicious, benign, unknown */
    bool has_abuseipdb_score;
    double abuseipdb_score; /* 0 .. 100 */
    IntList abuseipdb_categories;
    Str greynoise_classification; /* benign, malicious, suspicious, unknown */
    Str greynoise_name;
    StrList greynoise_tags;
    Tristate feodo_listed;
    Str feodo_malware_family;
    Tristate threatfox_listed;
    StrList threatfox_threat_types, threatfox_ioc_types, threatfox_malware_families;
    int64_t cached_at_us; /* when the answers were stored: the tags' observed_at; TIME_NONE when unknown */
} IntelFacts;
