/* The packed form of outgoing events: what goes in comes out, and no bytes whatever make the reader leave them. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "base/limits.h"
#include "worker/internal.h"
#include "worker/pack.h"

static void pack_one(Buf *pack, Str key, Str value, size_t n_headers)
{
    PackedEvent event = {.topic = STR("ttp.tagged"), .key = key, .value = value, .n_headers = n_headers};
    for (size_t i = 0; i < n_headers; i++)
        event.headers[i] = (EventHeader){STR("name"), i % 2 ? STR("a\0b") : (Str){0}};
    pack_add(pack, &event);
}

Test(pack, what_goes_in_comes_out)
{
    static const struct {
        Str key, value;
        size_t n_headers;
    } cases[] = {{STR("k"), STR("v"), 0}, {{0}, STR("\0\xff"), 1}, {STR(""), STR(""), 16}, {{0}, {0}, 2}};
    cleanup(buf_free) Buf pack = {0};
    PackedEvent event;
    size_t at = 0;

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        pack_one(&pack, cases[i].key, cases[i].value, cases[i].n_headers);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cr_assert_eq(pack_next(buf_str(&pack), &at, &event), 1, "case %zu", i);
        cr_assert(str_eq(event.topic, STR("ttp.tagged")));
        cr_assert(str_eq(event.key, cases[i].key) && !event.key.data == !cases[i].key.data, "case %zu", i);
        cr_assert(str_eq(event.value, cases[i].value) && !event.value.data == !cases[i].value.data, "case %zu", i);
        cr_assert_eq(event.n_headers, cases[i].n_headers);
        for (size_t k = 0; k < event.n_headers; k++) {
            cr_assert(str_eq(event.headers[k].name, STR("name")));
            cr_assert(str_eq(event.headers[k].value, k % 2 ? STR("a\0b") : (Str){0}));
        }
    }
    cr_assert_eq(pack_next(buf_str(&pack), &at, &event), 0);
    cr_assert_eq(at, pack.len);
}

Test(pack, nothing_is_an_empty_pack)
{
    PackedEvent event;
    size_t at = 0;
    cr_assert_eq(pack_next(STR(""), &at, &event), 0);
    cr_assert_eq(pack_next((Str){0}, &at, &event), 0);
}

/* Read all of a pack from a block of exactly its size, so that a sanitizer sees the first byte too many. Returns how
 * many events there were, -1 when it is no pack. */
static int read_all(Str bytes)
{
    cleanup(freep) char *copy = malloc(bytes.len ? bytes.len : 1);
    Str pack = {copy, bytes.len};
    PackedEvent event;
    size_t at = 0;
    int n = 0, r;

    memcpy(copy, bytes.data, bytes.len);
    while ((r = pack_next(pack, &at, &event)) > 0) {
        cleanup(buf_free) Buf touch = {0};
        cr_assert_leq(at, pack.len);
        cr_assert_leq(event.n_headers, ARRAY_SIZE(event.headers));
        buf_add_str(&touch, event.topic);
        buf_add_str(&touch, event.key);
        buf_add_str(&touch, event.value);
        for (size_t i = 0; i < event.n_headers; i++) {
            buf_add_str(&touch, event.headers[i].name);
            buf_add_str(&touch, event.headers[i].value);
        }
        n++;
    }
    cr_assert(r == 0 || r == -EBADMSG, "%d", r);
    return r == 0 ? n : -1;
}

static void make_pack(Buf *pack, size_t ret_ends[3])
{
    for (size_t i = 0; i < 3; i++) {
        pack_one(pack, STR("key"), STR("{\"some\":\"value\"}"), i * 3);
        ret_ends[i] = pack->len;
    }
}

Test(pack, a_pack_that_is_cut_is_noticed_at_every_place)
{
    cleanup(buf_free) Buf pack = {0};
    size_t ends[3];

    make_pack(&pack, ends);
    cr_assert_eq(read_all(buf_str(&pack)), 3);
    for (size_t len = 0; len < pack.len; len++) {
        int want = len == 0 ? 0 : len == ends[0] ? 1 : len == ends[1] ? 2 : -1;
        cr_assert_eq(read_all((Str){pack.data, len}), want, "cut at %zu", len);
    }
}

Test(pack, a_damaged_length_is_no_pack)
{
    static const uint8_t values[] = {0, 1, 0x7f, 0x80, 0xfe, 0xff};
    cleanup(buf_free) Buf pack = {0};
    size_t ends[3];

    make_pack(&pack, ends);
    for (size_t i = 0; i < pack.len; i++) {
        char was = pack.data[i];
        for (size_t k = 0; k < ARRAY_SIZE(values); k++) {
            pack.data[i] = (char)values[k];
            int n = read_all(buf_str(&pack)); /* a changed value is not noticed, a changed length is */
            bool length = i < 6;
            cr_assert(!length || pack.data[i] == was || n == -1, "byte %zu as %02x", i, values[k]);
        }
        pack.data[i] = was;
    }
}

