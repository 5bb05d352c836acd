/* The registry is a list in which metrics of one name stand together, because the text format wants HELP and TYPE once,
 * before all of a name's rows. */
#include "metrics.h"

#include <math.h>
#include <string.h>

static const double FIRST_BOUND_S = 0.0005;

static Metric *registry;

static void metric_register(Metric *m)
{
    Metric **place = NULL, **p = &registry;

    if (m->registered)
        return;
    for (; *p; p = &(*p)->next)
        if (strcmp((*p)->name, m->name) == 0)
            place = &(*p)->next;
    if (!place)
        place = p; /* a new name goes to the end */
    m->next = *place;
    *place = m;
    m->registered = true;
}

void metric_add(Metric *m, double amount)
{
    assert(m->type != METRIC_HISTOGRAM);
    metric_register(m);
    m->value += amount;
}

void metric_set(Metric *m, double value)
{
    assert(m->type == METRIC_GAUGE);
    metric_register(m);
    m->value = value;
}

void metric_observe(Metric *m, double seconds)
{
    size_t i = 0;
    double bound = FIRST_BOUND_S;

    assert(m->type == METRIC_HISTOGRAM);
    metric_register(m);
    while (i < METRIC_BUCKETS && !(seconds <= bound)) {
        bound *= 2;
        i++;
    }
    m->buckets[i]++;
    m->sum += seconds;
    m->value++;
}

double metric_value(const Metric *m)
{
    return m->value;
}

static void append_label_value(Buf *out, const char *value)
{
    cleanup(arena_freep) Arena *scratch = arena_new();
    Str s = text_sanitize(scratch, str_from(value));

    for (size_t i = 0; i < s.len; i++) {
        if (s.data[i] == '\n')
            buf_add(out, "\\n");
        else if (s.data[i] == '"' || s.data[i] == '\\')
            buf_printf(out, "\\%c", s.data[i]);
        else
            buf_add_char(out, s.data[i]);
    }
}

Metric *metric_labelled(const char *name, const char *help, MetricType type, const char *label, const char *value)
{
    static Arena *forever; /* reachable until the end: metrics are never given back */
    cleanup(buf_free) Buf labels = {0};
    Metric *m;

    buf_printf(&labels, "%s=\"", label);
    append_label_value(&labels, value);
    buf_add_char(&labels, '"');
    for (m = registry; m; m = m->next)
        if (strcmp(m->name, name) == 0 && m->labels && strcmp(m->labels, labels.data) == 0)
            return m;

    if (!forever)
        forever = arena_new();
    m = arena_calloc(forever, 1, sizeof(*m));
    *m = (Metric){.name = str_cstr(forever, str_from(name)),
                  .help = str_cstr(forever, str_from(help)),
                  .type = type,
                  .labels = str_cstr(forever, buf_str(&labels))};
    metric_register(m);
    return m;
}

static void append_number(Buf *out, double v)
{
    if (isnan(v))
        buf_add(out, "NaN");
    else if (isinf(v))
        buf_add(out, v > 0 ? "+Inf" : "-Inf");
    else if (v == rint(v) && fabs(v) < 9007199254740992.0) /* 2^53: every integer below is exact */
        buf_printf(out, "%.0f", v);
    else
        buf_printf(out, "%.17g", v);
}

static void append_row(Buf *out, const Metric *m, const char *suffix, double value)
{
    buf_printf(out, "%s%s", m->name, suffix);
    if (m->labels)
        buf_printf(out, "{%s}", m->labels);
    buf_add_char(out, ' ');
    append_number(out, value);
    buf_add_char(out, '\n');
}

static void append_histogram(Buf *out, const Metric *m)
{
    uint64_t below = 0;

    for (size_t i = 0; i <= METRIC_BUCKETS; i++) {
        below += m->buckets[i];
        buf_printf(out, "%s_bucket{%s%sle=\"", m->name, m->labels ? m->labels : "", m->labels ? "," : "");
        if (i < METRIC_BUCKETS)
            buf_printf(out, "%.10g", FIRST_BOUND_S * (double)(1u << i));
        else
            buf_add(out, "+Inf");
        buf_printf(out, "\"} %llu\n", (unsigned long long)below);
    }
    append_row(out, m, "_sum", m->sum);
    append_row(out, m, "_count", m->value);
}

static void append_head(Buf *out, const Metric *m)
{
    static const char *const types[] = {
        [METRIC_COUNTER] = "counter", [METRIC_GAUGE] = "gauge", [METRIC_HISTOGRAM] = "histogram"};

    buf_printf(out, "# HELP %s ", m->name);
    for (const char *c = m->help; *c; c++) {
        if (*c == '\n')
            buf_add(out, "\\n");
        else if (*c == '\\')
            buf_add(out, "\\\\");
        else
            buf_add_char(out, *c);
    }
    buf_printf(out, "\n# TYPE %s %s\n", m->name, types[m->type]);
}

void metrics_render(Buf *out)
{
    const char *name = "";

    for (const Metric *m = registry; m; m = m->next) {
        if (strcmp(m->name, name) != 0)
            append_head(out, m);
        name = m->name;
        if (m->type == METRIC_HISTOGRAM)
            append_histogram(out, m);
        else
            append_row(out, m, "", m->value);
    }
}
