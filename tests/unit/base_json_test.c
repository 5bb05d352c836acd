/* Strict reading and repairing writing of JSON. */
#include <criterion/criterion.h>
#include <limits.h>
#include <math.h>
#include <string.h>

#include "base/json.h"
#include "base/limits.h"
#include "base/time.h"

static json_object *parse(const char *text)
{
    json_object *obj = json_parse(str_from(text));
    cr_assert_not_null(obj, "%s", text);
    return obj;
}

Test(json, takes_json)
{
    static const char *const rows[] = {"{}",
                                       "[]",
                                       " {\"a\": [1, 2.5, true, null, \"x\"]} \n",
                                       "\"text\"",
                                       "12",
                                       "-1.5e3",
                                       " 12 ",
                                       "true",
                                       "{\"a\":{\"b\":{}}}",
                                       "\"\\u00e9\\n\"",
                                       "{\"It's \\\" NaN\":1}",
                                       "[12]"};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cleanup(json_putp) json_object *obj = json_parse(str_from(rows[i]));
        cr_assert_not_null(obj, "%s", rows[i]);
    }
}

Test(json, refuses_what_is_not)
{
    static const Str rows[] = {STR(""),           STR(" "),          STR("{"),         STR("{\"a\":1}}"), STR("{} {}"),
                               STR("{'a':1}"),    STR("{\"a\":1,}"), STR("[1,]"),      STR("/* c */ {}"), STR("NaN"),
                               STR("[NaN]"),      STR("{a:1}"),      STR("{\"a\" 1}"), STR("nul"),        STR("12x"),
                               STR("{\"a\":\"b"), STR("{}\0"),       STR("12 x"),      STR("[Infinity]"), STR("tru")};
    cleanup(buf_free) Buf deep = {0};

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        cr_assert_null(json_parse(rows[i]), "row %zu: " STR_FMT, i, STR_ARG(rows[i]));
    cr_assert_null(json_parse((Str){0}));
    for (int i = 0; i < LIMIT_JSON_DEPTH + 1; i++)
        buf_add_char(&deep, '[');
    for (int i = 0; i < LIMIT_JSON_DEPTH + 1; i++)
        buf_add_char(&deep, ']');
    cr_assert_null(json_parse(buf_str(&deep)));
    cr_assert_null(json_parse((Str){"{}", (size_t)INT_MAX + 1}), "the length is judged before any byte is read");
}

Test(json, members_are_of_their_type_or_not_there)
{
    cleanup(json_putp) json_object *o =
        parse("{\"s\":\"a\\u0000b\",\"i\":7,\"d\":1.5,\"b\":true,\"n\":null,\"a\":[1],\"o\":{},\"t\":\"7\"}");
    int64_t i = -1;
    double d = -1;
    bool b = false;

    cr_assert(str_eq(json_get_str(o, "s"), STR("a\0b")));
    cr_assert(json_get_int(o, "i", &i) && i == 7);
    cr_assert(json_get_double(o, "d", &d) && fabs(d - 1.5) < 1e-12);
    cr_assert(json_get_double(o, "i", &d) && fabs(d - 7) < 1e-12);
    cr_assert(json_get_bool(o, "b", &b) && b);
    cr_assert(json_get_array(o, "a") && json_get_object(o, "o") && json_member(o, "b"));

    cr_assert_null(json_get_str(o, "i").data);
    cr_assert_null(json_get_str(o, "missing").data);
    cr_assert_not(json_get_int(o, "t", &i) || json_get_int(o, "d", &i) || json_get_int(o, "b", &i) ||
                  json_get_int(o, "n", &i));
    cr_assert_not(json_get_double(o, "t", &d) || json_get_double(o, "b", &d));
    cr_assert_not(json_get_bool(o, "i", &b) || json_get_bool(o, "n", &b));
    cr_assert(!json_get_array(o, "o") && !json_get_object(o, "a") && !json_member(o, "n"));
    cr_assert_null(json_member(json_get_array(o, "a"), "x"), "an array has no members");
    cr_assert_null(json_member(NULL, "x"));
    cr_assert_null(json_str(NULL).data);
}

