/* Whole tables for other systems, row by row. */
#include "repo_support.h"
