/* Command lines. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cli.h"

static bool flag;
static const char *value, *path;
static char *error;

static const CliOption options[] = {
    {"dry-run", .flag = &flag, .help = "change nothing"},
    {"since", .value = &value, .help = "TIME\tfrom then on"},
    {"config", .value = &path, .help = "FILE\tread the configuration from FILE"},
};

enum { WORDS_MAX = 16 };
static char text[1024]; /* the words of the last command line, each with its NUL */
static char *argv[WORDS_MAX + 1];

/* Parses @line, its words separated by one blank each. */
static int parse(Config *config, const char *line, int *ret_n)
{
    int argc = 0;

    cr_assert_lt(snprintf(text, sizeof(text), "prog %s", line), (int)sizeof(text));
    for (char *word = strtok(text, " "); word; word = strtok(NULL, " ")) {
        cr_assert_lt(argc, WORDS_MAX);
        argv[argc++] = word;
    }
    argv[argc] = NULL;
    flag = false;
    value = NULL;
    free(error);
    error = NULL;
    return cli_parse(argc, argv, options, ARRAY_SIZE(options), config, ret_n, &error);
}

Test(cli, options_in_any_place)
{
    int n = 0;

    cr_assert_eq(parse(NULL, "first --since now second --dry-run -- --third -", &n), 0, "%s", error);
    cr_assert(flag);
    cr_assert_str_eq(value, "now");
    cr_assert_eq(n, 4);
    cr_assert_str_eq(argv[1], "first");
    cr_assert_str_eq(argv[2], "second");
    cr_assert_str_eq(argv[3], "--third");
    cr_assert_str_eq(argv[4], "-");
    cr_assert_eq(parse(NULL, "--since=a=b", &n), 0);
    cr_assert_str_eq(value, "a=b");
    cr_assert_eq(n, 0);
}

Test(cli, keys_of_the_configuration_are_options)
{
    Config config;
    int n;

    cr_assert_eq(parse(&config, "--config /dev/null --batch-records=7 --solo --kafka.linger.ms 5", &n), 0, "%s", error);
    cr_assert(config.batch_records == 7 && config.solo && config.n_kafka == 1);
    config_free(&config);
}

Test(cli, mistakes_are_named)
{
    Config config;
    int n;

    cr_assert_eq(parse(NULL, "--dry-rum", &n), -EINVAL);
    cr_assert_not_null(strstr(error, "did you mean --dry-run"), "%s", error);
    cr_assert_eq(parse(NULL, "--completely-else", &n), -EINVAL);
    cr_assert_not_null(strstr(error, "--completely-else"), "%s", error);
    cr_assert_eq(parse(NULL, "--since", &n), -EINVAL);
    cr_assert_not_null(strstr(error, "wants a value"), "%s", error);
    cr_assert_eq(parse(NULL, "--dry-run=yes", &n), -EINVAL);
    cr_assert_not_null(strstr(error, "takes no value"), "%s", error);
    cr_assert_eq(parse(NULL, "-x", &n), -EINVAL);
    cr_assert_not_null(strstr(error, "-x"), "%s", error);
    cr_assert_eq(parse(&config, "--config=/dev/null --batch-records=0", &n), -EINVAL);
    cr_assert_not_null(strstr(error, "batch_records"), "%s", error);
    config_free(&config);
    cr_assert_eq(parse(&config, "--config=/nonexistent/file", &n), -ENOENT);
    config_free(&config);
}

Test(cli, help_lines)
{
    cleanup(buf_free) Buf out = {0};
    cli_print_options(options, ARRAY_SIZE(options), &out);
    cr_assert_not_null(strstr(out.data, "--dry-run"));
    cr_assert_not_null(strstr(out.data, "--since=TIME"));
    cr_assert_not_null(strstr(out.data, "from then on"));
    cr_assert_null(strchr(out.data, '\t'));
}
