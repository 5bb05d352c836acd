/* Views of JSON: what is JSON, what a view says, where its bytes are. */
#include <criterion/criterion.h>
#include <limits.h>
#include <string.h>

#include "base/json_view.h"
#include "base/limits.h"

static Arena *arena;

static void setup(void)
{
    arena = arena_new();
}

static void teardown(void)
{
    arena_free(arena);
}

TestSuite(json_view, .init = setup, .fini = teardown, .timeout = 30);

static const JsonView *parse(const char *text)
{
    const JsonView *v = json_view(arena, arena, str_from(text));
    cr_assert_not_null(v, "%s", text);
    return v;
}

Test(json_view, every_kind_of_value_is_told_from_the_others)
{
    static const struct {
        const char *json;
        json_type type;
        const char *text;
    } rows[] = {{"{}", json_type_object, "{}"},
                {" [ ] ", json_type_array, "[ ]"},
                {"\"\"", json_type_string, ""},
                {"\"a\"", json_type_string, "a"},
                {"0", json_type_int, "0"},
                {"-0", json_type_int, "-0"},
                {"\t12\r\n", json_type_int, "12"},
                {"123456789012345678901234567890", json_type_int, "123456789012345678901234567890"},
                {"0.5", json_type_double, "0.5"},
                {"-1.5e3", json_type_double, "-1.5e3"},
                {"1E+5", json_type_double, "1E+5"},
                {"0e-1", json_type_double, "0e-1"},
                {"true", json_type_boolean, "true"},
                {"false", json_type_boolean, "false"},
                {"null", json_type_null, "null"}};

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const JsonView *v = parse(rows[i].json);
        cr_assert(view_is(v, rows[i].type), "%s", rows[i].json);
        cr_assert(str_eq_cstr(view_text(v), rows[i].text), "%s", rows[i].json);
        cr_assert_eq(view_count(v), 0);
        cr_assert_eq(v->span, 1);
    }
}

Test(json_view, refuses_what_is_no_json)
{
    static const char *const rows[] = {"",
                                       " ",
                                       "{",
                                       "[",
                                       "}",
                                       "{\"a\":1}}",
                                       "{} {}",
                                       "{'a':1}",
                                       "{\"a\":1,}",
                                       "[1,]",
                                       "[,1]",
                                       "[1 2]",
                                       "{,}",
                                       "{a:1}",
                                       "{\"a\" 1}",
                                       "{\"a\"",
                                       "{\"a\":",
                                       "{\"a\":1",
                                       "nul",
                                       "nullx",
                                       "tru",
                                       "falsey",
                                       "True",
                                       "NaN",
                                       "[NaN]",
                                       "-Infinity",
                                       "/**/1",
                                       "1/**/",
                                       "12x",
                                       "1 2",
                                       "-",
                                       "--1",
                                       "+1",
                                       "01",
                                       "-01",
                                       "1.",
                                       ".5",
                                       "-.5",
                                       "1.e5",
                                       "1e",
                                       "1e+",
                                       "1e5.5",
                                       "0x10",
                                       "\"",
                                       "\"a",
                                       "\"\\",
                                       "\"\\\"",
                                       "\"\\x\"",
                                       "\"\\u\"",
                                       "\"\\u12\"",
                                       "\"\\u00g0\"",
                                       "\"\\u123",
                                       "\xef\xbb\xbf{}",
                                       "\v1",
                                       "\"\\ud800\\u",
                                       "\"\\ud800\\u12\"",
                                       "\"\\'\"",
                                       "[\"a\":1]",
                                       "{1:2}",
                                       "{\"a\":1 \"b\":2}",
                                       "1,2"};

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        cr_expect_null(json_view(arena, arena, str_from(rows[i])), "row %zu: %s", i, rows[i]);
    cr_expect_null(json_view(arena, arena, (Str){0}));
    cr_expect_null(json_view(arena, arena, STR("{}\0")));
    cr_expect_null(json_view(arena, arena, STR("\0")));
    cr_expect_null(json_view(arena, arena, STR("\"\\\0\"")));
    cr_expect_null(json_view(arena, arena, STR("\"a\0b\"")));
    cr_expect_null(json_view(arena, arena, (Str){"{}", (size_t)INT_MAX + 1}), "judged before any byte is read");
}

Test(json_view, every_beginning_of_a_text_is_refused)
{
    static const char whole[] = "{\"a\\u00e9\\ud83d\\ude00\":[-12.5e+3,true,null,\"x\\n\",{\"b\":[[],{}]}]}";

    for (size_t n = 0; n < sizeof(whole) - 1; n++) {
        cleanup(freep) char *exact = malloc(n ? n : 1); /* so that reading behind it is seen */
        memcpy(exact, whole, n);
        cr_expect_null(json_view(arena, arena, (Str){exact, n}), "%zu bytes", n);
    }
    (void)parse(whole);
}

Test(json_view, depth_is_limited)
{
    cleanup(buf_free) Buf deep = {0};

    for (int i = 0; i < LIMIT_JSON_DEPTH; i++)
        buf_add(&deep, i % 2 ? "{\"a\":" : "[");
    buf_add(&deep, "1");
    for (int i = LIMIT_JSON_DEPTH; i-- > 0;)
        buf_add(&deep, i % 2 ? "}" : "]");
    const JsonView *v = parse(deep.data);
    cr_assert_eq(v->span, LIMIT_JSON_DEPTH + 1);
    cleanup(buf_free) Buf deeper = {0};
    buf_printf(&deeper, "[%s]", deep.data);
    cr_assert_null(json_view(arena, arena, buf_str(&deeper)));
}

