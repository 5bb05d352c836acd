/* The ATT&CK catalogue: which techniques and tactics exist, what they are called, and what became of revoked ones.
 * Rules are checked against it when they are loaded; its release is stamped on every tag.
 *
 * The file is JSON made by scripts/make_catalog.py:
 *   {"release": "v19.1", "notice": …, "license": …,
 *    "tactics": [{"id": "TA0001", "name": …}],
 *    "techniques": [{"id", "name", "parent"?, "tactics": ["TA0001"], "revoked"?, "successor"?, "deprecated"?}]} */
#pragma once

#include "base/text.h"

typedef struct AttackTechnique {
    const char *id;           /* "T1059.004" */
    const char *name;         /* "Unix Shell" */
    const char *display_name; /* "Command and Scripting Interpreter: Unix Shell" */
    const char *parent;       /* id of the technique a sub-technique belongs to, else NULL */
    const char *url;          /* "https://attack.mitre.org/techniques/T1059/004" */
    const char *const *tactics;
    size_t n_tactics;
    const char *successor; /* of a revoked one: id, or NULL when it has none */
    bool revoked, deprecated;
} AttackTechnique;

typedef struct AttackCatalog AttackCatalog;

/* Returns 0; -EINVAL when the content is not a catalogue, or the negative errno of reading; then *ret_error (caller
 * frees) names the file, what is wrong with it and what to do. */
int attack_catalog_load(const char *path, AttackCatalog **ret, char **ret_error) must_check;
/* The same from memory; @name stands for the file in messages. */
int attack_catalog_parse(Str text, const char *name, AttackCatalog **ret, char **ret_error) must_check;
void attack_catalog_free(AttackCatalog *catalog); /* accepts NULL */
static inline void attack_catalog_freep(AttackCatalog **p)
{
    attack_catalog_free(*p);
}

const char *attack_catalog_release(const AttackCatalog *catalog); /* "v19.1" */
const char *attack_catalog_notice(const AttackCatalog *catalog);  /* MITRE's copyright line, to be shown with names */

/* By id, technique or sub-technique, revoked ones included; NULL when there is none. */
const AttackTechnique *attack_catalog_technique(const AttackCatalog *catalog, const char *id);
/* What a revoked technique is called today, through any number of revocations; NULL when the trail ends nowhere.
 * A technique that is not revoked is its own successor. */
const AttackTechnique *attack_catalog_current(const AttackCatalog *catalog, const AttackTechnique *technique);
bool attack_technique_has_tactic(const AttackTechnique *technique, const char *tactic);
const char *attack_catalog_tactic_name(const AttackCatalog *catalog, const char *id); /* NULL when unknown */
