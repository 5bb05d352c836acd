/* Counts of the dashboard. */
#include "repo_support.h"
