/* Command lines. */
#include <criterion/criterion.h>
#include <errno.h>
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

static int parse(Config *config, char **argv, int *ret_n)
{
    int argc = 0;
    while (argv[argc])
        argc++;
    flag = false;
    value = NULL;
    free(error);
    error = NULL;
    return cli_parse(argc, argv, options, ARRAY_SIZE(options), config, ret_n, &error);
}

#define ARGV(...) ((char *[]){(char[]){"prog"}, __VA_ARGS__, NULL})
#define A(text) ((char[]){text})

Test(cli, options_in_any_place)
{
    char **argv = ARGV(A("first"), A("--since"), A("now"), A("second"), A("--dry-run"), A("--"), A("--third"), A("-"));
    int n = 0;

    cr_assert_eq(parse(NULL, argv, &n), 0, "%s", error);
    cr_assert(flag);
    cr_assert_str_eq(value, "now");
    cr_assert_eq(n, 4);
    cr_assert_str_eq(argv[1], "first");
    cr_assert_str_eq(argv[2], "second");
    cr_assert_str_eq(argv[3], "--third");
    cr_assert_str_eq(argv[4], "-");
    cr_assert_eq(parse(NULL, ARGV(A("--since=a=b")), &n), 0);
    cr_assert_str_eq(value, "a=b");
    cr_assert_eq(n, 0);
}

Test(cli, keys_of_the_configuration_are_options)
{
    Config config;
    int n;

    cr_assert_eq(
        parse(&config,
              ARGV(A("--config"), A("/dev/null"), A("--batch-records=7"), A("--solo"), A("--kafka.linger.ms"), A("5")),
              &n),
        0, "%s", error);
    cr_assert(config.batch_records == 7 && config.solo && config.n_kafka == 1);
    config_free(&config);
}

Test(cli, mistakes_are_named)
{
    Config config;
    int n;

    cr_assert_eq(parse(NULL, ARGV(A("--dry-rum")), &n), -EINVAL);
    cr_assert_not_null(strstr(error, "did you mean --dry-run"), "%s", error);
    cr_assert_eq(parse(NULL, ARGV(A("--completely-else")), &n), -EINVAL);
    cr_assert_not_null(strstr(error, "--completely-else"), "%s", error);
    cr_assert_eq(parse(NULL, ARGV(A("--since")), &n), -EINVAL);
    cr_assert_not_null(strstr(error, "wants a value"), "%s", error);
    cr_assert_eq(parse(NULL, ARGV(A("--dry-run=yes")), &n), -EINVAL);
    cr_assert_not_null(strstr(error, "takes no value"), "%s", error);
    cr_assert_eq(parse(NULL, ARGV(A("-x")), &n), -EINVAL);
    cr_assert_not_null(strstr(error, "-x"), "%s", error);
    cr_assert_eq(parse(&config, ARGV(A("--config=/dev/null"), A("--batch-records=0")), &n), -EINVAL);
    cr_assert_not_null(strstr(error, "batch_records"), "%s", error);
    config_free(&config);
    cr_assert_eq(parse(&config, ARGV(A("--config=/nonexistent/file")), &n), -ENOENT);
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
