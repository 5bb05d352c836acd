#include "series_plot.h"

#include <langinfo.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>

#include "attribution/value.h"
#include "decnetctl.h"

enum { LEVELS = 8, LEGEND_CHARS = 24 };

bool series_plot_utf8(void)
{
    locale_t locale = newlocale(LC_CTYPE_MASK, "", (locale_t)0);
    bool utf8 = locale && strcmp(nl_langinfo_l(CODESET, locale), "UTF-8") == 0;

    if (locale)
        freelocale(locale);
    return utf8;
}

void series_plot_value(Buf *out, Str json, size_t max_chars)
{
    cleanup(json_putp) json_object *value = json_parse(json);
    bool is_text = json_object_is_type(value, json_type_string);
    ctl_show_bytes(out, is_text ? json_str(value) : json, max_chars);
}

/* --- values that are different, or the same --- */

static size_t letter_of(const AttributionValue *value, AttributionValue *seen, size_t *n_seen)
{
    for (size_t i = 0; i < *n_seen; i++)
        if (attribution_value_equal(value, &seen[i]))
            return i;
    seen[*n_seen] = *value;
    return (*n_seen)++;
}

static void plot_letters(Arena *arena, const SeriesHistory *h, Buf *line, Buf *legend)
{
    AttributionValue seen[SERIES_PLOT_ROWS], value;
    size_t n_seen = 0;

    static_assert(SERIES_PLOT_ROWS <= 26, "one letter for each value");
    for (size_t i = MIN(h->n_rows, (size_t)SERIES_PLOT_ROWS); i-- > 0;)
        if (attribution_value_read(arena, h->rows[i].value, &value) == 0)
            buf_add_char(line, (char)('A' + letter_of(&value, seen, &n_seen)));
        else
            buf_add_char(line, '?');
    for (size_t i = 0; n_seen > 1 && i < n_seen; i++) {
        buf_printf(legend, "%s%c ", i ? ", " : "", (char)('A' + i));
        series_plot_value(legend, seen[i].json, LEGEND_CHARS);
    }
}

/* --- numbers --- */

static void plot_numbers(Arena *arena, const SeriesHistory *h, bool utf8, Buf *line, Buf *legend)
{
    static const char *const blocks[LEVELS] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"}, *const plain[LEVELS] = {
                                                                                            "_", ".", ":", "-",
                                                                                            "=", "+", "*", "#"};
    double numbers[SERIES_PLOT_ROWS], low = 0, high = 0;
    bool usable[SERIES_PLOT_ROWS], any = false;
    size_t n = MIN(h->n_rows, (size_t)SERIES_PLOT_ROWS);

    for (size_t i = 0; i < n; i++) {
        AttributionValue value;
        usable[i] = attribution_value_read(arena, h->rows[i].value, &value) == 0 &&
                    attribution_value_number(&value, &numbers[i]);
        if (!usable[i])
            continue;
        low = any ? MIN(low, numbers[i]) : numbers[i];
        high = any ? MAX(high, numbers[i]) : numbers[i];
        any = true;
    }
    double range = high / 2 - low / 2; /* by halves: the whole may be beyond a double */
    for (size_t i = n; i-- > 0;) {
        double level = usable[i] && range > 0 ? (numbers[i] / 2 - low / 2) / range * LEVELS : 0;
        buf_add(line, usable[i] ? (utf8 ? blocks : plain)[level < LEVELS ? (size_t)level : LEVELS - 1] : "?");
    }
    if (high > low)
        buf_printf(legend, "%.6g to %.6g", low, high);
}

void series_plot(const SeriesHistory *history, ValueKind kind, bool utf8, Buf *line, Buf *legend)
{
    cleanup(arena_freep) Arena *arena = arena_new();

    if (kind == VALUE_KIND_NUMERIC)
        plot_numbers(arena, history, utf8, line, legend);
    else
        plot_letters(arena, history, line, legend);
}
