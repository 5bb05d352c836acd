#include "vectors_support.h"

#include <stdio.h>
#include <sys/wait.h>

VectorsOutput vectors_run(const char *arguments)
{
    char command[4096];
    VectorsOutput out = {0};

    cr_assert_not_null(getenv("DECNET_VECTORS_PROGRAM"));
    snprintf(command, sizeof(command), "exec 2>&1; '%s' --rules-path='%s' --attack-catalog='%s' --cache-dir='%s' %s",
             getenv("DECNET_VECTORS_PROGRAM"), source_path("workers/ttp/rules"),
             source_path("workers/ttp/attack/enterprise-attack.json"), scratch_folder(), arguments);
    FILE *f = popen(command, "r");
    cr_assert_not_null(f);
    out.text[fread(out.text, 1, sizeof(out.text) - 1, f)] = '\0';
    out.status = WEXITSTATUS(pclose(f));
    return out;
}

VectorsOutput vectors_run_text(const char *text)
{
    return vectors_run(scratch_file("cases", str_from(text)));
}

void vectors_expect(const VectorsOutput *out, int status, const char *part)
{
    cr_assert_eq(out->status, status, "status %d: %s", out->status, out->text);
    cr_assert_not_null(strstr(out->text, part), "wanted \"%s\" in:\n%s", part, out->text);
}
