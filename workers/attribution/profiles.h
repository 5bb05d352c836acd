/* From observations that came in, to states: what one transaction of the worker changes, series by series. */
#pragma once

#include "worker/worker.h"

#include "attribution/pack.h"

/* What a transaction brings to one series. */
typedef struct SeriesChange {
    Uuid identity; /* canonical, and locked: series_lock() */
    Str primitive;
    bool has_row;  /* a row came in, or took the place of its earlier version */
    bool is_new;   /* it had no earlier version */
    bool read_all; /* something was taken away, or changed by others: read the observations */
    bool drops;    /* the primitive has no state (any more): one that is stored goes */
    AttributionRow row;
} SeriesChange;

/* Bring the states of these series up to date, announce those that changed, and what looks like several hands. Changes
 * may come in any order; several of one series count as one look at it. Call it once in a transaction, after the
 * observations were stored. Hands on REPO_E_*. */
int profiles_apply(Worker *w, SeriesChange *changes, size_t n) must_check;
