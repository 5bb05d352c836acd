/* Names of techniques and tactics for what is shown. Ids are enough to work with, so a missing catalogue is said once
 * and the names are left out. */
#pragma once

#include "decnetctl.h"
#include "ttp/catalog.h"

typedef struct Names {
    AttackCatalog *catalog;
} Names;

void names_load(Names *names, const Ctl *ctl);
void names_free(Names *names);
/* NULL when unknown. */
const char *names_technique(const Names *names, Str technique, Str sub_or_absent);
const char *names_tactic(const Names *names, Str tactic);
