/* libdecnet-repo as others get it: installed, found by pkg-config, compiled against and used. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "harness.h"
#include "pg_harness.h"

TestSuite(repo_library, .timeout = 240);

Test(repo_library, a_program_that_knows_only_the_installed_files, .init = harness_pg_start_empty,
     .fini = harness_pg_stop)
{
    cleanup(freep) char *folder = harness_folder(), *conninfo = harness_pg_conninfo();
    cleanup(freep) char *build = harness_path(harness_env("DECNET_SOURCE_ROOT"), "tests/live/library/build.sh");
    cleanup(freep) char *consumer = harness_path(folder, "consumer"), *log = harness_path(folder, "log");
    const char *building[] = {build,  harness_env("DECNET_BUILD_ROOT"), harness_env("DECNET_SOURCE_ROOT"),
                              folder, harness_env("DECNET_CC"),         harness_env("DECNET_SANITIZERS"),
                              NULL};
    const char *running[] = {consumer, conninfo, NULL};

    unsetenv("LD_LIBRARY_PATH"); /* the installed library, not the one that was built */
    setenv("CONSUMER_DATABASE", conninfo, 1);
    setenv("DECNET_ADMIN_PASSWORD", "secret", 1);
    cr_assert_eq(harness_run(&(HarnessProgram){.argv = building, .stdout_path = log, .stderr_path = log}, 120000), 0,
                 "%s", harness_read(log));
    cr_expect_eq(harness_run(&(HarnessProgram){.argv = running, .stdout_path = log, .stderr_path = log}, 60000), 0,
                 "%s", harness_read(log));
}
