/* The topics of the event contract (7.2), their names, and the two pure functions over names and keys. */
#include "bus.h"

#include <stdio.h>
#include <string.h>

#define MINUTES(n) ((n)*INT64_C(60000))
#define HOURS(n) MINUTES((n)*INT64_C(60))
#define DAYS(n) HOURS((n)*INT64_C(24))

#define D BUS_CLEANUP_DELETE
#define C BUS_CLEANUP_COMPACT
#define CD BUS_CLEANUP_COMPACT_DELETE
#define COMPACT_SOON "min.cleanable.dirty.ratio=0.1,segment.ms=3600000"

const BusTopic bus_topics[BUS_TOPIC_N] = {
    [BUS_ATTACKER_OBSERVED] = {"attacker.observed", "attacker_ip", 12, D, DAYS(3), true, NULL},
    [BUS_ATTACKER_SCORED] = {"attacker.scored", "attacker_ip", 12, D, DAYS(1), true, NULL},
    [BUS_ATTACKER_SESSION_ENDED] = {"attacker.session.ended", "attacker_ip", 12, D, DAYS(30), false, NULL},
    [BUS_ATTACKER_FINGERPRINTED] = {"attacker.fingerprinted", "attacker_ip", 12, D, DAYS(7), true, NULL},
    [BUS_ATTACKER_FINGERPRINT_ROTATED] = {"attacker.fingerprint_rotated", "attacker_ip", 6, D, DAYS(30), true, NULL},
    [BUS_ATTACKER_OBSERVATION] = {"attacker.observation", "attacker_uuid", 12, D, DAYS(14), true, NULL},
    [BUS_ATTACKER_INTEL_ENRICHED] = {"attacker.intel.enriched", "attacker_uuid", 12, D, DAYS(7), true, NULL},
    [BUS_CREDENTIAL_CAPTURED] = {"credential.captured", "attacker_ip", 6, D, DAYS(7), true, NULL},
    [BUS_CREDENTIAL_REUSE_DETECTED] = {"credential.reuse.detected", "finding id", 6, D, DAYS(30), true, NULL},
    [BUS_EMAIL_RECEIVED] = {"email.received", "attacker_ip", 6, D, DAYS(30), false, NULL},
    [BUS_CANARY_TRIGGERED] = {"canary.triggered", "token_id", 6, D, DAYS(90), false, NULL},
    [BUS_CANARY_PLACED] = {"canary.placed", "token_id", 3, D, DAYS(30), true, NULL},
    [BUS_CANARY_REVOKED] = {"canary.revoked", "token_id", 3, D, DAYS(30), true, NULL},
    [BUS_IDENTITY_FORMED] = {"identity.formed", "identity_uuid", 6, D, DAYS(30), true, NULL},
    [BUS_IDENTITY_OBSERVATION_LINKED] = {"identity.observation.linked", "identity_uuid", 6, D, DAYS(30), true, NULL},
    [BUS_IDENTITY_MERGED] = {"identity.merged", "identity_uuid of the survivor", 6, D, DAYS(30), true, NULL},
    [BUS_IDENTITY_UNMERGED] = {"identity.unmerged", "identity_uuid", 6, D, DAYS(30), true, NULL},
    [BUS_IDENTITY_CAMPAIGN_ASSIGNED] = {"identity.campaign.assigned", "identity_uuid", 6, D, DAYS(30), true, NULL},
    [BUS_CAMPAIGN_FORMED] = {"campaign.formed", "campaign_uuid", 3, D, DAYS(30), true, NULL},
    [BUS_CAMPAIGN_IDENTITY_ASSIGNED] = {"campaign.identity.assigned", "campaign_uuid", 3, D, DAYS(30), true, NULL},
    [BUS_CAMPAIGN_MERGED] = {"campaign.merged", "campaign_uuid of the survivor", 3, D, DAYS(30), true, NULL},
    [BUS_CAMPAIGN_UNMERGED] = {"campaign.unmerged", "campaign_uuid", 3, D, DAYS(30), true, NULL},
    [BUS_ATTRIBUTION_STATE_CHANGED] = {"attribution.profile.state_changed", "identity_uuid", 6, D, DAYS(30), true,
                                       NULL},
    [BUS_ATTRIBUTION_MULTI_ACTOR_SUSPECTED] = {"attribution.profile.multi_actor_suspected", "identity_uuid", 3, D,
                                               DAYS(30), true, NULL},
    [BUS_TTP_TAGGED] = {"ttp.tagged", "attacker_uuid or identity_uuid", 12, D, DAYS(30), true, NULL},
    [BUS_TTP_RULE_FIRED] = {"ttp.rule.fired", "technique_id", 6, D, DAYS(30), true, NULL},
    [BUS_TTP_RULE_SUPPRESSED] = {"ttp.rule.suppressed", "rule_id", 3, D, DAYS(3), true, NULL},
    [BUS_TTP_RULE_RELOADED] = {"ttp.rule.reloaded", "rule_id", 1, C, -1, false, COMPACT_SOON},
    [BUS_TTP_RULE_STATE] = {"ttp.rule.state", "rule_id", 1, C, -1, false, COMPACT_SOON},
    [BUS_SYSTEM_HEALTH] = {"system.health", "worker/instance", 1, CD, HOURS(1), true, "segment.ms=600000"},
    [BUS_SYSTEM_CONTROL] = {"system.control", "worker", 1, D, MINUTES(10), true, NULL},
    [BUS_SYSTEM_LOG] = {"system.log", "decky", 6, D, DAYS(1), true, NULL},
    [BUS_DLQ_TTP] = {"dlq.ttp", "key of the original", 3, D, DAYS(90), false, NULL},
    [BUS_DLQ_ATTRIBUTION] = {"dlq.attribution", "key of the original", 3, D, DAYS(90), false, NULL},
    [BUS_DLQ_ENRICH] = {"dlq.enrich", "key of the original", 3, D, DAYS(90), false, NULL},
    [BUS_DLQ_CLUSTERER] = {"dlq.clusterer", "key of the original", 3, D, DAYS(90), false, NULL},
    [BUS_DLQ_CAMPAIGN] = {"dlq.campaign", "key of the original", 3, D, DAYS(90), false, NULL},
};

