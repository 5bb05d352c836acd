/* Counters, gauges and histograms in Prometheus text form. Static objects that register themselves at first use; one
 * thread updates them, the metrics endpoint renders them in the same thread. */
#pragma once

#include "text.h"

typedef enum MetricType { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM } MetricType;

#define METRIC_BUCKETS 12 /* upper bounds 0.5 ms * 2^i, and +Inf */

typedef struct Metric {
    const char *name; /* "decnet_records_total" */
    const char *help;
    MetricType type;
    const char *labels; /* "reason=\"malformed\"" or NULL; rows with the same name stand together when rendered */
    /* private from here */
    double value; /* of a histogram: how many observations */
    double sum;
    uint64_t buckets[METRIC_BUCKETS + 1]; /* each for itself; cumulated when rendered */
    struct Metric *next;
    bool registered;
} Metric;

void metric_add(Metric *m, double amount);      /* counter or gauge */
void metric_set(Metric *m, double value);       /* gauge */
void metric_observe(Metric *m, double seconds); /* histogram */
double metric_value(const Metric *m);
/* A metric of @name with one label, made at first use and kept for ever; use only with a bounded set of values. */
Metric *metric_labelled(const char *name, const char *help, MetricType type, const char *label, const char *value);
/* Everything registered, in the text format 0.0.4: HELP and TYPE once per name, histogram buckets cumulative. */
void metrics_render(Buf *out);
