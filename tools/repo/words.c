#include "words.h"

#include <errno.h>
#include <string.h>

#include "base/file.h"
#include "base/limits.h"

static bool is_text(ParamType type)
{
    switch (type) {
    case PARAM_TEXT:
    case PARAM_FILTER:
    case PARAM_IP:
    case PARAM_ID:
    case PARAM_UUID:
    case PARAM_NEW_ID:
    case PARAM_TIME:
        return true;
    case PARAM_INT:
    case PARAM_COUNT:
    case PARAM_LIMIT:
    case PARAM_BOOL:
    case PARAM_OBJECT:
    case PARAM_LIST:
    case PARAM_SET:
    case PARAM_IPS:
    case PARAM_JSON:
        return false;
    }
    return false;
}

static json_object *text_value(Str text)
{
    return json_object_new_string_len(text.data, (int)text.len);
}

static bool is_null_word(Str text)
{
    return str_eq(text_trim(text), STR("null"));
}

/* *ret NULL is a JSON null. */
static int take_text(const MethodParam *p, Str text, bool from_file, json_object **ret)
{
    cleanup(json_putp) json_object *json = from_file ? NULL : json_parse_exact(text);

    if (json_object_is_type(json, json_type_string))
        *ret = TAKE_PTR(json);
    else if (from_file || !p->nullable || !is_null_word(text))
        *ret = text_value(text);
    return 0;
}

static int take_json(const Ctl *ctl, const MethodParam *p, Str text, json_object **ret)
{
    if (is_null_word(text))
        return 0;
    *ret = json_parse_exact(text);
    if (!*ret && p->type == PARAM_JSON)
        *ret = text_value(text);
    return *ret ? 0 : ctl_usage(ctl, "the value of %s is not JSON", p->name);
}

static int take_value(const Ctl *ctl, const MethodParam *p, const char *word, json_object **ret)
{
    cleanup(buf_free) Buf file = {0};
    bool from_file = *word == '@';

    if (from_file) {
        int r = file_read(word + 1, LIMIT_REQUEST_BYTES, &file);
        if (r == -EFBIG)
            return ctl_fail(ctl, EXIT_FAILED, "%s is larger than %d bytes", word + 1, LIMIT_REQUEST_BYTES);
        if (r < 0)
            return ctl_fail(ctl, EXIT_FAILED, "cannot read %s: %s", word + 1, strerror(-r));
    }
    Str text = from_file ? buf_str(&file) : str_from(word);
    return is_text(p->type) ? take_text(p, text, from_file, ret) : take_json(ctl, p, text, ret);
}

/* The parameter that @word begins with, or NULL after a message. */
static const MethodParam *find_param(const Ctl *ctl, const Method *method, Str key)
{
    const MethodParam *params = method_params(method);
    const char *names[METHOD_PARAMS_MAX];
    size_t n = 0;

    for (; n < METHOD_PARAMS_MAX && params[n].name; n++) {
        names[n] = params[n].name;
        if (str_eq_cstr(key, names[n]))
            return &params[n];
    }
    const char *near = text_nearest(key, names, n, 3);
    ctl_usage(ctl, "%s has no parameter '" STR_FMT "'%s%s%s", method_name(method), STR_ARG(key),
              near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
    return NULL;
}

static int take_word(const Ctl *ctl, const Method *method, const char *word, json_object *params)
{
    const char *equals = strchr(word, '=');
    json_object *value = NULL;

    if (!equals)
        return ctl_usage(ctl, "'%s' is no KEY=VALUE", word);
    const MethodParam *p = find_param(ctl, method, (Str){word, (size_t)(equals - word)});
    if (!p)
        return EXIT_USAGE;
    if (json_object_object_get_ex(params, p->name, NULL))
        return ctl_usage(ctl, "%s is given twice", p->name);
    int code = take_value(ctl, p, equals + 1, &value);
    if (code == 0)
        json_object_object_add(params, p->name, value);
    return code;
}

int words_to_params(const Ctl *ctl, const Method *method, json_object **ret)
{
    cleanup(json_putp) json_object *params = json_object_new_object();
    int code = 0;

    for (int i = 1; code == 0 && i < ctl->n_args; i++)
        code = take_word(ctl, method, ctl->args[i], params);
    if (code == 0)
        *ret = TAKE_PTR(params);
    return code;
}
