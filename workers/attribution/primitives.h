/* The registry of primitives: one table of every name that the contract knows, what its values are and which merger
 * judges them (contract attribution 3). A name that is not here is categorical. */
#pragma once

#include "event/behaviour.h"

typedef enum PrimitiveType { /* the kinds of the reference's registry; see value_kind for the merger */
                             PRIMITIVE_CATEGORICAL, /* one word of the vocabulary */
                             PRIMITIVE_FREE_STRING,
                             PRIMITIVE_ARRAY, /* of text, order matters */
                             PRIMITIVE_NUMERIC,
                             PRIMITIVE_HASH,
} PrimitiveType;

typedef enum PrimitiveScope {
    PRIMITIVE_OF_SESSION,  /* one observation per session */
    PRIMITIVE_OF_SESSIONS, /* seen over several sessions only; reserved, nobody sends it yet */
    PRIMITIVE_OF_NETWORK,  /* of tools and their traffic; from other sensors */
} PrimitiveScope;

typedef struct Primitive {
    const char *name;
    PrimitiveType type;
    PrimitiveScope scope;
    const char *values; /* words that the contract names, space between; NULL: open */
} Primitive;

extern const Primitive primitives[]; /* by name, byte by byte */
extern const size_t n_primitives;

const Primitive *primitive_find(Str name); /* NULL: not in the table */

/* The merger: @said when the event says it, else the table's, else categorical. Never VALUE_KIND_NONE. */
ValueKind primitive_value_kind(Str name, ValueKind said);

/* Primitives without a state row, separated by commas: their values differ a little from session to session by
 * nature, every merger would call that a conflict (contract attribution 10.12). Default of the deny list. */
#define PRIMITIVES_STATELESS "motor.digraph_simhash"
/* False when @name is in the deny list @stateless ("a,b"; blanks around names allowed). */
bool primitive_has_state(Str name, Str stateless);

/* The table of docs/attribution.md. "Extracted" tells that our own extractor computes it. */
void primitives_list_markdown(Buf *out);
