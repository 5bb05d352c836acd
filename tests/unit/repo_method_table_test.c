/* The method table is the whole interface and nothing else: tests/samples/methods.txt says what that is. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "repo/method.h"

static void read_inventory(Buf *out)
{
    char path[4096];

    cr_assert_not_null(getenv("DECNET_SOURCE_ROOT"));
    snprintf(path, sizeof(path), "%s/tests/samples/methods.txt", getenv("DECNET_SOURCE_ROOT"));
    cr_assert_eq(file_read(path, 1 << 20, out), 0, "%s", path);
}

/* The next line of @rest that is no comment, without its end; absent at the end. */
static Str next_line(Str *rest)
{
    Str line = {0};

    do {
        const char *end = rest->len ? memchr(rest->data, '\n', rest->len) : NULL;
        if (!end)
            return (Str){0};
        line = (Str){rest->data, (size_t)(end - rest->data)};
        *rest = (Str){end + 1, rest->len - line.len - 1};
    } while (str_starts(line, "#"));
    return line;
}

static void add_method(Buf *out, const Method *m)
{
    const MethodParam *params = method_params(m);

    buf_printf(out, "%s %s", method_iterates(m) ? "iterates" : method_writes(m) ? "writes" : "reads", method_name(m));
    for (size_t i = 0; i < METHOD_PARAMS_MAX && params[i].name; i++) {
        buf_printf(out, " %s", params[i].name);
        if (!params[i].required)
            buf_printf(out, "=%s", params[i].standard ? params[i].standard : "null");
    }
}

Test(repo_method_table, is_the_interface)
{
    cleanup(buf_free) Buf inventory = {0};
    size_t n = 0;

    read_inventory(&inventory);
    Str rest = buf_str(&inventory), want;
    for (; (want = next_line(&rest)).data; n++) {
        cleanup(buf_free) Buf have = {0};
        if (n < method_count())
            add_method(&have, method_at(n));
        cr_assert(str_eq(buf_str(&have), want), "method %zu is\n  %s\nand should be\n  " STR_FMT, n + 1,
                  buf_str(&have).data, STR_ARG(want));
    }
    cr_expect_eq(n, 200);
    cr_expect_eq(method_count(), n);
}

Test(repo_method_table, rows_agree_with_themselves)
{
    for (size_t i = 0; i < method_count(); i++) {
        const Method *m = method_at(i);
        const MethodParam *params = method_params(m);
        cr_expect(!method_iterates(m) || !method_writes(m), "%s iterates and writes", method_name(m));
        for (size_t j = 0; j < METHOD_PARAMS_MAX && params[j].name; j++) {
            const MethodParam *p = &params[j];
            cleanup(json_putp) json_object *standard = p->standard ? json_parse(str_from(p->standard)) : NULL;
            cr_expect(!p->standard || standard, "%s: the default of %s is not JSON", method_name(m), p->name);
            cr_expect(!p->required || !p->standard, "%s: %s is required and has a default", method_name(m), p->name);
        }
    }
}
