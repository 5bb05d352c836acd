#include "ingest/input.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "base/json.h"
#include "base/limits.h"

enum { HEAD_BYTES = 4096, READ_BYTES = 256 * 1024, FIRST_TIME_LINES = 64 };

/* zlib reads plain files as they are, so one reader serves both; gzclearerr() lets it go on behind the end of a file
 * that has grown. */
struct Input {
    char *path;
    int fd; /* owned by gz */
    gzFile gz;
    bool is_stdin;
    InputIdentity identity;
    Buf buf; /* read and not yet given out, from buf_at on */
    size_t buf_at;
    size_t scanned; /* bytes from buf_at known to hold no '\n' */
    bool skipping;  /* inside a line that is too long */
    int64_t position_bytes;
};

static void read_identity(Input *in)
{
    char head[HEAD_BYTES];
    struct stat st;
    ssize_t n = in->is_stdin ? 0 : pread(in->fd, head, sizeof(head), 0);

    if (fstat(in->fd, &st) == 0) {
        in->identity.dev = (int64_t)st.st_dev;
        in->identity.inode = (int64_t)st.st_ino;
        in->identity.size_bytes = st.st_size;
    }
    in->identity.head_bytes = (int32_t)MAX(n, (ssize_t)0);
    sha256(in->identity.head_sha256, (Str){head, (size_t)in->identity.head_bytes});
}

int input_open(const char *path, Input **ret)
{
    bool is_stdin = strcmp(path, "-") == 0;
    int fd = is_stdin ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;

    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
        close(fd);
        return -EISDIR;
    }
    Input *in = calloc(1, sizeof(*in));
    if (!in)
        abort();
    *in = (Input){.fd = fd, .is_stdin = is_stdin, .path = is_stdin ? strdup("-") : realpath(path, NULL)};
    read_identity(in);
    in->gz = gzdopen(fd, "rb");
    if (!in->gz || !in->path) {
        int r = in->path ? -ENOMEM : -errno;
        input_close(in);
        return r;
    }
    gzbuffer(in->gz, READ_BYTES);
    *ret = in;
    return 0;
}

void input_close(Input *in)
{
    if (!in)
        return;
    if (in->gz)
        gzclose(in->gz);
    else
        close(in->fd);
    buf_free(&in->buf);
    free(in->path);
    free(in);
}

const char *input_path(const Input *in)
{
    return in->path;
}

bool input_is_stdin(const Input *in)
{
    return in->is_stdin;
}

InputIdentity input_identity(const Input *in)
{
    return in->identity;
}

bool input_has_head(const Input *in, const uint8_t digest[32], int32_t head_bytes)
{
    char head[HEAD_BYTES];
    uint8_t ours[32];

    if (head_bytes < 0 || head_bytes > HEAD_BYTES || pread(in->fd, head, (size_t)head_bytes, 0) != head_bytes)
        return false;
    sha256(ours, (Str){head, (size_t)head_bytes});
    return memcmp(ours, digest, sizeof(ours)) == 0;
}

int input_seek(Input *in, int64_t position_bytes)
{
    buf_clear(&in->buf);
    in->buf_at = in->scanned = 0;
    in->skipping = false;
    if (gzseek(in->gz, (z_off_t)position_bytes, SEEK_SET) != (z_off_t)position_bytes)
        return -ESPIPE;
    /* gzseek() only notes a forward seek; reading the byte before tells whether the content reaches that far. */
    if (position_bytes > 0) {
        char byte;
        if (gzseek(in->gz, (z_off_t)(position_bytes - 1), SEEK_SET) < 0 || gzread(in->gz, &byte, 1) != 1)
            return -ESPIPE;
    }
    in->position_bytes = position_bytes;
    return 0;
}

/* More bytes into the buffer: how many, 0 at the end, negative on failure. */
static int more(Input *in)
{
    if (in->buf_at > 0) {
        memmove(in->buf.data, in->buf.data + in->buf_at, in->buf.len - in->buf_at);
        in->buf.len -= in->buf_at;
        in->buf_at = 0;
    }
    buf_reserve(&in->buf, READ_BYTES);
    int n = gzread(in->gz, in->buf.data + in->buf.len, READ_BYTES);
    if (n > 0) {
        in->buf.len += (size_t)n;
        return n;
    }
    int z = Z_OK;
    gzerror(in->gz, &z);
    if (n < 0 || z == Z_DATA_ERROR || (z == Z_BUF_ERROR && !gzdirect(in->gz)))
        return z == Z_ERRNO ? (errno ? -errno : -EIO) : -EBADMSG;
    gzclearerr(in->gz);
    return 0;
}

/* Bytes of an endless line are thrown away as they come, so that memory stays bounded. */
static void drop_long(Input *in)
{
    size_t pending = in->buf.len - in->buf_at;
    if (!in->skipping && pending <= LIMIT_LINE_BYTES)
        return;
    in->skipping = true;
    in->position_bytes += (int64_t)pending;
    in->buf_at = in->buf.len;
    in->scanned = 0;
}

