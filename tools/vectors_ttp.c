/* Known answers of the tagging core:
 *
 *   tag ids      one JSON object: {"namespace": uuid, "vectors": [{source_kind, source_id, rule_id, rule_version,
 *                technique_id, sub_technique_id, uuid}]}
 *   reference    lines {"command", "rules": [[rule, technique, sub, tactic, confidence]]}: each listed rule must fire
 *   probes       lines {"rule", "command", "expect"}: must and should fire, must_not do not; control: no rule at all */
#include "vectors.h"

#include <math.h>

#include "base/limits.h"

/* --- tag ids --- */

static bool is_tag_ids(json_object *first)
{
    return json_get_array(first, "vectors") && json_get_str(first, "namespace").data;
}

static void check_tag_id(VectorRun *run, json_object *v)
{
    int64_t version = 0, number = 0;
    Uuid want;
    char got[UUID_TEXT_BYTES];

    json_get_int(v, "n", &number);
    if (!json_get_int(v, "rule_version", &version) || !uuid_parse_text(json_get_str(v, "uuid"), &want)) {
        vector_check(run, false, "vector %lld has no integer rule_version, or no uuid", (long long)number);
        return;
    }
    Uuid id = ttp_tag_id(json_get_str(v, "source_kind"), json_get_str(v, "source_id"), json_get_str(v, "rule_id"),
                         version, json_get_str(v, "technique_id"), json_get_str(v, "sub_technique_id"));
    uuid_format(got, &id);
    vector_check(run, uuid_cmp(&id, &want) == 0, "vector %lld: tag id is %s, not " STR_FMT, (long long)number, got,
                 STR_ARG(json_get_str(v, "uuid")));
}

static void run_tag_ids(VectorRun *run, json_object *root)
{
    json_object *vectors = json_get_array(root, "vectors");
    Uuid ns;

    vector_check(run, uuid_parse_text(json_get_str(root, "namespace"), &ns) && uuid_cmp(&ns, &UUID_NS_TTP_TAG) == 0,
                 "the namespace of tag ids differs from ours");
    for (size_t i = 0; i < json_object_array_length(vectors); i++)
        check_tag_id(run, json_object_array_get_idx(vectors, i));
}

/* --- rules on commands --- */

static TtpTags tags_of(VectorRun *run, Str command)
{
    Str cut = text_clip(command, LIMIT_COMMAND_BYTES);
    TtpCommand c = {
        .source_id = STR("vector"), .text = cut, .truncated = cut.len < command.len, .observed_at_us = TIME_NONE};
    TtpTags tags = {0};

    ttp_tags_for_command(run->engine, run->arena, &c, &tags);
    return tags;
}

static bool is_reference(json_object *first)
{
    return json_get_str(first, "command").data && json_get_array(first, "rules");
}

static bool tag_is(const TtpTag *tag, Str technique, Str sub, Str tactic, double confidence)
{
    return str_eq_cstr(technique, tag->technique) && str_eq_cstr(sub, tag->sub ? tag->sub : "") &&
           str_eq_cstr(tactic, tag->tactic) && fabs(tag->confidence - confidence) < 1e-9;
}

/* One [rule, technique, sub, tactic, confidence]. */
static void check_listed(VectorRun *run, const TtpTags *tags, Str command, json_object *row)
{
    Str rule = json_str(json_object_array_get_idx(row, 0)), technique = json_str(json_object_array_get_idx(row, 1)),
        sub = json_str(json_object_array_get_idx(row, 2)), tactic = json_str(json_object_array_get_idx(row, 3));
    double confidence = json_object_get_double(json_object_array_get_idx(row, 4));
    bool fired = false, same = false;

    for (size_t i = 0; i < tags->n; i++) {
        if (!str_eq_cstr(rule, tags->items[i].rule->id))
            continue;
        fired = true;
        same = same || tag_is(&tags->items[i], technique, sub, tactic, confidence);
    }
    vector_check(run, same, STR_FMT " %s on %s", STR_ARG(rule),
                 fired ? "fires with another technique, tactic or confidence" : "does not fire",
                 vector_shown(run, command));
}

static void run_reference_line(VectorRun *run, json_object *line)
{
    Str command = json_get_str(line, "command");
    json_object *rules = json_get_array(line, "rules");

    if (!command.data || !rules) {
        vector_check(run, false, "the line lacks \"command\" or \"rules\"");
        return;
    }
    TtpTags tags = tags_of(run, command);
    for (size_t i = 0; i < json_object_array_length(rules); i++) {
        json_object *row = json_object_array_get_idx(rules, i);
        if (json_object_is_type(row, json_type_array) && json_object_array_length(row) == 5)
            check_listed(run, &tags, command, row);
        else
            vector_check(run, false, "entry %zu of \"rules\" is not [rule, technique, sub, tactic, confidence]", i + 1);
    }
}

static bool is_probe(json_object *first)
{
    return json_get_str(first, "command").data && json_get_str(first, "expect").data;
}

static bool rule_fired(const TtpTags *tags, Str rule)
{
    for (size_t i = 0; i < tags->n; i++)
        if (str_eq_cstr(rule, tags->items[i].rule->id))
            return true;
    return false;
}

static void run_probe_line(VectorRun *run, json_object *line)
{
    Str command = json_get_str(line, "command"), expect = json_get_str(line, "expect"),
        rule = json_get_str(line, "rule");
    bool wanted = str_eq(expect, STR("must")) || str_eq(expect, STR("should"));
    bool control = str_eq(expect, STR("control"));

    if (!command.data || (!control && !rule.data) || (!wanted && !control && !str_eq(expect, STR("must_not")))) {
        vector_check(run, false,
                     "the line lacks \"command\" or \"rule\", or \"expect\" is none of must, should, must_not, "
                     "control");
        return;
    }
    TtpTags tags = tags_of(run, command);
    if (control)
        vector_check(run, tags.n == 0, "%s fires on the control %s", tags.n ? tags.items[0].rule->id : "",
                     vector_shown(run, command));
    else
        vector_check(run, rule_fired(&tags, rule) == wanted, STR_FMT " %s on %s", STR_ARG(rule),
                     wanted ? "does not fire" : "fires", vector_shown(run, command));
}

/* --- shapes --- */

const VectorShape vector_tag_ids = {.what = "tag ids", .is = is_tag_ids, .whole = run_tag_ids};
const VectorShape vector_reference = {
    .what = "reference rules per command", .is = is_reference, .needs_engine = true, .line = run_reference_line};
const VectorShape vector_probes = {.what = "probes", .is = is_probe, .needs_engine = true, .line = run_probe_line};
