/* Configuration: three sources, one table, messages that help. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/config.h"
#include "base/limits.h"

static Config config;
static char *error;
static char path[] = "/tmp/decnet-config-XXXXXX";

static void start(void)
{
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    close(fd);
}

static void stop(void)
{
    unlink(path);
    config_free(&config);
    free(error);
}

static int load(Str content)
{
    FILE *f = fopen(path, "w");
    cr_assert_not_null(f);
    cr_assert_eq(fwrite(content.data, 1, content.len, f), content.len);
    fclose(f);
    config_free(&config);
    free(error);
    return config_load(&config, path, &error);
}

static int set(const char *key, Str value)
{
    free(error);
    error = NULL;
    return config_set(&config, str_from(key), value, "command line", &error);
}

static void expect_error(const char *part)
{
    cr_assert_not_null(error);
    cr_assert_not_null(strstr(error, part), "no \"%s\" in: %s", part, error);
}

Test(config, defaults_are_those_of_the_table, .init = start, .fini = stop)
{
    cr_assert_eq(load(STR("")), 0, "%s", error);
    cr_assert_str_eq(config.database, "");
    cr_assert_str_eq(config.instance, "0");
    cr_assert_str_eq(config.rules_path, "/usr/share/decnet/rules:/etc/decnet/rules");
    cr_assert_eq(config.log_level, LOG_LEVEL_INFO);
    cr_assert_eq(config.log_format, LOG_FORMAT_AUTO);
    cr_assert(config.batch_records >= 1 && config.batch_records <= LIMIT_BATCH_RECORDS);
    cr_assert_not(config.solo);
    cr_assert_eq(config.n_kafka, 0);
}

Test(config, command_line_beats_environment_beats_file, .init = start, .fini = stop)
{
    setenv("DECNET_BATCH_RECORDS", "20", 1);
    setenv("DECNET_INSTANCE", "env", 1);
    cr_assert_eq(load(STR("# comment\n\n  batch_records = 10  \ninstance=file\nbatch_age_ms=7\n solo = yes")), 0, "%s",
                 error);
    cr_assert_eq(config.batch_age_ms, 7);
    cr_assert_eq(config.batch_records, 20);
    cr_assert_str_eq(config.instance, "env");
    cr_assert(config.solo, "the last line needs no line end");
    cr_assert_eq(set("batch-records", STR("30")), 0);
    cr_assert_eq(set("batch_age_ms", STR("8")), 0);
    cr_assert(config.batch_records == 30 && config.batch_age_ms == 8);
}

Test(config, kafka_properties_pass_through, .init = start, .fini = stop)
{
    setenv("DECNET_KAFKA_BOOTSTRAP_SERVERS", "env:9092", 1);
    setenv("DECNET_KAFKA_TOPIC_PREFIX", "prod.", 1); /* a key of the table wins over kafka.topic.prefix */
    cr_assert_eq(load(STR("kafka.bootstrap.servers = file:9092\nkafka.linger.ms=5\n")), 0, "%s", error);
    cr_assert_eq(config.n_kafka, 2);
    cr_assert_str_eq(config.kafka[0].name, "bootstrap.servers");
    cr_assert_str_eq(config.kafka[0].value, "env:9092");
    cr_assert_str_eq(config.kafka_topic_prefix, "prod.");
    cr_assert_eq(set("kafka.linger.ms", STR("")), 0);
    cr_assert_str_eq(config.kafka[1].value, "");
    cr_assert(config_is_key(STR("kafka.x")) && config_is_key(STR("batch-records")) && config_is_key(STR("solo")));
    cr_assert_not(config_is_key(STR("kafka.")) || config_is_key(STR("batch")) || config_is_key(STR("")));
}

static int refuse_linger(const Config *c, char **ret_error)
{
    if (c->n_kafka == 0 || strcmp(c->kafka[c->n_kafka - 1].name, "linger.ms") != 0)
        return 0;
    *ret_error = strdup("linger.ms is refused here");
    return -EINVAL;
}

Test(config, kafka_check_is_asked_and_its_place_named, .init = start, .fini = stop)
{
    config_check_kafka = refuse_linger;
    cr_assert_eq(load(STR("kafka.acks=all\n")), 0);
    cr_assert_eq(load(STR("kafka.acks=all\nkafka.linger.ms=5\n")), -EINVAL);
    expect_error(":2: linger.ms is refused here");
}