static InputResult give(Input *in, size_t len, size_t with_end, Str *ret_line)
{
    bool too_long = in->skipping || len > LIMIT_LINE_BYTES;
    *ret_line = too_long ? STR("") : (Str){in->buf.data + in->buf_at, len};
    in->buf_at += with_end;
    in->position_bytes += (int64_t)with_end;
    in->scanned = 0;
    in->skipping = false;
    return too_long ? INPUT_LONG_LINE : INPUT_LINE;
}

int input_line(Input *in, bool final, Str *ret_line, InputResult *ret)
{
    for (;;) {
        size_t pending = in->buf.len - in->buf_at;
        const char *start = in->buf.data + in->buf_at;
        const char *end = pending > in->scanned ? memchr(start + in->scanned, '\n', pending - in->scanned) : NULL;
        if (end) {
            *ret = give(in, (size_t)(end - start), (size_t)(end - start) + 1, ret_line);
            return 0;
        }
        in->scanned = pending;
        drop_long(in);
        int n = more(in);
        if (n < 0)
            return n;
        if (n == 0)
            break;
    }
    size_t left = in->buf.len - in->buf_at;
    if (!final || (left == 0 && !in->skipping)) {
        *ret_line = (Str){0};
        *ret = INPUT_END;
        return 0;
    }
    *ret = give(in, left, left, ret_line);
    return 0;
}

int64_t input_position_bytes(const Input *in)
{
    return in->position_bytes;
}

int64_t input_progress_bytes(const Input *in)
{
    z_off_t at = gzoffset(in->gz);
    return at < 0 ? 0 : (int64_t)at;
}

InputChange input_check(const Input *in)
{
    struct stat here, there;

    if (in->is_stdin || fstat(in->fd, &here) < 0)
        return INPUT_SAME;
    if (here.st_size < in->position_bytes && gzdirect(in->gz))
        return INPUT_TRUNCATED;
    if (stat(in->path, &there) == 0 && (there.st_ino != here.st_ino || there.st_dev != here.st_dev))
        return INPUT_ROTATED;
    return INPUT_SAME;
}

int64_t input_first_time(const char *path)
{
    cleanup(input_closep) Input *in = NULL;
    InputResult result = INPUT_LINE;
    Str line;

    if (input_open(path, &in) != 0)
        return TIME_NONE;
    for (int i = 0; i < FIRST_TIME_LINES && result != INPUT_END && input_line(in, true, &line, &result) == 0; i++) {
        cleanup(json_putp) json_object *event = json_parse(line);
        Str text = json_get_str(event, "timestamp");
        int64_t us;
        if (text.data && time_parse(text, &us, NULL) == 0)
            return us;
    }
    return TIME_NONE;
}

char *input_find_rotated(const char *path, const InputIdentity *identity)
{
    cleanup(freep) char *folder = strdup(path);
    char *found = NULL, *slash;
    struct dirent *entry;

    if (!folder || !(slash = strrchr(folder, '/')))
        return NULL;
    *slash = '\0';
    const char *name = slash + 1;
    assert(folder); /* slash points into it */
    DIR *dir = opendir(*folder ? folder : "/");
    while (dir && !found && (entry = readdir(dir))) {
        cleanup(input_closep) Input *in = NULL;
        cleanup(freep) char *candidate = NULL;
        if (strncmp(entry->d_name, name, strlen(name)) != 0 || strcmp(entry->d_name, name) == 0 ||
            (int64_t)entry->d_ino != identity->inode || asprintf(&candidate, "%s/%s", folder, entry->d_name) < 0)
            continue;
        if (input_open(candidate, &in) == 0 && in && in->identity.dev == identity->dev &&
            input_has_head(in, identity->head_sha256, identity->head_bytes))
            found = TAKE_PTR(candidate);
    }
    if (dir)
        closedir(dir);
    return found;
}

static int is_log(const struct dirent *entry)
{
    static const char *const patterns[] = {"*.json", "*.json.*", "*.jsonl", "*.jsonl.*"};
    for (size_t i = 0; i < ARRAY_SIZE(patterns); i++)
        if (entry->d_name[0] != '.' && fnmatch(patterns[i], entry->d_name, 0) == 0)
            return 1;
    return 0;
}

int input_list_folder(const char *path, char ***ret_paths, size_t *ret_n)
{
    struct dirent **entries;
    int n = scandir(path, &entries, is_log, alphasort);

    if (n < 0)
        return -errno;
    *ret_paths = calloc((size_t)n + 1, sizeof(**ret_paths));
    if (!*ret_paths)
        abort();
    *ret_n = (size_t)n;
    for (int i = 0; i < n; i++) {
        if (asprintf(&(*ret_paths)[i], "%s/%s", path, entries[i]->d_name) < 0)
            abort();
        free(entries[i]);
    }
    free(entries);
    return 0;
}

bool input_is_folder(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}
