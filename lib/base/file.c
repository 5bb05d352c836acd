/* Whole files: see the header. */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { READ_CHUNK_BYTES = 64 * 1024 };

static void closep(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

static int read_all(int fd, size_t max_bytes, Buf *ret)
{
    size_t total = 0;

    for (;;) {
        buf_reserve(ret, READ_CHUNK_BYTES);
        ssize_t n = read(fd, ret->data + ret->len, READ_CHUNK_BYTES);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            return 0;
        total += (size_t)n;
        if (total > max_bytes)
            return -EFBIG;
        ret->len += (size_t)n;
        ret->data[ret->len] = '\0';
    }
}

static int file_read_checked(const char *path, int flags, bool private, size_t max_bytes, Buf *ret)
{
    /* O_NONBLOCK: a FIFO put in the place of a file must not hang the start; fstat then refuses it. */
    cleanup(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | flags);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return -EISDIR;
    if (private && (st.st_uid != geteuid() || (st.st_mode & 077)))
        return -EPERM;
    return read_all(fd, max_bytes, ret);
}

int file_read(const char *path, size_t max_bytes, Buf *ret)
{
    return file_read_checked(path, 0, false, max_bytes, ret);
}

int file_read_private(const char *path, size_t max_bytes, Buf *ret)
{
    return file_read_checked(path, O_NOFOLLOW, true, max_bytes, ret);
}

/* Make every missing folder above @path. */
static int make_folders(const char *path)
{
    char folder[PATH_MAX];

    if (snprintf(folder, sizeof(folder), "%s", path) >= (int)sizeof(folder))
        return -ENAMETOOLONG;
    for (char *slash = strchr(folder + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(folder, 0700) < 0 && errno != EEXIST)
            return -errno;
        *slash = '/';
    }
    return 0;
}

static int write_all(int fd, Str content)
{
    while (content.len) {
        ssize_t n = write(fd, content.data, content.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        content = (Str){content.data + n, content.len - (size_t)n};
    }
    return fsync(fd) < 0 ? -errno : 0; /* else a power cut could leave the new name with no content */
}

int file_write_private(const char *path, Str content)
{
    char temporary[PATH_MAX];
    int r = make_folders(path);

    if (r < 0)
        return r;
    if (snprintf(temporary, sizeof(temporary), "%s.XXXXXX", path) >= (int)sizeof(temporary))
        return -ENAMETOOLONG;
    cleanup(closep) int fd = mkostemp(temporary, O_CLOEXEC); /* mode 0600 */
    if (fd < 0)
        return -errno;
    r = write_all(fd, content);
    if (r == 0 && rename(temporary, path) < 0)
        r = -errno;
    if (r < 0)
        unlink(temporary);
    return r;
}
