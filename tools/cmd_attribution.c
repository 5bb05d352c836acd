/* decnetctl attribution: what is known of the behaviour of identities, where it changed, who may be several hands. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "attribution/primitives.h"
#include "base/limits.h"
#include "decnetctl.h"
#include "repo/profile_listings.h"
#include "series_plot.h"

enum { LIMIT_DEFAULT = 20, TOP_DEFAULT = 5, LIMIT_MAX = 10000, VALUE_CHARS = 32 };

static const CtlHelp help = {
    .synopsis = "[OPTION]... show IDENTITY | show --changed-since=TIME | show --multi-actor | top | rebuild [IDENTITY]",
    .about =
        "How attackers behave, and whether that changed.\n\n"
        "  show     the states of one identity with their newest observations, oldest first: the same letter is the\n"
        "           same value. IDENTITY is its uuid, or the uuid or the address of an attacker; one that was merged\n"
        "           stands for the identity it is part of now\n"
        "  show --changed-since=TIME\n"
        "           identities with a state that changed at TIME or later, newest first. States change at the times of\n"
        "           the sessions that changed them, not when those were read\n"
        "  show --multi-actor\n"
        "           identities that were announced as the work of several hands\n"
        "  top      identities whose states say most, without those that are stable or unknown (reads all)\n"
        "  rebuild  have the worker judge one identity, or all, from the observations anew: after a change of the key\n"
        "           stateless_primitives. What is right already stays as it is\n\n"
        "TIME is 2026-05-01 or 2026-05-01T12:00:00Z.\n",
    .examples = "  decnetctl attribution show 198.51.100.23\n"
                "  decnetctl attribution show --changed-since=2026-05-01 --limit=100 --json\n"
                "  decnetctl attribution show --multi-actor\n"
                "  decnetctl attribution rebuild\n",
};

typedef struct Given {
    const char *changed_since, *limit_text;
    bool multi_actor;
    int64_t limit;
} Given;

static Given given;

/* --- what is shown: profiles, and the newest observations of each of their series --- */

typedef struct Shown {
    ListedProfile *profiles;
    size_t n;
    int64_t total;
    SeriesHistory **histories; /* of each profile's states; NULL: not read */
} Shown;

static int read_histories(Ctl *ctl, Shown *s)
{
    static const SeriesDepth depth = {.rows = SERIES_PLOT_ROWS};

    s->histories = arena_calloc(ctl->arena, s->n + 1, sizeof(*s->histories));
    for (size_t i = 0; i < s->n; i++) {
        const ListedProfile *p = &s->profiles[i];
        SeriesKey *keys = arena_calloc(ctl->arena, p->n_states + 1, sizeof(*keys));
        bool *is_hash = arena_calloc(ctl->arena, p->n_states + 1, sizeof(*is_hash));
        s->histories[i] = arena_calloc(ctl->arena, p->n_states + 1, sizeof(**s->histories));
        for (size_t k = 0; k < p->n_states; k++)
            keys[k] = (SeriesKey){p->identity, p->states[k].primitive};
        int r = series_read(ctl->repo, ctl->arena, keys, is_hash, p->n_states, &depth, s->histories[i]);
        if (r != 0)
            return r;
    }
    return 0;
}

/* Which merger judged it: what the newest observation says, else the registry. */
static ValueKind kind_of(Str primitive, const SeriesHistory *h)
{
    ValueKind said = VALUE_KIND_NONE;

    if (h->n_rows && h->rows[0].value_kind.data && !value_kind_parse(h->rows[0].value_kind, &said))
        said = VALUE_KIND_NONE;
    return primitive_value_kind(primitive, said);
}

/* --- JSON --- */

static void put_history(JsonWriter *w, Str primitive, const SeriesHistory *h)
{
    json_put_cstr(w, "value_kind", value_kind_name(kind_of(primitive, h)));
    json_key(w, "history");
    json_begin_array(w);
    for (size_t i = h->n_rows; i-- > 0;) {
        json_begin_object(w);
        json_put_double(w, "ts", h->rows[i].ts);
        json_key(w, "value");
        json_value_raw(w, h->rows[i].value);
        json_put_str(w, "evidence_ref", h->rows[i].evidence_ref);
        json_end_object(w);
    }
    json_end_array(w);
}

