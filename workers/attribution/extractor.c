#include "extractor.h"

#include <math.h>
#include <string.h>

#include "base/limits.h"
#include "base/table.h"

/* --- words --- */

typedef enum WordClass {
    WORD_LANDING = 1 << 0,    /* looking around first */
    WORD_EXIT = 1 << 1,       /* saying good-bye */
    WORD_CLEANUP = 1 << 2,    /* wiping traces */
    WORD_HELP = 1 << 3,       /* asking for help */
    WORD_PRECAUTION = 1 << 4, /* minding the shell's own records */
} WordClass;

static const struct {
    unsigned class;
    const char *words;
} word_classes[] = {
    {WORD_LANDING, "uname id whoami pwd hostname w who"}, {WORD_EXIT, "exit logout quit logoff"},
    {WORD_CLEANUP, "history unset rm shred clear kill"},  {WORD_HELP, "man help info"},
    {WORD_PRECAUTION, "history unset export set script"},
};

/* In this order: a token counts for the first set that it is in. */
static const struct {
    const char *name, *words;
} intents[] = {
    {"destructive", "rm dd mkfs shred wipe kill pkill killall truncate fdisk"},
    {"persistence", "crontab systemctl useradd usermod passwd chsh at service chkconfig update-rc.d authorized_keys"},
    {"exfil", "curl wget scp rsync nc ncat socat tar base64 xxd python python3 openssl"},
    {"lateral", "ssh telnet rsh rlogin ftp sftp mosh kubectl docker psql mysql redis-cli"},
    {"recon", "ls pwd whoami id uname ps netstat ss cat find which env printenv hostname w who date uptime df du free "
              "lsof lsblk"},
};
enum { NO_INTENT = ARRAY_SIZE(intents) };

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static Str first_token(Str text)
{
    size_t n = 0;

    text = text_trim(text);
    while (n < text.len && !is_blank(text.data[n]))
        n++;
    return (Str){text.data, n};
}

static bool is_one_of(Str token, const char *words)
{
    while (*words) {
        size_t n = strcspn(words, " ");
        if (str_eq(token, (Str){words, n}))
            return true;
        words += n + (words[n] == ' ');
    }
    return false;
}

static unsigned classes_of(Str token)
{
    unsigned classes = 0;

    for (size_t i = 0; i < ARRAY_SIZE(word_classes); i++)
        if (is_one_of(token, word_classes[i].words))
            classes |= word_classes[i].class;
    return classes;
}

static unsigned intent_of(Str token)
{
    unsigned i = 0;

    while (i < NO_INTENT && !is_one_of(token, intents[i].words))
        i++;
    return i;
}

static uint32_t count_pipes(Str text)
{
    uint32_t n = 0;
    char quote = '\0';

    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        if (c == '\\' && quote != '\'')
            i++;
        else if (quote)
            quote = c == quote ? '\0' : quote;
        else if (c == '\'' || c == '"')
            quote = c;
        else
            n += c == '|';
    }
    return n;
}

/* --- facts: what is kept of a session --- */

typedef struct CommandFacts {
    int64_t ts_us;
    uint32_t token; /* number of the distinct token, in order of first sight */
    uint32_t pipes;
    uint8_t classes, intent;
    bool errored, seen_before;
} CommandFacts;

typedef struct Token {
    XXH128_hash_t digest; /* stands for the text, which may be long and is not kept */
    uint32_t number;
    unsigned classes, intent;
    UT_hash_handle hh;
} Token;

struct Extractor {
    Arena *arena;
    ExtractorSession session;
    Buf commands; /* CommandFacts, until extractor_finish() */
    Token *tokens;
    size_t n_ignored;
    /* from here on known in extractor_finish() only */
    const CommandFacts *c;
    size_t n, n_tokens;
    double *iats; /* seconds, ascending */
    size_t n_iats;
};

typedef struct Finding {
    const char *value;
    double confidence;
} Finding;

static Token *token_of(Extractor *x, Str text, bool *ret_seen_before)
{
    XXH128_hash_t digest = XXH3_128bits(text.data, text.len);
    Token *token = NULL;

    HASH_FIND(hh, x->tokens, &digest, sizeof(digest), token);
    *ret_seen_before = token != NULL;
    if (!token) {
        token = arena_calloc(x->arena, 1, sizeof(*token));
        token->digest = digest;
        token->number = HASH_COUNT(x->tokens);
        token->classes = classes_of(text);
        token->intent = intent_of(text);
        HASH_ADD(hh, x->tokens, digest, sizeof(digest), token);
    }
    return token;
}

