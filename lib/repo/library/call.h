/* What the functions of the generated methods.c are made of. Private to the library. */
#pragma once

#include <decnet/repo.h>
#include <json-c/json.h>

typedef struct TypedCall {
    DecnetRepo *repo;
    const char *method;
    json_object *params;
    int r; /* the first failure */
} TypedCall;

/* NULL: a required parameter is null, which the method refuses or takes; any other is left out. */
typedef enum Presence { OPTIONAL, REQUIRED } Presence;

TypedCall typed_begin(DecnetRepo *repo, const char *method);
void typed_text(TypedCall *call, const char *name, Presence presence, const char *value);
void typed_int(TypedCall *call, const char *name, Presence presence, const int64_t *value);
void typed_bool(TypedCall *call, const char *name, Presence presence, const bool *value);
void typed_json(TypedCall *call, const char *name, Presence presence, const char *value);

/* Make the call, release it, and give the result as its type says; ret may be NULL. */
int typed_end_void(TypedCall *call);
int typed_end_int(TypedCall *call, int64_t *ret);
int typed_end_bool(TypedCall *call, bool *ret);
int typed_end_text(TypedCall *call, char **ret);
int typed_end_json(TypedCall *call, char **ret_json);
int typed_end_items(TypedCall *call, DecnetRepoItem fn, void *arg);

extern const DecnetRepoMethod library_methods[];
extern const size_t library_n_methods;
