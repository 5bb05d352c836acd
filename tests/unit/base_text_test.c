/* Text as attackers send it. */
#include <criterion/criterion.h>
#include <math.h>
#include <signal.h>
#include <string.h>

#include "base/text.h"

#define FFFD "\xef\xbf\xbd"

static Arena *arena;

static void start(void)
{
    arena = arena_new();
}

static void stop(void)
{
    arena_free(arena);
}

Test(text, strings_with_lengths)
{
    cr_assert(str_eq(STR("a\0b"), STR("a\0b")) && !str_eq(STR("a\0b"), STR("a\0c")));
    cr_assert(str_eq((Str){NULL, 0}, STR("")), "absent and empty compare equal");
    cr_assert(str_eq_cstr(STR("abc"), "abc") && !str_eq_cstr(STR("abc"), "abcd"));
    cr_assert_null(str_from(NULL).data);
    cr_assert(str_starts(STR("abc"), "ab") && str_starts(STR("abc"), "") && !str_starts(STR("a"), "ab"));
    cr_assert(str_cmp(STR("a"), STR("b")) < 0 && str_cmp(STR("ab"), STR("a")) > 0 && str_cmp(STR("a"), STR("a")) == 0);
    cr_assert(str_cmp(STR("\xff"), STR("a")) > 0, "bytes are unsigned");
    cr_assert(str_cmp((Str){0}, STR("a")) < 0);
}

Test(text, copies, .init = start, .fini = stop)
{
    char original[] = "abc";
    Str copy = str_dup(arena, (Str){original, 3});

    original[0] = 'x';
    cr_assert(str_eq(copy, STR("abc")));
    cr_assert_null(str_dup(arena, (Str){0}).data);
    cr_assert_str_eq(str_cstr(arena, STR("a\0b")), "a");
}

Test(text, sanitize_repairs_what_postgresql_refuses, .init = start, .fini = stop)
{
    static const struct {
        Str in, out;
    } rows[] = {
        {STR("plain\n\t\x7f"), STR("plain\n\t\x7f")},
        {STR("caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80"), STR("caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80")},
        {STR("a\0b"), STR("a" FFFD "b")},
        {STR("\xff\xfe"), STR(FFFD FFFD)},
        {STR("x\xc3"), STR("x" FFFD)},                       /* cut short */
        {STR("\xe2\x82"), STR(FFFD FFFD)},                   /* cut short */
        {STR("\xc0\xaf"), STR(FFFD FFFD)},                   /* overlong '/' */
        {STR("\xe0\x80\xaf"), STR(FFFD FFFD FFFD)},          /* overlong */
        {STR("\xed\xa0\x80"), STR(FFFD FFFD FFFD)},          /* surrogate */
        {STR("\xf4\x90\x80\x80"), STR(FFFD FFFD FFFD FFFD)}, /* above U+10FFFF */
        {STR("\xf8\x88\x80\x80\x80"), STR(FFFD FFFD FFFD FFFD FFFD)},
        {STR("\x80ok"), STR(FFFD "ok")},
        {STR(""), STR("")},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        Str got = text_sanitize(arena, rows[i].in);
        cr_assert(str_eq(got, rows[i].out), "row %zu", i);
        cr_assert(str_eq(text_sanitize(arena, got), got), "row %zu: once is enough", i);
        if (str_eq(rows[i].in, rows[i].out))
            cr_assert_eq(got.data, rows[i].in.data, "row %zu: no copy without need", i);
    }
    cr_assert_null(text_sanitize(arena, (Str){0}).data);
}

Test(text, ascii_is_told_at_each_place)
{
    static const char bytes[] = "\x01 ~\x7f\0\x80\x81\xff"; /* the first four are plain */
    cr_assert(text_is_ascii((Str){0}));
    for (size_t len = 1; len <= 20; len++)
        for (size_t at = 0; at < len; at++)
            for (size_t k = 0; k < sizeof(bytes) - 1; k++) {
                char text[20];
                memset(text, 'a', len);
                text[at] = bytes[k];
                cr_assert_eq(text_is_ascii((Str){text, len}), k < 4, "byte %02x at %zu of %zu", (uint8_t)bytes[k], at,
                             len);
            }
}

