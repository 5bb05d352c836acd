/* All rules of a path of folders. */
#include "rule.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/limits.h"

typedef struct Loader {
    TtpRuleSet *set;
    const AttackCatalog *catalog;
    Buf errors;
    size_t capacity;
    size_t folder_start; /* where the rules of the present folder begin */
} Loader;

/* Letters, digits and _ before .yaml or .yml: everything else (editors' copies, dotfiles) is none of ours. */
static size_t rule_stem(const char *name)
{
    size_t n = 0;
    while (isalnum((unsigned char)name[n]) || name[n] == '_')
        n++;
    return n && (strcmp(name + n, ".yaml") == 0 || strcmp(name + n, ".yml") == 0) ? n : 0;
}

static int is_rule_file(const struct dirent *entry)
{
    return rule_stem(entry->d_name) > 0;
}

static TtpRule **find_rule(Loader *l, const char *id, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        if (strcmp(l->set->rules[i]->id, id) == 0)
            return &l->set->rules[i];
    return NULL;
}

static void add_rule(Loader *l, TtpRule *rule)
{
    TtpRuleSet *set = l->set;
    TtpRule **same = find_rule(l, rule->id, l->folder_start, set->n_rules);

    if (same) { /* R0001.yaml and R0001.yml */
        buf_printf(&l->errors, "%s:1: rule %s is also in %s; remove one of the two\n", rule->file, rule->id,
                   (*same)->file);
        return;
    }
    same = find_rule(l, rule->id, 0, l->folder_start);
    if (same) {
        *same = rule;
        return;
    }
    if (set->n_rules == LIMIT_RULES) {
        buf_printf(&l->errors, "%s:1: more than %d rules; move some away\n", rule->file, LIMIT_RULES);
        return;
    }
    if (set->n_rules == l->capacity) {
        size_t capacity = MAX(l->capacity * 2, 64);
        TtpRule **grown = arena_calloc(set->arena, capacity, sizeof(TtpRule *));
        if (set->n_rules)
            memcpy(grown, set->rules, set->n_rules * sizeof(*grown));
        set->rules = grown;
        l->capacity = capacity;
    }
    set->rules[set->n_rules++] = rule;
}

static int load_file(Loader *l, const char *path)
{
    cleanup(buf_free) Buf yaml = {0};
    int r = file_read(path, LIMIT_RULE_FILE_BYTES, &yaml);

    if (r == -EFBIG)
        buf_printf(&l->errors, "%s:1: larger than %d bytes; a rule is a short text\n", path, LIMIT_RULE_FILE_BYTES);
    else if (r < 0)
        buf_printf(&l->errors, "%s:1: cannot read the file: %s; make it readable or remove it\n", path, strerror(-r));
    if (r < 0)
        return r;
    TtpRule *rule = ttp_rule_parse(l->set->arena, buf_str(&yaml), path, l->catalog, &l->set->warnings, &l->errors);
    if (rule)
        add_rule(l, rule);
    return rule ? 0 : -EINVAL;
}

static int load_folder(Loader *l, const char *folder)
{
    struct dirent **entries;
    int r = 0, n = scandir(folder, &entries, is_rule_file, alphasort);

    if (n < 0 && errno == ENOENT) { /* the folder of local rules need not exist; a misspelt path ends without rules */
        buf_printf(&l->set->warnings, "%s: this folder of rules does not exist; make it, or correct rules_path\n",
                   folder);
        return 0;
    }
    if (n < 0) {
        r = -errno;
        buf_printf(&l->errors, "%s: cannot read this folder of rules: %s; correct rules_path\n", folder, strerror(-r));
        return r;
    }
    l->folder_start = l->set->n_rules;
    for (int i = 0; i < n; i++) {
        cleanup(freep) char *path = NULL;
        int loaded = asprintf(&path, "%s/%s", folder, entries[i]->d_name) < 0 ? -ENOMEM : load_file(l, path);
        r = r < 0 ? r : loaded;
        free(entries[i]);
    }
    free(entries);
    return r;
}

static int by_rule_id(const void *a, const void *b)
{
    return strcmp((*(TtpRule *const *)a)->id, (*(TtpRule *const *)b)->id);
}

static int load_path(Loader *l, const char *path)
{
    cleanup(freep) char *folders = strdup(path);
    char *rest = NULL;
    int r = 0;

    for (char *folder = strtok_r(folders, ":", &rest); folder; folder = strtok_r(NULL, ":", &rest)) {
        int loaded = load_folder(l, folder);
        r = r < 0 ? r : loaded;
    }
    if (r == 0 && l->errors.len == 0 && l->set->n_rules == 0)
        buf_printf(&l->errors, "%s: no rule in this path of folders; correct rules_path\n", path);
    return r < 0 ? r : l->errors.len ? -EINVAL : 0;
}

int ttp_rules_load(const char *path, const AttackCatalog *catalog, TtpRuleSet **ret, char **ret_error)
{
    cleanup(ttp_rules_freep) TtpRuleSet *set = calloc(1, sizeof(*set));
    Loader loader = {.set = set, .catalog = catalog};

    if (!set)
        return -ENOMEM;
    set->arena = arena_new();
    int r = load_path(&loader, path);
    if (r < 0) {
        *ret_error = loader.errors.data;
        return r;
    }
    qsort(set->rules, set->n_rules, sizeof(TtpRule *), by_rule_id);
    for (size_t i = 0; i < set->n_rules; i++)
        set->rules[i]->index = i;
    *ret = TAKE_PTR(set);
    return 0;
}

void ttp_rules_free(TtpRuleSet *set)
{
    if (!set)
        return;
    buf_free(&set->warnings);
    arena_free(set->arena);
    free(set);
}
