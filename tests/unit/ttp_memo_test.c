/* The memo: answers by bytes, stays within its bounds. */
#include "ttp_support.h"

#include <stdio.h>

#include "ttp/memo.h"

static void put(Memo *m, const char *text, uint32_t value)
{
    memo_put(m, str_from(text), memo_hash(str_from(text)), &value, 1);
}

static bool get(Memo *m, const char *text, uint32_t *ret)
{
    MemoEntry e;
    if (!memo_get(m, str_from(text), memo_hash(str_from(text)), &e))
        return false;
    *ret = e.n ? e.values[0] : UINT32_MAX;
    return true;
}

Test(ttp_memo, answers_what_was_put)
{
    Memo *m = memo_new(16, 4096);
    uint32_t v;
    Str nul = STR("a\0b"), other = STR("a\0c");
    MemoEntry e;

    cr_assert_not(get(m, "id", &v));
    put(m, "id", 7);
    cr_assert(get(m, "id", &v) && v == 7);
    cr_assert_not(get(m, "id ", &v));
    memo_put(m, str_from(""), memo_hash(str_from("")), NULL, 0);
    cr_assert(get(m, "", &v) && v == UINT32_MAX);
    memo_put(m, nul, memo_hash(nul), NULL, 0);
    cr_assert_not(memo_get(m, other, memo_hash(other), &e));
    cr_assert(memo_get(m, nul, memo_hash(nul), &e) && e.n == 0);
    /* Bytes decide: the same hash for another text finds nothing. */
    cr_assert_not(memo_get(m, STR("xy"), memo_hash(STR("id")), &e));
    memo_free(m);
    memo_free(NULL);
}

Test(ttp_memo, stays_within_its_bounds)
{
    Memo *m = memo_new(64, 16 * 1024);
    uint32_t v = 0;
    size_t remembered = 0;

    for (uint32_t i = 0; i < 10000; i++) {
        char text[300];
        snprintf(text, sizeof(text), "%u %0*u", i, (int)(i % 250) + 1, i);
        put(m, text, i);
        cr_assert(get(m, text, &v) && v == i, "the last one is always remembered");
        put(m, "hot", 1);
        cr_assert_leq(memo_entries(m), 64);
        cr_assert_leq(memo_bytes(m), 16 * 1024 + 2 * 16);
        remembered = MAX(remembered, memo_entries(m));
    }
    cr_assert_geq(remembered, 30, "it must be worth having");
    memo_free(m);
}

Test(ttp_memo, keeps_what_is_in_use)
{
    Memo *m = memo_new(64, 1024 * 1024);
    uint32_t v;

    put(m, "hot", 5);
    for (uint32_t i = 0; i < 1000; i++) {
        char text[32];
        snprintf(text, sizeof(text), "cold %u", i);
        put(m, text, i);
        if (i % 8 == 0)
            cr_assert(get(m, "hot", &v) && v == 5, "asked for often, lost at %u", i);
    }
    cr_assert_not(get(m, "cold 1", &v));
    memo_free(m);
}

Test(ttp_memo, leaves_out_what_is_larger_than_its_share)
{
    Memo *m = memo_new(64, 4096);
    static char big[3000];
    MemoEntry e;
    Str text = {big, sizeof(big)};

    memo_put(m, text, memo_hash(text), NULL, 0);
    cr_assert_not(memo_get(m, text, memo_hash(text), &e));
    cr_assert_eq(memo_entries(m), 0);
    memo_free(m);
}