static void put_state(JsonWriter *w, const ListedState *s, const SeriesHistory *h)
{
    json_begin_object(w);
    json_put_str(w, "primitive", s->primitive);
    json_key(w, "current_value");
    json_value_raw(w, s->state.current_value);
    json_put_str(w, "state", s->state.state);
    json_put_double(w, "confidence", s->state.confidence);
    json_put_int(w, "observation_count", s->state.observation_count);
    json_put_double(w, "last_change_ts", s->state.last_change_ts);
    json_put_double(w, "last_observation_ts", s->state.last_observation_ts);
    if (h)
        put_history(w, s->primitive, h);
    json_end_object(w);
}

static void put_uuid(JsonWriter *w, const char *key, const Uuid *uuid)
{
    char text[UUID_TEXT_BYTES];
    uuid_format(text, uuid);
    json_put_cstr(w, key, text);
}

/* The members of one profile, in an object that is open. */
static void put_profile(JsonWriter *w, const ListedProfile *p, const SeriesHistory *histories)
{
    put_uuid(w, "identity_uuid", &p->identity);
    json_put_int(w, "attackers", p->n_attackers);
    json_key(w, "addresses");
    json_begin_array(w);
    for (size_t i = 0; i < p->n_addresses; i++)
        json_value_str(w, p->addresses[i]);
    json_end_array(w);
    if (p->announced.data) {
        json_put_time(w, "announced_at", p->announced_us);
        json_key(w, "announced");
        json_value_raw(w, p->announced);
    }
    json_key(w, "primitives");
    json_begin_array(w);
    for (size_t i = 0; i < p->n_states; i++)
        put_state(w, &p->states[i], histories ? &histories[i] : NULL);
    json_end_array(w);
}

static void put_profiles(JsonWriter *w, const Shown *s)
{
    json_begin_array(w);
    for (size_t i = 0; i < s->n; i++) {
        json_begin_object(w);
        put_profile(w, &s->profiles[i], s->histories ? s->histories[i] : NULL);
        json_end_object(w);
    }
    json_end_array(w);
}

/* --- text --- */

static void print_heading(const ListedProfile *p)
{
    char identity[UUID_TEXT_BYTES];

    uuid_format(identity, &p->identity);
    printf("%sIdentity %s%s  ", ctl_bold(), identity, ctl_plain());
    for (size_t i = 0; i < p->n_addresses; i++)
        printf("%s" STR_FMT, i ? ", " : "", STR_ARG(p->addresses[i]));
    if (p->n_attackers > (int64_t)p->n_addresses)
        printf(" and %lld more", (long long)(p->n_attackers - (int64_t)p->n_addresses));
    puts(p->n_attackers ? "" : "no attacker belongs to it");
}

/* A state that an overview can do without. */
static bool is_quiet(const ListedState *s)
{
    return str_eq(s->state.state, STR("stable")) || str_eq(s->state.state, STR("unknown"));
}

static void print_states(const ListedProfile *p, const SeriesHistory *histories, bool utf8, bool overview)
{
    CtlTable t = {.heads = {"primitive", "state", ">conf.", ">count", "changed", "value", "newest", "legend"}};

    for (size_t i = 0; i < p->n_states; i++) {
        const ListedState *s = &p->states[i];
        cleanup(buf_free) Buf value = {0}, line = {0}, legend = {0};
        if (overview && is_quiet(s))
            continue;
        ctl_cell_str(&t, s->primitive);
        ctl_cell_str(&t, s->state.state);
        ctl_cell(&t, "%.2f", s->state.confidence);
        ctl_cell(&t, "%lld", (long long)s->state.observation_count);
        ctl_cell_time(&t, epoch_us_from_s(s->state.last_change_ts));
        series_plot_value(&value, s->state.current_value, VALUE_CHARS);
        ctl_cell(&t, "%s", value.len ? value.data : "");
        series_plot(&histories[i], kind_of(s->primitive, &histories[i]), utf8, &line, &legend);
        ctl_cell(&t, "%s", line.len ? line.data : "");
        ctl_cell(&t, "%s", legend.len ? legend.data : "");
    }
    ctl_print_table(&t, overview ? "all of it stable, or not seen often enough yet" : "no primitive has a state yet");
}

