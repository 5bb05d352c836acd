/* Deterministic ids, against the vectors of the event contract. */
#include <criterion/criterion.h>
#include <string.h>
#include <uuid/uuid.h>

#include "base/uuid.h"

static void expect(const Uuid *u, const char *text)
{
    char got[UUID_TEXT_BYTES];
    uuid_format(got, u);
    cr_assert_str_eq(got, text);
}

Test(uuid, namespaces_come_from_their_names)
{
    static const struct {
        const Uuid *ns;
        const char *name, *text;
    } rows[] = {
        {&UUID_NS_EVENT, "decnet:event:v1", "42503919-d481-5659-9de6-7cc10307b766"},
        {&UUID_NS_SESSION, "decnet:session:v1", "fdbc0a5a-27e1-53bb-bbea-c6a4ac0e19d5"},
        {&UUID_NS_LOG, "decnet:log:v1", "5e3e80ac-cd59-5920-a783-bd6cbe61bd3a"},
        {&UUID_NS_TTP_TAG, "decnet:ttp_tag:v1", "1ca31f08-5522-5aae-8371-fe81f0e39de3"},
        {&UUID_NS_ATTACKER, "decnet:attacker:v1", NULL},
        {&UUID_NS_OBSERVATION, "decnet:observation:v1", NULL},
        {&UUID_NS_IDENTITY, "decnet:identity:v1", "f23c257d-6f18-51dd-a3ad-fb47061c673a"},
    };
    Uuid url; /* RFC 4122, appendix C */

    cr_assert(uuid_parse_text(STR("6ba7b811-9dad-11d1-80b4-00c04fd430c8"), &url));
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        Uuid made = uuid_v5(&url, str_from(rows[i].name));
        cr_assert_eq(uuid_cmp(&made, rows[i].ns), 0, "%s", rows[i].name);
        if (rows[i].text)
            expect(rows[i].ns, rows[i].text);
    }
}

Test(uuid, event_and_tag_ids_of_the_contract)
{
    const Str observed[] = {STR("attacker.observed"), STR("198.51.100.23"), STR("1778401501004512")};
    const Str tag[] = {STR("intel"), STR("7b1f6c0e-4f0a-4c55-9f0b-0d7a1c2e3f41"), STR("R0055"), STR("1"), STR("T1071"),
                       (Str){0}};
    Uuid u = uuid_v5_joined(&UUID_NS_EVENT, observed, ARRAY_SIZE(observed));

    expect(&u, "3d4d7bb6-3fc9-5ac1-b306-b9fe1d094600");
    u = uuid_v5_joined(&UUID_NS_TTP_TAG, tag, ARRAY_SIZE(tag));
    expect(&u, "030f7f56-900c-56c6-a01f-d824b59d89f2");
    u = uuid_v5(&UUID_NS_TTP_TAG, STR("command|8b5b4643-10c2-54f9-9f3e-a31e49d18554#0|R0007|1|T1059|T1059.004"));
    expect(&u, "707431cb-371d-589a-a8c8-2e0d4546cf3e");
}

/* Parts of every size around what is gathered before it is hashed, beside libuuid's hash of the whole name. */
Test(uuid, ids_of_long_names)
{
    enum { LONG = 700 };
    char name[LONG];
    Uuid want;

    for (size_t i = 0; i < LONG; i++)
        name[i] = (char)(i * 31);
    for (size_t a = 0; a < LONG; a += 1 + a / 40) {
        for (size_t b = a + 1; b <= LONG; b += 7) {
            char joined[LONG];
            memcpy(joined, name, sizeof(joined));
            joined[a] = '|';
            Uuid got = uuid_v5_joined(&UUID_NS_LOG, (const Str[]){{joined, a}, {joined + a + 1, b - a - 1}}, 2);
            uuid_generate_sha1(want.b, UUID_NS_LOG.b, joined, b);
            cr_assert_eq(uuid_cmp(&got, &want), 0, "%zu of %zu bytes", a, b);
        }
    }
}

Test(uuid, text_both_ways)
{
    static const Str wrong[] = {STR(""),
                                STR("7b1f6c0e-4f0a-4c55-9f0b-0d7a1c2e3f4"),
                                STR("7b1f6c0e-4f0a-4c55-9f0b-0d7a1c2e3f4g"),
                                STR("7b1f6c0e4f0a-4c55-9f0b-0d7a1c2e3f411"),
                                STR("{7b1f6c0e4f0a4c559f0b0d7a1c2e3f4}"),
                                STR("7b1f6c0e-4f0a-4c55-9f0b-0d7a1c2e3f411"),
                                STR("7b1f6c0-e4f0a-4c55-9f0b-0d7a1c2e3f41")};
    Uuid u, v;

    cr_assert(uuid_parse_text(STR("7B1F6C0E-4F0A-4C55-9F0B-0D7A1C2E3F41"), &u));
    expect(&u, "7b1f6c0e-4f0a-4c55-9f0b-0d7a1c2e3f41");
    cr_assert(uuid_parse_text(STR("7b1f6c0e4f0a4c559f0b0d7a1c2e3f41"), &v));
    cr_assert_eq(uuid_cmp(&u, &v), 0);
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
        cr_assert_not(uuid_parse_text(wrong[i], &v), "row %zu", i);
}

Test(uuid, order_zero_and_chance)
{
    Uuid zero = {{0}}, a = uuid_random(), b = uuid_random();

    cr_assert(uuid_is_zero(&zero) && !uuid_is_zero(&a));
    cr_assert_neq(uuid_cmp(&a, &b), 0);
    cr_assert(uuid_cmp(&zero, &a) < 0 && uuid_cmp(&a, &zero) > 0);
    cr_assert_eq(a.b[6] >> 4, 4);
    cr_assert_eq(a.b[8] >> 6, 2);
}
