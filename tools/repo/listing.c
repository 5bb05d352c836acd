#include "listing.h"

#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

#include "repo/method.h"

static void add_type(const MethodParam *p, Buf *out)
{
    buf_printf(out, "%s%s", param_type_name(p), param_may_be_null(p) ? "?" : "");
}

static bool fits(size_t i, const char *pattern)
{
    const char *name = method_name(method_at(i));
    return !pattern || strstr(name, pattern) || fnmatch(pattern, name, 0) == 0 || strcmp(method_group(i), pattern) == 0;
}

static void put_param(JsonWriter *w, const MethodParam *p)
{
    cleanup(buf_free) Buf type = {0};

    add_type(p, &type);
    json_begin_object(w);
    json_put_cstr(w, "name", p->name);
    json_put_str(w, "type", buf_str(&type));
    json_put_bool(w, "required", p->required);
    json_key(w, "default");
    json_value_raw(w, str_from(p->standard ? p->standard : "null"));
    json_end_object(w);
}

static void put_method(JsonWriter *w, size_t i)
{
    const Method *m = method_at(i);
    const MethodParam *params = method_params(m);

    json_begin_object(w);
    json_put_cstr(w, "name", method_name(m));
    json_put_cstr(w, "group", method_group(i));
    json_key(w, "params");
    json_begin_array(w);
    for (size_t j = 0; j < METHOD_PARAMS_MAX && params[j].name; j++)
        put_param(w, &params[j]);
    json_end_array(w);
    json_put_cstr(w, "returns", method_returns(m));
    json_put_bool(w, "async_iterator", method_iterates(m));
    json_put_bool(w, "writes", method_writes(m));
    json_end_object(w);
}

static int print_json(const Ctl *ctl, const char *pattern)
{
    cleanup(buf_free) Buf json = {0};
    JsonWriter w = {.buf = &json};

    json_begin_array(&w);
    for (size_t i = 0; i < method_count(); i++)
        if (fits(i, pattern))
            put_method(&w, i);
    json_end_array(&w);
    return ctl_print_json(ctl, &json);
}

/* "uuid: uuid, limit: int = 50" */
static void add_params(const MethodParam *params, Buf *out)
{
    for (size_t i = 0; i < METHOD_PARAMS_MAX && params[i].name; i++) {
        buf_printf(out, "%s%s: ", i ? ", " : "", params[i].name);
        add_type(&params[i], out);
        if (!params[i].required)
            buf_printf(out, " = %s", params[i].standard ? params[i].standard : "null");
    }
}

static void add_row(CtlTable *t, size_t i)
{
    const Method *m = method_at(i);
    cleanup(buf_free) Buf params = {0};

    add_params(method_params(m), &params);
    ctl_cell(t, "%s", method_group(i));
    ctl_cell(t, "%s", method_name(m));
    ctl_cell(t, "%s", method_writes(m) ? "writes" : "reads");
    ctl_cell(t, "%s", method_returns(m));
    ctl_cell(t, "%s", buf_str(&params).data);
}

int listing_print(const Ctl *ctl, const char *pattern)
{
    CtlTable t = {.heads = {"group", "method", "does", "returns", "parameters"}};

    if (ctl->json)
        return print_json(ctl, pattern);
    for (size_t i = 0; i < method_count(); i++)
        if (fits(i, pattern))
            add_row(&t, i);
    ctl_print_table(&t, "No method has such a name.");
    return 0;
}
