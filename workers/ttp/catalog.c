/* The ATT&CK catalogue, read from JSON into two sorted tables. */
#include "catalog.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/limits.h"

enum { SUCCESSOR_HOPS = 8 }; /* ends a ring of revocations; real trails have two steps */

#define URL_PREFIX "https://attack.mitre.org/techniques/"
#define REMEDY "make the file anew with scripts/make_catalog.py, or point attack_catalog at a good one"

typedef struct Tactic {
    const char *id, *name;
} Tactic;

struct AttackCatalog {
    Arena *arena;
    const char *release, *notice;
    Tactic *tactics;
    size_t n_tactics;
    AttackTechnique *techniques;
    size_t n_techniques;
};

/* A message with the file's name before and the remedy behind; returns -EINVAL. */
printf_like(3, 4) static int refuse(const char *name, char **ret_error, const char *fmt, ...)
{
    Buf message = {0};
    va_list ap;
    char *what = NULL;

    va_start(ap, fmt);
    if (vasprintf(&what, fmt, ap) < 0)
        what = NULL;
    va_end(ap);
    buf_printf(&message, "%s: %s; " REMEDY, name, what ? what : "bad catalogue");
    free(what);
    *ret_error = message.data;
    return -EINVAL;
}

/* Digits @n at @s. */
static bool digits(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isdigit((unsigned char)s[i]))
            return false;
    return true;
}

static bool is_tactic_id(const char *id)
{
    return strlen(id) == 6 && id[0] == 'T' && id[1] == 'A' && digits(id + 2, 4);
}

static bool is_technique_id(const char *id)
{
    size_t n = strlen(id);
    return (n == 5 || n == 9) && id[0] == 'T' && digits(id + 1, 4) && (n == 5 || (id[5] == '.' && digits(id + 6, 3)));
}

static const char *get_cstr(Arena *arena, json_object *obj, const char *key)
{
    Str s = json_get_str(obj, key);
    return s.data && s.len && !memchr(s.data, '\0', s.len) ? str_cstr(arena, s) : NULL;
}

