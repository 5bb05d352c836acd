#include "time.h"

#include <errno.h>
#include <string.h>
#include <time.h>

static int64_t wall_offset_us;
static bool wall_offset_read;

static bool digits(const char *s, size_t n, int *ret)
{
    int v = 0;
    for (size_t i = 0; i < n; i++) {
        if (s[i] < '0' || s[i] > '9')
            return false;
        v = v * 10 + (s[i] - '0');
    }
    *ret = v;
    return true;
}

/* Days since 1970-01-01 of a proleptic Gregorian date (Howard Hinnant's days_from_civil). */
static int64_t days_from_civil(int y, int m, int d)
{
    y -= m <= 2;
    int era = y / 400, yoe = y - era * 400;
    int doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    int doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    return (int64_t)era * 146097 + doe - 719468;
}

static int month_days(int y, int m)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return m == 2 && (y % 4 == 0 && (y % 100 != 0 || y % 400 == 0)) ? 29 : days[m - 1];
}

/* The offset part, from @s to its end: "", "Z", "+hh", "+hhmm", "+hh:mm". */
static int parse_offset(const char *s, size_t n, int *ret_minutes)
{
    int hours, minutes = 0;

    *ret_minutes = 0;
    if (n == 0 || (n == 1 && (*s == 'Z' || *s == 'z')))
        return 0;
    if ((*s != '+' && *s != '-') || n < 3 || !digits(s + 1, 2, &hours))
        return -EINVAL;
    if (n == 6 && s[3] == ':' ? !digits(s + 4, 2, &minutes) : n == 5 ? !digits(s + 3, 2, &minutes) : n != 3)
        return -EINVAL;
    if (hours > 23 || minutes > 59)
        return -EINVAL;
    *ret_minutes = (*s == '-' ? -1 : 1) * (hours * 60 + minutes);
    return 0;
}

enum { YEAR_OF_EVENTS = 1970 };

static int parse(Str text, int first_year, int64_t *ret_us, bool *ret_no_offset)
{
    const int64_t first_us = days_from_civil(first_year, 1, 1) * 86400 * US_PER_S,
                  year_10000_us = INT64_C(253402300800) * US_PER_S;
    const char *s = text.data;
    int y, mo, d, h, mi, sec, offset_minutes;
    int64_t fraction_us = 0;
    size_t i = 19;

    if (text.len < 19 || text.len > 40 || s[4] != '-' || s[7] != '-' ||
        (s[10] != 'T' && s[10] != ' ' && s[10] != 't') || s[13] != ':' || s[16] != ':')
        return -EINVAL;
    if (!digits(s, 4, &y) || !digits(s + 5, 2, &mo) || !digits(s + 8, 2, &d) || !digits(s + 11, 2, &h) ||
        !digits(s + 14, 2, &mi) || !digits(s + 17, 2, &sec))
        return -EINVAL;
    if (y < first_year || mo < 1 || mo > 12 || d < 1 || d > month_days(y, mo) || h > 23 || mi > 59 || sec > 60)
        return -EINVAL;
    if (i < text.len && (s[i] == '.' || s[i] == ',')) {
        size_t n = 0;
        for (i++; i < text.len && s[i] >= '0' && s[i] <= '9'; i++, n++)
            if (n < 6)
                fraction_us = fraction_us * 10 + (s[i] - '0');
        if (n > 9)
            return -EINVAL;
        for (; n < 6; n++)
            fraction_us *= 10;
    }
    if (parse_offset(s + i, text.len - i, &offset_minutes) < 0)
        return -EINVAL;
    if (ret_no_offset)
        *ret_no_offset = i == text.len;
    *ret_us = ((days_from_civil(y, mo, d) * 24 + h) * 60 + mi - offset_minutes) * 60 * US_PER_S + sec * US_PER_S +
              fraction_us;
    return *ret_us < first_us || *ret_us >= year_10000_us ? -EINVAL
                                                          : 0; /* an offset or a leap second may lead out of range */
}

int time_parse(Str text, int64_t *ret_us, bool *ret_no_offset)
{
    return parse(text, YEAR_OF_EVENTS, ret_us, ret_no_offset);
}