Extractor *extractor_new(Arena *arena, const ExtractorSession *session)
{
    Extractor *x = calloc(1, sizeof(*x));

    if (!x)
        abort();
    x->arena = arena;
    x->session = *session;
    if (!isfinite(session->duration_s) || session->duration_s < 0)
        x->session.duration_s = 0;
    return x;
}

void extractor_free(Extractor *x)
{
    if (!x)
        return;
    HASH_CLEAR(hh, x->tokens); /* the tokens themselves are the arena's */
    buf_free(&x->commands);
    free(x);
}

void extractor_add(Extractor *x, const ExtractorCommand *command)
{
    Str text = {command->text.data, MIN(command->text.len, (size_t)LIMIT_COMMAND_BYTES)}, first = first_token(text);

    if (!first.len)
        return;
    if (x->commands.len == LIMIT_EXTRACT_COMMANDS * sizeof(CommandFacts)) {
        x->n_ignored++;
        return;
    }
    CommandFacts facts = {.ts_us = command->ts_us, .pipes = count_pipes(text), .errored = command->errored};
    const Token *token = token_of(x, first, &facts.seen_before);
    facts.token = token->number;
    facts.classes = (uint8_t)token->classes;
    facts.intent = (uint8_t)token->intent;
    buf_append(&x->commands, &facts, sizeof(facts));
}

bool extractor_can_place(int64_t ended_at_us)
{
    return ended_at_us >= 0 && epoch_s_from_us(ended_at_us) <= OBSERVATION_TS_MAX; /* TIME_NONE is less than 0 */
}

size_t extractor_ignored(const Extractor *x)
{
    return x->n_ignored;
}

/* --- arithmetic --- */