Test(json_view, escapes_become_what_they_stand_for)
{
    static const struct {
        const char *json;
        Str want;
    } rows[] = {{"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", STR("\"\\/\b\f\n\r\t")},
                {"\"a\\u0000b\"", STR("a\0b")},
                {"\"\\u0041\\u00e9\\u20AC\"", STR("A\xc3\xa9\xe2\x82\xac")},
                {"\"\\ud83d\\ude00\"", STR("\xf0\x9f\x98\x80")},
                {"\"\\uDBFF\\uDFFF\"", STR("\xf4\x8f\xbf\xbf")},
                {"\"\\ud83d\"", STR("\xef\xbf\xbd")},
                {"\"\\ude00x\"", STR("\xef\xbf\xbdx")},
                {"\"\\ud83d\\ud83d\\ude00\"", STR("\xef\xbf\xbd\xf0\x9f\x98\x80")},
                {"\"\\ud83d\\n\"", STR("\xef\xbf\xbd\n")},
                {"\"\\ud83d\\u0041\"", STR("\xef\xbf\xbd"
                                           "A")},
                {"\"a\nb\x01\x7f\xff\"", STR("a\nb\x01\x7f\xff")}, /* as they are: repaired when they are stored */
                {"\"0123456789abcdef\\t0123456789abcdef\"", STR("0123456789abcdef\t0123456789abcdef")}};

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        cr_expect(str_eq(view_str(parse(rows[i].json)), rows[i].want), "row %zu", i);
    cr_expect(view_any_member(parse("{\"\\u0061\\n\":1}"), "a\n"));
}

Test(json_view, plain_text_is_not_copied)
{
    static const char text[] = "{\"key\":\"value\",\"other\":\"a\\tb\"}";
    const JsonView *v = json_view(arena, arena, STR(text));

    cr_assert_eq(view_get_str(v, "key").data, text + 8);
    cr_assert_eq(view_any_member(v, "key")->key, text + 2);
    cr_assert(view_get_str(v, "other").data < text || view_get_str(v, "other").data >= text + sizeof(text));
}

Test(json_view, members_are_of_their_type_or_not_there)
{
    const JsonView *o = parse(
        "{\"s\":\"7\",\"i\":7,\"d\":1.5,\"b\":true,\"f\":false,\"n\":null,\"a\":[1,[2,3],4],\"o\":{\"x\":{}},"
        "\"huge\":18446744073709551615,\"endless\":1e999,\"long\":0.1000000000000000000000000000000000000000000000"
        "000000000000000000000000000000001}");
    int64_t i = -1;
    double d = -1;
    bool b = false;

    cr_expect(str_eq_cstr(view_get_str(o, "s"), "7") && !view_get_str(o, "i").data && !view_get_str(o, "none").data);
    cr_expect(view_get_int(o, "i", &i) && i == 7);
    cr_expect(!view_get_int(o, "s", &i) && !view_get_int(o, "d", &i) && !view_get_int(o, "b", &i) &&
              !view_get_int(o, "none", &i) && !view_get_int(o, "huge", &i) && i == 7);
    cr_expect(view_get_double(o, "d", &d) && d == 1.5);
    cr_expect(view_get_double(o, "i", &d) && d == 7);
    cr_expect(view_get_double(o, "huge", &d) && d == 18446744073709551616.0);
    cr_expect(view_get_double(o, "long", &d) && d == 0.1);
    cr_expect(!view_get_double(o, "endless", &d) && !view_get_double(o, "s", &d) && !view_get_double(o, "b", &d) &&
              d == 0.1);
    cr_expect(view_get_bool(o, "b", &b) && b);
    cr_expect(view_get_bool(o, "f", &b) && !b);
    cr_expect(!view_get_bool(o, "i", &b) && !view_get_bool(o, "none", &b));
    cr_expect(!view_member(o, "n") && view_is(view_any_member(o, "n"), json_type_null) && !view_any_member(o, "none"));
    cr_expect(view_get_array(o, "a") && !view_get_array(o, "o") && !view_get_array(o, "none"));
    cr_expect(view_get_object(o, "o") && !view_get_object(o, "a"));
    cr_expect_eq(view_count(o), 11);
    cr_expect_eq(view_count(view_get_array(o, "a")), 3);
    cr_expect(str_eq_cstr(view_text(view_get_array(o, "a")), "[1,[2,3],4]"));
    cr_expect(!view_any_member(view_get_array(o, "a"), "a") && !view_any_member(NULL, "a"));
    cr_expect(!view_text(NULL).data && !view_str(NULL).data && view_count(NULL) == 0 && !view_is(NULL, json_type_null));
}

Test(json_view, what_is_inside_comes_in_order)
{
    const JsonView *list = parse("[[1,2],\"x\",{\"a\":[],\"b\":2},[]]");
    static const uint32_t spans[] = {3, 1, 3, 1};
    size_t n = 0;

    view_each (item, list) {
        cr_assert_lt(n, ARRAY_SIZE(spans));
        cr_expect_eq(item->span, spans[n++]);
        cr_expect_null(item->key);
    }
    cr_expect_eq(n, ARRAY_SIZE(spans));
    view_each (item, parse("7"))
        cr_expect_fail("a number contains nothing");
}

Test(json_view, a_name_may_be_empty)
{
    int64_t i;

    cr_expect(view_get_int(parse("{\"\":1}"), "", &i) && i == 1);
    cr_expect_null(view_any_member(parse("{\"a\":1}"), ""));
    cr_expect_null(view_any_member(parse("{\"\":1}"), "a"));
}

Test(json_view, the_last_of_several_members_counts)
{
    int64_t i;

    cr_expect(view_get_int(parse("{\"a\":1,\"b\":2,\"a\":3}"), "a", &i) && i == 3);
    cr_expect_not(view_get_int(parse("{\"a\":1,\"a\":\"x\"}"), "a", &i), "whatever its type");
}