static void print_quiet(const ListedProfile *p)
{
    size_t n_stable = 0, n_quiet = 0;

    for (size_t i = 0; i < p->n_states; i++) {
        n_stable += str_eq(p->states[i].state.state, STR("stable"));
        n_quiet += is_quiet(&p->states[i]);
    }
    if (n_quiet)
        printf("%sbesides %zu stable, %zu unknown%s\n", ctl_dim(), n_stable, n_quiet - n_stable, ctl_plain());
}

static void print_announced(const ListedProfile *p)
{
    cleanup(json_putp) json_object *names = json_parse(p->announced);
    cleanup(buf_free) Buf shown = {0};
    char at[TIME_TEXT_BYTES];

    time_format(at, p->announced_us);
    for (size_t i = 0; i < json_object_array_length(names); i++) {
        buf_add(&shown, i ? ", " : "");
        ctl_show_bytes(&shown, json_str(json_object_array_get_idx(names, i)), LIMIT_PRIMITIVE_BYTES);
    }
    printf("%.10s %.8s announced as the work of several hands: %s\n", at, at + 11, shown.len ? shown.data : "");
}

static void print_profiles(const Shown *s, bool overview)
{
    bool utf8 = series_plot_utf8();

    for (size_t i = 0; i < s->n; i++) {
        const ListedProfile *p = &s->profiles[i];
        if (i)
            putchar('\n');
        print_heading(p);
        if (p->announced.data)
            print_announced(p);
        print_states(p, s->histories[i], utf8, overview);
        if (overview)
            print_quiet(p);
    }
}

/* --- show --- */

static int not_found(const Ctl *ctl, const char *word, const FoundProfile *found)
{
    cleanup(buf_free) Buf shown = {0};

    ctl_show_bytes(&shown, str_from(word), 64);
    if (found->kind == PROFILE_WITHOUT_IDENTITY)
        return ctl_fail(ctl, EXIT_FAILED,
                        "attacker " STR_FMT " has no identity yet: none of its sessions has been observed; see "
                        "decnetctl observe",
                        STR_ARG(found->address));
    return ctl_fail(ctl, EXIT_FAILED, "'%s' is no identity, and no uuid or address of an attacker that is known",
                    shown.data ? shown.data : "");
}

/* What the word @word means, or an exit status. */
static int look_up(Ctl *ctl, const char *word, FoundProfile *ret)
{
    char ip[IP_TEXT_BYTES];
    Uuid uuid;

    if (!uuid_parse_text(str_from(word), &uuid) && !ip_canonical(str_from(word), ip))
        return ctl_usage(ctl, "'%s' is neither a uuid nor an address", word);
    int code = ctl_connect_current(ctl);
    int r = code ? 0 : profile_find(ctl->repo, ctl->arena, str_from(word), ret);
    return code ? code : r ? ctl_fail_repo(ctl, r) : 0;
}

/* The identity that it means, or an exit status. */
static int find(Ctl *ctl, const char *word, FoundProfile *ret)
{
    int code = look_up(ctl, word, ret);

    return code != 0 || ret->kind == PROFILE_FOUND ? code : not_found(ctl, word, ret);
}

/* An attacker that is known, but not by its behaviour: for a program an answer like others. */
static int print_without_identity(const Ctl *ctl, const FoundProfile *found)
{
    cleanup(buf_free) Buf json = {0};
    JsonWriter w = {.buf = &json};

    json_begin_object(&w);
    json_put_cstr(&w, "merged_from", NULL);
    json_put_cstr(&w, "identity_uuid", NULL);
    json_put_int(&w, "attackers", 1);
    json_key(&w, "addresses");
    json_begin_array(&w);
    json_value_str(&w, found->address);
    json_end_array(&w);
    json_key(&w, "primitives");
    json_begin_array(&w);
    json_end_array(&w);
    json_end_object(&w);
    return ctl_print_json(ctl, &json);
}

static int print_one(const Ctl *ctl, const FoundProfile *found, const Shown *s)
{
    cleanup(buf_free) Buf json = {0};
    JsonWriter w = {.buf = &json};
    bool is_merged = uuid_cmp(&found->asked, &found->identity) != 0;
    char asked[UUID_TEXT_BYTES];

    uuid_format(asked, &found->asked);
    if (ctl->json) {
        json_begin_object(&w);
        json_put_cstr(&w, "merged_from", is_merged ? asked : NULL);
        put_profile(&w, &s->profiles[0], s->histories[0]);
        json_end_object(&w);
        return ctl_print_json(ctl, &json);
    }
    if (is_merged)
        printf("%s was merged into the identity shown.\n", asked);
    print_profiles(s, false);
    return 0;
}