Test(json, writes_commas_and_types)
{
    cleanup(buf_free) Buf out = {0};
    JsonWriter w = {.buf = &out};

    json_begin_object(&w);
    json_put_str(&w, "s", STR("x"));
    json_put_str(&w, "absent", (Str){0});
    json_put_cstr(&w, "c", "y");
    json_put_int(&w, "i", INT64_MIN);
    json_put_double(&w, "d", 0.1);
    json_put_double(&w, "whole", 2);
    json_put_double(&w, "nan", NAN);
    json_put_double(&w, "inf", -INFINITY);
    json_put_bool(&w, "b", false);
    json_put_time(&w, "t", 1778401501004512);
    json_put_time(&w, "none", TIME_NONE);
    json_key(&w, "a");
    json_begin_array(&w);
    json_value_int(&w, 1);
    json_begin_object(&w);
    json_end_object(&w);
    json_value_null(&w);
    json_value_raw(&w, STR("[2]"));
    json_end_array(&w);
    json_end_object(&w);
    cr_assert_str_eq(out.data,
                     "{\"s\":\"x\",\"absent\":null,\"c\":\"y\",\"i\":-9223372036854775808,\"d\":0.1,\"whole\":2.0,"
                     "\"nan\":null,\"inf\":null,\"b\":false,\"t\":\"2026-05-10T08:25:01.004512Z\",\"none\":null,"
                     "\"a\":[1,{},null,[2]]}");
}

Test(json, doubles_come_back_equal)
{
    static const double rows[] = {0.1, 1.0 / 3, 1e300, 5e-324, 123456789.123456789, -0.7, 1e21, 9007199254740993.0};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cleanup(buf_free) Buf out = {0};
        JsonWriter w = {.buf = &out};
        json_value_double(&w, rows[i]);
        cr_assert(!(strtod(out.data, NULL) < rows[i]) && !(strtod(out.data, NULL) > rows[i]), "%s", out.data);
        cleanup(json_putp) json_object *back = parse(out.data);
        cr_assert(json_object_is_type(back, json_type_double), "%s reads as another type", out.data);
    }
}

Test(json, doubles_are_as_short_as_they_can_be)
{
    static const struct {
        double v;
        const char *text;
    } rows[] = {{0, "0.0"},
                {0.85, "0.85"},
                {0.5, "0.5"},
                {0.123, "0.123"},
                {0.001, "0.001"},
                {0.1234, "0.1234"},
                {2, "2.0"},
                {100, "100.0"},
                {-0.0, "-0.0"},
                {-1.5, "-1.5"},
                {10.05, "10.05"},
                {1e6, "1000000.0"},
                {999999.999, "999999.999"},
                {0.0005, "0.0005"},
                {1e-7, "1e-07"},
                {0.1 + 0.2, "0.30000000000000004"}};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cleanup(buf_free) Buf out = {0};
        JsonWriter w = {.buf = &out};
        json_value_double(&w, rows[i].v);
        cr_assert_str_eq(out.data, rows[i].text);
    }
}

/* Plain text is looked at eight bytes at a time: what is special must be seen at each place. */
Test(json, special_bytes_are_seen_wherever_they_stand)
{
    static const char specials[] = "\"\\\n\x1f\x7f\0\xff'";
    for (size_t len = 1; len <= 20; len++)
        for (size_t at = 0; at < len; at++)
            for (size_t k = 0; k < sizeof(specials) - 1; k++) {
                char text[20];
                cleanup(buf_free) Buf out = {0};
                memset(text, 'N', len);
                text[at] = specials[k];
                json_append_string(&out, (Str){text, len});
                cleanup(json_putp) json_object *back = json_parse(buf_str(&out));
                cr_assert_not_null(back, "%s", out.data);
                bool repaired = specials[k] == '\0' || specials[k] == '\xff';
                Str s = json_str(back);
                cr_assert_eq(s.len, len + (repaired ? 2 : 0), "%s", out.data);
                cr_assert(repaired || memcmp(s.data, text, len) == 0, "%s", out.data);
                cr_assert(!repaired || memcmp(s.data + at, "\xef\xbf\xbd", 3) == 0, "%s", out.data);
                buf_add(&out, at % 2 ? " 'x'" : " NaN"); /* outside of the string it is seen */
                cr_assert_null(json_parse(buf_str(&out)), "%s", out.data);
            }
}

Test(json, strings_are_escaped_and_repaired)
{
    static const struct {
        Str in;
        const char *out;
    } rows[] = {
        {STR("a\"b\\c/d"), "\"a\\\"b\\\\c/d\""},
        {STR("\n\r\t\b\f\x1f"), "\"\\n\\r\\t\\u0008\\u000c\\u001f\""},
        {STR("a\0b"), "\"a\xef\xbf\xbd"
                      "b\""},
        {STR("\xff"), "\"\xef\xbf\xbd\""},
        {STR("\xc3\xa9\""), "\"\xc3\xa9\\\"\""},
        {STR(""), "\"\""},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cleanup(buf_free) Buf out = {0};
        json_append_string(&out, rows[i].in);
        cr_assert_str_eq(out.data, rows[i].out, "row %zu", i);
        cleanup(json_putp) json_object *back = parse(out.data);
        cr_assert_not_null(back);
    }
}

