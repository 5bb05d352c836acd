/* All typed functions of libdecnet-repo by name; build.sh writes the table. C and C++. */
#pragma once

typedef struct EveryFunction {
    const char *name; /* NULL ends the table */
    void (*function)(void);
} EveryFunction;

extern const EveryFunction every_function[];
