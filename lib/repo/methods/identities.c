/* Methods on identities: attackers that are taken for one actor. */
#include "methods.h"

/* Nothing is written when it is so already. */
static int set_attacker_identity_id(MethodCall *call, JsonWriter *w)
{
    static const Statement set = {
        .name = "method_set_attacker_identity_id",
        .shape = SHAPE_NONE,
        .sql = "UPDATE attackers SET identity_id = $2 WHERE uuid = $1 AND identity_id IS DISTINCT FROM $2"};
    cleanup(args_free) Args args = {0};

    method_bind(call, 0, &args);
    method_bind_parent(call, 1, &args);
    int r = repo_run(call->repo, &set, &args, NULL);
    if (r == 0)
        json_value_null(w);
    return r;
}

METHOD(set_attacker_identity_id,
       .params = {{"attacker_uuid", PARAM_UUID, .required = true}, {"identity_uuid", PARAM_UUID, .required = true}},
       .returns = "void", .writes = true, .run = set_attacker_identity_id);
