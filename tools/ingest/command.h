/* The subcommand of decnetctl. */
#pragma once

/* @argv[0] is "ingest". Returns the exit code. */
int cmd_ingest(int argc, char **argv);
