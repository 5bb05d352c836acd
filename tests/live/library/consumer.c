/* A program of somebody else: it knows the installed header of libdecnet-repo and nothing of this project's sources.
 *
 * usage: consumer CONNINFO, of an empty database; psql takes $CONSUMER_DATABASE as the same. */
#include <decnet/repo.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "every_function.h"

static int failures;
static DecnetRepo *repo;

#define EXPECT(condition)                                                                                              \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            printf("line %d: %s; last error: %s\n", __LINE__, #condition, decnet_repo_error(repo)->message);           \
            failures++;                                                                                                \
        }                                                                                                              \
    } while (0)

/* Whether @text, which is released, holds @part. */
static bool holds(char *text, const char *part)
{
    bool found = text && strstr(text, part);

    if (!found)
        printf("%s does not hold %s\n", text ? text : "NULL", part);
    free(text);
    return found;
}

static char *call(const char *method, const char *params_json)
{
    char *json = NULL;

    EXPECT(decnet_repo_call(repo, method, params_json, &json) == DECNET_REPO_OK);
    return json;
}

static char *state(const char *key)
{
    char *json = NULL;

    EXPECT(decnet_repo_get_state(repo, key, &json) == DECNET_REPO_OK);
    return json;
}

static bool error_is(int code, const char *class_name, const char *method, const char *words)
{
    const DecnetRepoError *e = decnet_repo_error(repo);
    bool same = e->code == code && strcmp(e->class_name, class_name) == 0 && strcmp(e->method, method) == 0 &&
                strstr(e->message, words);

    if (!same)
        printf("error %d %s of %s: %s\n", e->code, e->class_name, e->method, e->message);
    return same;
}

static void empty_database(void)
{
    int64_t id = 1;

    EXPECT(decnet_repo_error(repo)->code == 0 && *decnet_repo_error(repo)->message == '\0');
    EXPECT(!decnet_repo_is_connected(repo));
    EXPECT(decnet_repo_get_max_log_id(repo, &id) == DECNET_REPO_E_OPERATOR && id == 0);
    EXPECT(error_is(DECNET_REPO_E_OPERATOR, "E_DB", "get_max_log_id", "not applied"));
    EXPECT(strstr(decnet_repo_error(repo)->hint, "decnetctl migrate"));
    EXPECT(decnet_repo_is_connected(repo));
    EXPECT(decnet_repo_initialize(repo) == DECNET_REPO_OK);
    EXPECT(decnet_repo_connect(repo) == DECNET_REPO_OK);
    EXPECT(decnet_repo_get_max_log_id(repo, &id) == DECNET_REPO_OK && id == 0);
}

#define ATTACKER                                                                                                       \
    "{\"ip\":\"198.51.100.7\",\"first_seen\":\"2026-01-01T00:00:00Z\",\"last_seen\":\"2026-01-02T00:00:00Z\"}"

static void reads_and_writes(void)
{
    static const int64_t one = 1, none = 0;
    char *uuid = NULL, *again = NULL, *json = NULL;
    int64_t total = -1;
    bool yes = true;

    EXPECT(decnet_repo_upsert_attacker(repo, ATTACKER, &uuid) == DECNET_REPO_OK);
    EXPECT(uuid && strlen(uuid) == 36);
    EXPECT(decnet_repo_get_total_attackers(repo, NULL, NULL, &total) == DECNET_REPO_OK && total == 1);
    EXPECT(decnet_repo_get_total_attackers(repo, "203.0.113", NULL, &total) == DECNET_REPO_OK && total == 0);
    EXPECT(decnet_repo_get_attackers(repo, &one, NULL, NULL, NULL, NULL, &json) == DECNET_REPO_OK);
    EXPECT(holds(json, uuid));
    EXPECT(decnet_repo_get_attackers(repo, &none, NULL, NULL, NULL, NULL, &json) == DECNET_REPO_OK);
    EXPECT(holds(json, "[]"));
    EXPECT(decnet_repo_get_attacker_by_uuid(repo, uuid, &json) == DECNET_REPO_OK);
    EXPECT(holds(json, "\"2026-01-02T00:00:00.000000Z\""));
    EXPECT(decnet_repo_get_attacker_by_uuid(repo, "nobody", &json) == DECNET_REPO_OK);
    EXPECT(holds(json, "null"));
    EXPECT(holds(call("get_total_attackers", NULL), "1"));
    EXPECT(holds(call("get_total_attackers", "{\"search\":\"203.0.113\"}"), "0"));
    EXPECT(decnet_repo_has_pending_topology_mutation(repo, &yes) == DECNET_REPO_OK && !yes);
    EXPECT(decnet_repo_ensure_stub_identity_for_attacker(repo, uuid, &again) == DECNET_REPO_OK);
    EXPECT(again && strlen(again) == 36);
    free(again);
    EXPECT(decnet_repo_ensure_stub_identity_for_attacker(repo, "nobody", &again) == DECNET_REPO_OK && !again);
    EXPECT(decnet_repo_set_state(repo, "weights", "{\"a\":[1,null,\"\xc3\xa4\"]}") == DECNET_REPO_OK);
    EXPECT(holds(state("weights"), "\xc3\xa4"));
    EXPECT(decnet_repo_upsert_attacker(repo, ATTACKER, NULL) == DECNET_REPO_OK); /* the result is not wanted */
    EXPECT(decnet_repo_call(repo, "get_max_log_id", "{}", NULL) == DECNET_REPO_OK);
    free(uuid);
}

