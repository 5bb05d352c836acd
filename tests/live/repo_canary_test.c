/* Canary blobs, tokens and triggers. */
#include "repo_support.h"