Test(config, wrong_lines_are_named, .init = start, .fini = stop)
{
    static const struct {
        Str content;
        const char *message;
    } rows[] = {
        {STR("instance = a\nbatch_record = 5\n"), ":2: unknown key \"batch_record\"; did you mean \"batch_records\"?"},
        {STR("databse=x\n"), "did you mean \"database\"?"},
        {STR("something_else=1\n"), "unknown key \"something_else\"; --help"},
        {STR("kafka_bootstrap_servers=x\n"), "kafka.<property>"},
        {STR("kafka.=x\n"), "unknown key"},
        {STR("just a line\n"), ":1: expected \"key = value\""},
        {STR("=x\n"), "unknown key \"\""},
        {STR("batch_records=0\n"), "a number from 1 to 10000"},
        {STR("batch_records=10001\n"), "batch_records = \"10001\""},
        {STR("batch_records=ten\n"), "is not a number"},
        {STR("batch_records=\n"), "is not a number"},
        {STR("solo=maybe\n"), "is not true or false"},
        {STR("log_level=loud\n"), "err, warning, notice, info or debug"},
        {STR("log_format=xml\n"), "auto, text, json or journal"},
        {STR("kafka_topic_prefix=a b\n"), "at most 64 of the characters"},
        {STR("instance=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n"), "at most 64"},
        {STR("rules_path=a\0b\n"), "NUL byte"},
        {STR("log_level=\x1b[31m\n"), "\\x1b"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cr_assert_eq(load(rows[i].content), -EINVAL, "row %zu", i);
        expect_error(rows[i].message);
        expect_error(path);
    }
    cr_assert_eq(load(STR("")), 0);
    cr_assert_eq(set("batch-size", STR("1")), -EINVAL);
    expect_error("command line: unknown key \"batch_size\"");
}

Test(config, unknown_variables_are_refused_and_those_of_tools_not, .init = start, .fini = stop)
{
    static const char *const others[] = {"DECNET_CONFIG",     "DECNET_CLOCK_OFFSET_US", "DECNET_SOURCE_ROOT",
                                         "DECNET_STATE_FILE", "DECNET_ADMIN_USER",      "DECNET_ADMIN_PASSWORD",
                                         "DECNET_TEST_ANY",   "DECNET_BROKER_PROGRAM",  "OTHER_BATCH_RECORD"};
    for (size_t i = 0; i < ARRAY_SIZE(others); i++)
        setenv(others[i], "x", 1);
    cr_assert_eq(load(STR("")), 0, "%s", error);
    setenv("DECNET_BATCH_RECORD", "5", 1);
    cr_assert_eq(load(STR("")), -EINVAL);
    expect_error(
        "environment variable DECNET_BATCH_RECORD: unknown key \"batch_record\"; did you mean \"batch_records\"?");
    unsetenv("DECNET_BATCH_RECORD");
    setenv("DECNET_TEST_", "x", 1); /* the star stands for something */
    cr_assert_eq(load(STR("")), -EINVAL);
}

Test(config, files_are_found_or_missed, .init = start, .fini = stop)
{
    cr_assert_eq(config_load(&config, "/nonexistent/decnet.conf", &error), -ENOENT);
    expect_error("/nonexistent/decnet.conf");
    config_free(&config);
    free(error);
    cr_assert_eq(config_load(&config, "/", &error), -EISDIR, "%s", error);
    config_free(&config);
    free(error);
    setenv("DECNET_CONFIG", "/nonexistent/other.conf", 1);
    cr_assert_eq(config_load(&config, NULL, &error), -ENOENT, "a file that is named must exist");
    expect_error("other.conf");
    cr_assert_eq(load(STR("instance=7\n")), 0);
    setenv("DECNET_CONFIG", path, 1);
    config_free(&config);
    cr_assert_eq(config_load(&config, NULL, &error), 0);
    cr_assert_str_eq(config.instance, "7");
}

Test(config, cache_folder, .init = start, .fini = stop)
{
    static const struct {
        const char *key, *systemd, *xdg, *home, *folder;
    } rows[] = {
        {"/k", "/s:/t", "/x", "/h", "/k"},           {"", "/s:/t", "/x", "/h", "/s"}, {"", "", "/x", "/h", "/x/decnet"},
        {"", NULL, "rel", "/h", "/h/.cache/decnet"}, {"", NULL, NULL, "", NULL},
    };
    cr_assert_eq(load(STR("")), 0);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const char *names[] = {"CACHE_DIRECTORY", "XDG_CACHE_HOME", "HOME"};
        const char *values[] = {rows[i].systemd, rows[i].xdg, rows[i].home};
        for (size_t k = 0; k < 3; k++)
            values[k] ? setenv(names[k], values[k], 1) : unsetenv(names[k]);
        cr_assert_eq(set("cache_dir", str_from(rows[i].key)), 0);
        cleanup(freep) char *folder = config_cache_dir(&config);
        if (rows[i].folder)
            cr_assert_str_eq(folder, rows[i].folder);
        else
            cr_assert_null(folder);
    }
}

