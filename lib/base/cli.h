/* Command lines of our programs: "--name", "--name=value" or "--name value", in any place; "--" ends options. Every
 * configuration key is an option too. */
#pragma once

#include "config.h"

typedef struct CliOption {
    const char *name;   /* without dashes */
    bool *flag;         /* set when given; or */
    const char **value; /* the text behind it; exactly one of the two */
    const char *help;   /* "FILE\tread the configuration from FILE"; the part before the tab names the value */
} CliOption;

/* Parse @argv[1..]. @config may be NULL for a program without configuration; else it is loaded first (--config FILE,
 * environment) and then set from the command line. Positional arguments are moved to the front of @argv from index 1,
 * *ret_n of them. Returns 0, or -EINVAL with a message (the caller frees). */
int cli_parse(int argc, char **argv, const CliOption *options, size_t n_options, Config *config, int *ret_n,
              char **ret_error) must_check;
/* The options as lines of a help text. */
void cli_print_options(const CliOption *options, size_t n_options, Buf *out);
