/* The queue of changes to live topologies. */
#include "methods.h"
