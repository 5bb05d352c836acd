"""Intelligence and sessions in every order: intel tags exist once if the stored row was visible to the processing of any
session or the live event was delivered, else not at all. Each attacker plays another story. Prints TAP."""
import itertools
import json
import uuid

from lab import TTP_TOPICS, Lab, event_ids, expect, expect_equal, run_cases
from logs import Log

CACHED = "2026-05-10T09:30:00.250000Z"
FACTS = {"aggregate_verdict": "malicious", "abuseipdb_score": 92, "abuseipdb_categories": [18, 22],
         "greynoise_classification": "malicious", "greynoise_name": "unknown", "greynoise_tags": [],
         "feodo_listed": False, "feodo_malware_family": None, "threatfox_listed": True,
         "threatfox_threat_types": ["botnet_cc"], "threatfox_ioc_types": ["ip:port"],
         "threatfox_malware_families": ["win.example"]}
NS_TAG = uuid.uuid5(uuid.NAMESPACE_URL, "decnet:ttp_tag:v1")
NS_ATTACKER = uuid.uuid5(uuid.NAMESPACE_URL, "decnet:attacker:v1")

# Of an attacker with two sessions: when the row is stored, and when its live event is delivered (each time it is).
SLOTS = ("before", "between", "after")  # both sessions, the two, both sessions
ROWS = (None, *SLOTS)
LIVES = [times for n in range(4) for times in itertools.combinations_with_replacement(SLOTS, n)]
STORIES = list(itertools.product(ROWS, LIVES))

lab = Lab("intel")
versions = {}  # of the rules, as their tags say


def address(number):
    return f"198.18.{number // 250}.{number % 250 + 1}"


def attacker(ip):
    return str(uuid.uuid5(NS_ATTACKER, ip))


def tag_ids(ip):
    """What FACTS say of an attacker: AbuseIPDB 0.92, GreyNoise's classification alone, ThreatFox."""
    return {str(uuid.uuid5(NS_TAG, f"intel|{attacker(ip)}|{rule}|{versions[rule]}|{technique}|{sub}"))
            for rule, technique, sub in (("R0054", "T1110", ""), ("R0055", "T1071", ""), ("R0057", "T1071", ""),
                                         ("R0057", "T1588", "T1588.001"))}


def sessions(number):
    """Both sessions of every attacker, as files; whose log is read decides when which session is announced."""
    log = Log(f"edge-{number}", Log().now if number == 1 else Log().wait(3600).now)
    for i in range(len(STORIES)):
        log.session(address(i), "id")
    return lab.file(f"sessions-{number}.json", log.bytes())


def store(slot):
    values = [(attacker(address(i)), address(i)) for i, (row, _) in enumerate(STORIES) if row == slot]
    columns = ("attacker_uuid", "attacker_ip", "cached_at", "expires_at", *FACTS)
    rest = [CACHED, "2026-05-11T09:30:00Z", *(json.dumps(v) if isinstance(v, list) else v for v in FACTS.values())]
    rows = ",".join("(" + ",".join("NULL" if v is None else "'" + str(v) + "'" for v in (*who, *rest)) + ")" for who in values)
    lab.sql(f"INSERT INTO attacker_intel ({','.join(columns)}) VALUES {rows}")


def deliver(slot):
    events = []
    for i, (_, lives) in enumerate(STORIES):
        ip = address(i)
        event = {"attacker_uuid": attacker(ip), "attacker_ip": ip, "cached_at": CACHED, "providers": ["abuseipdb"], **FACTS}
        events += [{"topic": "attacker.intel.enriched", "key": attacker(ip), "value": event}] * lives.count(slot)
    lab.produce(events)


def create_attackers():
    """A row of intelligence before the first session needs its attacker: one that another log showed."""
    log = Log("edge-0", Log().wait(-3600).now)
    for i in range(len(STORIES)):
        log.session(address(i), login=None)
    lab.ingest(lab.file("first.json", log.bytes()))
    expect_equal(lab.count("attackers"), len(STORIES), "attackers")


