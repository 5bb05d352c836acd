/* The table of lifters. */
#include "lifter.h"

#include <string.h>

enum { MAX_LIFTERS = 64 };

const Lifter *lifter_find(const char *name)
{
    for (size_t i = 0; i < n_lifters_intel; i++)
        if (strcmp(lifters_intel[i].name, name) == 0)
            return &lifters_intel[i];
    return NULL;
}

const char *lifter_nearest(const char *name)
{
    const char *names[MAX_LIFTERS];
    size_t n = 0;

    for (size_t i = 0; i < n_lifters_intel && n < MAX_LIFTERS; i++)
        names[n++] = lifters_intel[i].name;
    return text_nearest(str_from(name), names, n, 4);
}
