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
    PARAM_ID,     /* text; the one spelling when it is a uuid, as foreign ids may be anything */
    PARAM_UUID,   /* a malformed one matches nothing, like an unknown one */
    PARAM_NEW_ID, /* a uuid that will be stored: a malformed one is refused */
    PARAM_INT,
    PARAM_COUNT, /* integer that is not negative */
    PARAM_LIMIT, /* rows of a page: 0 to LIMIT_PAGE_ROWS */
    PARAM_BOOL,
    PARAM_TIME,
    PARAM_OBJECT,
    PARAM_LIST,
    PARAM_SET,  /* list of texts */
    PARAM_IPS,  /* list of texts; addresses in their canonical spelling */
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
    METHOD_MAP,    /* an object: the first column is the key, the others are the row under it */
    METHOD_GROUPS, /* an object of arrays: the rows with one key in the first column, which come one after the other */
} MethodShape;

enum { METHOD_PARAMS_MAX = 12 };
typedef struct Method Method;

/* The row of a method, NULL when there is none; and all of them in the interface's order. */
const Method *method_find(const char *name);
size_t method_count(void);
const Method *method_at(size_t i);
const char *method_group(size_t i);
const char *method_name(const Method *m);
const MethodParam *method_params(const Method *m);
const char *method_returns(const Method *m); /* in the notation of the interface */
/* The type of a parameter in the same notation, without the mark for null. */
const char *param_type_name(const MethodParam *p);
bool param_may_be_null(const MethodParam *p);
bool method_writes(const Method *m);
bool method_iterates(const Method *m); /* the interface calls it an asynchronous iterator */
bool method_streams(const Method *m);  /* repo_call_each() takes it, too */

/* Runs @method and appends its result to @ret_json as JSON. @params may be NULL for none.
 *
 * One call is one transaction with up to three more tries after a deadlock or the like; inside a transaction that the
 * caller has opened it is part of that. Nothing is appended on failure.
 * Returns 0; REPO_E_INVALID for an unknown method, parameter or key, a missing or wrong value (repo_error() names it),
 * more than LIMIT_CALL_BYTES at once or nested deeper than LIMIT_JSON_DEPTH;
 * REPO_E_FK for a missing parent or one that is still needed; REPO_E_CONFLICT for a row that exists already; what single
 * methods promise: REPO_E_NOT_FOUND, REPO_E_VERSION, REPO_E_NOT_EDITABLE, REPO_E_ORPHAN (repo_error()->detail_json has
 * the particulars); REPO_E_RETRY, REPO_E_IN_DOUBT, REPO_E_OPERATOR, or a negative errno. */
int repo_call(Repo *repo, const char *method, json_object *params, Buf *ret_json) must_check;

/* For methods that iterate (method_iterates()) and for lists without a bound (method_streams()): hands each item to @fn as
 * JSON, in constant memory, out of one snapshot. The items of an object of arrays are objects with one member; a long
 * array comes in pieces under the same key.
 * A result of @fn other than 0 ends the walk and is returned. Errors as repo_call(); items may have come before one. */
typedef int (*RepoItem)(void *arg, Str item_json);
int repo_call_each(Repo *repo, const char *method, json_object *params, RepoItem fn, void *arg) must_check;

/* The class of an error in the interface's words: "E_INVALID", "E_FK", ... from what repo_call() returned. */
const char *repo_error_class(const Repo *repo, int outcome);

/* Names of techniques are not in the database. Roll-ups ask @fn for them and leave them null without one, or when it
 * returns false. Set once, before threads start; borrowed. */
typedef struct TechniqueName {
    const char *name; /* of the technique or sub-technique alone */
    const char *url;
} TechniqueName;
typedef bool (*TechniqueNamer)(void *arg, const char *id, TechniqueName *ret);
void repo_set_technique_namer(TechniqueNamer fn, void *arg);
