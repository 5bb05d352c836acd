/* Messages as the operator sees them. Standard error goes to a file; the journal is a fake that the linker prefers to
 * libsystemd's. */
#define SD_JOURNAL_SUPPRESS_LOCATION
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#include "base/json.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/time.h"

static char path[] = "/tmp/decnet-log-XXXXXX";
static int saved_stderr, file = -1, journal_result;
static Buf journal; /* the fields of all entries, '\n' behind each field, '\n' behind each entry */

int sd_journal_sendv(const struct iovec *iov, int n)
{
    for (int i = 0; i < n; i++) {
        buf_append(&journal, iov[i].iov_base, iov[i].iov_len);
        buf_add_char(&journal, '\n');
    }
    buf_add_char(&journal, '\n');
    return journal_result;
}

static void start(void)
{
    saved_stderr = dup(STDERR_FILENO);
    file = mkstemp(path);
    dup2(file, STDERR_FILENO);
}

static void stop(void)
{
    dup2(saved_stderr, STDERR_FILENO);
    unlink(path);
    buf_free(&journal);
}

/* What was written since the last call. */
static char *written(void)
{
    static char text[64 * 1024];
    ssize_t n = pread(file, text, sizeof(text) - 1, 0);
    text[MAX(n, (ssize_t)0)] = '\0';
    cr_assert_eq(ftruncate(file, 0), 0);
    lseek(file, 0, SEEK_SET);
    return text;
}

static void expect(const char *part)
{
    char *text = written();
    cr_assert_not_null(strstr(text, part), "no \"%s\" in: %s", part, text);
}

Test(log, names_and_numbers)
{
    static const char *const levels[] = {"err", "warning", "notice", "info", "debug"};
    static const char *const formats[] = {"auto", "text", "json", "journal"};
    LogLevel level;
    LogFormat format;

    for (size_t i = 0; i < ARRAY_SIZE(levels); i++) {
        cr_assert(log_level_parse(str_from(levels[i]), &level) && level == LOG_LEVEL_ERR + i);
        cr_assert_str_eq(log_level_name(level), levels[i]);
    }
    for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
        cr_assert(log_format_parse(str_from(formats[i]), &format));
        cr_assert_str_eq(log_format_name(format), formats[i]);
    }
    cr_assert_not(log_level_parse(STR("INFO"), &level) || log_format_parse(STR(""), &format));
}

