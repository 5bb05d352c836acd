/* A series of observations as one short line of text, oldest to newest, for a terminal or a file. */
#pragma once

#include "event/behaviour.h"
#include "repo/series.h"

#define SERIES_PLOT_ROWS 20 /* newest observations that are drawn */

/* Does the user's locale (LC_ALL, LC_CTYPE, LANG) show UTF-8? */
bool series_plot_utf8(void);

/* Draws the rows of @history. Numbers are bars between the smallest and the greatest, with UTF-8 as block characters;
 * what is no number is '?'. Other values are letters, A for the oldest of them. @legend tells what the bars or letters
 * stand for; it stays empty where one value is all there is. Nothing that a sensor sent reaches the line unescaped. */
void series_plot(const SeriesHistory *history, ValueKind kind, bool utf8, Buf *line, Buf *legend);

/* A value as JSON, as a person reads it: a text without its quotes, cut to @max_chars. */
void series_plot_value(Buf *out, Str json, size_t max_chars);
