/* The queue of changes to live topologies. */
#include "repo_support.h"
