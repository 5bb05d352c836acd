/* The repository as a table: every method of the interface is one row with its parameters, their types and defaults,
 * what it returns, and the statement or function behind it. repo_call() runs any of them from JSON, so a tool, another
 * language and the tests can use all of it, and a test can show that none is missing.
 *
 * Parameters are one JSON object by name. Timestamps are RFC 3339 text (a missing offset means UTC), ids accept both
 * forms and any case, text is repaired (U+0000, invalid UTF-8). Rows come back as objects with the columns as keys,
 * timestamps with six digits and Z, ids dashed in lower case. */
#pragma once

#include "repo.h"

typedef enum ParamType {
    PARAM_TEXT,
    PARAM_FILTER, /* text, of which "" means the same as null: no filter */
    PARAM_IP,     /* text; the canonical spelling when it is an address */
    PARAM_UUID,   /* a malformed one matches nothing, like an unknown one */
    PARAM_INT,
    PARAM_COUNT, /* integer that is not negative */
    PARAM_BOOL,
    PARAM_TIME,
    PARAM_OBJECT,
    PARAM_LIST,
    PARAM_JSON, /* any value */
} ParamType;

typedef struct MethodParam {
    const char *name; /* NULL ends the list */
    ParamType type;
    bool required, nullable;
    const char *standard; /* default as JSON text; NULL: null */
} MethodParam;

typedef enum MethodShape {
    METHOD_VOID,   /* null */
    METHOD_SCALAR, /* the first column of the first row, or null */
    METHOD_ROW,    /* an object, or null */
    METHOD_ROWS,   /* an array of objects */
} MethodShape;

enum { METHOD_PARAMS_MAX = 12 };
typedef struct Method Method;

/* The row of a method, NULL when there is none; and all of them in no promised order. */
const Method *method_find(const char *name);
size_t method_count(void);
const Method *method_at(size_t i);
const char *method_name(const Method *m);
const MethodParam *method_params(const Method *m);
const char *method_returns(const Method *m); /* in the notation of the interface */
bool method_writes(const Method *m);
bool method_iterates(const Method *m); /* the interface calls it an asynchronous iterator */

/* Runs @method and appends its result to @ret_json as JSON. @params may be NULL for none.
 *
 * One call is one transaction with up to three more tries after a deadlock or the like; inside a transaction that the
 * caller has opened it is part of that. Nothing is appended on failure.
 * Returns 0; REPO_E_INVALID for an unknown method, parameter or key, a missing or wrong value (repo_error() names it);
 * REPO_E_FK for a missing parent; REPO_E_REJECTED for a row that exists already; REPO_E_RETRY, REPO_E_IN_DOUBT,
 * REPO_E_OPERATOR, or a negative errno. */
int repo_call(Repo *repo, const char *method, json_object *params, Buf *ret_json) must_check;

/* Names of techniques are not in the database. Roll-ups ask @fn for them and leave them null without one, or when it
 * returns false. Set once, before threads start; borrowed. */
typedef struct TechniqueName {
    const char *name; /* of the technique or sub-technique alone */
    const char *url;
} TechniqueName;
typedef bool (*TechniqueNamer)(void *arg, const char *id, TechniqueName *ret);
void repo_set_technique_namer(TechniqueNamer fn, void *arg);