Test(pack, more_headers_than_there_is_room_for_are_no_pack)
{
    cleanup(buf_free) Buf pack = {0};
    size_t count_at;

    pack_one(&pack, STR("k"), STR("v"), 16);
    count_at = 4 + 2 + strlen("ttp.tagged") + 4 + 1 + 4 + 1;
    cr_assert_eq(pack.data[count_at], 16);
    pack.data[count_at] = 17;
    cr_assert_eq(read_all(buf_str(&pack)), -1);
}

Test(pack, no_bytes_make_the_reader_leave_them)
{
    enum { ROUNDS = 20000 };
    uint64_t state = 88172645463325252u; /* xorshift: the same bytes at every run */

    for (int round = 0; round < ROUNDS; round++) {
        cleanup(buf_free) Buf pack = {0};
        size_t ends[3];
        make_pack(&pack, ends);
        for (int i = 0; i < 1 + round % 6; i++) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            pack.data[state % pack.len] = (char)(state >> 32);
        }
        read_all((Str){pack.data, round % 3 ? pack.len : state % pack.len});
    }
}

/* --- as it is stored --- */

static void seal_and_back(Buf *pack, size_t *ret_sealed_bytes)
{
    cleanup(buf_free) Buf sealed = {0}, back = {0};

    pack_seal(&sealed, buf_str(pack));
    cr_assert_eq(pack_unseal(&back, buf_str(&sealed)), 0);
    cr_assert(str_eq(buf_str(&back), buf_str(pack)));
    *ret_sealed_bytes = sealed.len;
}

Test(pack, what_is_sealed_comes_out)
{
    cleanup(buf_free) Buf pack = {0};
    size_t bytes;

    seal_and_back(&pack, &bytes);
    cr_assert_eq(bytes, 0);
    pack_one(&pack, STR("key"), STR("{}"), 3);
    seal_and_back(&pack, &bytes);
    cr_assert_eq(bytes, pack.len, "a small one is left as it is");
    while (pack.len < LIMIT_OUTBOX_ROW_BYTES)
        pack_one(&pack, STR("key"), STR("{\"some\":\"value\"}"), 5);
    seal_and_back(&pack, &bytes);
    cr_assert_lt(bytes, pack.len / 5);
}

Test(pack, what_does_not_shrink_is_left_as_it_is)
{
    cleanup(buf_free) Buf pack = {0};
    uint64_t state = 88172645463325252u;
    size_t bytes;

    for (int i = 0; i < 20000; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        buf_add_char(&pack, (char)(state >> 32));
    }
    seal_and_back(&pack, &bytes);
    cr_assert_eq(bytes, pack.len);
}

Test(pack, a_damaged_seal_is_noticed)
{
    cleanup(buf_free) Buf pack = {0}, sealed = {0}, back = {0};

    while (pack.len < 8192)
        pack_one(&pack, STR("key"), STR("{\"some\":\"value\"}"), 2);
    pack_seal(&sealed, buf_str(&pack));
    cr_assert_lt(sealed.len, pack.len);
    for (size_t len = 8; len < sealed.len; len++) {
        cleanup(freep) char *exact = malloc(len);
        memcpy(exact, sealed.data, len);
        cr_assert_eq(pack_unseal(&back, (Str){exact, len}), -EBADMSG, "cut at %zu", len);
    }
    for (int byte = 4; byte < 8; byte++) { /* of the length */
        sealed.data[byte] ^= 0x41;
        cr_assert_eq(pack_unseal(&back, buf_str(&sealed)), -EBADMSG, "byte %d", byte);
        sealed.data[byte] ^= 0x41;
    }
    cr_assert_eq(pack_unseal(&back, buf_str(&sealed)), 0);
}

/* --- the timetable of deferrals --- */

Test(deferral, delays_follow_the_design_with_a_fifth_of_jitter)
{
    static const int64_t want_s[] = {2, 10, 60, 600, 3600, 3600};

    for (int attempts = 0; attempts < (int)ARRAY_SIZE(want_s); attempts++) {
        int64_t lowest = INT64_MAX, highest = 0;
        for (int i = 0; i < 2000; i++) {
            int64_t us = deferral_delay_us(attempts);
            lowest = MIN(lowest, us);
            highest = MAX(highest, us);
        }
        int64_t base_us = want_s[attempts] * US_PER_S;
        cr_assert(lowest >= base_us * 4 / 5 && lowest < base_us * 9 / 10, "%d: %lld", attempts, (long long)lowest);
        cr_assert(highest <= base_us * 6 / 5 && highest > base_us * 11 / 10, "%d: %lld", attempts, (long long)highest);
    }
}
