#include "ready.h"

#include <string.h>

#include "repo/migrate.h"

int method_ready(Repo *repo, const char *method, bool *checked)
{
    if (*checked || strcmp(method, "initialize") == 0)
        return 0;
    int r = repo_connect(repo);
    r = r ? r : migrate_check(repo);
    *checked = r == 0;
    return r;
}

const char *method_hint(const Repo *repo, int outcome)
{
    const char *hint = repo_error(repo)->hint;

    if (outcome == REPO_E_IN_DOUBT && !*hint)
        return "the answer to COMMIT was lost: look whether it happened before it is done again";
    return hint;
}
