/* Whole tables for other systems, row by row. */
#include "methods.h"
