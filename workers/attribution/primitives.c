#include "primitives.h"

#include <string.h>

#include "extractor.h"

#define SESSION(name, values)                                                                                          \
    {                                                                                                                  \
        name, PRIMITIVE_CATEGORICAL, PRIMITIVE_OF_SESSION, values                                                      \
    }
#define SESSIONS(name, values)                                                                                         \
    {                                                                                                                  \
        name, PRIMITIVE_CATEGORICAL, PRIMITIVE_OF_SESSIONS, values                                                     \
    }
#define NETWORK(name, type)                                                                                            \
    {                                                                                                                  \
        name, type, PRIMITIVE_OF_NETWORK, NULL                                                                         \
    }

const Primitive primitives[] = {
    SESSION("cognitive.cognitive_load", "low medium high"),
    SESSION("cognitive.command_branch_diversity", "linear_playbook adaptive_branching unknown"),
    SESSION("cognitive.error_resilience.fallback_to_man", "present absent"),
    SESSION("cognitive.error_resilience.frustration_typing", "low moderate high"),
    SESSION("cognitive.error_resilience.retry_tactic", "rerun switch abort modify"), /* modify: reserved */
    SESSION("cognitive.exploration_style", "methodical chaotic targeted"),
    SESSION("cognitive.feedback_loop_engagement", "closed_loop fire_and_forget unknown"),
    SESSION("cognitive.inter_command_consistency", "metronomic variable bimodal"),
    SESSION("cognitive.inter_command_latency_class",
            "instant typing_speed deliberate llm_lightweight llm_heavyweight long"),
    SESSION("cognitive.planning_depth", "deep shallow reactive"),
    SESSION("cognitive.tool_vocabulary", "narrow moderate broad"),
    SESSIONS("cultural.dst_behavior", NULL),
    SESSIONS("cultural.holiday_gaps", NULL),
    SESSIONS("cultural.meal_break_gaps", NULL),
    SESSIONS("cultural.periodic_micro_pauses", NULL),
    SESSIONS("cultural.weekend_cadence", NULL),
    SESSION("emotional_valence.arousal", "low_calm medium_engaged high_agitated"),
    SESSION("emotional_valence.frustration_venting", "none detected"),
    SESSION("emotional_valence.stress_response", "none eustress_positive distress_negative"),
    SESSION("emotional_valence.valence", "positive neutral negative"),
    SESSION("environmental.keyboard_layout", "qwerty azerty qwertz other"),
    {"environmental.locale", PRIMITIVE_FREE_STRING, PRIMITIVE_OF_SESSION, NULL}, /* a BCP 47 tag */
    SESSION("environmental.numpad_usage", "detected not_detected"),
    SESSION("environmental.shell_type", "bash zsh fish powershell cmd.exe"),
    SESSION("environmental.terminal_multiplexer", "none tmux screen"),
    SESSION("motor.command_chunking", "fluent fragmented single_command"),
    {"motor.digraph_simhash", PRIMITIVE_HASH, PRIMITIVE_OF_SESSION, NULL}, /* 16 hex digits */
    SESSION("motor.error_correction", "immediate deferred absent route_around"),
    SESSION("motor.input_modality", "typed pasted mixed"),
    SESSION("motor.keystroke_cadence", "steady bursty hunt_and_peck machine"),
    SESSION("motor.motor_stability", "steady variable tremor"),
    SESSION("motor.paste_burst_rate", "none occasional habitual"),
    SESSION("motor.shell_mastery.pipe_chaining_depth", "shallow moderate deep"),
    SESSION("motor.shell_mastery.shortcut_usage", "none moderate heavy"),
    SESSION("motor.shell_mastery.tab_completion", "none occasional habitual"),
    SESSION("operational.cleanup_behavior", "thorough partial none"),
    SESSION("operational.multi_actor_indicators", "solo handoff_detected team_coordinated"),
    SESSION("operational.objective", "recon exfil persistence lateral destructive"),
    SESSION("operational.opsec_discipline", "careful careless learning"),
    SESSION("temporal.escalation_pattern", "sustained erratic bursty"),
    SESSION("temporal.lifecycle_markers.exit_behavior", "graceful abrupt cleanup"),
    SESSIONS("temporal.lifecycle_markers.idle_periodicity", NULL),
    SESSION("temporal.lifecycle_markers.landing_ritual", "present absent"),
    SESSIONS("temporal.persistence", "hit_and_run return_visitor resident"),
    SESSION("temporal.session_duration", "short medium long marathon"),
    SESSIONS("temporal.session_timing", "diurnal nocturnal irregular"),
    NETWORK("toolchain.c2.beacon_interval_ms", PRIMITIVE_NUMERIC),
    NETWORK("toolchain.payload.payload_simhash", PRIMITIVE_HASH),
    NETWORK("toolchain.ssh.hassh_client", PRIMITIVE_HASH),
    NETWORK("toolchain.ssh.kex_algorithm_order", PRIMITIVE_ARRAY),
    NETWORK("toolchain.tls.jarm_server", PRIMITIVE_HASH),
};
const size_t n_primitives = ARRAY_SIZE(primitives);

