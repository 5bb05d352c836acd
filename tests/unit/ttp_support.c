#include "ttp_support.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

enum { N_PATHS = 8, PATH_BYTES = 1024 };

static char *next_path(void)
{
    static char paths[N_PATHS][PATH_BYTES];
    static size_t at;
    return paths[at++ % N_PATHS];
}

const char *source_path(const char *relative)
{
    const char *root = getenv("DECNET_SOURCE_ROOT");
    char *path = next_path();

    cr_assert_not_null(root, "DECNET_SOURCE_ROOT must name the source tree");
    snprintf(path, PATH_BYTES, "%s/%s", root, relative);
    return path;
}

Str source_text(Arena *arena, const char *relative)
{
    cleanup(buf_free) Buf text = {0};

    cr_assert_eq(file_read(source_path(relative), LIMIT_CATALOG_BYTES, &text), 0, "%s", relative);
    return str_dup(arena, buf_str(&text));
}

AttackCatalog *shipped_catalog(void)
{
    AttackCatalog *catalog = NULL;
    char *error = NULL;

    cr_assert_eq(attack_catalog_load(source_path("workers/ttp/attack/enterprise-attack.json"), &catalog, &error), 0,
                 "%s", error);
    return catalog;
}

static TtpEngine *load(const char *rules, const char *cache_dir, char **ret_error)
{
    TtpEngine *engine = NULL;
    int r =
        ttp_engine_load(rules, source_path("workers/ttp/attack/enterprise-attack.json"), cache_dir, &engine, ret_error);

    cr_assert_eq(r == 0, engine != NULL);
    cr_assert_eq(r == 0, *ret_error == NULL);
    return engine;
}

TtpEngine *shipped_engine(void)
{
    char *error = NULL;
    TtpEngine *engine = load(source_path("workers/ttp/rules"), NULL, &error);

    cr_assert_not_null(engine, "%s", error);
    cr_assert_str_eq(ttp_engine_warnings(engine), "");
    return engine;
}

static char folder[PATH_BYTES];

static void remove_all(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *entry;

    while (dir && (entry = readdir(dir))) {
        char inner[PATH_BYTES * 2];
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        snprintf(inner, sizeof(inner), "%s/%s", path, entry->d_name);
        if (unlink(inner) < 0)
            remove_all(inner);
    }
    if (dir)
        closedir(dir);
    rmdir(path);
}

static void remove_folder(void)
{
    remove_all(folder);
}

const char *scratch_folder(void)
{
    const char *parent = getenv("TMPDIR");

    if (folder[0])
        return folder;
    snprintf(folder, sizeof(folder), "%s/decnet-ttp-XXXXXX", parent ? parent : "/tmp");
    cr_assert_not_null(mkdtemp(folder));
    atexit(remove_folder);
    return folder;
}

const char *scratch_file(const char *name, Str text)
{
    char *path = next_path();

    snprintf(path, PATH_BYTES, "%s/%s", scratch_folder(), name);
    cr_assert_eq(file_write_private(path, text), 0, "%s", path);
    return path;
}

TtpEngine *scratch_engine(const char *cache_dir, char **ret_error)
{
    return load(scratch_folder(), cache_dir, ret_error);
}

const char *tags_text(Arena *arena, const TtpTags *tags)
{
    cleanup(buf_free) Buf text = {0};

    for (size_t i = 0; i < tags->n; i++)
        buf_printf(&text, "%s%s %s", i ? ", " : "", tags->items[i].rule->id,
                   tags->items[i].sub ? tags->items[i].sub : tags->items[i].technique);
    return str_cstr(arena, buf_str(&text));
}
