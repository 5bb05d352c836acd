/* Synthetic files and the configuration of realism. */
#include "repo_support.h"
