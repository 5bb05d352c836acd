/* What methods on topologies, on their parts and on the queue of their changes share: a lock, and what may be changed
 * under it. */
#pragma once

#include "methods.h"

typedef struct Topology {
    bool found;
    Str status; /* in the arena of the call */
    int64_t version;
} Topology;

/* $1 is an id; @where gives that of the topology. Whoever changes more than one row of a topology takes this lock
 * first, so that no two ever wait for each other. */
#define TOPOLOGY_LOCK(where, strength) "SELECT status, version FROM topologies WHERE id = " where " FOR " strength

/* Runs the TOPOLOGY_LOCK @s on @id; NULL finds nothing. */
int topology_lock(MethodCall *call, const Statement *s, const Uuid *id, Topology *ret) must_check;
/* REPO_E_NOT_EDITABLE. */
int topology_check_pending(const MethodCall *call, const Topology *t) must_check;
/* REPO_E_VERSION when @expected is given and another one than the topology's. */
int topology_check_version(const MethodCall *call, const Topology *t, const MethodValue *expected) must_check;
/* Before a new row of a topology: locks it, and compares the version when one is expected. A topology that does not
 * exist is REPO_E_NOT_FOUND then; otherwise the foreign key of the new row tells. */
int topology_before_insert(MethodCall *call, const Uuid *id, const MethodValue *expected) must_check;

/* Follows a CTE named child that returns topology_id: one step of the version, if the parameter @wanted says so. */
#define TOPOLOGY_STEP(wanted)                                                                                          \
    ", step AS (UPDATE topologies t SET version = t.version + 1 FROM child WHERE t.id = child.topology_id AND " wanted \
    ")"