Test(log, text_line, .init = start, .fini = stop)
{
    const LogField fields[] = {{"DECNET_TOPIC", "ttp.tagged"}, {"SQLSTATE", "40001"}, {"DECNET_NOTE", "two words"},
                               {"DECNET_EMPTY", ""},           {"DECNET_NULL", NULL}, {0}};
    int64_t us;

    log_init("ttp", "0", LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    log_write(LOG_LEVEL_NOTICE, "started", fields, "version %d", 7);
    char *text = written();
    cr_assert_eq(time_parse((Str){text, TIME_TEXT_BYTES - 1}, &us, NULL), 0, "%s", text);
    cr_assert_str_eq(text + TIME_TEXT_BYTES - 1, " notice started: version 7 topic=ttp.tagged sqlstate=40001"
                                                 " note=\"two words\" empty=\"\" null=\"\"\n");
}

Test(log, attackers_text_stays_harmless, .init = start, .fini = stop)
{
    cleanup(buf_free) Buf lots = {0};
    LogField fields[] = {{"DECNET_NAME", "a\nb\x1b[31m\"\\\xff\xc2\x9b\xe2\x80\xae\x7f"}, {0}};

    log_init("ttp", "0", LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    log_write(LOG_LEVEL_INFO, "e", fields, "line\nbreak\r\t\x1b[2J");
    char *text = written();
    cr_assert_eq(strchr(text, '\n'), text + strlen(text) - 1, "one message, one line");
    cr_assert_not_null(
        strstr(text, "line\\nbreak\\r\\t\\u001b[2J name=\"a\\nb\\u001b[31m\\\"\\\\\xef\xbf\xbd\\u009b\\u202e\\u007f\""),
        "%s", text);

    for (int i = 0; i < 300; i++)
        buf_add(&lots, "\xc3\xa9");
    fields[0].value = lots.data;
    log_write(LOG_LEVEL_INFO, "long", fields, "x");
    text = strstr(written(), "name=") + 5;
    cr_assert_eq(strlen(text), (size_t)(2 * LIMIT_LOG_FIELD_CHARS + 1));
    for (int i = 0; i < 10000; i++)
        buf_add(&lots, "\xc3\xa9");
    log_info("longer", "%s", lots.data);
    cr_assert_leq(strlen(written()), (size_t)(LIMIT_LOG_MESSAGE_BYTES + 100));
}

Test(log, json_line, .init = start, .fini = stop)
{
    const LogField fields[] = {{"DECNET_TOPIC", "a\"b\n\xff"}, {0}};

    log_init("ttp", "3", LOG_LEVEL_INFO, LOG_FORMAT_JSON);
    log_write(LOG_LEVEL_WARNING, "held", fields, "it is %s", "so");
    char *text = written();
    cr_assert_eq(strchr(text, '\n'), text + strlen(text) - 1);
    cleanup(json_putp) json_object *o = json_parse(str_from(text));
    cr_assert_not_null(o, "%s", text);
    cr_assert(str_eq_cstr(json_get_str(o, "level"), "warning") && str_eq_cstr(json_get_str(o, "event"), "held"));
    cr_assert(str_eq_cstr(json_get_str(o, "worker"), "ttp") && str_eq_cstr(json_get_str(o, "instance"), "3"));
    cr_assert(str_eq_cstr(json_get_str(o, "message"), "it is so"));
    cr_assert(str_eq_cstr(json_get_str(o, "topic"), "a\"b\n\xef\xbf\xbd"));
    cr_assert_not_null(json_get_str(o, "time").data);
    cr_assert_null(json_member(o, "held_back"));
}

Test(log, journal_gets_fields, .init = start, .fini = stop)
{
    const LogField fields[] = {{"DECNET_TOPIC", "a\nMESSAGE=forged"}, {0}};
    struct stat st;
    char stream[64];

    log_init("ttp", "3", LOG_LEVEL_INFO, LOG_FORMAT_JOURNAL);
    log_write(LOG_LEVEL_ERR, "broke", fields, "words\nand more");
    cr_assert_str_eq(journal.data, "MESSAGE=words\\nand more\nPRIORITY=3\nDECNET_EVENT=broke\nDECNET_WORKER=ttp\n"
                                   "DECNET_INSTANCE=3\nDECNET_TOPIC=a\\nMESSAGE=forged\n\n");
    cr_assert_str_eq(written(), "");

    journal_result = -ENOENT; /* no journal there: the message must not be lost */
    log_err("broke", "again");
    expect("err broke: again");

    /* auto: only when the journal reads our standard error */
    journal_result = 0;
    cr_assert_eq(fstat(STDERR_FILENO, &st), 0);
    snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
    setenv("JOURNAL_STREAM", stream, 1);
    log_init("ttp", "3", LOG_LEVEL_INFO, LOG_FORMAT_AUTO);
    log_err("auto", "to the journal");
    cr_assert_str_eq(written(), "");
    setenv("JOURNAL_STREAM", "1:1", 1);
    log_init(NULL, NULL, LOG_LEVEL_INFO, LOG_FORMAT_AUTO);
    log_err("auto", "to the file");
    expect("auto: to the file");
}

Test(log, levels_are_a_threshold, .init = start, .fini = stop)
{
    log_init(NULL, NULL, LOG_LEVEL_WARNING, LOG_FORMAT_TEXT);
    cr_assert(log_enabled(LOG_LEVEL_ERR) && log_enabled(LOG_LEVEL_WARNING) && !log_enabled(LOG_LEVEL_NOTICE));
    log_notice("quiet", "x");
    cr_assert_str_eq(written(), "");
    log_warning("loud", "x");
    expect("loud");
}

Test(log, repetitions_are_held_back_and_counted, .init = start, .fini = stop)
{
    const LogField a[] = {{"DECNET_TOPIC", "a"}, {0}}, b[] = {{"DECNET_TOPIC", "b"}, {0}};

    log_init(NULL, NULL, LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    for (int i = 0; i < 5; i++)
        log_write(LOG_LEVEL_WARNING, "again", a, "number %d", i);
    expect("number 0");
    log_write(LOG_LEVEL_WARNING, "again", b, "another object");
    expect("another object");
    log_warning("else", "another event");
    expect("another event");
    for (int i = 0; i < 3; i++)
        log_err("again", "errors always pass");
    char *text = written();
    for (int i = 0; i < 3; i++)
        cr_assert_not_null(text = strstr(text + 1, "errors always pass"));

    clock_set_offset_us(LOG_RATE_US);
    written();
    log_write(LOG_LEVEL_WARNING, "again", a, "later");
    expect("later topic=a (4 like this held back)");
    clock_set_offset_us(2 * LOG_RATE_US);
    log_write(LOG_LEVEL_WARNING, "again", a, "later still");
    cr_assert_null(strstr(written(), "held back"));
    clock_set_offset_us(0); /* a clock set back must not silence anything */
    log_write(LOG_LEVEL_WARNING, "again", a, "back in time");
    expect("back in time");
}

Test(log, no_count_is_lost_among_many_messages, .init = start, .fini = stop)
{
    enum { EVENTS = 5000, TIMES = 3 };
    long counted = 0, lines = 0;

    log_init(NULL, NULL, LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    for (int i = 0; i < EVENTS; i++) {
        char event[32];
        snprintf(event, sizeof(event), "event_%d", i);
        for (int k = 0; k < TIMES; k++)
            log_info(event, "x");
        if (i % 50 == 49 || i == EVENTS - 1) { /* read before the buffer of written() is full */
            if (i == EVENTS - 1) {
                clock_set_offset_us(LOG_RATE_US);
                log_info("event_4999", "x"); /* its own count and what was left elsewhere */
            }
            for (char *line = strtok(written(), "\n"); line; line = strtok(NULL, "\n")) {
                char *count = strstr(line, " (");
                counted += count ? strtol(count + 2, NULL, 10) : 0;
                lines++;
            }
        }
    }
    cr_assert_eq(lines, EVENTS + 1);
    cr_assert_geq(counted, EVENTS * (TIMES - 1) - 2 * 256, "only what still waits in its slot may be missing: %ld",
                  counted);
    cr_assert_leq(counted, EVENTS * (TIMES - 1));
}
