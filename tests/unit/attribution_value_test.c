/* Equality of values is PostgreSQL's jsonb equality, whatever bytes they are made of. */
#include "attribution_support.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/json.h"
#include "base/limits.h"

TestSuite(attribution_value, .init = attribution_setup, .fini = attribution_teardown, .timeout = 60);

Test(attribution_value, equality_is_that_of_jsonb)
{
    static const struct {
        const char *a, *b;
        bool equal;
    } rows[] = {
        {"1", "1.0", true},
        {"1", "10e-1", true},
        {"100", "1E+2", true},
        {"-0", "0", true},
        {"0.0", "0e99", true},
        {"0.1", "0.10", true},
        {"1e22", "10000000000000000000000", true},
        {"0.1", "0.1000000000000000000001", false}, /* jsonb numbers are exact */
        {"9007199254740993", "9007199254740992", false},
        {"18446744073709551616", "18446744073709551617", false},
        {"1", "-1", false},
        {"12", "1200e-1", false},
        {"true", "1", false},
        {"false", "0", false},
        {"false", "null", false},
        {"\"1\"", "1", false},
        {"\"\"", "null", false},
        {"\"a\"", "\"A\"", false},
        {"\"\\u0061\\/\"", "\"a/\"", true},
        {"\"\\ud83d\\ude00\"", "\"\xf0\x9f\x98\x80\"", true},
        {"\"\\u00e9\"", "\"e\\u0301\"", false}, /* no normalisation */
        {"\"\\u0000\"", "\"\xef\xbf\xbd\"", true},
        {"\"\\ud83d\"", "\"\xef\xbf\xbd\"", true},
        {"\"\\ud83dx\"", "\"\xef\xbf\xbdx\"", true},
        {"\"\\ud83d\\u0041\"",
         "\"\xef\xbf\xbd"
         "A\"",
         true},
        {"\"\\ude00\"", "\"\xef\xbf\xbd\"", true},
        {"\"\xff\"", "\"\xef\xbf\xbd\"", true},
        {"\"\\n\"", "\"\\u000a\"", true},
        {"[1,2]", " [ 1.0 , 2 ] ", true},
        {"[1,2]", "[2,1]", false},
        {"[]", "{}", false},
        {"[[]]", "[]", false},
        {"[\"a,b\"]", "[\"a\",\"b\"]", false},
        {"{\"a\":1,\"b\":[2,3]}", "{\"b\":[2,3.0],\"a\":1}", true},
        {"{\"a\":1,\"a\":2}", "{\"a\":2}", true},
        {"{\"a\":1,\"\\u0061\":2,\"b\":0}", "{\"b\":0,\"a\":2}", true},
        {"{\"a\":1,\"a\":2}", "{\"a\":1}", false},
        {"{\"a\":{}}", "{\"a\":[]}", false},
        {"{\"a\":null}", "{}", false},
        {"\"{}\"", "{}", false},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        AttributionValue a = value_of(rows[i].a), b = value_of(rows[i].b);
        cr_assert_eq(attribution_value_equal(&a, &b), rows[i].equal, "%s and %s: %s, %s", rows[i].a, rows[i].b,
                     a.key.data, b.key.data);
        cr_assert_eq(attribution_value_equal(&b, &a), rows[i].equal);
        AttributionValue again = value_of(a.key.data);
        cr_assert(str_eq(again.key, a.key), "the canonical spelling is its own: %s", a.key.data);
    }
    cr_assert(attribution_value_is_null(&ATTRIBUTION_NULL));
    AttributionValue null = value_of(" null "), text = value_of("\"null\"");
    cr_assert(attribution_value_is_null(&null) && !attribution_value_is_null(&text));
}

