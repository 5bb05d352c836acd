#include "state_file.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "pg.h"

/* The deployer may write in place: half a file is looked at again before it is called broken. */
enum { READ_TRIES = 3, READ_AGAIN_US = 20000 };

static int fail(Repo *repo, const char *path, const char *why)
{
    int r = repo_fail(repo, REPO_E_OPERATOR, "state_file", "%.300s: %s", path, why);
    repo_hint(repo, "let the deployer write the file anew, or unset DECNET_STATE_FILE to count by the database");
    return r;
}

static int read_json(Repo *repo, const char *path, json_object **ret)
{
    for (int i = 0; i < READ_TRIES; i++) {
        cleanup(buf_free) Buf content = {0};
        if (i)
            usleep(READ_AGAIN_US);
        int r = file_read(path, LIMIT_STATE_FILE_BYTES, &content);
        if (r == -ENOENT)
            return 0;
        if (r == -EFBIG)
            return fail(repo, path, "the state file is larger than " STRINGIFY(LIMIT_STATE_FILE_MIB) " MiB");
        if (r != 0)
            return fail(repo, path, r == -EISDIR ? "the state file is no regular file" : strerror(-r));
        *ret = json_parse(buf_str(&content));
        if (*ret)
            return 0;
    }
    return fail(repo, path, "the state file is no JSON object");
}

static bool all_objects(json_object *list)
{
    for (size_t i = 0; i < json_object_array_length(list); i++)
        if (!json_object_is_type(json_object_array_get_idx(list, i), json_type_object))
            return false;
    return true;
}

int state_file_read_deckies(Repo *repo, json_object **ret_deckies)
{
    cleanup(json_putp) json_object *state = NULL;
    const char *path = getenv("DECNET_STATE_FILE");

    *ret_deckies = NULL;
    if (!path || !*path)
        return 0;
    int r = read_json(repo, path, &state);
    if (r != 0)
        return r;
    if (!state) {
        *ret_deckies = json_object_new_array();
        return 0;
    }
    json_object *deckies = json_get_array(json_get_object(state, "config"), "deckies");
    if (!deckies || !all_objects(deckies))
        return fail(repo, path, "the state file has no list of objects config.deckies");
    *ret_deckies = json_object_get(deckies);
    return 0;
}
