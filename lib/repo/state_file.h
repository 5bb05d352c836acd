/* The deployer's state file, {"config": {"deckies": [{...}, ...]}, ...}: what is deployed on this host. The environment
 * variable DECNET_STATE_FILE names it; without one the table fleet_deckies has to tell. */
#pragma once

#include "repo.h"

/* The deckies in the file's order: a list of objects that the caller releases. An empty list when the file is not there
 * (nothing is deployed), NULL when none is named. REPO_E_OPERATOR for a file that cannot be read, is larger than
 * LIMIT_STATE_FILE_BYTES or is no such file: repo_error() says which file and why. */
int state_file_read_deckies(Repo *repo, json_object **ret_deckies) must_check;
