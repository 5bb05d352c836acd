/* decnetctl summary: what the database knows, for a person or (--json) for a program. */
#include <stdio.h>
#include <string.h>

#include "catalog_names.h"
#include "decnetctl.h"
#include "repo/summary.h"

enum { TOP_DEFAULT = 10, TOP_MAX = 10000, EXAMPLE_CHARS = 100 };

static const CtlHelp help = {
    .synopsis = "[OPTION]...",
    .about = "Show what the database knows: counts, techniques by tactic with an example command each, and the\n"
             "attackers with the most tags. Passwords in commands are masked.\n",
    .examples = "  decnetctl summary\n"
                "  decnetctl summary --json --top=100 | jq .techniques\n",
};

typedef struct Summary {
    SummaryCounts counts;
    SummaryTechnique *techniques;
    size_t n_techniques;
    SummaryAttacker *busiest;
    size_t n_busiest;
} Summary;

static int read_summary(Ctl *ctl, int64_t top, Summary *s)
{
    int r = repo_begin(ctl->repo);
    r = r ? r : summary_counts(ctl->repo, &s->counts);
    r = r ? r : summary_techniques(ctl->repo, ctl->arena, &s->techniques, &s->n_techniques);
    r = r ? r : summary_busiest(ctl->repo, ctl->arena, top, &s->busiest, &s->n_busiest);
    repo_rollback(ctl->repo);
    return r ? ctl_fail_repo(ctl, r) : 0;
}

/* --- JSON --- */

static void put_example(JsonWriter *w, Str example)
{
    cleanup(buf_free) Buf shown = {0};
    if (example.data)
        ctl_show_command(&shown, example, EXAMPLE_CHARS);
    json_put_str(w, "example", example.data ? buf_str(&shown) : (Str){0});
}

static void put_technique(JsonWriter *w, const Names *names, const SummaryTechnique *t)
{
    json_begin_object(w);
    json_put_str(w, "technique_id", t->technique_id);
    json_put_str(w, "sub_technique_id", t->sub_technique_id);
    json_put_str(w, "tactic", t->tactic);
    json_put_cstr(w, "tactic_name", names_tactic(names, t->tactic));
    json_put_cstr(w, "name", names_technique(names, t->technique_id, t->sub_technique_id));
    json_put_int(w, "tags", t->tags);
    json_put_int(w, "attackers", t->attackers);
    put_example(w, t->example);
    json_put_str(w, "example_id", t->example_id);
    json_end_object(w);
}

static void put_attacker(JsonWriter *w, const SummaryAttacker *a)
{
    json_begin_object(w);
    json_put_str(w, "attacker", a->ip);
    json_put_int(w, "sessions", a->sessions);
    json_put_int(w, "commands", a->commands);
    json_put_int(w, "tags", a->tags);
    json_put_int(w, "techniques", a->techniques);
    json_put_time(w, "first_seen", a->first_seen_us);
    json_put_time(w, "last_seen", a->last_seen_us);
    json_end_object(w);
}

static int print_json(const Ctl *ctl, const Names *names, const Summary *s)
{
    cleanup(buf_free) Buf json = {0};
    JsonWriter w = {.buf = &json};

    json_begin_object(&w);
    json_put_int(&w, "lines", s->counts.lines);
    json_put_int(&w, "attackers", s->counts.attackers);
    json_put_int(&w, "sessions", s->counts.sessions);
    json_put_int(&w, "announced", s->counts.announced);
    json_put_int(&w, "commands", s->counts.commands);
    json_put_int(&w, "tags", s->counts.tags);
    json_key(&w, "techniques");
    json_begin_array(&w);
    for (size_t i = 0; i < s->n_techniques; i++)
        put_technique(&w, names, &s->techniques[i]);
    json_end_array(&w);
    json_key(&w, "busiest");
    json_begin_array(&w);
    for (size_t i = 0; i < s->n_busiest; i++)
        put_attacker(&w, &s->busiest[i]);
    json_end_array(&w);
    json_end_object(&w);
    return ctl_print_json(ctl, &json);
}

/* --- text --- */

