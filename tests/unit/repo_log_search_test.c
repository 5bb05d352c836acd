/* The search language of logs: how a query is split, and what its words ask for. */
#include <criterion/criterion.h>
#include <string.h>

#include "repo/methods/log_search.h"

static const char *const columns[] = {"decky", "service", "event_type", "attacker_ip"};

/* The terms as text: [decky=x] {key=x} <word>. */
static void expect_terms(Str query, const char *want)
{
    cleanup(arena_freep) Arena *arena = arena_new();
    cleanup(buf_free) Buf out = {0};
    size_t n = 99;
    const LogTerm *terms = log_search_parse(arena, query, &n);

    for (size_t i = 0; i < n; i++) {
        if (terms[i].kind == LOG_TERM_COLUMN)
            buf_printf(&out, "[%s=" STR_FMT "]", columns[terms[i].column], STR_ARG(terms[i].value));
        else if (terms[i].kind == LOG_TERM_FIELD)
            buf_printf(&out, "{" STR_FMT "=" STR_FMT "}", STR_ARG(terms[i].key), STR_ARG(terms[i].value));
        else
            buf_printf(&out, "<" STR_FMT ">", STR_ARG(terms[i].value));
    }
    cr_expect_str_eq(buf_str(&out).data, want, STR_FMT " gives %s, not %s", STR_ARG(query), buf_str(&out).data, want);
}

typedef struct Case {
    const char *query, *want;
} Case;

static void expect_all(const Case *cases, size_t n)
{
    for (size_t i = 0; i < n; i++)
        expect_terms(str_from(cases[i].query), cases[i].want);
}

Test(repo_log_search, words_are_split_as_a_shell_does)
{
    static const Case cases[] = {
        {"", ""},
        {" \t\r\n ", ""},
        {"one", "<one>"},
        {" one  two\tthree\r\nfour ", "<one><two><three><four>"},
        {"'a b' c", "<a b><c>"},
        {"\"a b\"", "<a b>"},
        {"a'b c'd\"e f\"g", "<ab cde fg>"},
        {"'a\\n\"b'", "<a\\n\"b>"},
        {"\"a\\\"b\\\\c\\nd$\"", "<a\"b\\c\\nd$>"},
        {"a\\ b\\\\c\\'d \\\"", "<a b\\c'd><\">"},
        {"a\\\nb", "<a\nb>"},
        {"# no comment", "<#><no><comment>"},
        {"a;b|c&d", "<a;b|c&d>"},
        {"'' \"\"", ""},
        {"a'' ''", "<a>"},
        {"a\xc2\xa0"
         "b",
         "<a\xc2\xa0"
         "b>"}, /* only ASCII separates here */
        {"a\x0b"
         "b",
         "<a\x0b"
         "b>"},
        {"\xff\xfe x", "<\xff\xfe><x>"},
    };
    expect_all(cases, ARRAY_SIZE(cases));
    expect_terms((Str){0}, "");
}

Test(repo_log_search, a_broken_quote_leaves_white_space_alone_to_split)
{
    static const Case cases[] = {
        {"it's here", "<it's><here>"},
        {"\"a b", "<\"a><b>"},
        {"a b\\", "<a><b\\>"},
        {"\"a\\", "<\"a\\>"},
        {"'x' \"y", "<'x'><\"y>"},
        {"'", "<'>"},
        {"' a\x0b"
         "b\x1c"
         "c\x1f"
         "d\x0c"
         "e",
         "<'><a><b><c><d><e>"},
        {"' a\xc2\xa0"
         "b\xc2\x85"
         "c\xe3\x80\x80"
         "d\xe2\x80\x83"
         "e\xe2\x80\xa8"
         "f",
         "<'><a><b><c><d><e><f>"},
        {"' a\xe2\x80\x8b"
         "b",
         "<'><a\xe2\x80\x8b"
         "b>"}, /* no white space: of zero width */
        {"'decky:a b", "{decky=a}<b>"},
        {"it's decky:a", "<it's>[decky=a]"},
        {"'\xe2\x80", "<'\xe2\x80>"},
    };
    expect_all(cases, ARRAY_SIZE(cases));
}

Test(repo_log_search, a_colon_asks_for_a_column_or_a_field)
{
    static const Case cases[] = {
        {"decky:d1 service:ssh event:login", "[decky=d1][service=ssh][event_type=login]"},
        {"attacker:1 attacker-ip:2 attacker_ip:3", "[attacker_ip=1][attacker_ip=2][attacker_ip=3]"},
        {"attacker:2001:db8::1", "[attacker_ip=2001:db8::1]"},
        {"event_type:login", "{event_type=login}"},
        {"Decky:d1", "{Decky=d1}"},
        {"http://x", "{http=//x}"},
        {"2001:db8::1", "{2001=db8::1}"},
        {"user:root port:22", "{user=root}{port=22}"},
        {"user:", "{user=}"},
        {"'user name:a b'", "{username=a b}"},
        {"a.b-c'd:e", "{abcd=e}"},
        {":x", ""},
        {"::1", ""},
        {"\xc3\xa4:x rest", "<rest>"},
        {"de.cky:x", "{decky=x}"},
        {"decky:\"a b\"", "[decky=a b]"},
        {"\"decky\":a", "[decky=a]"},
        {"decky:a decky:b x", "[decky=a][decky=b]<x>"},
        {"a'; DROP TABLE logs; --':1", "{aDROPTABLElogs=1}"},
    };
    expect_all(cases, ARRAY_SIZE(cases));
}

Test(repo_log_search, a_nul_is_an_ordinary_byte)
{
    cleanup(arena_freep) Arena *arena = arena_new();
    size_t n = 0;
    const LogTerm *terms = log_search_parse(arena, (Str){"a\0b:c\0d '\0'", 11}, &n);

    cr_assert_eq(n, 2);
    cr_expect(terms[0].kind == LOG_TERM_FIELD && str_eq(terms[0].key, STR("ab")) &&
              str_eq(terms[0].value, STR("c\0d")));
    cr_expect(terms[1].kind == LOG_TERM_TEXT && str_eq(terms[1].value, STR("\0")));
}

Test(repo_log_search, a_huge_query_takes_memory_in_proportion)
{
    enum { WORDS = 300000 };
    cleanup(buf_free) Buf query = {0};
    cleanup(arena_freep) Arena *arena = arena_new();
    size_t n = 0;

    for (int i = 0; i < WORDS; i++)
        buf_add(&query, "k:v ");
    log_search_parse(arena, buf_str(&query), &n);
    cr_expect_eq(n, WORDS);
    cr_expect_lt(arena_used_bytes(arena), (size_t)WORDS * 200);
}
