#include "harness.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/time.h"

enum { STEP_US = 2000, FOLDERS_MAX = 16, ARGUMENTS_MAX = 32 };

static char *folders[FOLDERS_MAX];
static size_t n_folders;
static pid_t folders_owner;

/* --- folders and files --- */

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *where)
{
    return remove(path);
}

static void remove_folders(void)
{
    for (size_t i = 0; i < n_folders && getpid() == folders_owner; i++) {
        nftw(folders[i], remove_entry, 16, FTW_DEPTH | FTW_PHYS);
        free(folders[i]);
    }
}

char *harness_folder(void)
{
    const char *base = getenv("TMPDIR");
    char *path = harness_path(base && *base ? base : "/tmp", "decnet-test-XXXXXX");

    cr_assert_not_null(mkdtemp(path), "cannot make %s: %s", path, strerror(errno));
    cr_assert_lt(n_folders, (size_t)FOLDERS_MAX);
    if (n_folders == 0) {
        folders_owner = getpid();
        atexit(remove_folders);
    }
    folders[n_folders++] = strdup(path);
    return path;
}

char *harness_path(const char *folder, const char *name)
{
    char *path = NULL;
    cr_assert_geq(asprintf(&path, "%s/%s", folder, name), 0);
    return path;
}

char *harness_read(const char *path)
{
    FILE *file = fopen(path, "re");
    Buf text = {0};
    char block[4096];
    size_t n;

    buf_add(&text, "");
    while (file && (n = fread(block, 1, sizeof(block), file)) > 0)
        buf_append(&text, block, n);
    if (file)
        fclose(file);
    return text.data;
}

bool harness_wait_text(const char *path, const char *text, int timeout_ms)
{
    int64_t end_us = clock_monotonic_us() + timeout_ms * US_PER_MS;

    do {
        cleanup(freep) char *content = harness_read(path);
        if (*content && strstr(content, text))
            return true;
        usleep(STEP_US);
    } while (clock_monotonic_us() < end_us);
    return false;
}

bool harness_wait_file(const char *path, int timeout_ms)
{
    return harness_wait_text(path, "", timeout_ms);
}

const char *harness_env(const char *name)
{
    const char *value = getenv(name);
    cr_assert(value && *value, "%s is not set: run the tests through meson", name);
    return value;
}

/* --- programs --- */

static void redirect(const char *path, int to)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0 || dup2(fd, to) < 0)
        _exit(127);
}

static void become(const HarnessProgram *program, pid_t parent)
{
    sigset_t none;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(127);
    close_range(3, ~0U, CLOSE_RANGE_CLOEXEC); /* Criterion waits for its sockets, which must not live on in here */
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (program->stdin_fd && dup2(program->stdin_fd, STDIN_FILENO) < 0)
        _exit(127);
    if (!program->stdout_fd)
        redirect(program->stdout_path ? program->stdout_path : "/dev/null", STDOUT_FILENO);
    else if (dup2(program->stdout_fd, STDOUT_FILENO) < 0)
        _exit(127);
    if (program->stderr_path)
        redirect(program->stderr_path, STDERR_FILENO);
    for (const char *const *e = program->environment; e && *e; e++)
        putenv((char *)(uintptr_t)*e);
    execv(program->argv[0], (char *const *)(uintptr_t)program->argv);
    fprintf(stderr, "cannot run %s: %s\n", program->argv[0], strerror(errno));
    _exit(127);
}

pid_t harness_spawn(const HarnessProgram *program)
{
    pid_t parent = getpid(), pid = fork();

    cr_assert_geq(pid, 0, "fork: %s", strerror(errno));
    if (pid == 0)
        become(program, parent);
    return pid;
}

int harness_wait(pid_t pid, int timeout_ms)
{
    int64_t end_us = clock_monotonic_us() + timeout_ms * US_PER_MS;
    int status;
    pid_t r;

    while ((r = waitpid(pid, &status, WNOHANG)) == 0 && clock_monotonic_us() < end_us)
        usleep(STEP_US);
    if (r != pid)
        return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int harness_end(pid_t pid, int signal, int timeout_ms)
{
    kill(pid, signal);
    return harness_wait(pid, timeout_ms);
}

void harness_freeze(pid_t pid)
{
    int status = 0;
    cr_assert_eq(kill(pid, SIGSTOP), 0);
    cr_assert(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status), "%d does not stop", (int)pid);
}

int harness_run(const HarnessProgram *program, int timeout_ms)
{
    pid_t pid = harness_spawn(program);
    int status = harness_wait(pid, timeout_ms);

    if (status < 0)
        harness_end(pid, SIGKILL, 1000);
    cr_assert_geq(status, 0, "%s did not end within %d ms", program->argv[0], timeout_ms);
    return status;
}

/* --- broker --- */

HarnessBroker harness_broker_start(const char *const *options)
{
    HarnessBroker b = {.folder = harness_folder()};
    const char *argv[ARGUMENTS_MAX] = {harness_env("DECNET_BROKER_PROGRAM"), "--ready-file"};
    size_t n = 2;

    b.ready_file = harness_path(b.folder, "broker");
    b.stderr_path = harness_path(b.folder, "broker.log");
    argv[n++] = b.ready_file;
    for (; options && *options; options++) {
        cr_assert_lt(n, (size_t)ARGUMENTS_MAX - 1);
        argv[n++] = *options;
    }
    b.pid = harness_spawn(&(HarnessProgram){.argv = argv, .stderr_path = b.stderr_path});
    if (!harness_wait_file(b.ready_file, 10000)) {
        cleanup(freep) char *log = harness_read(b.stderr_path);
        cr_assert_fail("the embedded broker did not get ready: %s", log);
    }
    b.address = harness_read(b.ready_file);
    b.address[strcspn(b.address, "\n")] = '\0';
    return b;
}

void harness_broker_stop(HarnessBroker *b)
{
    if (b->pid > 0)
        harness_end(b->pid, SIGKILL, 5000);
    free(b->folder);
    free(b->ready_file);
    free(b->stderr_path);
    free(b->address);
    *b = (HarnessBroker){0};
}