static int show_one(Ctl *ctl)
{
    FoundProfile found = {0};
    ListedProfile profile = {.announced_us = TIME_NONE};
    Shown s = {.profiles = &profile, .n = 1};

    int code = look_up(ctl, ctl->args[1], &found);
    if (code != 0)
        return code;
    if (found.kind == PROFILE_WITHOUT_IDENTITY && ctl->json)
        return print_without_identity(ctl, &found);
    if (found.kind != PROFILE_FOUND)
        return not_found(ctl, ctl->args[1], &found);
    profile.identity = found.identity;
    int r = profiles_read(ctl->repo, ctl->arena, &profile, 1, -INFINITY);
    r = r ? r : read_histories(ctl, &s);
    return r ? ctl_fail_repo(ctl, r) : print_one(ctl, &found, &s);
}

static int print_list(const Ctl *ctl, const Shown *s, const char *empty)
{
    cleanup(buf_free) Buf json = {0};
    JsonWriter w = {.buf = &json};

    if (ctl->json) {
        put_profiles(&w, s);
        return ctl_print_json(ctl, &json);
    }
    print_profiles(s, false);
    if (s->n == 0)
        puts(empty);
    if (s->total > (int64_t)s->n)
        printf("\n%lld more: --limit=%lld\n", (long long)(s->total - (int64_t)s->n),
               (long long)MIN(s->total, (int64_t)LIMIT_MAX));
    return 0;
}

static int show_list(Ctl *ctl)
{
    Shown s = {0};
    int64_t since_us = 0;

    if (given.changed_since && !ctl_time(given.changed_since, &since_us))
        return ctl_usage(ctl, "--changed-since wants a time like 2026-05-01 or 2026-05-01T12:00:00Z, not '%s'",
                         given.changed_since);
    int code = ctl_connect_current(ctl);
    if (code != 0)
        return code;
    double since = given.changed_since ? epoch_s_from_us(since_us) : -INFINITY;
    int r = given.changed_since
                ? profiles_changed(ctl->repo, ctl->arena, since, given.limit, &s.profiles, &s.n, &s.total)
                : profiles_suspected(ctl->repo, ctl->arena, given.limit, &s.profiles, &s.n, &s.total);
    r = r ? r : profiles_read(ctl->repo, ctl->arena, s.profiles, s.n, since);
    r = r ? r : read_histories(ctl, &s);
    if (r != 0)
        return ctl_fail_repo(ctl, r);
    return print_list(ctl, &s,
                      given.changed_since ? "No state changed since then."
                                          : "No identity was announced as the work of several hands.");
}

static bool read_limit(int64_t fallback)
{
    given.limit = fallback;
    return !given.limit_text ||
           (text_to_int64(str_from(given.limit_text), &given.limit) && given.limit >= 1 && given.limit <= LIMIT_MAX);
}

static int bad_limit(const Ctl *ctl)
{
    return ctl_usage(ctl, "--limit wants a number from 1 to %d, not '%s'", LIMIT_MAX, given.limit_text);
}

static int show(Ctl *ctl)
{
    int n_wishes = (ctl->n_args > 1) + (given.changed_since != NULL) + given.multi_actor;

    if (ctl->n_args > 2)
        return ctl_usage(ctl, "unexpected argument '%s'", ctl->args[2]);
    if (n_wishes != 1)
        return ctl_usage(ctl, "show wants one of IDENTITY, --changed-since=TIME and --multi-actor");
    if (!read_limit(LIMIT_DEFAULT))
        return bad_limit(ctl);
    return ctl->n_args == 2 ? show_one(ctl) : show_list(ctl);
}

/* --- top --- */

typedef struct Top {
    Shown shown;
    StateCount *counts;
    size_t n_counts;
} Top;