static void mistakes(void)
{
    static const int64_t negative = -1;
    char *json = &(char){'x'};

    EXPECT(decnet_repo_call(repo, "get_atackers", NULL, &json) == DECNET_REPO_E_INVALID && !json);
    EXPECT(error_is(DECNET_REPO_E_INVALID, "E_INVALID", "get_atackers", "did you mean get_attackers"));
    EXPECT(decnet_repo_call(repo, NULL, NULL, &json) == DECNET_REPO_E_INVALID);
    EXPECT(decnet_repo_call(repo, "get_attackers", "{\"limit\":", &json) == DECNET_REPO_E_INVALID);
    EXPECT(error_is(DECNET_REPO_E_INVALID, "E_INVALID", "get_attackers", "no JSON text"));
    EXPECT(decnet_repo_call(repo, "get_attackers", "[]", &json) == DECNET_REPO_E_INVALID);
    EXPECT(decnet_repo_get_attackers(repo, &negative, NULL, NULL, NULL, NULL, &json) == DECNET_REPO_E_INVALID);
    EXPECT(error_is(DECNET_REPO_E_INVALID, "E_INVALID", "get_attackers", "parameter limit"));
    EXPECT(decnet_repo_upsert_attacker(repo, "{\"ip\"", &json) == DECNET_REPO_E_INVALID && !json);
    EXPECT(error_is(DECNET_REPO_E_INVALID, "E_INVALID", "upsert_attacker", "parameter data is no JSON text"));
    EXPECT(decnet_repo_upsert_attacker(repo, NULL, &json) == DECNET_REPO_E_INVALID);
    EXPECT(decnet_repo_get_attacker_by_uuid(repo, NULL, &json) == DECNET_REPO_E_INVALID);
    EXPECT(decnet_repo_call_each(repo, "get_max_log_id", NULL, NULL, NULL) == DECNET_REPO_E_INVALID);
}

static void large_text(void)
{
    size_t n = 20 << 20;
    char *text = malloc(n + 1), *json = NULL;

    if (!text)
        abort();
    memset(text, 'a', n);
    text[n] = '\0';
    EXPECT(decnet_repo_get_state(repo, text, &json) == DECNET_REPO_E_INVALID && !json);
    EXPECT(error_is(DECNET_REPO_E_INVALID, "E_INVALID", "get_state", "parameter key makes the call larger than"));
    free(text);
}

static void promised_details(void)
{
    static const int64_t stale = 7;
    char *topology = NULL, lan[200], decky[200];

    EXPECT(decnet_repo_create_topology(repo, "{\"name\":\"t\"}", &topology) == DECNET_REPO_OK);
    EXPECT(decnet_repo_create_topology(repo, "{\"name\":\"t\"}", NULL) == DECNET_REPO_E_CONFLICT);
    EXPECT(error_is(DECNET_REPO_E_CONFLICT, "E_CONFLICT", "create_topology", ""));
    EXPECT(strcmp(decnet_repo_error(repo)->sqlstate, "23505") == 0);
    snprintf(lan, sizeof(lan), "{\"topology_id\":\"%s\",\"name\":\"l\",\"subnet\":\"10.0.0.0/24\"}", topology);
    EXPECT(decnet_repo_add_lan(repo, lan, &stale, NULL) == DECNET_REPO_E_VERSION);
    EXPECT(strstr(decnet_repo_error(repo)->detail_json, "\"current\":1"));
    EXPECT(strstr(decnet_repo_error(repo)->detail_json, "\"expected\":7"));
    EXPECT(decnet_repo_error(repo)->detail_json[0] == '{');
    snprintf(decky, sizeof(decky), "{\"topology_id\":\"%s\",\"name\":\"d\"}", "00000000-0000-4000-8000-000000000000");
    EXPECT(decnet_repo_add_topology_decky(repo, decky, NULL, NULL) == DECNET_REPO_E_FK);
    EXPECT(error_is(DECNET_REPO_E_FK, "E_FK", "add_topology_decky", ""));
    EXPECT(strcmp(decnet_repo_error(repo)->detail_json, "{}") == 0);
    free(topology);
}

