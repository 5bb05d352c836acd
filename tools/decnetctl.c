/* decnetctl: what operators do with DECNET from a shell. Finds the subcommand among the options and runs it. */
#include "decnetctl.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bus/bus.h"
#include "ingest/command.h"

static const Command commands[] = {
    {"migrate", "bring the database's schema up to date, or show where it is", cmd_migrate},
    {"ingest", "read honeypot logs: ingest cowrie FILE...", cmd_ingest},
    {"summary", "what the database knows: counts, techniques, busiest attackers", cmd_summary},
    {"tags", "the techniques that a session or an attacker showed, and why", cmd_tags},
    {"observe", "observations of sessions that ended before the attribution worker ran", cmd_observe},
    {"attribution", "how identities behave, what changed, who may be several; rebuild", cmd_attribution},
    {"dump", "the derived tables in a form that can be compared", cmd_dump},
    {"repo", "call any method of the repository, by hand or by lines of JSON", cmd_repo},
    {"topics", "the topics on the broker: create, check", cmd_topics},
    {"positions", "how far each consumer group is; forget, set, resume", cmd_positions},
    {"dlq", "dead letters: list, show, replay", cmd_dlq},
    {"outbox", "events that wait for the broker", cmd_outbox},
};

static void print_help(void)
{
    cleanup(buf_free) Buf keys = {0};

    printf("Usage: decnetctl [--KEY=VALUE]... COMMAND [OPTION]... [ARGUMENT]...\n"
           "Feed, ask and mend DECNET.\n\nCommands:\n");
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
        printf("  %-11s %s\n", commands[i].name, commands[i].summary);
    config_print_help(&keys);
    printf("\ndecnetctl COMMAND --help shows the options of a command, with examples.\n"
           "\nConfiguration keys (also in a file, see --config, or as DECNET_KEY in the environment):\n%s"
           "\nExit codes: 0 done, 1 failed, 2 usage, 78 an operator has to act first (the message says how).\n"
           "Example: decnetctl --database='dbname=decnet' summary\n",
           keys.data);
}

static const Command *find(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

static int unknown(const char *name)
{
    const char *names[ARRAY_SIZE(commands)];

    for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
        names[i] = commands[i].name;
    const char *near = text_nearest(str_from(name), names, ARRAY_SIZE(names), 3);
    fprintf(stderr, "decnetctl: unknown command '%s'%s%s%s\n", name,
            near ? "; did you mean '" : "; see decnetctl --help", near ? near : "", near ? "'?" : "");
    return EXIT_USAGE;
}

/* Index of the first word that is neither an option nor its value; 0: there is none, -1: @argv[*ret_bad] is an option
 * that has no place before the command. Only configuration keys have one there. */
static int find_command(int argc, char **argv, int *ret_bad)
{
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "--", 2) != 0)
            return i;
        Str name = str_from(argv[i] + 2);
        const char *equals = strchr(argv[i], '=');
        if (equals)
            name.len = (size_t)(equals - name.data);
        if (!config_is_key(name) && !str_eq(name, STR("config"))) {
            *ret_bad = i;
            return -1;
        }
        if (!equals && !str_eq(name, STR("solo"))) /* its value is the next word; solo is a flag */
            i++;
    }
    return 0;
}

/* @argv without word @at and with @first as its program name; the caller frees. */
static char **without_command(int argc, char **argv, int at, char *first)
{
    char **words = calloc((size_t)argc + 1, sizeof(*words));
    int n = 0;

    if (!words)
        abort();
    words[n++] = first;
    for (int i = 1; i < argc; i++)
        if (i != at)
            words[n++] = argv[i];
    return words;
}

static int run(const Command *command, int argc, char **argv, int at)
{
    cleanup(buf_free) Buf program = {0};

    buf_printf(&program, "decnetctl %s", command->name);
    cleanup(freep) char **words = without_command(argc, argv, at, program.data);
    int code = command->run(argc - 1, words);
    if (fflush(stdout) != 0 && code == 0) {
        fprintf(stderr, "%s: cannot write to standard output: %m\n", program.data);
        code = EXIT_FAILED;
    }
    return code;
}

/* `decnetctl help [COMMAND]` reads like `decnetctl [COMMAND] --help`. */
static int help_for(char *name)
{
    char program[] = "decnetctl", option[] = "--help";

    if (!name) {
        print_help();
        return 0;
    }
    const Command *command = find(name);
    return command ? run(command, 3, (char *[]){program, name, option, NULL}, 1) : unknown(name);
}

/* A standard stream that the caller closed would be the next file or socket that is opened. */
static void keep_standard_streams(void)
{
    int fd;

    while ((fd = open("/dev/null", O_RDONLY)) >= 0 && fd <= STDERR_FILENO)
        continue;
    if (fd >= 0)
        close(fd);
}

int main(int argc, char **argv)
{
    int bad = 0, at;

    keep_standard_streams();
    bus_init(NULL, NULL);
    at = find_command(argc, argv, &bad);
    if (at < 0 && strcmp(argv[bad], "--help") == 0)
        return help_for(NULL);
    if (at < 0 && strcmp(argv[bad], "--version") == 0) {
        printf("decnetctl %s\n", DECNET_VERSION);
        return 0;
    }
    if (at <= 0) {
        fprintf(stderr,
                at ? "decnetctl: '%s' is no configuration key; options of a command go behind it\n"
                   : "decnetctl: a command is missing; see decnetctl --help\n",
                argv[bad]);
        return EXIT_USAGE;
    }
    if (strcmp(argv[at], "help") == 0)
        return help_for(at + 1 < argc ? argv[at + 1] : NULL);
    const Command *command = find(argv[at]);
    return command ? run(command, argc, argv, at) : unknown(argv[at]);
}