/* Tables of structs whose first member is the id. */
static int by_id(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static const void *find(const void *table, size_t n, size_t size, const char *id)
{
    return n ? bsearch(&id, table, n, size, by_id) : NULL;
}

static const char *repeated_id(const void *table, size_t n, size_t size)
{
    for (size_t i = 1; i < n; i++) {
        const char *row = (const char *)table + i * size;
        if (by_id(row - size, row) == 0)
            return *(const char *const *)row;
    }
    return NULL;
}

static int read_tactics(AttackCatalog *c, json_object *root, const char *name, char **ret_error)
{
    json_object *array = json_get_array(root, "tactics");
    size_t n = array ? json_object_array_length(array) : 0;

    if (n == 0)
        return refuse(name, ret_error, "it has no list \"tactics\"");
    c->tactics = arena_calloc(c->arena, n, sizeof(Tactic));
    for (size_t i = 0; i < n; i++) {
        json_object *row = json_object_array_get_idx(array, i);
        Tactic *t = &c->tactics[c->n_tactics++];
        *t = (Tactic){get_cstr(c->arena, row, "id"), get_cstr(c->arena, row, "name")};
        if (!t->id || !is_tactic_id(t->id) || !t->name)
            return refuse(name, ret_error, "entry %zu of \"tactics\" lacks an id such as TA0001, or a name", i + 1);
    }
    qsort(c->tactics, n, sizeof(Tactic), by_id);
    const char *twice = repeated_id(c->tactics, n, sizeof(Tactic));
    return twice ? refuse(name, ret_error, "tactic %s is in it twice", twice) : 0;
}

static const char *technique_url(Arena *arena, const char *id)
{
    return strlen(id) == 9 ? arena_printf(arena, URL_PREFIX "%.5s/%s", id, id + 6)
                           : arena_printf(arena, URL_PREFIX "%s", id);
}

/* The tactics of one technique; false when one is unknown. */
static bool read_technique_tactics(AttackCatalog *c, json_object *row, AttackTechnique *t)
{
    json_object *array = json_get_array(row, "tactics");
    size_t n = array ? json_object_array_length(array) : 0;
    const char **ids = arena_calloc(c->arena, n, sizeof(*ids));

    t->tactics = ids;
    t->n_tactics = n;
    for (size_t i = 0; i < n; i++) {
        Str id = json_str(json_object_array_get_idx(array, i));
        const Tactic *tactic = id.data ? find(c->tactics, c->n_tactics, sizeof(Tactic), str_cstr(c->arena, id)) : NULL;
        if (!tactic)
            return false;
        ids[i] = tactic->id;
    }
    return true;
}

static int read_technique(AttackCatalog *c, json_object *row, size_t i, const char *name, char **ret_error)
{
    AttackTechnique *t = &c->techniques[c->n_techniques++];

    t->id = get_cstr(c->arena, row, "id");
    t->name = get_cstr(c->arena, row, "name");
    t->parent = get_cstr(c->arena, row, "parent");
    t->successor = get_cstr(c->arena, row, "successor");
    json_get_bool(row, "revoked", &t->revoked);
    json_get_bool(row, "deprecated", &t->deprecated);
    if (!t->id || !is_technique_id(t->id) || !t->name)
        return refuse(name, ret_error, "entry %zu of \"techniques\" lacks an id such as T1059.004, or a name", i + 1);
    if ((strlen(t->id) == 9) != (t->parent != NULL) || (t->parent && strncmp(t->parent, t->id, 5) != 0))
        return refuse(name, ret_error, "technique %s and its parent do not fit together", t->id);
    if (!read_technique_tactics(c, row, t))
        return refuse(name, ret_error, "technique %s names a tactic that is not in \"tactics\"", t->id);
    t->url = technique_url(c->arena, t->id);
    return 0;
}

/* Names that need the whole table. */
static int link_techniques(AttackCatalog *c, const char *name, char **ret_error)
{
    for (size_t i = 0; i < c->n_techniques; i++) {
        AttackTechnique *t = &c->techniques[i];
        const AttackTechnique *parent = t->parent ? attack_catalog_technique(c, t->parent) : NULL;
        if (t->parent && !parent)
            return refuse(name, ret_error, "the parent of technique %s is missing", t->id);
        if (t->successor && !attack_catalog_technique(c, t->successor))
            return refuse(name, ret_error, "the successor %s of technique %s is missing", t->successor, t->id);
        t->display_name = parent ? arena_printf(c->arena, "%s: %s", parent->name, t->name) : t->name;
    }
    return 0;
}

static int read_techniques(AttackCatalog *c, json_object *root, const char *name, char **ret_error)
{
    json_object *array = json_get_array(root, "techniques");
    size_t n = array ? json_object_array_length(array) : 0;

    if (n == 0)
        return refuse(name, ret_error, "it has no list \"techniques\"");
    c->techniques = arena_calloc(c->arena, n, sizeof(AttackTechnique));
    for (size_t i = 0; i < n; i++) {
        int r = read_technique(c, json_object_array_get_idx(array, i), i, name, ret_error);
        if (r < 0)
            return r;
    }
    qsort(c->techniques, n, sizeof(AttackTechnique), by_id);
    const char *twice = repeated_id(c->techniques, n, sizeof(AttackTechnique));
    if (twice)
        return refuse(name, ret_error, "technique %s is in it twice", twice);
    return link_techniques(c, name, ret_error);
}

/* v<major>.<minor> */
static bool is_release(const char *s)
{
    int end = 0;
    unsigned major, minor;
    return s && sscanf(s, "v%3u.%3u%n", &major, &minor, &end) == 2 && s[end] == '\0';
}

int attack_catalog_parse(Str text, const char *name, AttackCatalog **ret, char **ret_error)
{
    cleanup(json_putp) json_object *root = json_parse(text);
    cleanup(attack_catalog_freep) AttackCatalog *c = calloc(1, sizeof(*c));
    int r;

    if (!c)
        return -ENOMEM;
    c->arena = arena_new();
    if (!json_object_is_type(root, json_type_object))
        return refuse(name, ret_error, "it is not a JSON object");
    c->release = get_cstr(c->arena, root, "release");
    c->notice = get_cstr(c->arena, root, "notice");
    if (!is_release(c->release))
        return refuse(name, ret_error, "its \"release\" is not of the form v19.1");
    if (!c->notice)
        return refuse(name, ret_error, "it lacks \"notice\", MITRE's copyright line, without which it may not be used");
    r = read_tactics(c, root, name, ret_error);
    if (r == 0)
        r = read_techniques(c, root, name, ret_error);
    if (r == 0)
        *ret = TAKE_PTR(c);
    return r;
}

int attack_catalog_load(const char *path, AttackCatalog **ret, char **ret_error)
{
    cleanup(buf_free) Buf text = {0};
    int r = file_read(path, LIMIT_CATALOG_BYTES, &text);

    if (r < 0) {
        refuse(path, ret_error, "cannot read the ATT&CK catalogue: %s", strerror(-r));
        return r;
    }
    return attack_catalog_parse(buf_str(&text), path, ret, ret_error);
}

void attack_catalog_free(AttackCatalog *catalog)
{
    if (!catalog)
        return;
    arena_free(catalog->arena);
    free(catalog);
}

const char *attack_catalog_release(const AttackCatalog *catalog)
{
    return catalog->release;
}

const char *attack_catalog_notice(const AttackCatalog *catalog)
{
    return catalog->notice;
}

const AttackTechnique *attack_catalog_technique(const AttackCatalog *catalog, const char *id)
{
    return find(catalog->techniques, catalog->n_techniques, sizeof(AttackTechnique), id);
}

const AttackTechnique *attack_catalog_current(const AttackCatalog *catalog, const AttackTechnique *technique)
{
    for (int hop = 0; technique && technique->revoked; hop++)
        technique = technique->successor && hop < SUCCESSOR_HOPS
                        ? attack_catalog_technique(catalog, technique->successor)
                        : NULL;
    return technique;
}

bool attack_technique_has_tactic(const AttackTechnique *technique, const char *tactic)
{
    for (size_t i = 0; i < technique->n_tactics; i++)
        if (strcmp(technique->tactics[i], tactic) == 0)
            return true;
    return false;
}

const char *attack_catalog_tactic_name(const AttackCatalog *catalog, const char *id)
{
    const Tactic *t = find(catalog->tactics, catalog->n_tactics, sizeof(Tactic), id);
    return t ? t->name : NULL;
}
