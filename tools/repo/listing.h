/* `decnetctl repo --list`: the method table for people and for programs. */
#pragma once

#include "decnetctl.h"

/* Methods whose name holds @pattern or fits it as a shell pattern, or whose group it is; NULL: all. Returns the exit
 * status. */
int listing_print(const Ctl *ctl, const char *pattern);