static const struct {
    const char *name;
    ValueKind kind;
} types[] = {
    [PRIMITIVE_CATEGORICAL] = {"categorical", VALUE_KIND_CATEGORICAL},
    [PRIMITIVE_FREE_STRING] = {"free_string", VALUE_KIND_CATEGORICAL},
    [PRIMITIVE_ARRAY] = {"array", VALUE_KIND_CATEGORICAL},
    [PRIMITIVE_NUMERIC] = {"numeric", VALUE_KIND_NUMERIC},
    [PRIMITIVE_HASH] = {"hash", VALUE_KIND_HASH},
};

static const char *const scope_names[] = {
    [PRIMITIVE_OF_SESSION] = "session", [PRIMITIVE_OF_SESSIONS] = "sessions", [PRIMITIVE_OF_NETWORK] = "network"};

static int find_cmp(const void *key, const void *row)
{
    return str_cmp(*(const Str *)key, str_from(((const Primitive *)row)->name));
}

const Primitive *primitive_find(Str name)
{
    return bsearch(&name, primitives, n_primitives, sizeof(primitives[0]), find_cmp);
}

ValueKind primitive_value_kind(Str name, ValueKind said)
{
    if (said != VALUE_KIND_NONE)
        return said;
    const Primitive *p = primitive_find(name);
    return p ? types[p->type].kind : VALUE_KIND_CATEGORICAL;
}

bool primitive_has_state(Str name, Str stateless)
{
    while (stateless.len) {
        const char *comma = memchr(stateless.data, ',', stateless.len);
        size_t n = comma ? (size_t)(comma - stateless.data) : stateless.len;
        if (str_eq(text_trim((Str){stateless.data, n}), name))
            return false;
        stateless = (Str){stateless.data + n + (comma != NULL), stateless.len - n - (comma != NULL)};
    }
    return true;
}

/* --- the list for readers --- */

static bool has_default_state(const Primitive *p)
{
    return primitive_has_state(str_from(p->name), STR(PRIMITIVES_STATELESS));
}

void primitives_list_markdown(Buf *out)
{
    buf_add(out, "| Primitive | Values | Merger | Seen in | Extracted | State |\n|---|---|---|---|---|---|\n");
    for (size_t i = 0; i < n_primitives; i++) {
        const Primitive *p = &primitives[i];
        buf_printf(out, "| `%s` | %s | %s | %s | %s | %s |\n", p->name, p->values ? p->values : types[p->type].name,
                   value_kind_name(types[p->type].kind), scope_names[p->scope],
                   extractor_computes(p->name) ? "yes" : "no", has_default_state(p) ? "yes" : "no");
    }
}
