/* Where commands and downloads point to. One scanner for URLs, one for pseudo-devices, one for the few tools that take
 * a bare address; all of them end in add_host(). */
#include "evidence.h"

#include <string.h>

#include "base/limits.h"

/* Hosts that say nothing about who uses them; sub-domains are meant too. Documentation names and addresses are not
 * listed, so that examples behave like real ones. */
static const char *const stop_hosts[] = {
    /* code and file hosting that everybody shares */
    "github.com",
    "githubusercontent.com",
    "gitlab.com",
    "bitbucket.org",
    "sourceforge.net",
    "gitee.com",
    "codeberg.org",
    "pastebin.com",
    "dropbox.com",
    "docs.google.com",
    "drive.google.com",
    /* packages and images */
    "debian.org",
    "ubuntu.com",
    "canonical.com",
    "centos.org",
    "fedoraproject.org",
    "redhat.com",
    "rockylinux.org",
    "almalinux.org",
    "alpinelinux.org",
    "archlinux.org",
    "opensuse.org",
    "kernel.org",
    "gnu.org",
    "apache.org",
    "python.org",
    "pypi.org",
    "pythonhosted.org",
    "npmjs.org",
    "npmjs.com",
    "nodejs.org",
    "rubygems.org",
    "crates.io",
    "golang.org",
    "go.dev",
    "docker.com",
    "docker.io",
    "quay.io",
    "nginx.org",
    "mysql.com",
    "postgresql.org",
    "busybox.net",
    "openwrt.org",
    "aliyun.com",
    "mirrors.163.com",
    /* search engines and portals */
    "google.com",
    "bing.com",
    "yahoo.com",
    "duckduckgo.com",
    "yandex.ru",
    "yandex.com",
    "baidu.com",
    "cloudflare.com",
    "microsoft.com",
    "windowsupdate.com",
    "apple.com",
    "amazon.com",
    "facebook.com",
    "wikipedia.org",
    /* address echo and speed tests */
    "ipinfo.io",
    "ifconfig.me",
    "ifconfig.co",
    "ifconfig.io",
    "icanhazip.com",
    "ipify.org",
    "ip-api.com",
    "ipecho.net",
    "checkip.amazonaws.com",
    "checkip.dyndns.org",
    "ident.me",
    "myip.com",
    "ip.sb",
    "api.myip.la",
    "wtfismyip.com",
    "speedtest.net",
    "ookla.com",
    "fast.com",
};

/* Top-level names that never leave a site (RFC 6761, RFC 6762, RFC 8375, ICANN's .internal). */
static const char *const local_domains[] = {"localhost", "local", "localdomain", "lan",     "internal", "intranet",
                                            "home",      "corp",  "home.arpa",   "invalid", "test"};

typedef struct Scheme {
    const char *prefix;
    int default_port;
} Scheme;

static const Scheme schemes[] = {{"http://", 80}, {"https://", 443}, {"ftp://", 21}, {"tftp://", 69}};

/* What evidence is drawn from, and where it goes. */
typedef struct Scan {
    Arena *arena;
    Str sensor_address;
    EvidencePlaces *places;
} Scan;

static bool ends_in_domain(Str host, const char *domain)
{
    size_t n = strlen(domain);

    if (host.len < n || memcmp(host.data + host.len - n, domain, n) != 0)
        return false;
    return host.len == n || host.data[host.len - n - 1] == '.';
}

bool evidence_host_is_common(Str host)
{
    for (size_t i = 0; i < ARRAY_SIZE(stop_hosts); i++)
        if (ends_in_domain(host, stop_hosts[i]))
            return true;
    return false;
}