/* --- transactions --- */

static void own_transactions(void)
{
    EXPECT(decnet_repo_commit(repo) == DECNET_REPO_E_INVALID);
    EXPECT(decnet_repo_begin(repo) == DECNET_REPO_OK);
    EXPECT(decnet_repo_begin(repo) == DECNET_REPO_E_INVALID);
    EXPECT(decnet_repo_set_state(repo, "tx", "1") == DECNET_REPO_OK);
    decnet_repo_rollback(repo);
    EXPECT(holds(state("tx"), "null"));
    EXPECT(decnet_repo_begin(repo) == DECNET_REPO_OK);
    EXPECT(decnet_repo_set_state(repo, "tx", "2") == DECNET_REPO_OK);
    EXPECT(decnet_repo_commit(repo) == DECNET_REPO_OK);
    EXPECT(holds(state("tx"), "2"));
    /* A refusal that never reached the server harms nothing; one of the server leaves nothing to commit. */
    EXPECT(decnet_repo_begin(repo) == DECNET_REPO_OK);
    EXPECT(decnet_repo_set_state(repo, "tx", "3") == DECNET_REPO_OK);
    EXPECT(decnet_repo_set_state(repo, "tx", "{") == DECNET_REPO_E_INVALID);
    EXPECT(decnet_repo_commit(repo) == DECNET_REPO_OK);
    EXPECT(decnet_repo_begin(repo) == DECNET_REPO_OK);
    EXPECT(decnet_repo_set_state(repo, "tx", "4") == DECNET_REPO_OK);
    EXPECT(decnet_repo_create_topology(repo, "{\"name\":\"t\"}", NULL) == DECNET_REPO_E_CONFLICT);
    EXPECT(decnet_repo_commit(repo) == DECNET_REPO_E_INVALID);
    EXPECT(error_is(DECNET_REPO_E_INVALID, "E_INVALID", "commit", "nothing of it can be stored"));
    EXPECT(holds(state("tx"), "3"));
    EXPECT(decnet_repo_begin(repo) == DECNET_REPO_OK);
    EXPECT(decnet_repo_set_state(repo, "tx", "5") == DECNET_REPO_OK);
    decnet_repo_disconnect(repo);
    EXPECT(holds(state("tx"), "3"));
}

static void end_connection(void)
{
    EXPECT(system("psql -qAtX \"$CONSUMER_DATABASE\" -c \"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                  " WHERE application_name = 'consumer'\" >/dev/null") == 0);
}

/* What follows a lost connection must not be stored without what came before it. */
static void lost_connection(void)
{
    end_connection();
    EXPECT(holds(state("tx"), "3"));
    EXPECT(decnet_repo_begin(repo) == DECNET_REPO_OK);
    EXPECT(decnet_repo_set_state(repo, "tx", "6") == DECNET_REPO_OK);
    end_connection();
    EXPECT(decnet_repo_set_state(repo, "tx", "7") == DECNET_REPO_E_RETRY);
    EXPECT(decnet_repo_set_state(repo, "tx", "8") == DECNET_REPO_E_RETRY);
    EXPECT(error_is(DECNET_REPO_E_RETRY, "E_DB", "set_state", "lost inside of a transaction"));
    EXPECT(decnet_repo_connect(repo) == DECNET_REPO_E_RETRY);
    EXPECT(decnet_repo_commit(repo) == DECNET_REPO_E_RETRY);
    EXPECT(holds(state("tx"), "3"));
}

typedef struct Work {
    int runs, want;
} Work;

static int work(DecnetRepo *in, void *arg)
{
    Work *w = arg;

    EXPECT(in == repo);
    EXPECT(decnet_repo_set_state(in, "run", "1") == DECNET_REPO_OK);
    EXPECT(decnet_repo_begin(in) == DECNET_REPO_E_INVALID);
    EXPECT(decnet_repo_commit(in) == DECNET_REPO_E_INVALID);
    return w->runs++ == 0 ? w->want : 0;
}

static int work_in_vain(DecnetRepo *in, void *arg)
{
    (void)arg;
    EXPECT(decnet_repo_set_state(in, "run", "2") == DECNET_REPO_OK);
    EXPECT(decnet_repo_create_topology(in, "{\"name\":\"t\"}", NULL) == DECNET_REPO_E_CONFLICT);
    return 0;
}

