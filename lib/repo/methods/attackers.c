/* Methods on attackers. */
#include "repo/attackers.h"

#include "methods.h"

static const Column columns[] = {{"ip", COLUMN_IP, COLUMN_REQUIRED, 0},
                                 {"first_seen", COLUMN_TIME, 0, 0},
                                 {"last_seen", COLUMN_TIME, 0, 0},
                                 ATTACKER_COLUMNS(UPSERT_ROW_COLUMN)};

static int upsert_attacker(MethodCall *call, JsonWriter *w)
{
    cleanup(json_putp) json_object *o = NULL;
    json_object *value;
    AttackerRow row = {0};
    uint64_t given = 0;
    Uuid uuid;

    int r = data_object(call, 0, columns, ARRAY_SIZE(columns), &o);
    if (r != 0)
        return r;
    row.ip = json_get_str(o, "ip");
    row.first_seen = data_time(json_member(o, "first_seen"));
    row.last_seen = data_time(json_member(o, "last_seen"));
    given |= row.first_seen != TIME_NONE ? ATTACKER_FIRST_SEEN : 0;
    given |= row.last_seen != TIME_NONE ? ATTACKER_LAST_SEEN : 0;
    ATTACKER_COLUMNS(ROW_READ)
    r = attackers_upsert(call->repo, &row, 1, given, &uuid);
    if (r == 0)
        method_write_uuid(w, &uuid);
    return r;
}

#define SEARCHED(search) "(" search "::text IS NULL OR " COLUMN_HOLDS("ip", search) ")"
/* The text as jsonb by functions that are immutable, unlike to_jsonb(): made once, and not for every row. */
#define OFFERS(service) "services @> (jsonb_object(ARRAY['s', " service "::text]) -> 's')"
#define OFFERS_IF_GIVEN(service) "(" service "::text IS NULL OR " OFFERS(service) ")"

/* Statements of their own for each order, and within it for all, for a service and for a search: each has its plan. They
 * are planned anew: a common service is met soon on the way down the order, a rare one is gathered first. A search reads
 * the table (OFFSET 0 keeps it apart), as walking an index in vain would take ten times as long. */
#define ALL "attackers"
#define OF_SERVICE "attackers WHERE " OFFERS("$5")
#define FOUND "(SELECT * FROM attackers WHERE " COLUMN_HOLDS("ip", "$3") " AND " OFFERS_IF_GIVEN("$5") " OFFSET 0) a"
#define FIRST(name_, from, order)                                                                                      \
    {                                                                                                                  \
        .name = "method_get_attackers_" name_, .shape = SHAPE_ROWS, .plan_anew = true,                                 \
        .sql = "SELECT * FROM " from " ORDER BY " order "last_seen DESC, uuid LIMIT $1 OFFSET $2"                      \
    }
/* Behind an offset: the rows that are skipped are wide, so an index finds the ids of the page and they its rows. Those
 * that may offer a service are still looked up on the way: an index with the services in it would make that five times
 * cheaper, and refuse an attacker with more of them than 2.7 kB take. */
#define LATER(name_, from, order)                                                                                      \
    {                                                                                                                  \
        .name = "method_get_attackers_later_" name_, .shape = SHAPE_ROWS, .plan_anew = true,                           \
        .sql = "SELECT a.* FROM (SELECT uuid FROM " from " ORDER BY " order "last_seen DESC, uuid LIMIT $1 OFFSET $2)" \
               " p CROSS JOIN LATERAL (SELECT * FROM attackers WHERE uuid = p.uuid OFFSET 0) a"                        \
               " ORDER BY " order "last_seen DESC, a.uuid"                                                             \
    }
#define PAGES(page, name_, order)                                                                                      \
    {                                                                                                                  \
        page(name_, ALL, order), page(name_ "_of", OF_SERVICE, order), page(name_ "_found", FOUND, order)              \
    }

static int get_attackers(MethodCall *call, JsonWriter *w)
{
    enum { OFFSET = 1, SEARCH, SORT_BY, SERVICE };
    typedef struct Pages {
        Statement all, of_service, found;
    } Pages;
    static const struct {
        const char *sort_by;
        Pages first, later;
    } orders[] = {
#define ORDER(name_, order) {name_, PAGES(FIRST, name_, order), PAGES(LATER, name_, order)}
        ORDER("recent", ""),
        ORDER("active", "event_count DESC, "),
        ORDER("traversals", "is_traversal DESC, "),
    };
    size_t at = 0; /* an unknown order is that of the latest */

    for (size_t i = 0; i < ARRAY_SIZE(orders); i++)
        if (str_eq_cstr(method_text(call, SORT_BY), orders[i].sort_by))
            at = i;
    const Pages *pages = call->values[OFFSET].number > 0 ? &orders[at].later : &orders[at].first;
    const Statement *page = method_text(call, SEARCH).data    ? &pages->found
                            : method_text(call, SERVICE).data ? &pages->of_service
                                                              : &pages->all;
    return method_run_statement(call, page, w);
}

static int get_total_attackers(MethodCall *call, JsonWriter *w)
{
    static const Statement all = {.name = "method_get_total_attackers",
                                  .shape = SHAPE_ROW,
                                  .sql = "SELECT count(*) FROM attackers WHERE " SEARCHED("$1")};
    static const Statement of_service = {
        .name = "method_get_total_attackers_of",
        .shape = SHAPE_ROW,
        .sql = "SELECT count(*) FROM attackers WHERE " SEARCHED("$1") " AND " OFFERS("$2")};
    return method_run_statement(call, method_text(call, 1).data ? &of_service : &all, w);
}

METHOD(upsert_attacker, .params = {{"data", PARAM_OBJECT, .required = true}}, .returns = "uuid", .writes = true,
       .run = upsert_attacker);

METHOD(get_attacker_by_uuid, .params = {{"uuid", PARAM_UUID, .required = true}}, .returns = "row(attackers)?",
       .shape = METHOD_ROW, .statement.sql = "SELECT * FROM attackers WHERE uuid = $1");

METHOD(get_attacker_uuid_by_ip, .params = {{"ip", PARAM_IP, .required = true}}, .returns = "uuid?",
       .shape = METHOD_SCALAR, .statement.sql = "SELECT uuid FROM attackers WHERE ip = $1");

METHOD(get_attackers,
       .params = {{"limit", PARAM_LIMIT, .standard = "50"},
                  {"offset", PARAM_COUNT, .standard = "0"},
                  {"search", PARAM_FILTER, .nullable = true},
                  {"sort_by", PARAM_TEXT, .standard = "\"recent\""},
                  {"service", PARAM_FILTER, .nullable = true}},
       .returns = "list[row(attackers)]", .shape = METHOD_ROWS, .run = get_attackers);

METHOD(get_total_attackers,
       .params = {{"search", PARAM_FILTER, .nullable = true}, {"service", PARAM_FILTER, .nullable = true}},
       .returns = "int", .shape = METHOD_SCALAR, .run = get_total_attackers);