static bool is_local_name(Str host)
{
    for (size_t i = 0; i < ARRAY_SIZE(local_domains); i++)
        if (ends_in_domain(host, local_domains[i]))
            return true;
    return false;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_alnum(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static Str lower(Arena *arena, Str s)
{
    char *text = arena_memdup(arena, s.data, s.len);

    for (size_t i = 0; i < s.len; i++)
        if (text[i] >= 'A' && text[i] <= 'Z')
            text[i] = (char)(text[i] - 'A' + 'a');
    return (Str){text, s.len};
}

/* A name of at least two labels whose last one is not a number (0x7f.1 and 2130706433 are addresses in disguise). */
static bool is_host_name(Str host)
{
    const char *dot = host.len ? memrchr(host.data, '.', host.len) : NULL;

    if (!dot || host.len > 253 || host.data[0] == '.' || host.data[0] == '-')
        return false;
    for (size_t i = 0; i < host.len; i++)
        if (!is_alnum(host.data[i]) && host.data[i] != '-' && host.data[i] != '_' &&
            (host.data[i] != '.' || host.data[i - 1] == '.'))
            return false;
    Str last = {dot + 1, host.len - (size_t)(dot + 1 - host.data)};
    return last.len >= 2 && !is_digit(last.data[0]);
}

static void add(Scan *s, EvidencePlaceKind kind, Str value)
{
    for (size_t i = 0; i < s->places->n; i++)
        if (s->places->items[i].kind == kind && str_eq(s->places->items[i].value, value))
            return;
    if (s->places->n == ARRAY_SIZE(s->places->items))
        s->places->n_dropped++;
    else
        s->places->items[s->places->n++] = (EvidencePlace){kind, value};
}

/* @host without brackets as evidence `c2`; false when it is no evidence. */
static bool add_host(Scan *s, Str host, int64_t port)
{
    char address[IP_TEXT_BYTES];

    if (port < 1 || port > 65535)
        return false;
    if (host.len && host.data[host.len - 1] == '.')
        host.len--;
    if (ip_canonical(host, address)) {
        if (ip_is_reserved(address) || str_eq_cstr(s->sensor_address, address))
            return false;
        bool v6 = strchr(address, ':') != NULL;
        char *value = arena_printf(s->arena, "%s%s%s:%d", v6 ? "[" : "", address, v6 ? "]" : "", (int)port);
        add(s, PLACE_C2, str_from(value));
        return true;
    }
    if (!is_host_name(host))
        return false;
    host = lower(s->arena, host);
    if (is_local_name(host) || evidence_host_is_common(host))
        return false;
    add(s, PLACE_C2, str_from(arena_printf(s->arena, STR_FMT ":%d", STR_ARG(host), (int)port)));
    return true;
}

/* Bytes of @s before the first of @stops or blank. */
static size_t run_until(Str s, const char *stops)
{
    size_t i = 0;

    while (i < s.len && (uint8_t)s.data[i] > ' ' && !strchr(stops, s.data[i]))
        i++;
    return i;
}

/* "host", "host:port", "[v6]", "[v6]:port", each perhaps behind "user:password@". */
static bool split_authority(Str authority, int default_port, Str *ret_host, int64_t *ret_port)
{
    const char *at = authority.len ? memrchr(authority.data, '@', authority.len) : NULL;
    Str rest;

    if (at)
        authority = (Str){at + 1, authority.len - (size_t)(at + 1 - authority.data)};
    if (authority.len && authority.data[0] == '[') {
        const char *end = memchr(authority.data, ']', authority.len);
        if (!end)
            return false;
        *ret_host = (Str){authority.data + 1, (size_t)(end - authority.data - 1)};
        rest = (Str){end + 1, authority.len - (size_t)(end + 1 - authority.data)};
    } else {
        const char *colon = authority.len ? memchr(authority.data, ':', authority.len) : NULL;
        size_t n = colon ? (size_t)(colon - authority.data) : authority.len;
        *ret_host = (Str){authority.data, n};
        rest = (Str){authority.data + n, authority.len - n};
    }
    *ret_port = default_port;
    if (rest.len == 0 || (rest.len == 1 && rest.data[0] == ':'))
        return ret_host->len > 0;
    return rest.data[0] == ':' && text_to_int64((Str){rest.data + 1, rest.len - 1}, ret_port) && ret_host->len > 0;
}

/* @s starts with @scheme: its host and the URL without query and fragment. Returns the bytes that the URL takes. */
static size_t take_url(Scan *s, Str text, const Scheme *scheme)
{
    size_t start = strlen(scheme->prefix);
    Str rest = {text.data + start, text.len - start}, host;
    size_t authority = run_until(rest, "/?#'\";|&)><`");
    size_t path_end = authority + run_until((Str){rest.data + authority, rest.len - authority}, "?#'\";|&)><`");
    int64_t port;

    if (authority && split_authority((Str){rest.data, authority}, scheme->default_port, &host, &port) &&
        add_host(s, host, port)) {
        Str url = {text.data, start + path_end};
        if (memchr(url.data, '$', url.len)) /* put together by the shell: the host is certain, the rest is not */
            return url.len;
        add(s, PLACE_DOWNLOAD_URL, str_dup(s->arena, text_clip(text_sanitize(s->arena, url), LIMIT_URL_BYTES)));
    }
    return start + path_end;
}

static const Scheme *scheme_at(Str text)
{
    for (size_t i = 0; i < ARRAY_SIZE(schemes); i++) {
        size_t n = strlen(schemes[i].prefix);
        if (text.len > n && strncasecmp(text.data, schemes[i].prefix, n) == 0)
            return &schemes[i];
    }
    return NULL;
}

static void scan_urls(Scan *s, Str command)
{
    for (size_t i = 0; i < command.len;) {
        char c = command.data[i];
        Str rest = {command.data + i, command.len - i};
        bool word_start = i == 0 || !is_alnum(command.data[i - 1]);
        const Scheme *scheme = word_start && (c == 'h' || c == 'f' || c == 't' || c == 'H' || c == 'F' || c == 'T')
                                   ? scheme_at(rest)
                                   : NULL;
        i += scheme ? take_url(s, rest, scheme) : 1;
    }
}

/* /dev/tcp/HOST/PORT */
static void scan_devices(Scan *s, Str command)
{
    static const char *const devices[] = {"/dev/tcp/", "/dev/udp/"};

    for (size_t d = 0; d < ARRAY_SIZE(devices); d++) {
        size_t n = strlen(devices[d]);
        Str rest = command;
        const char *hit;
        while (rest.len && (hit = memmem(rest.data, rest.len, devices[d], n))) {
            rest = (Str){hit + n, rest.len - (size_t)(hit + n - rest.data)};
            Str host = {rest.data, run_until(rest, "/'\";|&)><`")};
            if (host.len == rest.len || rest.data[host.len] != '/')
                continue;
            size_t digits = 0;
            const char *port_text = host.data + host.len + 1;
            while (host.len + 1 + digits < rest.len && is_digit(port_text[digits]))
                digits++;
            int64_t port;
            if (text_to_int64((Str){port_text, digits}, &port))
                add_host(s, host, port);
        }
    }
}

/* Tools that take a bare address. Port 0: the word behind the address is the port. */
static const struct {
    const char *name;
    int port;
} address_tools[] = {{"tftp", 69}, {"ftpget", 21}, {"nc", 0}, {"ncat", 0}, {"netcat", 0}};

enum { TOOL_WORDS_MAX = 32 };

/* The words of one simple command; only blanks separate, quotes stay part of a word and spoil it. */
static size_t split_words(Str segment, Str *words)
{
    size_t n = 0;

    while (segment.len && n < TOOL_WORDS_MAX) {
        size_t len = run_until(segment, "");
        if (len)
            words[n++] = (Str){segment.data, len};
        len = MIN(len + 1, segment.len);
        segment = (Str){segment.data + len, segment.len - len};
    }
    return n;
}

static bool is_wrapper(Str word)
{
    static const char *const wrappers[] = {"sudo", "nohup", "busybox", "exec", "command"};
    for (size_t i = 0; i < ARRAY_SIZE(wrappers); i++)
        if (str_eq_cstr(word, wrappers[i]))
            return true;
    return false;
}

static Str program_name(Str word)
{
    const char *slash = memrchr(word.data, '/', word.len);
    return slash ? (Str){slash + 1, word.len - (size_t)(slash + 1 - word.data)} : word;
}

static int tool_port(Str word)
{
    for (size_t i = 0; i < ARRAY_SIZE(address_tools); i++)
        if (str_eq_cstr(word, address_tools[i].name))
            return address_tools[i].port;
    return -1;
}

/* One simple command: evidence if it runs such a tool on exactly one address. */
static void scan_tool(Scan *s, Str segment)
{
    Str words[TOOL_WORDS_MAX];
    size_t n = split_words(segment, words), first = 0, at = 0, addresses = 0;
    char address[IP_TEXT_BYTES];
    int64_t port;

    while (first < n && is_wrapper(program_name(words[first])))
        first++;
    if (first == n)
        return;
    port = tool_port(program_name(words[first]));
    if (port < 0)
        return;
    for (size_t i = first + 1; i < n; i++) {
        if (ip_canonical(words[i], address)) {
            at = i;
            addresses++;
        }
    }
    if (addresses != 1)
        return;
    if (port == 0 && (at + 1 >= n || !text_to_int64(words[at + 1], &port)))
        return;
    add_host(s, words[at], port);
}

static void scan_tools(Scan *s, Str command)
{
    size_t start = 0;

    for (size_t i = 0; i <= command.len; i++) {
        if (i < command.len && !strchr(";|&()`\n", command.data[i]))
            continue;
        if (i > start)
            scan_tool(s, (Str){command.data + start, i - start});
        start = i + 1;
    }
}

void evidence_from_url(Arena *arena, Str url, Str sensor_address, EvidencePlaces *ret)
{
    Scan s = {arena, sensor_address, ret};

    url = text_trim(url);
    const Scheme *scheme = scheme_at(url);
    if (scheme)
        take_url(&s, url, scheme);
}

void evidence_from_command(Arena *arena, Str command, Str sensor_address, EvidencePlaces *ret)
{
    Scan s = {arena, sensor_address, ret};

    scan_urls(&s, command);
    scan_devices(&s, command);
    scan_tools(&s, command);
}
