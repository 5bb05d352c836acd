/* Counts of the dashboard. */
#include "methods.h"
