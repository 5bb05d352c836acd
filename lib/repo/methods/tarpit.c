/* Tarpit rules. */
#include "methods.h"
