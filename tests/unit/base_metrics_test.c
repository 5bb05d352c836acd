/* Metrics in the text format that Prometheus reads. */
#include <criterion/criterion.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/metrics.h"

static const char *render(Buf *out)
{
    buf_clear(out);
    buf_add(out, "");
    metrics_render(out);
    return out->data;
}

Test(metrics, rows_of_a_name_stand_together_under_one_head)
{
    static Metric first = {"t_records_total", "Records.", METRIC_COUNTER, "kind=\"a\""};
    static Metric other = {"t_lag", "Lag \\ and\nmore.", METRIC_GAUGE, NULL};
    static Metric second = {"t_records_total", "Records.", METRIC_COUNTER, "kind=\"b\""};
    static Metric unused = {"t_unused", "Never touched.", METRIC_COUNTER, NULL};
    cleanup(buf_free) Buf out = {0};

    cr_assert_str_eq(render(&out), "");
    metric_add(&first, 1);
    metric_add(&first, 2);
    metric_set(&other, -0.5);
    metric_add(&second, 0); /* a counter at 0 is there */
    cr_assert_str_eq(render(&out), "# HELP t_records_total Records.\n"
                                   "# TYPE t_records_total counter\n"
                                   "t_records_total{kind=\"a\"} 3\n"
                                   "t_records_total{kind=\"b\"} 0\n"
                                   "# HELP t_lag Lag \\\\ and\\nmore.\n"
                                   "# TYPE t_lag gauge\n"
                                   "t_lag -0.5\n");
    cr_assert_eq(metric_value(&unused), 0);
    metric_add(&other, 1);
    cr_assert_eq(metric_value(&other), 0.5);
}

Test(metrics, histogram_is_cumulative)
{
    static Metric seconds = {"t_seconds", "Time.", METRIC_HISTOGRAM, "step=\"x\""};
    cleanup(buf_free) Buf out = {0};

    metric_observe(&seconds, 0.0005); /* a bound belongs to its bucket */
    metric_observe(&seconds, 0.0006);
    metric_observe(&seconds, 0.0006);
    metric_observe(&seconds, 100);
    render(&out);
    cr_assert_not_null(strstr(out.data, "# TYPE t_seconds histogram\n"));
    cr_assert_not_null(strstr(out.data, "t_seconds_bucket{step=\"x\",le=\"0.0005\"} 1\n"));
    cr_assert_not_null(strstr(out.data, "t_seconds_bucket{step=\"x\",le=\"0.001\"} 3\n"));
    cr_assert_not_null(strstr(out.data, "t_seconds_bucket{step=\"x\",le=\"1.024\"} 3\n"));
    cr_assert_not_null(strstr(out.data, "t_seconds_bucket{step=\"x\",le=\"+Inf\"} 4\n"));
    cr_assert_not_null(strstr(out.data, "t_seconds_sum{step=\"x\"} 100.0017"));
    cr_assert_not_null(strstr(out.data, "t_seconds_count{step=\"x\"} 4\n"));
    cr_assert_eq(metric_value(&seconds), 4);

    static Metric bare = {"t_bare_seconds", "Time.", METRIC_HISTOGRAM, NULL};
    metric_observe(&bare, NAN); /* of no size: above all bounds, and rendered as such */
    render(&out);
    cr_assert_not_null(strstr(out.data, "t_bare_seconds_bucket{le=\"1.024\"} 0\n"));
    cr_assert_not_null(strstr(out.data, "t_bare_seconds_bucket{le=\"+Inf\"} 1\n"));
    cr_assert_not_null(strstr(out.data, "t_bare_seconds_sum NaN\n"));
}

Test(metrics, labelled_ones_are_made_once_and_escaped)
{
    Metric *a = metric_labelled("t_by_reason", "By reason.", METRIC_COUNTER, "reason", "a\"b\\c\nd\xff");
    cleanup(buf_free) Buf out = {0};
    char name[] = "t_by_reason";

    name[0] = 't'; /* a copy: the first name must not be borrowed */
    cr_assert_eq(metric_labelled(name, "By reason.", METRIC_COUNTER, "reason", "a\"b\\c\nd\xff"), a);
    cr_assert_neq(metric_labelled("t_by_reason", "By reason.", METRIC_COUNTER, "reason", "other"), a);
    metric_add(a, 2);
    render(&out);
    cr_assert_not_null(strstr(out.data, "t_by_reason{reason=\"a\\\"b\\\\c\\nd\xef\xbf\xbd\"} 2\n"), "%s", out.data);
    cr_assert_not_null(strstr(out.data, "t_by_reason{reason=\"other\"} 0\n"));
}

Test(metrics, numbers)
{
    static const struct {
        double value;
        const char *text;
    } rows[] = {{0, "0"},
                {1e15, "1000000000000000"},
                {0.25, "0.25"},
                {INFINITY, "+Inf"},
                {-INFINITY, "-Inf"},
                {NAN, "NaN"},
                {-3, "-3"},
                {1e30, "1.0000000000000000199e+30"}};
    static Metric g = {"t_g", "G.", METRIC_GAUGE, NULL};

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cleanup(buf_free) Buf out = {0};
        double back;
        metric_set(&g, rows[i].value);
        const char *row = strstr(render(&out), "\nt_g ") + 5;
        if (i + 1 < ARRAY_SIZE(rows))
            cr_assert_eq(strncmp(row, rows[i].text, strlen(rows[i].text)), 0, "row %zu: %s", i, row);
        else
            cr_assert(sscanf(row, "%lf", &back) == 1 && fabs(back / rows[i].value - 1) < 1e-15);
    }
}

Test(metrics, counter_is_not_set, .signal = SIGABRT)
{
    static Metric c = {"t_c", "C.", METRIC_COUNTER, NULL};
    metric_set(&c, 1);
}
