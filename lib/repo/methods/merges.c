#include "merges.h"

static int refuse_circle(MethodCall *call, const Merging *merging)
{
    cleanup(args_free) Args args = {0};
    cleanup(pgresult_freep) PGresult *result = NULL;

    method_bind(call, 0, &args);
    method_bind(call, 1, &args);
    int r = repo_exec(call->repo, &merging->lock, NULL, NULL);
    r = r ? r : repo_exec(call->repo, &merging->find, &args, &result);
    if (r == 0 && PQntuples(result) > 0)
        r = method_invalid(call, "%s would be merged into itself: the winner is merged into it already", merging->what);
    return r;
}

int method_set_pointer(MethodCall *call, const Statement *lock, const Statement *set, JsonWriter *w)
{
    cleanup(args_free) Args args = {0};
    cleanup(pgresult_freep) PGresult *old = NULL;

    json_value_null(w);
    method_bind(call, 0, &args);
    method_bind_parent(call, 1, &args);
    int r = repo_exec(call->repo, lock, &args, &old);
    if (r != 0 || PQntuples(old) == 0)
        return r;
    Uuid before = res_uuid(old, 0, 0);
    arg_uuid(&args, res_null(old, 0, 0) ? NULL : &before);
    return repo_run(call->repo, set, &args, NULL);
}

int method_merge(MethodCall *call, const Merging *merging, JsonWriter *w)
{
    const Uuid *loser = method_uuid(call, 0), *winner = method_uuid(call, 1);
    int r = 0;

    if (loser && winner && uuid_cmp(loser, winner) == 0)
        return method_invalid(call, "%s cannot be merged into itself", merging->what);
    if (loser && winner)
        r = refuse_circle(call, merging);
    return r ? r : method_set_pointer(call, &merging->own, &merging->set, w);
}

int method_create(MethodCall *call, const Column *columns, size_t n, const Statement *s, JsonWriter *w)
{
    cleanup(json_putp) json_object *row = NULL;
    cleanup(buf_free) Buf text = {0};
    JsonWriter inner = {.buf = &text};
    cleanup(args_free) Args args = {0};

    int r = data_object(call, 0, columns, n, &row);
    if (r != 0)
        return r;
    if (str_eq(json_get_str(row, "uuid"), json_get_str(row, "merged_into_uuid")))
        return method_invalid(call, "row: merged_into_uuid must not be the row's own uuid");
    json_value_object(&inner, row);
    arg_json(&args, buf_str(&text));
    r = repo_run(call->repo, s, &args, NULL);
    if (r == 0)
        json_value_str(w, json_get_str(row, "uuid"));
    return r;
}