const BusTopic *bus_topic_find(Str name)
{
    for (size_t i = 0; i < ARRAY_SIZE(bus_topics) && name.len; i++) /* asked for every event: one look rules most out */
        if (bus_topics[i].name[0] == name.data[0] && str_eq_cstr(name, bus_topics[i].name))
            return &bus_topics[i];
    return NULL;
}

char *bus_topic_full_name(const char *prefix, const char *name)
{
    char *full = NULL;
    if (asprintf(&full, "%s%s", prefix ? prefix : "", name) < 0)
        abort();
    return full;
}

const BusTopic *bus_topic_dlq(const char *group)
{
    cleanup(freep) char *name = bus_topic_full_name("dlq.", group);
    return bus_topic_find(str_from(name));
}

/* Take the first token off @rest; @*ret_last tells that none follows. */
static Str next_token(Str *rest, bool *ret_last)
{
    const char *dot = rest->len ? memchr(rest->data, '.', rest->len) : NULL;
    Str token = {rest->data, dot ? (size_t)(dot - rest->data) : rest->len};

    *ret_last = !dot;
    if (dot)
        *rest = (Str){dot + 1, rest->len - token.len - 1};
    return token;
}

bool bus_topic_match(Str pattern, Str topic)
{
    bool pattern_last = false, topic_last = false;

    while (true) {
        Str want = next_token(&pattern, &pattern_last), have = next_token(&topic, &topic_last);
        if (str_eq_cstr(want, ">"))
            return true; /* a token stands here, and '>' takes it and the rest */
        if (str_eq_cstr(want, "*") ? have.len == 0 : !str_eq(want, have))
            return false;
        if (pattern_last || topic_last)
            return pattern_last && topic_last;
    }
}

/* MurmurHash2 with the seed of Kafka's Java client (org.apache.kafka.common.utils.Utils). */
static uint32_t murmur2(Str key)
{
    const uint32_t m = 0x5bd1e995;
    const uint8_t *p = (const uint8_t *)key.data;
    size_t n = key.len;
    uint32_t h = 0x9747b28cu ^ (uint32_t)n;

    for (; n >= 4; p += 4, n -= 4) {
        uint32_t k = (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
        k *= m;
        k ^= k >> 24;
        h = h * m ^ k * m;
    }
    for (size_t i = n; i > 0; i--)
        h ^= (uint32_t)p[i - 1] << (8 * (i - 1));
    if (n)
        h *= m;
    h ^= h >> 13;
    h *= m;
    return h ^ h >> 15;
}

int32_t bus_murmur2_partition(Str key, int32_t n)
{
    if (!key.data || n < 1)
        return -1;
    return (int32_t)(murmur2(key) & 0x7fffffff) % n;
}

bool bus_cluster_is_embedded(const char *cluster_id)
{
    return cluster_id && strncmp(cluster_id, "mockCluster", 11) == 0; /* librdkafka names its mock clusters so */
}