Test(text, clip_never_splits_a_character)
{
    Str s = STR("a\xe2\x82\xac"
                "b\xf0\x9f\x98\x80");
    static const size_t kept[] = {0, 1, 1, 1, 4, 5, 5, 5, 5, 9, 9};

    for (size_t max = 0; max < ARRAY_SIZE(kept); max++)
        cr_assert_eq(text_clip(s, max).len, kept[max], "%zu bytes", max);
    cr_assert_eq(text_clip(STR("\x80\x80\x80\x80\x80\x80\x80\x80"), 6).len, 6, "not UTF-8: any place will do");
    cr_assert_eq(text_clip_chars(s, 0).len, 0);
    cr_assert_eq(text_clip_chars(s, 2).len, 4);
    cr_assert_eq(text_clip_chars(s, 4).len, 9);
    cr_assert_eq(text_clip_chars(s, 99).len, 9);
}

Test(text, trim)
{
    cr_assert(str_eq(text_trim(STR(" \t\r\n\v\fa b\n ")), STR("a b")));
    cr_assert_eq(text_trim(STR(" \n ")).len, 0);
    cr_assert_eq(text_trim((Str){0}).len, 0);
}

Test(text, buffer_grows_and_stays_terminated)
{
    cleanup(buf_free) Buf b = {0};

    cr_assert(str_eq(buf_str(&b), STR("")));
    buf_clear(&b);
    buf_add(&b, "");
    cr_assert_str_eq(b.data, "");
    for (int i = 0; i < 1000; i++)
        buf_printf(&b, "%d,", i);
    buf_add_char(&b, '!');
    buf_add_str(&b, STR("a\0b"));
    buf_append(&b, NULL, 0);
    cr_assert_eq(b.len, (size_t)(10 * 2 + 90 * 3 + 900 * 4 + 1 + 3));
    cr_assert_eq(b.data[b.len], '\0');
    buf_clear(&b);
    cr_assert_str_eq(b.data, "");
    buf_free(&b);
    cr_assert_null(b.data);
}

Test(text, buffer_of_impossible_size_ends_the_process, .signal = SIGABRT)
{
    Buf b = {0};
    buf_add(&b, "x");
    buf_reserve(&b, SIZE_MAX - 1);
}

Test(text, hex)
{
    char text[9];
    uint8_t bytes[4];

    hex_encode(text, "\x00\xff\x1a\xB0", 4);
    cr_assert_str_eq(text, "00ff1ab0");
    cr_assert(hex_decode(bytes, STR("00fF1aB0"), 4) && memcmp(bytes, "\x00\xff\x1a\xb0", 4) == 0);
    cr_assert_not(hex_decode(bytes, STR("00ff1a"), 4));
    cr_assert_not(hex_decode(bytes, STR("00ff1ab00"), 4));
    cr_assert_not(hex_decode(bytes, STR("00ff1g00"), 4));
    cr_assert(hex_decode(bytes, STR(""), 0));
}

Test(text, base64, .init = start, .fini = stop)
{
    static const struct {
        Str plain, text;
    } rows[] = {/* RFC 4648, section 10 */
                {STR(""), STR("")},
                {STR("f"), STR("Zg==")},
                {STR("fo"), STR("Zm8=")},
                {STR("foo"), STR("Zm9v")},
                {STR("foob"), STR("Zm9vYg==")},
                {STR("fooba"), STR("Zm9vYmE=")},
                {STR("foobar"), STR("Zm9vYmFy")},
                {STR("\xff\xfe\x00"), STR("//4A")}};
    static const Str wrong[] = {STR("Z"),     STR("Zg=a"), STR("Zm 9v"), STR("Zm9v\n"),
                                STR("Zm9\0"), STR("Zm9-"), STR("=Zg=")};
    Str got;

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        Str bare = rows[i].text;
        cr_assert(str_eq(base64_encode(arena, rows[i].plain), rows[i].text), "row %zu", i);
        cr_assert(base64_decode(arena, rows[i].text, &got) && str_eq(got, rows[i].plain), "row %zu", i);
        while (bare.len && bare.data[bare.len - 1] == '=')
            bare.len--;
        cr_assert(base64_decode(arena, bare, &got) && str_eq(got, rows[i].plain), "row %zu without padding", i);
    }
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
        cr_assert_not(base64_decode(arena, wrong[i], &got), "row %zu", i);
}