static void work_in_transactions(void)
{
    Work refused = {0, -5000}, contended = {0, DECNET_REPO_E_RETRY};

    EXPECT(decnet_repo_run(repo, work, &refused) == -5000 && refused.runs == 1);
    EXPECT(holds(state("run"), "null"));
    EXPECT(decnet_repo_run(repo, work, &contended) == DECNET_REPO_OK && contended.runs == 2);
    EXPECT(holds(state("run"), "1"));
    EXPECT(decnet_repo_run(repo, work_in_vain, NULL) == DECNET_REPO_E_INVALID);
    EXPECT(error_is(DECNET_REPO_E_INVALID, "E_INVALID", "run", "nothing of it can be stored"));
    EXPECT(holds(state("run"), "1"));
}

/* --- items --- */

typedef struct Items {
    int n, stop_at;
} Items;

static int item(void *arg, const char *item_json)
{
    Items *items = arg;

    EXPECT(strstr(item_json, "198.51.100."));
    EXPECT(decnet_repo_call(repo, "get_max_log_id", NULL, NULL) == DECNET_REPO_E_INVALID);
    return ++items->n == items->stop_at ? 1000 : 0;
}

static void iteration(void)
{
    Items all = {0, 0}, some = {0, 2}, by_name = {0, 0};
    char bounty[200];

    for (int i = 1; i <= 3; i++) {
        snprintf(bounty, sizeof(bounty),
                 "{\"attacker_ip\":\"198.51.100.%d\",\"decky\":\"d\",\"service\":\"ssh\",\"bounty_type\":\"x\","
                 "\"payload\":{\"n\":%d}}",
                 i, i);
        EXPECT(decnet_repo_add_bounty(repo, bounty) == DECNET_REPO_OK);
    }
    EXPECT(decnet_repo_call_each(repo, "get_all_bounties_by_ip", NULL, item, &all) == DECNET_REPO_OK && all.n == 3);
    EXPECT(decnet_repo_call_each(repo, "get_all_bounties_by_ip", NULL, item, &some) == 1000 && some.n == 2);
    EXPECT(decnet_repo_iter_canary_triggers_since(repo, "2026-01-01T00:00:00Z", item, &by_name) == DECNET_REPO_OK);
    EXPECT(by_name.n == 0);
    EXPECT(decnet_repo_iter_canary_triggers_since(repo, "yesterday", item, &by_name) == DECNET_REPO_E_INVALID);
    EXPECT(decnet_repo_get_max_log_id(repo, &(int64_t){0}) == DECNET_REPO_OK);
}

/* --- the table --- */

static void methods(void)
{
    size_t n = 0;
    const DecnetRepoMethod *m = decnet_repo_method_find("get_attackers");

    for (; every_function[n].name; n++) {
        EXPECT(every_function[n].function);
        EXPECT(decnet_repo_method_find(every_function[n].name) == decnet_repo_method_at(n));
    }
    EXPECT(n == 200 && decnet_repo_method_count() == n);
    EXPECT(!decnet_repo_method_at(n) && !decnet_repo_method_find("no method") && !decnet_repo_method_find(NULL));
    EXPECT(m && m->n_params == 5 && !m->writes && !m->iterates && strcmp(m->group, "attackers") == 0);
    EXPECT(m && strcmp(m->params[3].name, "sort_by") == 0 && strcmp(m->params[3].default_json, "\"recent\"") == 0);
    m = decnet_repo_method_find("iter_canary_triggers_since");
    EXPECT(m && m->iterates && m->streams && m->params[0].required && !m->params[0].default_json);
    EXPECT(strchr(decnet_repo_version(), '.'));
}

static void unreachable(void)
{
    DecnetRepo *other = decnet_repo_new("host=/nowhere dbname=none", NULL, 1000);
    char *json = NULL;

    EXPECT(decnet_repo_connect(other) == DECNET_REPO_E_RETRY);
    EXPECT(decnet_repo_call(other, "get_attackers", NULL, &json) == DECNET_REPO_E_RETRY && !json);
    EXPECT(strcmp(decnet_repo_error(other)->class_name, "E_DB") == 0 && *decnet_repo_error(other)->hint);
    EXPECT(decnet_repo_begin(other) == DECNET_REPO_E_RETRY);
    decnet_repo_rollback(other);
    decnet_repo_free(other);
    decnet_repo_free(NULL);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fputs("usage: consumer CONNINFO\n", stderr);
        return 2;
    }
    repo = decnet_repo_new(argv[1], "consumer", 0);
    empty_database();
    reads_and_writes();
    mistakes();
    large_text();
    promised_details();
    own_transactions();
    lost_connection();
    work_in_transactions();
    iteration();
    methods();
    unreachable();
    decnet_repo_free(repo);
    return failures != 0;
}
