/* Whole files, read with a bound and written so that nobody ever sees half of one. */
#pragma once

#include "text.h"

/* Appends the content of the regular file @path to @ret. Returns 0, -EFBIG above @max_bytes, -EISDIR when it is no
 * regular file, or the negative errno of open and read. */
int file_read(const char *path, size_t max_bytes, Buf *ret) must_check;

/* The same, but only if the file belongs to this process's user and nobody else may read or write it; else -EPERM.
 * A symbolic link is never followed. */
int file_read_private(const char *path, size_t max_bytes, Buf *ret) must_check;

/* Replaces @path by @content, readable by the owner only: written under a temporary name in the same folder, then
 * renamed. The folder is made (mode 0700) when it is missing. Returns 0 or a negative errno; @path is whole, old or
 * new, in any case. */
int file_write_private(const char *path, Str content) must_check;