Test(attribution_value, what_is_no_json_is_refused)
{
    static const char *const bad[] = {
        "",
        " ",
        "nul",
        "nullx",
        "tru",
        "+1",
        "01",
        "-",
        "1.",
        ".5",
        "1e",
        "1e+",
        "1 2",
        "[1,]",
        "[,1]",
        "[1",
        "{\"a\"}",
        "{a:1}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{1:2}",
        "\"a",
        "\"\\x\"",
        "\"\n\"",
        "\"\\u12\"",
        "\"\\u12g4\"",
        "\"\\",
        "NaN",
        "Infinity",
        "'a'",
        "[]]",
        "]",
        "{\"a\" 1}",
        "0x10",
        "1e99999999999999999999",
        "1e-16400",
        "-1e131073",
        "\"\\ud83d\\u\"",
    };
    AttributionValue v;

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        cr_assert_eq(attribution_value_read(arena, str_from(bad[i]), &v), -EINVAL, "%s", bad[i]);
    cr_assert_eq(attribution_value_read(arena, (Str){0}, &v), -EINVAL);
    cr_assert_eq(attribution_value_read(arena, STR("1\0"), &v), -EINVAL);
    cr_assert_eq(attribution_value_read(arena, STR("\"\\\0\""), &v), -EINVAL);
    cr_assert_eq(attribution_value_read(arena, STR("\"\0\""), &v), -EINVAL, "a bare NUL is a control character");
    cr_assert_eq(attribution_value_read(arena, STR("1e131071"), &v), 0);
}

Test(attribution_value, nesting_is_bounded)
{
    char text[4 * LIMIT_JSON_DEPTH];
    AttributionValue v;

    for (size_t depth = LIMIT_JSON_DEPTH; depth <= LIMIT_JSON_DEPTH + 1; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        cr_assert_eq(attribution_value_read(arena, (Str){text, 2 * depth}, &v), depth > LIMIT_JSON_DEPTH ? -EINVAL : 0,
                     "depth %zu", depth);
    }
    memset(text, '[', sizeof(text));
    cr_assert_eq(attribution_value_read(arena, (Str){text, sizeof(text)}, &v), -EINVAL);
}

Test(attribution_value, numbers_of_a_series)
{
    static const struct {
        const char *json;
        double want;
    } rows[] = {
        {"null", 0},
        {"true", 1},
        {"false", 0},
        {"7", 7},
        {"-2.5e3", -2500},
        {"\"12\"", 12},
        {"\" -1.5e2 \"", -150},
        {"\"+3\"", 3},
        {"1e308", 1e308},
        {"5e-324", 5e-324},
        {"1e-400", 0},
        {"0.1", 0.1},
        {"123456789012345678901234567890123456789012345678901234567890", 1.2345678901234568e59},
    };
    static const char *const none[] = {"\"\"",    "\"a\"",     "\"nan\"", "\"inf\"", "\"0x10\"",
                                       "\"1_0\"", "\"1 2\"",   "[]",      "[1]",     "{}",
                                       "1e309",   "\"1e309\"", "\"1e\"",  "\".\"",   "\"1\\u0000\""};
    double x;

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        AttributionValue v = value_of(rows[i].json);
        cr_assert(attribution_value_number(&v, &x), "%s", rows[i].json);
        cr_assert_eq(x, rows[i].want, "%s: %.17g", rows[i].json, x);
    }
    for (size_t i = 0; i < ARRAY_SIZE(none); i++) {
        AttributionValue v = value_of(none[i]);
        cr_assert_not(attribution_value_number(&v, &x), "%s", none[i]);
    }
}

Test(attribution_value, doubles_go_and_come)
{
    uint64_t seed = 7;

    for (size_t i = 0; i < 20000; i++) {
        uint64_t bits = random_next(&seed);
        double x, back;
        memcpy(&x, &bits, sizeof(x));
        if (!isfinite(x))
            continue;
        AttributionValue v = attribution_value_from_double(arena, x);
        cr_assert(attribution_value_number(&v, &back));
        cr_assert_eq(x, back, "%.17g became %.17g by " STR_FMT, x, back, STR_ARG(v.json));
    }
}

/* Random texts from JSON's own alphabet: never a crash, and a canonical spelling is JSON for the other reader too. */
Test(attribution_value, random_texts)
{
    static const char alphabet[] = "{}[]\",:\\u0d8ct1.e-+ nul";
    uint64_t seed = 11;
    size_t read = 0;

    for (size_t i = 0; i < 200000; i++) {
        char text[24];
        size_t n = random_below(&seed, sizeof(text));
        for (size_t k = 0; k < n; k++)
            text[k] = alphabet[random_below(&seed, sizeof(alphabet) - 1)];
        AttributionValue v;
        if (attribution_value_read(arena, (Str){text, n}, &v) == 0) {
            cleanup(json_putp) json_object *other = json_parse(v.key);
            cr_assert(other || attribution_value_is_null(&v), STR_FMT, STR_ARG(v.key));
            read++;
        }
        arena_reset(arena);
    }
    cr_assert_gt(read, 100, "too few of them were JSON to prove anything: %zu", read);
}
