/* Log files as streams of lines: plain, gzip or standard input; resumable, growing, rotated. No database here. */
#pragma once

#include <sys/types.h>

#include "base/time.h"

/* What tells a file from another of the same name. */
typedef struct InputIdentity {
    uint8_t head_sha256[32]; /* of its first head_bytes, as they lie on the disk */
    int32_t head_bytes;      /* at most 4096 */
    int64_t dev, inode, size_bytes;
} InputIdentity;

typedef struct Input Input;

typedef enum InputResult {
    INPUT_LINE,
    INPUT_LONG_LINE, /* above LIMIT_LINE_BYTES: skipped, *ret_line is empty */
    INPUT_END,       /* nothing more now; a line without its end is kept back unless @final */
} InputResult;

/* Open @path ("-": standard input). 0 or a negative errno. */
int input_open(const char *path, Input **ret) must_check;
void input_close(Input *in); /* accepts NULL */
static inline void input_closep(Input **p)
{
    input_close(*p);
}
const char *input_path(const Input *in); /* canonical; "-" for standard input */
bool input_is_stdin(const Input *in);
InputIdentity input_identity(const Input *in); /* as it was when it was opened */
/* True when the file begins with the @head_bytes whose digest is @sha256: the same file, perhaps grown. */
bool input_has_head(const Input *in, const uint8_t sha256[32], int32_t head_bytes);

/* Go to @position_bytes of the uncompressed content. 0, or -ESPIPE when the content ends before. */
int input_seek(Input *in, int64_t position_bytes) must_check;
/* The next line, borrowed until the next call, without its end. @final: a last line without '\n' counts. Negative
 * errno when reading fails (-EBADMSG: damaged gzip data). */
int input_line(Input *in, bool final, Str *ret_line, InputResult *ret) must_check;
int64_t input_position_bytes(const Input *in); /* behind the last line given, of the uncompressed content */
/* How far reading is, 0 .. size, of the bytes on disk: for progress. */
int64_t input_progress_bytes(const Input *in);

/* What became of the path while it was being followed. */
typedef enum InputChange { INPUT_SAME, INPUT_ROTATED, INPUT_TRUNCATED } InputChange;
InputChange input_check(const Input *in);

/* Event time of the first line that has one, TIME_NONE when none of the first 64 does; reads a stream of its own. */
int64_t input_first_time(const char *path);
/* The file beside @path (same folder, name beginning with its name) with this device, inode and head, e.g. the rotated
 * cowrie.json.2026-05-10; NULL when there is none. The caller frees. */
char *input_find_rotated(const char *path, const InputIdentity *identity);
/* Files of a folder that are logs ("*.json", "*.json.*", "*.jsonl", "*.gz"), in name order; the caller frees all. */
int input_list_folder(const char *path, char ***ret_paths, size_t *ret_n) must_check;
bool input_is_folder(const char *path);
