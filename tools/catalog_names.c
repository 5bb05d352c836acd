#include "catalog_names.h"

#include <stdio.h>

enum { ID_BYTES = 32 };

void names_load(Names *names, const Ctl *ctl)
{
    cleanup(freep) char *error = NULL;
    if (attack_catalog_load(ctl->config.attack_catalog, &names->catalog, &error) != 0)
        fprintf(stderr, "%s: without names of techniques: %s\n", ctl->program, error ? error : "no catalogue");
}

void names_free(Names *names)
{
    attack_catalog_free(names->catalog);
}

const char *names_technique(const Names *names, Str technique, Str sub_or_absent)
{
    char id[ID_BYTES];
    Str key = sub_or_absent.data ? sub_or_absent : technique;

    if (!names->catalog || key.len >= sizeof(id))
        return NULL;
    snprintf(id, sizeof(id), STR_FMT, STR_ARG(key));
    const AttackTechnique *t = attack_catalog_technique(names->catalog, id);
    return t ? t->display_name : NULL;
}

const char *names_tactic(const Names *names, Str tactic)
{
    char id[ID_BYTES];

    if (!names->catalog || tactic.len >= sizeof(id))
        return NULL;
    snprintf(id, sizeof(id), STR_FMT, STR_ARG(tactic));
    return attack_catalog_tactic_name(names->catalog, id);
}