static int print_top_json(const Ctl *ctl, const Top *top)
{
    cleanup(buf_free) Buf json = {0};
    JsonWriter w = {.buf = &json};

    json_begin_object(&w);
    json_put_int(&w, "identities", top->shown.total);
    json_key(&w, "states");
    json_begin_object(&w);
    for (size_t i = 0; i < top->n_counts; i++) {
        json_key(&w, arena_printf(ctl->arena, STR_FMT, STR_ARG(top->counts[i].state)));
        json_value_int(&w, top->counts[i].n);
    }
    json_end_object(&w);
    json_key(&w, "profiles");
    put_profiles(&w, &top->shown);
    json_end_object(&w);
    return ctl_print_json(ctl, &json);
}

static int print_top(const Ctl *ctl, const Top *top)
{
    if (ctl->json)
        return print_top_json(ctl, top);
    printf("%lld identit%s with states:", (long long)top->shown.total, top->shown.total == 1 ? "y" : "ies");
    for (size_t i = 0; i < top->n_counts; i++)
        printf("%s %lld " STR_FMT, i ? "," : "", (long long)top->counts[i].n, STR_ARG(top->counts[i].state));
    puts(top->n_counts ? "\n" : " none");
    print_profiles(&top->shown, true);
    return 0;
}

static int top(Ctl *ctl)
{
    Top top = {0};
    Shown *s = &top.shown;

    if (ctl->n_args > 1)
        return ctl_usage(ctl, "unexpected argument '%s'", ctl->args[1]);
    if (given.changed_since || given.multi_actor)
        return ctl_usage(ctl, "--changed-since and --multi-actor belong to show");
    if (!read_limit(TOP_DEFAULT))
        return bad_limit(ctl);
    int code = ctl_connect_current(ctl);
    if (code != 0)
        return code;
    int r = profiles_telling(ctl->repo, ctl->arena, given.limit, &s->profiles, &s->n, &s->total);
    r = r ? r : profile_state_counts(ctl->repo, ctl->arena, &top.counts, &top.n_counts);
    r = r ? r : profiles_read(ctl->repo, ctl->arena, s->profiles, s->n, -INFINITY);
    r = r ? r : read_histories(ctl, s);
    return r ? ctl_fail_repo(ctl, r) : print_top(ctl, &top);
}

/* --- rebuild --- */

static const char next_step[] =
    "the attribution worker judges them anew within seconds, or when it is started; it\n"
    "announces only states that change. Progress: the metric decnet_attribution_series_read_total";

static int rebuild_all(Ctl *ctl)
{
    int64_t n;

    int code = ctl_connect_current(ctl);
    int r = code ? 0 : profiles_mark_all(ctl->repo, &n);
    if (code != 0 || r != 0)
        return code ? code : ctl_fail_repo(ctl, r);
    printf("%lld identit%s marked: %s\n", (long long)n, n == 1 ? "y" : "ies", next_step);
    return 0;
}

static int rebuild(Ctl *ctl)
{
    FoundProfile found = {0};
    char identity[UUID_TEXT_BYTES];

    if (ctl->n_args > 2)
        return ctl_usage(ctl, "unexpected argument '%s'", ctl->args[2]);
    if (given.changed_since || given.multi_actor)
        return ctl_usage(ctl, "--changed-since and --multi-actor belong to show");
    if (ctl->n_args == 1)
        return rebuild_all(ctl);
    int code = find(ctl, ctl->args[1], &found);
    if (code != 0)
        return code;
    int r = series_mark_identities(ctl->repo, &found.identity, 1);
    if (r != 0)
        return ctl_fail_repo(ctl, r);
    uuid_format(identity, &found.identity);
    printf("identity %s marked: %s\n", identity, next_step);
    return 0;
}

int cmd_attribution(int argc, char **argv)
{
    static const CtlAction actions[] = {{"show", show}, {"top", top}, {"rebuild", rebuild}};
    cleanup(ctl_end) Ctl ctl = {0};
    const CliOption options[] = {
        {"changed-since", NULL, &given.changed_since, "TIME\tshow: identities with a state that changed since TIME"},
        {"multi-actor", &given.multi_actor, NULL, "show: identities that may be several hands"},
        {"limit", NULL, &given.limit_text, "N\tshow N identities (20; top: 5)"},
        {"json", &ctl.json, NULL, "show, top: print JSON"},
    };

    given = (Given){0};
    if (!ctl_begin(&ctl, argc, argv, &help, options, ARRAY_SIZE(options)))
        return ctl.code;
    return ctl_act(&ctl, actions, ARRAY_SIZE(actions));
}