Test(json, objects_pass_through)
{
    const char *text = "{\"a\":[1,18446744073709551615,2.5,true,null,\"x\\\"\"],\"b\":{\"k\\n\":-3},\"e\":{},\"l\":[]}";
    cleanup(json_putp) json_object *o = parse(text);
    cleanup(buf_free) Buf out = {0};
    JsonWriter w = {.buf = &out};

    json_value_object(&w, o);
    cr_assert_str_eq(out.data, text);
    buf_clear(&out);
    w.need_comma = false;
    json_begin_object(&w);
    json_put_object(&w, "o", json_get_object(o, "b"));
    json_put_object(&w, "n", NULL);
    json_end_object(&w);
    cr_assert_str_eq(out.data, "{\"o\":{\"k\\n\":-3},\"n\":null}");
}

/* What is written of what was read. */
Test(json, what_json_c_would_bend_is_kept)
{
    static const struct {
        const char *text, *want; /* NULL: no JSON */
    } rows[] = {
        {"[-9223372036854775808,9223372036854775807,18446744073709551615]",
         "[-9223372036854775808,9223372036854775807,18446744073709551615]"},
        {"18446744073709551616", "18446744073709551616"},
        {" -9223372036854775809 ", "-9223372036854775809"},
        {"[1,{\"a\":99999999999999999999999999999999}, -99999999999999999999]",
         "[1,{\"a\":99999999999999999999999999999999},-99999999999999999999]"},
        {"123456789012345678901234567890.0", "1.2345678901234568e+29"}, /* rounded, as every real number is */
        {"12e0", "12.0"},
        {"99999999999999999999e0", "99999999999999999999"},
        {"{\"1e999\":\"99999999999999999999\\\"99999999999999999999\",\"99999999999999999999\":1}",
         "{\"1e999\":\"99999999999999999999\\\"99999999999999999999\",\"99999999999999999999\":1}"},
        {"{\"a\\u0000b\":\"\\u0000c\\\\u0000\\u0000\",\"\\u0000\":[\"\\u00000\"]}",
         "{\"ab\":\"c\\\\u0000\",\"\":[\"0\"]}"},
        {"[\"\\\\\",99999999999999999999]", "[\"\\\\\",99999999999999999999]"},
        {"\"\"", "\"\""},
        {"true", "true"},
        {"[-]", NULL},
        {"-", NULL},
        {"099999999999999999999", NULL},
        {"99999999999999999999x", NULL},
        {"[99999999999999999999", NULL},
        {"\"\\u0000", NULL},
        {"\"\\ud83\\u00000\"", NULL},
        {"\"\\", NULL},
        {"", NULL},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cleanup(freep) char *exact = strndup(rows[i].text, strlen(rows[i].text)); /* for the sanitizer */
        cleanup(json_putp) json_object *o = json_parse_exact(str_from(exact));
        cleanup(buf_free) Buf out = {0};
        JsonWriter w = {.buf = &out};
        cr_expect_eq(o != NULL, rows[i].want != NULL, "%s", rows[i].text);
        json_value_object(&w, o);
        if (o)
            cr_expect_str_eq(out.data, rows[i].want, "%s gives %s", rows[i].text, out.data);
    }
}

Test(json, numbers_beyond_what_types_hold_are_told)
{
    static const struct {
        const char *text;
        bool finite, int64;
    } rows[] = {
        {"0", true, true},
        {"9223372036854775807", true, true},
        {"-9223372036854775808", true, true},
        {"9223372036854775808", true, false},
        {"-9223372036854775809", true, false},
        {"99999999999999999999", true, false},
        {"1e308", true, false},
        {"1E-999", true, false},
        {"true", true, false},
        {"\"1\"", true, false},
        {"[[],{\"a\":[{},-1e999]}]", false, false},
        {"1e309", false, false},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cleanup(json_putp) json_object *o = json_parse_exact(str_from(rows[i].text));
        cr_expect_eq(json_is_finite(o), rows[i].finite, "%s", rows[i].text);
        cr_expect_eq(json_is_int64(o), rows[i].int64, "%s", rows[i].text);
    }
    cleanup(buf_free) Buf huge = {0}; /* an integer beyond all doubles is written as such a real: as null */
    for (int i = 0; i < 400; i++)
        buf_add_char(&huge, '9');
    cleanup(json_putp) json_object *o = json_parse_exact(buf_str(&huge));
    cleanup(buf_free) Buf out = {0};
    JsonWriter w = {.buf = &out};
    cr_expect_not(json_is_finite(o));
    json_value_object(&w, o);
    cr_expect_str_eq(out.data, "null");
}