Test(config, printing_hides_secrets_and_reads_back, .init = start, .fini = stop)
{
    cleanup(buf_free) Buf out = {0}, again = {0};

    cr_assert_eq(
        load(STR("database = host=h password=hunter2 dbname=d\nkafka.sasl.password=hunter2\n"
                 "kafka.ssl.key.password=hunter2\nkafka.ssl.key.pem=hunter2\nkafka.ssl.keystore.password=hunter2\n"
                 "kafka.sasl.oauthbearer.client.secret=hunter2\nkafka.ssl.key.location=/etc/key\n"
                 "kafka.sasl.username=me\nsolo=on\nlog_level=debug\nlog_format=json\nbatch_records=17\n")),
        0, "%s", error);
    config_print(&config, &out);
    cr_assert_null(strstr(out.data, "hunter2"), "%s", out.data);
    cr_assert_not_null(strstr(out.data, "database = host=h password=*** dbname=d\n"));
    cr_assert_not_null(strstr(out.data, "kafka.ssl.key.location = /etc/key\n"));
    cr_assert_not_null(strstr(out.data, "kafka.sasl.username = me\n"));
    cr_assert_eq(load(buf_str(&out)), 0, "what is printed is a file: %s", error);
    config_print(&config, &again);
    cr_assert_str_eq(out.data, again.data);
    cr_assert(config.solo && config.batch_records == 17 && config.log_level == LOG_LEVEL_DEBUG &&
              config.log_format == LOG_FORMAT_JSON);
}

Test(config, help_has_every_key)
{
    static const char *const names[] = {
        "database",       "kafka-topic-prefix",   "instance",  "rules-path", "attack-catalog", "cache-dir",
        "metrics-listen", "metrics-port-file",    "log-level", "log-format", "batch-records",  "batch-bytes",
        "batch-age-ms",   "statement-timeout-ms", "solo"};
    cleanup(buf_free) Buf out = {0};

    config_print_help(&out);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        char option[64];
        snprintf(option, sizeof(option), "  --%s=VALUE ", names[i]);
        cr_assert_not_null(strstr(out.data, option), "%s", names[i]);
        cr_assert(config_is_key(str_from(names[i])));
    }
    cr_assert_not_null(strstr(out.data, "--kafka.PROPERTY=VALUE"));
}

Test(config, a_program_has_a_default_of_its_own, .init = start, .fini = stop)
{
    cleanup(buf_free) Buf help = {0};

    config_default("batch_records", "4000");
    cr_assert_eq(load(STR("")), 0, "%s", error);
    cr_assert(config.batch_records == 4000 && config.batch_age_ms == 200);
    config_print_help(&help);
    cr_assert_not_null(strstr(help.data, "most records in one transaction (4000)"));
    cr_assert_eq(load(STR("batch_records = 17\n")), 0, "%s", error);
    cr_assert_eq(config.batch_records, 17, "what is said wins");
}

Test(config, connection_strings_are_masked)
{
    static const struct {
        const char *in, *out;
    } rows[] = {
        {"", ""},
        {"service=decnet", "service=decnet"},
        {"host=h password=s3cret", "host=h password=***"},
        {"password = 's3 cret\\' x'  host=h", "password=*** host=h"},
        {"password=s3\\ cret host=h", "password=*** host=h"},
        {"sslpassword=s3cret sslkey=/k", "sslpassword=*** sslkey=/k"},
        {"host='a b' user='x'", "host='a b' user='x'"},
        {"password='s3cret", "***"}, /* not to be parsed: nothing is shown */
        {"s3cret", "***"},
        {"host=h =s3cret", "***"},
        {"postgresql://u:s3cret@h:5432/d", "postgresql://u:***@h:5432/d"},
        {"postgres://u@h/d", "postgres://u@h/d"},
        {"postgresql://h:5432/d?connect_timeout=5", "postgresql://h:5432/d?connect_timeout=5"},
        {"postgresql://u:s3c@ret@h/d", "postgresql://u:***@h/d"},
        {"postgresql://u:s3/c?ret@h/d", "postgresql://u:***@h/d"},
        {"postgresql:///d?user=u&password=s3cret&sslpassword=s3cret&host=h",
         "postgresql:///d?user=u&password=***&sslpassword=***&host=h"},
        {"postgresql:///d?pass%77ord=s3cret", "postgresql:///d?pass%77ord=***"},
        {"postgresql:///d?&password", "postgresql:///d?&password"},
        {"  postgresql://u:s3cret@h/d", "postgresql://u:***@h/d"},
        {"host=\x1b[2J", "host=\\x1b[2J"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cleanup(buf_free) Buf out = {0};
        buf_add(&out, "");
        config_mask_conninfo(&out, rows[i].in);
        cr_assert_str_eq(out.data, rows[i].out, "row %zu: %s", i, out.data);
    }
}