/* Fills in what people leave out: the time behind a date, or the seconds before the offset. */
static int parse_short(Str text, int first_year, int64_t *ret_us)
{
    static const Str midnight = STR("T00:00:00Z"), no_seconds = STR(":00");
    const size_t date_bytes = strlen("YYYY-MM-DD"), minute_bytes = strlen("YYYY-MM-DDThh:mm");
    bool is_date = text.len == date_bytes;
    char after = text.len > minute_bytes ? text.data[minute_bytes] : 'Z';
    bool is_minute = text.len >= minute_bytes && (after == 'Z' || after == 'z' || after == '+' || after == '-');
    char whole[48];

    if (!is_date && !is_minute)
        return parse(text, first_year, ret_us, NULL);
    Str left_out = is_date ? midnight : no_seconds;
    size_t before = is_date ? date_bytes : minute_bytes, len = text.len + left_out.len;
    if (len > sizeof(whole))
        return -EINVAL;
    memcpy(whole, text.data, before);
    memcpy(whole + before, left_out.data, left_out.len);
    memcpy(whole + before + left_out.len, text.data + before, text.len - before);
    return parse((Str){whole, len}, first_year, ret_us, NULL);
}

int time_or_date_parse(Str text, int64_t *ret_us)
{
    return parse_short(text, YEAR_OF_EVENTS, ret_us);
}

int time_of_any_year_parse(Str text, int64_t *ret_us)
{
    return parse_short(text, 1, ret_us);
}

static char *put_digits(char *out, int value, int n)
{
    for (int i = n - 1; i >= 0; i--, value /= 10)
        out[i] = (char)('0' + value % 10);
    return out + n;
}

/* The inverse of days_from_civil(), by the same author. */
static void civil_from_days(int64_t days, int *ret_y, int *ret_m, int *ret_d)
{
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int doe = (int)(days - era * 146097), yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;

    *ret_d = doy - (153 * mp + 2) / 5 + 1;
    *ret_m = mp < 10 ? mp + 3 : mp - 9;
    *ret_y = (int)(yoe + era * 400) + (*ret_m <= 2);
}

/* By hand: this runs for every row, and printf or gmtime_r() cost several times as much. */
void time_format(char out[TIME_TEXT_BYTES], int64_t us)
{
    const int64_t day_us = 86400 * US_PER_S, year_0 = -719528, year_10000 = 2932897; /* days since 1970 */
    int64_t days = us / day_us - (us % day_us < 0), rest_us = us - days * day_us;
    int y, m, d;

    if (days < year_0 || days >= year_10000) /* such a time has no four-digit year */
        days = rest_us = 0;
    civil_from_days(days, &y, &m, &d);
    int second = (int)(rest_us / US_PER_S);
    const struct {
        int value, digits;
        char after;
    } parts[] = {{y, 4, '-'},
                 {m, 2, '-'},
                 {d, 2, 'T'},
                 {second / 3600, 2, ':'},
                 {second / 60 % 60, 2, ':'},
                 {second % 60, 2, '.'},
                 {(int)(rest_us % US_PER_S), 6, 'Z'}};
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        out = put_digits(out, parts[i].value, parts[i].digits);
        *out++ = parts[i].after;
    }
    *out = '\0';
}

static int64_t clock_us(clockid_t id)
{
    struct timespec ts;
    clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * US_PER_S + ts.tv_nsec / 1000;
}

int64_t clock_now_us(void)
{
    if (!wall_offset_read) {
        const char *text = getenv("DECNET_CLOCK_OFFSET_US");
        int64_t offset_us;
        if (text && text_to_int64(str_from(text), &offset_us))
            wall_offset_us = offset_us;
        wall_offset_read = true;
    }
    return clock_us(CLOCK_REALTIME) + wall_offset_us;
}

int64_t clock_monotonic_us(void)
{
    return clock_us(CLOCK_MONOTONIC);
}

void clock_set_offset_us(int64_t offset_us)
{
    wall_offset_us = offset_us;
    wall_offset_read = true;
}
