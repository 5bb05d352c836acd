#include "cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static int printf_like(2, 3) refuse(char **ret_error, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    if (vasprintf(ret_error, fmt, args) < 0)
        *ret_error = NULL;
    va_end(args);
    return -EINVAL;
}

static const CliOption *find(const CliOption *options, size_t n, Str name)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq_cstr(name, options[i].name))
            return &options[i];
    return NULL;
}

/* What is near an option, else what is near a key. */
static int unknown(const CliOption *options, size_t n, Config *config, Str name, char **ret_error)
{
    cleanup(freep) const char **names = calloc(n + 1, sizeof(*names));
    cleanup(buf_free) Buf word = {0};
    if (!names)
        abort();
    for (size_t i = 0; i < n; i++)
        names[i] = options[i].name;
    buf_add_str(&word, name);
    const char *near = text_nearest(name, names, n, 3);
    if (!near && config && name.len)
        return config_set(config, name, STR(""), "command line", ret_error);
    return near ? refuse(ret_error, "unknown option --%s; did you mean --%s?", word.data, near)
                : refuse(ret_error, "unknown option --%s; see --help", word.data ? word.data : "");
}

/* The value of option @i: behind '=', or the next word. */
static const char *value_of(int argc, char **argv, int *i, Str *name)
{
    const char *equals = memchr(name->data, '=', name->len);
    if (equals) {
        name->len = (size_t)(equals - name->data);
        return equals + 1;
    }
    return *i + 1 < argc ? argv[++*i] : NULL;
}

static int take_option(int argc, char **argv, int *i, const CliOption *options, size_t n, Config *config,
                       char **ret_error)
{
    Str name = str_from(argv[*i] + 2);
    const char *equals = strchr(argv[*i], '=');
    Str bare = equals ? (Str){name.data, (size_t)(equals - name.data)} : name;
    const CliOption *option = find(options, n, bare);

    if (option && option->flag) {
        *option->flag = true;
        return equals ? refuse(ret_error, "--%s takes no value", option->name) : 0;
    }
    if (!option && !(config && config_is_key(bare)))
        return unknown(options, n, config, bare, ret_error);
    if (!option && !equals && str_eq_cstr(bare, "solo")) /* the one key that reads well as a flag */
        return config_set(config, bare, STR("true"), "command line", ret_error);
    const char *value = value_of(argc, argv, i, &name);
    if (!value)
        return refuse(ret_error, "--%s wants a value", argv[*i] + 2);
    if (!option)
        return config_set(config, bare, str_from(value), "command line", ret_error);
    *option->value = value;
    return 0;
}

/* --config has to be known before anything else is read. */
static const char *config_path(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strncmp(argv[i], "--config=", 9) == 0)
            return argv[i] + 9;
        if (strcmp(argv[i], "--config") == 0)
            return i + 1 < argc ? argv[i + 1] : NULL;
    }
    return NULL;
}

int cli_parse(int argc, char **argv, const CliOption *options, size_t n_options, Config *config, int *ret_n,
              char **ret_error)
{
    int n = 0, r = config ? config_load(config, config_path(argc, argv), ret_error) : 0;
    bool options_over = false;

    for (int i = 1; r == 0 && i < argc; i++) {
        if (!options_over && strcmp(argv[i], "--") == 0)
            options_over = true;
        else if (!options_over && strncmp(argv[i], "--", 2) == 0)
            r = take_option(argc, argv, &i, options, n_options, config, ret_error);
        else if (!options_over && argv[i][0] == '-' && argv[i][1])
            r = refuse(ret_error, "unknown option %s; options are long here: see --help", argv[i]);
        else
            argv[1 + n++] = argv[i];
    }
    *ret_n = n;
    return r;
}

void cli_print_options(const CliOption *options, size_t n_options, Buf *out)
{
    for (size_t i = 0; i < n_options; i++) {
        const char *tab = strchr(options[i].help, '\t');
        char left[64];
        snprintf(left, sizeof(left), "--%s%s%.*s", options[i].name, tab ? "=" : "",
                 tab ? (int)(tab - options[i].help) : 0, options[i].help);
        buf_printf(out, "  %-28s %s\n", left, tab ? tab + 1 : options[i].help);
    }
}