Test(text, sha256_of_the_standard)
{
    char text[65];

    sha256_hex(text, STR("abc"));
    cr_assert_str_eq(text, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    sha256_hex(text, (Str){0});
    cr_assert_str_eq(text, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

Test(text, addresses_have_one_spelling)
{
    static const struct {
        Str in;
        const char *out; /* NULL: no address */
    } rows[] = {
        {STR("198.51.100.23"), "198.51.100.23"},
        {STR(" 198.51.100.23\n"), "198.51.100.23"},
        {STR("::ffff:198.51.100.23"), "198.51.100.23"},
        {STR("::FFFF:c633:6417"), "198.51.100.23"},
        {STR("2001:DB8:0:0:0:0:0:17"), "2001:db8::17"},
        {STR("2001:db8:0:1:0:0:0:1"), "2001:db8:0:1::1"},
        {STR("fe80::1%eth0"), "fe80::1"},
        {STR("::"), "::"},
        {STR("198.51.100.23%eth0"), NULL},
        {STR("198.51.100"), NULL},
        {STR("198.51.100.256"), NULL},
        {STR("198.51.100.023"), NULL},
        {STR("198.51.100.23\0"), NULL},
        {STR("1:2:3:4:5:6:7:8:9"), NULL},
        {STR("%"), NULL},
        {STR(""), NULL},
        {STR("evil.example"), NULL},
        {STR("1111:2222:3333:4444:5555:6666:7777:8888:aaaaaaaaaaaaaaaaaaaaaaa"), NULL},
    };
    char out[IP_TEXT_BYTES];

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        bool ok = ip_canonical(rows[i].in, out);
        cr_assert_eq(ok, rows[i].out != NULL, "row %zu", i);
        if (ok)
            cr_assert_str_eq(out, rows[i].out, "row %zu", i);
    }
    cr_assert_not(ip_canonical((Str){0}, out));
}

Test(text, reserved_addresses)
{
    static const char *const reserved[] = {
        "0.1.2.3",    "10.0.0.1",       "100.64.0.1",  "100.127.255.255", "127.0.0.1",       "169.254.1.1",
        "172.16.0.1", "172.31.255.255", "192.168.0.1", "224.0.0.1",       "255.255.255.255", "::1",
        "::",         "fe80::1",        "ff02::1",     "fc00::1",         "fd12::1",         "not an address"};
    static const char *const public[] = {
        "1.1.1.1",     "9.255.255.255", "11.0.0.0",    "100.63.255.255", "100.128.0.0",  "172.15.0.1",     "172.32.0.1",
        "192.167.1.1", "198.51.100.23", "203.0.113.9", "223.255.255.1",  "2001:db8::17", "2606:4700::1111"};

    for (size_t i = 0; i < ARRAY_SIZE(reserved); i++)
        cr_assert(ip_is_reserved(reserved[i]), "%s", reserved[i]);
    for (size_t i = 0; i < ARRAY_SIZE(public); i++)
        cr_assert_not(ip_is_reserved(public[i]), "%s", public[i]);
}

Test(text, numbers_are_whole_texts)
{
    static const Str no_int[] = {STR(""),    STR(" 1"),  STR("1 "),
                                 STR("1.0"), STR("0x1"), STR("9223372036854775808"),
                                 STR("--1"), STR("1\0"), STR("111111111111111111111111111")};
    static const Str no_double[] = {STR(""), STR(" 1"), STR("1,5"), STR("nan"), STR("inf"), STR("1e999"), STR("1\0")};
    int64_t n;
    double d;

    cr_assert(text_to_int64(STR("-9223372036854775808"), &n) && n == INT64_MIN);
    cr_assert(text_to_int64(STR("9223372036854775807"), &n) && n == INT64_MAX);
    cr_assert(text_to_int64(STR("0"), &n) && n == 0);
    for (size_t i = 0; i < ARRAY_SIZE(no_int); i++)
        cr_assert_not(text_to_int64(no_int[i], &n), "row %zu", i);
    cr_assert(text_to_double(STR("-1.5e3"), &d) && fabs(d + 1500.0) < 1e-9);
    for (size_t i = 0; i < ARRAY_SIZE(no_double); i++)
        cr_assert_not(text_to_double(no_double[i], &d), "row %zu", i);
}

Test(text, nearest_word)
{
    static const char *const words[] = {"database", "batch_records", "batch_bytes", "solo"};
    char long_word[200];

    memset(long_word, 'x', sizeof(long_word));
    cr_assert_str_eq(text_nearest(STR("batch_record"), words, 4, 2), "batch_records");
    cr_assert_str_eq(text_nearest(STR("databse"), words, 4, 2), "database");
    cr_assert_str_eq(text_nearest(STR("solo"), words, 4, 0), "solo");
    cr_assert_null(text_nearest(STR("kafka"), words, 4, 2));
    cr_assert_null(text_nearest((Str){long_word, sizeof(long_word)}, words, 4, 2));
    cr_assert_null(text_nearest(STR("x"), words, 0, 9));
}
