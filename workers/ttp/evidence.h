/* The evidence of one tag: a small JSON object, a pointer and the least needed to verify the match, within
 * LIMIT_EVIDENCE_STRING_BYTES a string and LIMIT_EVIDENCE_BYTES as a whole. What had to be cut is cut at a character
 * boundary and "truncated": true is added. Text is repaired (NUL, invalid UTF-8) so that PostgreSQL takes it. */
#pragma once

#include "event/intel_facts.h"

enum { EVIDENCE_MAX_FIELDS = 16 };

typedef enum EvidenceType {
    EVIDENCE_NULL,
    EVIDENCE_STR,
    EVIDENCE_STRS,
    EVIDENCE_INT,
    EVIDENCE_INTS,
    EVIDENCE_DOUBLE,
    EVIDENCE_BOOL
} EvidenceType;

typedef struct EvidenceField {
    const char *key;
    EvidenceType type;
    Str str;
    StrList strs;
    IntList ints;
    double number;
    bool yes;
} EvidenceField;

typedef struct Evidence {
    EvidenceField fields[EVIDENCE_MAX_FIELDS];
    size_t n;
    bool truncated; /* something was cut already */
} Evidence;

/* Each sets the field @key, replacing an earlier value. Text and lists are borrowed. */
void evidence_put_null(Evidence *e, const char *key);
void evidence_put_str(Evidence *e, const char *key, Str s); /* absent: null */
void evidence_put_strs(Evidence *e, const char *key, StrList list);
void evidence_put_int(Evidence *e, const char *key, int64_t v);
void evidence_put_ints(Evidence *e, const char *key, IntList list);
void evidence_put_double(Evidence *e, const char *key, double v);
void evidence_put_bool(Evidence *e, const char *key, bool v);
bool evidence_has(const Evidence *e, const char *key);

/* The object as JSON in @arena. */
Str evidence_json(Arena *arena, Evidence *e);
