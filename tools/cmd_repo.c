/* decnetctl repo: every method of the repository, by lines of JSON for programs and by words for people. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "catalog_names.h"
#include "decnetctl.h"
#include "repo/listing.h"
#include "repo/method.h"
#include "repo/ready.h"
#include "repo/session.h"
#include "repo/words.h"

static const CtlHelp help = {
    .synopsis = "[METHOD [KEY=VALUE]...]\n       decnetctl repo --list [--json] [PATTERN]",
    .about =
        "Call the methods of the repository: everything that DECNET stores can be read and written with them.\n"
        "\n"
        "With METHOD, call it once and print the result. A VALUE is JSON, or for text just the text; KEY=@FILE takes\n"
        "the content of a file.\n"
        "Without arguments, answer requests: one JSON object a line on standard input, one or, of methods that iterate,\n"
        "several lines on standard output:\n"
        "  {\"id\": 1, \"method\": \"get_attackers\", \"params\": {\"limit\": 10}}\n"
        "  {\"id\":1,\"result\":[...]}      or {\"id\":1,\"error\":{\"class\":\"E_INVALID\",\"message\":...}}\n"
        "                             or {\"id\":1,\"item\":...} for each item, then {\"id\":1,\"end\":true}\n"
        "An error ends one request, never the session.\n",
    .examples = "  decnetctl repo --list 'get_*'\n"
                "  decnetctl repo get_attackers limit=3 sort_by=active\n"
                "  decnetctl repo upsert_attacker data=@attacker.json\n"
                "  echo '{\"id\":1,\"method\":\"get_max_log_id\"}' | decnetctl repo\n",
};

/* The catalogue is read when the first name is asked for: most methods need none. */
typedef struct LateNames {
    const Ctl *ctl;
    Names names;
    bool loaded;
} LateNames;

static bool name_technique(void *arg, const char *id, TechniqueName *ret)
{
    LateNames *late = arg;

    if (!late->loaded)
        names_load(&late->names, late->ctl);
    late->loaded = true;
    const AttackTechnique *t = late->names.catalog ? attack_catalog_technique(late->names.catalog, id) : NULL;
    if (t)
        *ret = (TechniqueName){.name = t->name, .url = t->url};
    return t;
}

/* --- one call by hand --- */

static int fail_call(const Ctl *ctl, int outcome)
{
    const RepoError *e = repo_error(ctl->repo);
    const char *hint = method_hint(ctl->repo, outcome);
    int code = outcome == REPO_E_OPERATOR ? EXIT_OPERATOR : outcome == REPO_E_INVALID ? EXIT_USAGE : EXIT_FAILED;

    return ctl_fail(ctl, code, "%s: %s%s%s%s%s%s%s%s%s", repo_error_class(ctl->repo, outcome), e->message,
                    *e->sqlstate ? " (SQLSTATE " : "", e->sqlstate, *e->sqlstate ? ")" : "",
                    *e->detail_json ? " {" : "", e->detail_json, *e->detail_json ? "}" : "", *hint ? "; " : "", hint);
}

/* Negative when writing failed, so that no outcome of the repository looks like it. */
static int print_value(void *arg, Str json)
{
    (void)arg;
    return ctl_print_pretty(json) == 0 ? 0 : -errno;
}

static int call_and_print(const Ctl *ctl, const Method *method, json_object *params)
{
    cleanup(buf_free) Buf result = {0};

    if (method_iterates(method))
        return repo_call_each(ctl->repo, method_name(method), params, print_value, NULL);
    int r = repo_call(ctl->repo, method_name(method), params, &result);
    return r ? r : print_value(NULL, buf_str(&result));
}

static int unknown_method(const Ctl *ctl, const char *name)
{
    size_t n = method_count();
    const char **names = arena_calloc(ctl->arena, n, sizeof(*names));

    for (size_t i = 0; i < n; i++)
        names[i] = method_name(method_at(i));
    const char *near = text_nearest(str_from(name), names, n, 4);
    return ctl_usage(ctl, "there is no method '%s'%s%s%s", name,
                     near ? "; did you mean '" : "; decnetctl repo --list shows them", near ? near : "",
                     near ? "'?" : "");
}

static int call_by_hand(Ctl *ctl)
{
    const Method *method = method_find(ctl->args[0]);
    cleanup(json_putp) json_object *params = NULL;
    bool checked = false;

    if (!method)
        return unknown_method(ctl, ctl->args[0]);
    int code = words_to_params(ctl, method, &params);
    code = code ? code : ctl_connect(ctl);
    if (code != 0)
        return code;
    int r = method_ready(ctl->repo, method_name(method), &checked);
    if (r != 0)
        return ctl_fail_repo(ctl, r);
    r = call_and_print(ctl, method, params);
    if (r < 0 && ferror(stdout))
        return ctl_fail(ctl, EXIT_FAILED, "cannot write to standard output: %s", strerror(-r));
    return r ? fail_call(ctl, r) : 0;
}

int cmd_repo(int argc, char **argv)
{
    cleanup(ctl_end) Ctl ctl = {0};
    bool list = false;
    const CliOption options[] = {
        {"list", &list, NULL, "show the methods, all or those of PATTERN: part of a name, a shell pattern, or a group"},
        {"json", &ctl.json, NULL, "with --list: print an array of objects"},
    };

    if (!ctl_begin(&ctl, argc, argv, &help, options, ARRAY_SIZE(options)))
        return ctl.code;
    if (list && ctl.n_args > 1)
        return ctl_usage(&ctl, "one pattern at most is wanted");
    if (list)
        return listing_print(&ctl, ctl.n_args ? ctl.args[0] : NULL);
    if (ctl.json)
        return ctl_usage(&ctl, "--json goes with --list; results are JSON anyway");
    LateNames late = {.ctl = &ctl};
    repo_set_technique_namer(name_technique, &late);
    int code = ctl.n_args ? call_by_hand(&ctl) : ctl_connect(&ctl);
    if (code == 0 && ctl.n_args == 0)
        code = repo_session(&ctl);
    repo_set_technique_namer(NULL, NULL);
    names_free(&late.names);
    return code;
}
