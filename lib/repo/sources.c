#include "sources.h"

#include <string.h>

#include "pg.h"

int sources_of_path(Repo *repo, Arena *arena, Str path, SourceRow **ret_rows, size_t *ret_n)
{
    static const Statement find = {
        .name = "sources_of_path",
        .shape = SHAPE_ROWS,
        .sql = "SELECT source_id, path, head_sha256, head_bytes, dev, inode, position, watermark FROM ingest_source"
               " WHERE path = $1 ORDER BY updated_at DESC, source_id"};
    cleanup(args_free) Args args = {0};
    cleanup(pgresult_freep) PGresult *result = NULL;

    arg_str(&args, path);
    int r = repo_exec(repo, &find, &args, &result);
    if (r != 0)
        return r;
    *ret_n = (size_t)PQntuples(result);
    *ret_rows = arena_calloc(arena, *ret_n + 1, sizeof(**ret_rows));
    for (int i = 0; i < (int)*ret_n; i++) {
        SourceRow *s = &(*ret_rows)[i];
        *s = (SourceRow){.source_id = str_dup(arena, res_str(result, i, 0)),
                         .path = str_dup(arena, res_str(result, i, 1)),
                         .head_bytes = (int32_t)res_int(result, i, 3),
                         .dev = res_int(result, i, 4),
                         .inode = res_int(result, i, 5),
                         .position_bytes = res_int(result, i, 6),
                         .watermark_us = res_time(result, i, 7)};
        Str head = res_str(result, i, 2);
        if (head.len == sizeof(s->head_sha256))
            memcpy(s->head_sha256, head.data, head.len);
    }
    return 0;
}

int source_register(Repo *repo, const SourceRow *source)
{
    static const Statement insert = {
        .name = "source_register",
        .shape = SHAPE_NONE,
        .sql = "INSERT INTO ingest_source (source_id, path, head_sha256, head_bytes, dev, inode)"
               " VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (source_id) DO NOTHING"};
    cleanup(args_free) Args args = {0};

    arg_str(&args, source->source_id);
    arg_str(&args, source->path);
    arg_bytes(&args, (Str){(const char *)source->head_sha256, sizeof(source->head_sha256)});
    arg_int4(&args, source->head_bytes);
    arg_int8(&args, source->dev);
    arg_int8(&args, source->inode);
    return repo_run(repo, &insert, &args, NULL);
}

int source_advance(Repo *repo, Str source_id, int64_t from_bytes, int64_t to_bytes, int64_t watermark_us)
{
    static const Statement advance = {
        .name = "source_advance",
        .shape = SHAPE_NONE,
        .sql = "UPDATE ingest_source SET position = $3, watermark = GREATEST(watermark, $4), updated_at = now()"
               " WHERE source_id = $1 AND position = $2"};
    cleanup(args_free) Args args = {0};
    int64_t n;

    arg_str(&args, source_id);
    arg_int8(&args, from_bytes);
    arg_int8(&args, to_bytes);
    arg_time(&args, watermark_us);
    int r = repo_run(repo, &advance, &args, &n);
    if (r == 0 && n != 1) {
        r = repo_fail(repo, REPO_E_FENCED, advance.name, "the position of this log is no longer %lld",
                      (long long)from_bytes);
        repo_hint(repo, "another ingester reads the same log: stop one of the two");
    }
    return r;
}

int source_position(Repo *repo, Str source_id, int64_t *ret_bytes)
{
    static const Statement get = {.name = "source_position",
                                  .shape = SHAPE_ROW,
                                  .sql = "SELECT position FROM ingest_source WHERE source_id = $1"};
    cleanup(args_free) Args args = {0};
    cleanup(pgresult_freep) PGresult *result = NULL;

    arg_str(&args, source_id);
    int r = repo_exec(repo, &get, &args, &result);
    if (r == 0)
        *ret_bytes = res_int(result, 0, 0);
    return r;
}
