/* What the shapes of decnet-vectors share: the run with its counters, how a case passes or fails, and how a file of
 * one shape is told from the others. A new shape is a VectorShape in a file of its own and a row of the table in
 * vectors.c. */
#pragma once

#include "base/config.h"
#include "base/json.h"
#include "ttp/engine.h"

typedef struct VectorRun {
    const Config *config;
    TtpEngine *engine; /* loaded when the first file needs it */
    Arena *arena;      /* of one case */
    size_t passed, failed;
    const char *file;
    unsigned line; /* 0: the file as a whole */
} VectorRun;

typedef struct VectorShape {
    const char *what;               /* for messages: "tag ids" */
    bool (*is)(json_object *first); /* by the first line if that is JSON, else by the whole file */
    bool needs_engine;
    void (*whole)(VectorRun *run, json_object *root); /* one JSON text, or */
    void (*line)(VectorRun *run, json_object *line);  /* one a line */
} VectorShape;

extern const VectorShape vector_tag_ids, vector_reference, vector_probes;
extern const VectorShape vector_attribution_mergers, vector_attribution_sequences;

/* Counts one case; when it failed, prints file, line and the message. */
void vector_check(VectorRun *run, bool ok, const char *fmt, ...) printf_like(3, 4);
/* @text as a JSON literal, clipped; in the arena of the case. */
const char *vector_shown(VectorRun *run, Str text);