static int double_cmp(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* In doubles, so that no pair of times overflows; exact to the microsecond until the year 2255. */
static double seconds_between(int64_t from_us, int64_t to_us)
{
    return ((double)to_us - (double)from_us) / 1e6;
}

static double median(const double *sorted, size_t n)
{
    return n % 2 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

static double mean(const double *v, size_t n)
{
    double sum = 0.0;

    for (size_t i = 0; i < n; i++)
        sum += v[i];
    return sum / (double)n;
}

/* Standard deviation over mean, which must not be 0; @divisor is n, or n - 1 for a sample. */
static double variation(const double *v, size_t n, double divisor)
{
    double m = mean(v, n), sum = 0.0;

    for (size_t i = 0; i < n; i++)
        sum += (v[i] - m) * (v[i] - m);
    return sqrt(sum / divisor) / m;
}

/* How many of the last @last commands are of the class, and which distinct tokens (as how many). */
static size_t count_last(const Extractor *x, size_t last, unsigned class, size_t *ret_distinct)
{
    size_t n = 0, distinct = 0, start = x->n - MIN(x->n, last);

    for (size_t i = start; i < x->n; i++) {
        bool repeated = false;
        if (!(x->c[i].classes & class))
            continue;
        for (size_t j = start; j < i; j++)
            repeated = repeated || x->c[j].token == x->c[i].token;
        n++;
        distinct += !repeated;
    }
    *ret_distinct = distinct;
    return n;
}

static bool cleanup_near_end(const Extractor *x)
{
    size_t distinct;
    return count_last(x, 3, WORD_CLEANUP, &distinct) > 0;
}

/* What many of the formulas do: less confidence from few commands. */
static double sure_from(size_t n, size_t enough, double confidence, double otherwise)
{
    return n >= enough ? confidence : otherwise;
}

/* --- one function per primitive: false when the session does not support it --- */

static bool session_duration(const Extractor *x, Finding *f)
{
    double d = x->session.duration_s;

    if (d <= 0 && !x->n)
        return false;
    *f = (Finding){d < 60 ? "short" : d < 600 ? "medium" : d < 3600 ? "long" : "marathon", 0.85};
    return true;
}

static bool escalation_pattern(const Extractor *x, Finding *f)
{
    enum { WINDOWS_MAX = 10 };
    double counts[WINDOWS_MAX] = {0}, d = x->session.duration_s;
    size_t windows = d >= 100 ? WINDOWS_MAX : MAX((size_t)ceil(d / 10), (size_t)1), zero = 0;
    double width = MAX(10.0, d / WINDOWS_MAX);

    if (!x->n || d <= 0)
        return false;
    for (size_t i = 0; i < x->n; i++) {
        double offset = x->c[i].ts_us == TIME_NONE ? 0 : seconds_between(x->session.started_at_us, x->c[i].ts_us);
        double place = MIN(MAX(floor(offset / width), 0.0), (double)(windows - 1));
        counts[(size_t)place]++;
    }
    for (size_t i = 0; i < windows; i++)
        zero += counts[i] == 0;
    double cv = variation(counts, windows, (double)windows);
    f->value = (double)zero / (double)windows >= 0.30 && cv >= 1.0 ? "bursty" : cv < 0.5 ? "sustained" : "erratic";
    f->confidence = windows < 5 || x->n < 5 ? 0.40 : 0.60;
    return true;
}

static bool landing_ritual(const Extractor *x, Finding *f)
{
    size_t n = 0;

    if (!x->n)
        return false;
    for (size_t i = 0; i < MIN(x->n, (size_t)5); i++)
        n += (x->c[i].classes & WORD_LANDING) != 0;
    *f = (Finding){n >= 2 ? "present" : "absent", sure_from(x->n, 3, 0.65, 0.40)};
    return true;
}

static bool exit_behavior(const Extractor *x, Finding *f)
{
    if (!x->n)
        return false;
    bool says_exit = x->c[x->n - 1].classes & WORD_EXIT;
    if (!says_exit && cleanup_near_end(x))
        *f = (Finding){"cleanup", 0.65};
    else if (says_exit || str_eq_cstr(x->session.ended_reason, "closed"))
        *f = (Finding){"graceful", 0.65};
    else
        *f = (Finding){"abrupt", 0.45};
    return true;
}

static bool inter_command_latency_class(const Extractor *x, Finding *f)
{
    static const struct {
        double up_to_s;
        const char *value;
    } classes[] = {{0.30, "instant"},      {1.5, "typing_speed"},   {2, "deliberate"},
                   {8, "llm_lightweight"}, {30, "llm_heavyweight"}, {INFINITY, "long"}};
    size_t i = 0;

    if (!x->n_iats)
        return false;
    double m = median(x->iats, x->n_iats);
    while (m > classes[i].up_to_s)
        i++;
    *f = (Finding){classes[i].value, sure_from(x->n, 5, 0.80, 0.40)};
    return true;
}

static bool inter_command_consistency(const Extractor *x, Finding *f)
{
    if (x->n_iats < 2 || mean(x->iats, x->n_iats) <= 0)
        return false;
    double cv = variation(x->iats, x->n_iats, (double)(x->n_iats - 1));
    f->value = cv < 0.40 ? "metronomic" : cv >= 1.5 ? "bimodal" : "variable";
    f->confidence = sure_from(x->n, 5, 0.75, 0.40);
    return true;
}

static bool planning_depth(const Extractor *x, Finding *f)
{
    size_t pauses = 0, instant = 0;

    if (!x->n_iats)
        return false;
    for (size_t i = 0; i < x->n_iats; i++) {
        pauses += x->iats[i] > 1.5;
        instant += x->iats[i] <= 0.30;
    }
    double n = (double)x->n_iats;
    f->value = (double)pauses / n >= 0.40 ? "deep" : (double)instant / n >= 0.50 ? "reactive" : "shallow";
    f->confidence = sure_from(x->n, 5, 0.65, 0.40);
    return true;
}

static bool command_branch_diversity(const Extractor *x, Finding *f)
{
    if (!x->n)
        return false;
    if (x->n < 5)
        *f = (Finding){"unknown", 1.0};
    else
        *f = (Finding){(double)x->n_tokens / (double)x->n >= 0.70 ? "linear_playbook" : "adaptive_branching", 0.80};
    return true;
}

static bool exploration_style(const Extractor *x, Finding *f)
{
    size_t back = 0;

    if (!x->n)
        return false;
    for (size_t i = 1; i < x->n; i++)
        back += x->c[i].seen_before && x->c[i].token != x->c[i - 1].token;
    bool chaotic = x->n > 1 && (double)back / (double)(x->n - 1) >= 0.30;
    bool targeted = 1.0 - (double)x->n_tokens / (double)x->n >= 0.50;
    *f = (Finding){chaotic ? "chaotic" : targeted ? "targeted" : "methodical", sure_from(x->n, 5, 0.60, 0.40)};
    return true;
}

static bool tool_vocabulary(const Extractor *x, Finding *f)
{
    if (!x->n)
        return false;
    f->value = x->n_tokens <= 3 ? "narrow" : x->n_tokens >= 10 ? "broad" : "moderate";
    f->confidence = sure_from(x->n, 5, 0.70, 0.40);
    return true;
}

static bool retry_tactic(const Extractor *x, Finding *f)
{
    size_t rerun = 0, changed = 0, none = 0;

    for (size_t i = 0; i < x->n; i++) {
        if (!x->c[i].errored)
            continue;
        if (i + 1 == x->n)
            none++;
        else if (x->c[i + 1].token == x->c[i].token)
            rerun++;
        else
            changed++;
    }
    if (!(rerun + changed + none))
        return false;
    f->value = rerun >= changed && rerun >= none ? "rerun" : changed >= none ? "switch" : "abort";
    f->confidence = sure_from(rerun + changed + none, 5, 0.65, 0.40);
    return true;
}

static bool fallback_to_man(const Extractor *x, Finding *f)
{
    size_t errors = 0, helped = 0;

    for (size_t i = 0; i < x->n; i++) {
        errors += x->c[i].errored;
        helped += x->c[i].errored && i + 1 < x->n && (x->c[i + 1].classes & WORD_HELP);
    }
    if (!errors)
        return false;
    *f = (Finding){helped ? "present" : "absent", sure_from(errors, 5, 0.65, 0.40)};
    return true;
}

/* Whether the output is read cannot be told from commands alone. */
static bool feedback_loop_engagement(const Extractor *x, Finding *f)
{
    *f = (Finding){"unknown", 1.0};
    return x->n > 0;
}

static bool pipe_chaining_depth(const Extractor *x, Finding *f)
{
    if (x->n < 5)
        return false;
    double *pipes = arena_calloc(x->arena, x->n, sizeof(*pipes));
    for (size_t i = 0; i < x->n; i++)
        pipes[i] = x->c[i].pipes;
    qsort(pipes, x->n, sizeof(*pipes), double_cmp);
    double m = median(pipes, x->n);
    *f = (Finding){m >= 3 ? "deep" : m >= 2 ? "moderate" : "shallow", 0.40};
    return true;
}

static bool objective(const Extractor *x, Finding *f)
{
    size_t counts[NO_INTENT] = {0}, first[NO_INTENT] = {0}, total = 0;
    unsigned best = 0;

    for (size_t i = 0; i < x->n; i++) {
        unsigned intent = x->c[i].intent;
        if (intent == NO_INTENT)
            continue;
        if (!counts[intent]++)
            first[intent] = total;
        total++;
    }
    if (total < 3)
        return false;
    for (unsigned i = 1; i < NO_INTENT; i++)
        if (counts[i] > counts[best] || (counts[i] && counts[i] == counts[best] && first[i] < first[best]))
            best = i;
    *f = (Finding){intents[best].name, sure_from(total, 6, 0.60, 0.40)};
    return true;
}

static bool opsec_discipline(const Extractor *x, Finding *f)
{
    bool careful = false;

    if (!x->n)
        return false;
    for (size_t i = 0; i < x->n; i++)
        careful = careful || (x->c[i].classes & WORD_PRECAUTION);
    f->value = !careful ? "careless" : cleanup_near_end(x) ? "careful" : "learning";
    f->confidence = sure_from(x->n, 5, 0.45, 0.30);
    return true;
}

static bool cleanup_behavior(const Extractor *x, Finding *f)
{
    size_t distinct;

    if (!x->n)
        return false;
    (void)count_last(x, 5, WORD_CLEANUP, &distinct);
    f->value = distinct >= 3 ? "thorough" : distinct ? "partial" : "none";
    f->confidence = sure_from(x->n, 8, 0.55, 0.35);
    return true;
}

static const struct {
    const char *primitive;
    bool (*find)(const Extractor *x, Finding *ret);
} formulas[] = {
    {"temporal.session_duration", session_duration},
    {"temporal.escalation_pattern", escalation_pattern},
    {"temporal.lifecycle_markers.landing_ritual", landing_ritual},
    {"temporal.lifecycle_markers.exit_behavior", exit_behavior},
    {"cognitive.inter_command_latency_class", inter_command_latency_class},
    {"cognitive.inter_command_consistency", inter_command_consistency},
    {"cognitive.planning_depth", planning_depth},
    {"cognitive.command_branch_diversity", command_branch_diversity},
    {"cognitive.exploration_style", exploration_style},
    {"cognitive.tool_vocabulary", tool_vocabulary},
    {"cognitive.error_resilience.retry_tactic", retry_tactic},
    {"cognitive.error_resilience.fallback_to_man", fallback_to_man},
    {"cognitive.feedback_loop_engagement", feedback_loop_engagement},
    {"motor.shell_mastery.pipe_chaining_depth", pipe_chaining_depth},
    {"operational.objective", objective},
    {"operational.opsec_discipline", opsec_discipline},
    {"operational.cleanup_behavior", cleanup_behavior},
};
static_assert(ARRAY_SIZE(formulas) == EXTRACTOR_PRIMITIVES, "EXTRACTOR_PRIMITIVES counts the formulas");

bool extractor_computes(const char *primitive)
{
    for (size_t i = 0; i < ARRAY_SIZE(formulas); i++)
        if (strcmp(formulas[i].primitive, primitive) == 0)
            return true;
    return false;
}

/* --- observations --- */

/* As it will be stored, since ids are made of it. */
static Str short_name(Arena *arena, Str name)
{
    return text_clip(text_sanitize(arena, name), LIMIT_NAME_BYTES);
}

static Str make_evidence_ref(Arena *arena, const ExtractorSession *s)
{
    char time_text[TIME_TEXT_BYTES], sid[UUID_TEXT_BYTES];
    const int date_chars = 10;
    Str decky = short_name(arena, s->decky), service = short_name(arena, s->service);

    time_format(time_text, s->started_at_us);
    uuid_format(sid, &s->sid);
    return str_from(arena_printf(arena, "cowrie:" STR_FMT "/" STR_FMT "/%.*s#%s", STR_ARG(decky), STR_ARG(service),
                                 date_chars, time_text, sid));
}

static void collect_iats(Extractor *x)
{
    x->iats = arena_calloc(x->arena, x->n, sizeof(*x->iats));
    for (size_t i = 1; i < x->n; i++) {
        if (x->c[i - 1].ts_us == TIME_NONE || x->c[i].ts_us == TIME_NONE)
            continue;
        double iat = seconds_between(x->c[i - 1].ts_us, x->c[i].ts_us);
        x->iats[x->n_iats++] = MAX(iat, 0.0);
    }
    if (x->n_iats)
        qsort(x->iats, x->n_iats, sizeof(*x->iats), double_cmp);
}

static Observation observation_of(const Extractor *x, const char *primitive, const Finding *f, Str evidence_ref)
{
    const ExtractorSession *s = &x->session;
    Observation o = {
        .attacker_uuid = s->attacker_uuid,
        .primitive = str_from(primitive),
        .value_kind = VALUE_KIND_CATEGORICAL,
        .has_envelope = true,
        .id = observation_row_id(evidence_ref, str_from(primitive)),
        .evidence_ref = evidence_ref,
        .value = str_from(arena_printf(x->arena, "\"%s\"", f->value)),
        .ts = epoch_s_from_us(s->ended_at_us),
        .window_start_ts = epoch_s_from_us(s->started_at_us),
        .window_end_ts = epoch_s_from_us(s->ended_at_us),
        .confidence = f->confidence,
        .source = STR(EXTRACTOR_SOURCE),
    };

    memcpy(o.attacker_ip, s->attacker_ip, sizeof(o.attacker_ip));
    return o;
}

size_t extractor_finish(Extractor *x, Observation ret[EXTRACTOR_PRIMITIVES])
{
    size_t n = 0;

    x->c = (const CommandFacts *)(const void *)x->commands.data;
    x->n = x->commands.len / sizeof(CommandFacts);
    x->n_tokens = HASH_COUNT(x->tokens);
    if (x->session.started_at_us == TIME_NONE || !extractor_can_place(x->session.ended_at_us))
        return 0;
    collect_iats(x);
    Str evidence_ref = make_evidence_ref(x->arena, &x->session);
    for (size_t i = 0; i < ARRAY_SIZE(formulas); i++) {
        Finding f;
        if (formulas[i].find(x, &f))
            ret[n++] = observation_of(x, formulas[i].primitive, &f, evidence_ref);
    }
    return n;
}