static void print_count(const char *before, int64_t n, const char *one, const char *many)
{
    printf("%s%lld %s", before, (long long)n, n == 1 ? one : many);
}

static void print_counts(const SummaryCounts *c)
{
    print_count("", c->lines, "log line", "log lines");
    print_count(", ", c->attackers, "attacker", "attackers");
    print_count(", ", c->sessions, "session", "sessions");
    printf(" (%lld announced)", (long long)c->announced);
    print_count(", ", c->commands, "command", "commands");
    print_count(", ", c->tags, "tag", "tags");
    putchar('\n');
}

static void print_technique(const Names *names, const SummaryTechnique *t)
{
    cleanup(buf_free) Buf example = {0};
    const char *name = names_technique(names, t->technique_id, t->sub_technique_id);

    printf("  %-9.*s %7lld tag%s %6lld attacker%s  %s\n",
           STR_ARG(t->sub_technique_id.data ? t->sub_technique_id : t->technique_id), (long long)t->tags,
           t->tags == 1 ? " " : "s", (long long)t->attackers, t->attackers == 1 ? " " : "s", name ? name : "");
    if (!t->example.data)
        return;
    ctl_show_command(&example, t->example, EXAMPLE_CHARS);
    printf("      %s$ %s%s\n", ctl_dim(), buf_str(&example).data, ctl_plain());
}

static void print_techniques(const Names *names, const Summary *s)
{
    for (size_t i = 0; i < s->n_techniques; i++) {
        const SummaryTechnique *t = &s->techniques[i];
        if (i == 0 || !str_eq(t->tactic, s->techniques[i - 1].tactic)) {
            const char *name = names_tactic(names, t->tactic);
            printf("\n%s%s%s" STR_FMT "%s\n", ctl_bold(), name ? name : "", name ? "  " : "", STR_ARG(t->tactic),
                   ctl_plain());
        }
        print_technique(names, t);
    }
}

static void print_busiest(const Summary *s)
{
    CtlTable t = {.heads = {"attacker", ">tags", ">techniques", ">sessions", ">commands", "first seen", "last seen"}};

    for (size_t i = 0; i < s->n_busiest; i++) {
        const SummaryAttacker *a = &s->busiest[i];
        ctl_cell_str(&t, a->ip);
        ctl_cell(&t, "%lld", (long long)a->tags);
        ctl_cell(&t, "%lld", (long long)a->techniques);
        ctl_cell(&t, "%lld", (long long)a->sessions);
        ctl_cell(&t, "%lld", (long long)a->commands);
        ctl_cell_time(&t, a->first_seen_us);
        ctl_cell_time(&t, a->last_seen_us);
    }
    printf("\n%sBusiest attackers%s\n", ctl_bold(), ctl_plain());
    ctl_print_table(&t, "none yet");
}

int cmd_summary(int argc, char **argv)
{
    cleanup(ctl_end) Ctl ctl = {0};
    const char *top_text = NULL;
    int64_t top = TOP_DEFAULT;
    const CliOption options[] = {
        {"json", &ctl.json, NULL, "print one JSON object"},
        {"top", NULL, &top_text, "N\tshow N attackers (10)"},
    };
    cleanup(names_free) Names names = {0};
    Summary s = {0};

    if (!ctl_begin(&ctl, argc, argv, &help, options, ARRAY_SIZE(options)))
        return ctl.code;
    if (ctl.n_args > 0)
        return ctl_usage(&ctl, "unexpected argument '%s'", ctl.args[0]);
    if (top_text && (!text_to_int64(str_from(top_text), &top) || top < 0 || top > TOP_MAX))
        return ctl_usage(&ctl, "--top wants a number from 0 to %d, not '%s'", TOP_MAX, top_text);
    int code = ctl_connect_current(&ctl);
    code = code ? code : read_summary(&ctl, top, &s);
    if (code != 0)
        return code;
    names_load(&names, &ctl);
    if (ctl.json)
        return print_json(&ctl, &names, &s);
    print_counts(&s.counts);
    print_techniques(&names, &s);
    print_busiest(&s);
    return 0;
}
