/* Parameter values that exist in the large repository (load.sql), and from them every call of a method: each combination
 * of its parameters, optional ones both absent and present. */
#pragma once

#include "repo/method.h"

/* A call: its parameters, and for each of them whether it is there. */
typedef struct MethodTry {
    json_object *params;
    const char *values[METHOD_PARAMS_MAX]; /* as they stand in the table of values; NULL: absent */
} MethodTry;

typedef void (*MethodTryFn)(void *arg, const Method *m, const MethodTry *t);

/* Hands each combination to @fn. Returns the name of a required parameter that has no value in the table, or NULL. */
const char *method_tries(const Method *m, MethodTryFn fn, void *arg);
