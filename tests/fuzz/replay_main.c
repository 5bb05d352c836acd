/* Runs a fuzz target over files and folders of files: the corpus as a regression test, with any compiler. TAP. */
#include <dirent.h>
#include <sys/stat.h>

#include "fuzz.h"

static int n_files;

static void replay_file(const char *path)
{
    cleanup(buf_free) Buf content = {0};
    char piece[65536];
    size_t n;
    FILE *file = fopen(path, "rb");

    if (!file) {
        fprintf(stderr, "%s: cannot be read\n", path);
        exit(1);
    }
    while ((n = fread(piece, 1, sizeof(piece), file)) > 0)
        buf_append(&content, piece, n);
    fclose(file);
    LLVMFuzzerTestOneInput((const uint8_t *)buf_str(&content).data, content.len);
    printf("ok %d - %s\n", ++n_files, strrchr(path, '/') ? strrchr(path, '/') + 1 : path);
    fflush(stdout);
}

static void replay(const char *path)
{
    struct stat st;
    struct dirent **entries;

    if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode)) {
        replay_file(path);
        return;
    }
    int n = scandir(path, &entries, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        cleanup(buf_free) Buf name = {0};
        buf_printf(&name, "%s/%s", path, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.')
            replay(name.data);
        free(entries[i]);
    }
    if (n >= 0)
        free(entries);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        replay(argv[i]);
    if (n_files == 0) {
        fprintf(stderr, "usage: %s FILE|FOLDER…\nno file was found\n", argv[0]);
        return 1;
    }
    printf("1..%d\n", n_files);
    return 0;
}
