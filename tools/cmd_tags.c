/* decnetctl tags: which techniques a session or an attacker showed, when, by which rule and by what. */
#include <stdio.h>

#include "catalog_names.h"
#include "decnetctl.h"
#include "repo/listings.h"

enum { LIMIT_DEFAULT = 200, LIMIT_MAX = 1000000, EXAMPLE_CHARS = 120 };

static const CtlHelp help = {
    .synopsis = "[OPTION]... SESSION|ADDRESS|UUID",
    .about =
        "Show the technique tags of one session or one attacker, oldest first, with the rule that saw them and the\n"
        "command that showed them. SESSION is our id or the honeypot's own; UUID that of an attacker. Passwords in\n"
        "commands are masked.\n",
    .examples = "  decnetctl tags 198.51.100.23\n"
                "  decnetctl tags --json f3c0a1b2 | jq -r '.tags[].technique_id' | sort | uniq -c\n",
};

typedef struct Listing {
    TagScope scope;
    ListedTag *tags;
    size_t n;
    int64_t total;
} Listing;

static void put_tag(JsonWriter *w, const Names *names, const ListedTag *t)
{
    cleanup(buf_free) Buf example = {0};

    if (t->example.data)
        ctl_show_command(&example, t->example, EXAMPLE_CHARS);
    json_begin_object(w);
    json_put_time(w, "observed_at", t->observed_at_us);
    json_put_str(w, "technique_id", t->technique_id);
    json_put_str(w, "sub_technique_id", t->sub_technique_id);
    json_put_cstr(w, "name", names_technique(names, t->technique_id, t->sub_technique_id));
    json_put_str(w, "tactic", t->tactic);
    json_put_cstr(w, "tactic_name", names_tactic(names, t->tactic));
    json_put_double(w, "confidence", t->confidence);
    json_put_str(w, "rule_id", t->rule_id);
    json_put_int(w, "rule_version", t->rule_version);
    json_put_str(w, "source_kind", t->source_kind);
    json_put_str(w, "session_id", t->session_id);
    json_put_str(w, "example", t->example.data ? buf_str(&example) : (Str){0});
    json_put_str(w, "uuid", t->uuid);
    json_end_object(w);
}

static int print_json(const Ctl *ctl, const Names *names, const Listing *l)
{
    cleanup(buf_free) Buf json = {0};
    JsonWriter w = {.buf = &json};

    json_begin_object(&w);
    json_put_str(&w, l->scope.kind == SCOPE_ATTACKER ? "attacker" : "session", l->scope.name);
    json_put_int(&w, "total", l->total);
    json_key(&w, "tags");
    json_begin_array(&w);
    for (size_t i = 0; i < l->n; i++)
        put_tag(&w, names, &l->tags[i]);
    json_end_array(&w);
    json_end_object(&w);
    return ctl_print_json(ctl, &json);
}

static void print_tag(const Names *names, const ListedTag *t)
{
    cleanup(buf_free) Buf example = {0};
    const char *name = names_technique(names, t->technique_id, t->sub_technique_id);
    const char *tactic = names_tactic(names, t->tactic);
    char at[TIME_TEXT_BYTES] = "-";

    if (t->observed_at_us != TIME_NONE)
        time_format(at, t->observed_at_us);
    printf("%.19s  %s%-9.*s%s  %s  " STR_FMT "  (%s, confidence %.2f)\n", at, ctl_bold(),
           STR_ARG(t->sub_technique_id.data ? t->sub_technique_id : t->technique_id), ctl_plain(), name ? name : "",
           STR_ARG(t->rule_id), tactic ? tactic : "tactic unknown", t->confidence);
    if (!t->example.data)
        return;
    ctl_show_command(&example, t->example, EXAMPLE_CHARS);
    printf("    %s$ %s%s\n", ctl_dim(), buf_str(&example).data, ctl_plain());
}

static int64_t parse_limit(const char *text, int64_t standard)
{
    int64_t v = standard;
    return !text || (text_to_int64(str_from(text), &v) && v > 0 && v <= LIMIT_MAX) ? v : -1;
}

static int read_listing(Ctl *ctl, int64_t limit, Listing *l)
{
    int r = tag_scope_find(ctl->repo, ctl->arena, str_from(ctl->args[0]), &l->scope);
    if (r == 0 && l->scope.kind == SCOPE_NOBODY)
        return ctl_fail(ctl, EXIT_FAILED, "no attacker and no session is known as '%s'", ctl->args[0]);
    r = r ? r : tag_list(ctl->repo, ctl->arena, &l->scope, limit, &l->tags, &l->n, &l->total);
    return r ? ctl_fail_repo(ctl, r) : 0;
}

int cmd_tags(int argc, char **argv)
{
    cleanup(ctl_end) Ctl ctl = {0};
    const char *limit_text = NULL;
    const CliOption options[] = {
        {"json", &ctl.json, NULL, "print one JSON object"},
        {"limit", NULL, &limit_text, "N\tshow the N newest (200)"},
    };
    cleanup(names_free) Names names = {0};
    Listing l = {0};

    if (!ctl_begin(&ctl, argc, argv, &help, options, ARRAY_SIZE(options)))
        return ctl.code;
    int64_t limit = parse_limit(limit_text, LIMIT_DEFAULT);
    if (limit < 0)
        return ctl_usage(&ctl, "--limit wants a number from 1 to %d, not '%s'", LIMIT_MAX, limit_text);
    if (ctl.n_args != 1)
        return ctl_usage(&ctl, "one session, address or uuid is wanted");
    int code = ctl_connect_current(&ctl);
    code = code ? code : read_listing(&ctl, limit, &l);
    if (code != 0)
        return code;
    names_load(&names, &ctl);
    if (ctl.json)
        return print_json(&ctl, &names, &l);
    printf("%s " STR_FMT ": %lld tag%s\n", l.scope.kind == SCOPE_ATTACKER ? "attacker" : "session",
           STR_ARG(l.scope.name), (long long)l.total, l.total == 1 ? "" : "s");
    for (size_t i = 0; i < l.n; i++)
        print_tag(&names, &l.tags[i]);
    if (l.total > (int64_t)l.n)
        printf("%lld older ones: --limit=%lld\n", (long long)(l.total - (int64_t)l.n), (long long)l.total);
    return 0;
}