def play():
    create_attackers()
    for slot, number in (("before", 1), ("between", 2), ("after", None)):
        store(slot)
        deliver(slot)
        lab.worker()
        if number:
            lab.ingest(sessions(number))
            lab.worker()


def deserved(row, lives):
    return bool(lives) or row in ("before", "between")


def one_set_of_tags_or_none_in_all_orders():
    play()
    versions.update({r["rule_id"]: r["rule_version"] for r in lab.rows("SELECT DISTINCT rule_id, rule_version FROM ttp_tag")})
    expect(len(STORIES) == 80, len(STORIES))
    by_attacker = {}
    for t in lab.rows("SELECT uuid, attacker_uuid FROM ttp_tag WHERE source_kind = 'intel'"):
        by_attacker.setdefault(t["attacker_uuid"], []).append(t["uuid"])
    for i, (row, lives) in enumerate(STORIES):
        ip = address(i)
        wanted = sorted(tag_ids(ip)) if deserved(row, lives) else []
        expect_equal(sorted(by_attacker.get(attacker(ip), [])), wanted, f"row {row}, live {lives}")
    expect_equal(lab.count("ttp_tag", "source_kind = 'command'"), 2 * len(STORIES), "tags of `id`")
    expect_equal([lab.count("dead_letter"), lab.count("deferred_event")], [0, 0], "dead letters and deferrals")


def columns_are_the_same_on_both_paths():
    tags = lab.rows("SELECT rule_id, technique_id, jsonb_agg(DISTINCT jsonb_build_array(session_id, decky_id, identity_uuid,"
                    " observed_at, confidence, evidence, source_id = attacker_uuid::text, tactic)) AS seen"
                    " FROM ttp_tag WHERE source_kind = 'intel' GROUP BY 1, 2")
    expect_equal(len(tags), 4, "kinds of intel tags")
    for t in tags:
        expect_equal(len(t["seen"]), 1, f"{t['rule_id']} {t['technique_id']}: different by the path: {t['seen']}")
        expect_equal(t["seen"][0][:4], [None, None, None, "2026-05-10T09:30:00.25+00:00"], "session, decky, identity, time")
        expect_equal(t["seen"][0][6], True, "source_id is the attacker")


def each_set_was_announced_once():
    events = lab.events(*TTP_TOPICS)
    event_ids(events)
    tagged = [e["payload"] for e in events if e["topic"] == "ttp.tagged"]
    for i, (row, lives) in enumerate(STORIES):
        ip = address(i)
        of_intel = [p for p in tagged if set(p["tag_uuids"]) & tag_ids(ip)]
        expect_equal(len(of_intel), int(deserved(row, lives)), f"announcements for row {row}, live {lives}")
        for p in of_intel:
            expect_equal([set(p["tag_uuids"]), p["session_id"]], [tag_ids(ip), None], "tags and session of the event")


def changed_verdict_adds_only_what_is_new():
    ip = address(0)
    changed = {"attacker_uuid": attacker(ip), "attacker_ip": ip, "cached_at": "2026-05-12T00:00:00Z",
               "abuseipdb_score": 100, "abuseipdb_categories": [18, 9]}
    before = lab.count("ttp_tag", f"source_kind = 'intel' AND attacker_uuid = '{attacker(ip)}'")
    lab.produce([{"topic": "attacker.intel.enriched", "key": attacker(ip), "value": e} for e in
                 ({**changed, **{k: v for k, v in FACTS.items() if k not in changed}}, changed)])
    lab.worker()
    new = lab.rows("SELECT technique_id FROM ttp_tag WHERE source_kind = 'intel' AND rule_id = 'R0054' AND"
                   f" attacker_uuid = '{attacker(ip)}' ORDER BY 1")
    expect_equal([r["technique_id"] for r in new], ["T1090", "T1110"], "AbuseIPDB's techniques")
    expect_equal(lab.count("ttp_tag", f"source_kind = 'intel' AND attacker_uuid = '{attacker(ip)}'"),
                 before + 5 if before == 0 else before + 1, "tags of that attacker")


run_cases([one_set_of_tags_or_none_in_all_orders, columns_are_the_same_on_both_paths, each_set_was_announced_once,
           changed_verdict_adds_only_what_is_new])
