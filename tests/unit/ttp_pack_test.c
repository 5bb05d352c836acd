/* Packs of patterns: what matches, what is confirmed by PCRE2, what is refused, and the cache of compiled packs. */
#include "ttp_support.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "ttp/pack.h"

static PatternPack *compile(const PackPattern *patterns, size_t n, const char *cache_dir)
{
    PatternPack *pack = NULL;
    size_t index = 0;
    char *error = NULL;

    cr_assert_eq(pattern_pack_compile(patterns, n, cache_dir, &pack, &index, &error), 0, "%zu: %s", index, error);
    return pack;
}

/* Whether pattern @id is among the hits. */
static bool finds(PatternPack *pack, Str text, uint32_t id)
{
    uint32_t ids[16];
    size_t n = pattern_pack_scan(pack, text, ids);

    for (size_t i = 0; i < n; i++)
        if (ids[i] == id)
            return true;
    return false;
}

Test(ttp_pack, matches_bytes)
{
    const PackPattern patterns[] = {{"^id\\b", false}, {"nmap", true}, {"a.b", false}, {"cat\\s+x", false}};
    PatternPack *pack = compile(patterns, ARRAY_SIZE(patterns), NULL);

    cr_assert(finds(pack, STR("id; nMaP"), 0) && finds(pack, STR("id; nMaP"), 1));
    cr_assert_not(finds(pack, STR("x\nid"), 0), "^ is the start of the text only");
    cr_assert_not(finds(pack, STR("CAT x"), 3), "case counts unless icase");
    cr_assert(finds(pack, STR("\0\0nmap"), 1), "a NUL byte ends nothing");
    cr_assert(finds(pack, STR("a\0b"), 2) && finds(pack,
                                                   STR("a\xff"
                                                       "b"),
                                                   2),
              "invalid UTF-8 is text like any other");
    cr_assert_not(finds(pack, STR("a\nb"), 2));
    cr_assert_not(finds(pack, STR(""), 0));
    cr_assert_eq(pattern_pack_confirmed(pack), 0);
    pattern_pack_free(pack);
    pattern_pack_free(NULL);
}

Test(ttp_pack, confirms_what_hyperscan_cannot_express)
{
    const PackPattern patterns[] = {{"foo(?!bar)", true}, {"plain", false}, {"(a|b)x\\1", false}};
    PatternPack *pack = compile(patterns, ARRAY_SIZE(patterns), NULL);

    cr_assert_eq(pattern_pack_confirmed(pack), 2);
    cr_assert(finds(pack, STR("FOObaz plain"), 0) && finds(pack, STR("FOObaz plain"), 1));
    cr_assert_not(finds(pack, STR("foobar"), 0));
    cr_assert(finds(pack, STR("axa"), 2));
    cr_assert_not(finds(pack, STR("axb"), 2));
    cr_assert_eq(pattern_pack_limit_hits(pack), 0);
    pattern_pack_free(pack);
}

Test(ttp_pack, gives_up_a_confirmation_at_its_limit)
{
    const PackPattern patterns[] = {{"^(a+)+(?=c)[bc]", false}};
    PatternPack *pack = compile(patterns, 1, NULL);
    static char text[4096];

    memset(text, 'a', sizeof(text));
    text[sizeof(text) - 1] = 'b';
    cr_assert_not(finds(pack, (Str){text, sizeof(text)}, 0));
    cr_assert_geq(pattern_pack_limit_hits(pack), 1);
    cr_assert(finds(pack, STR("aaac"), 0), "the next text is judged as ever");
    pattern_pack_free(pack);
}

Test(ttp_pack, names_the_pattern_at_fault)
{
    static const char *const bad[] = {"(", "a**b[", "x*", "(*UTF)a(?!b)", "[z-a]"};

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        const PackPattern patterns[] = {{"fine", false}, {bad[i], false}};
        PatternPack *pack = NULL;
        size_t index = 99;
        char *error = NULL;
        cr_assert_eq(pattern_pack_compile(patterns, 2, NULL, &pack, &index, &error), -EINVAL, "%s", bad[i]);
        cr_assert_eq(index, 1, "%s", bad[i]);
        cr_assert(error && error[0], "%s", bad[i]);
        free(error);
    }
}

Test(ttp_pack, no_patterns_find_nothing)
{
    PatternPack *pack = compile(NULL, 0, NULL);
    uint32_t id;

    cr_assert_eq(pattern_pack_scan(pack, STR("x"), &id), 0);
    pattern_pack_free(pack);
}

/* --- cache --- */

static const PackPattern cached[] = {{"wget\\s", true}, {"foo(?!bar)", false}};

/* The only file of the cache folder. */
static const char *cache_file(const char *dir)
{
    static char path[1200];
    DIR *d = opendir(dir);
    struct dirent *entry;
    size_t n = 0;

    cr_assert_not_null(d);
    while ((entry = readdir(d))) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
        n++;
    }
    closedir(d);
    cr_assert_eq(n, 1, "no temporary file may stay behind");
    return path;
}

/* Compile with the cache; checks that the pack works and whether it came from there. */
static void expect_cached(const char *dir, bool from_cache, const char *why)
{
    PatternPack *pack = compile(cached, ARRAY_SIZE(cached), dir);

    cr_assert_eq(pattern_pack_from_cache(pack), from_cache, "%s", why);
    cr_assert(finds(pack, STR("WGET x foo"), 0) && finds(pack, STR("WGET x foo"), 1), "%s", why);
    cr_assert_not(finds(pack, STR("foobar"), 1), "%s", why);
    cr_assert_null(pattern_pack_warning(pack));
    pattern_pack_free(pack);
}

Test(ttp_pack, cache_is_used_and_private)
{
    char dir[1100];
    struct stat st;

    snprintf(dir, sizeof(dir), "%s/a/b", scratch_folder()); /* missing folders are made */
    expect_cached(dir, false, "nothing there yet");
    expect_cached(dir, true, "the same pack again");
    cr_assert_eq(stat(cache_file(dir), &st), 0);
    cr_assert_eq(st.st_mode & 0777, 0600);

    const PackPattern other[] = {{"wget\\s", false}, {"foo(?!bar)", false}}; /* only icase differs */
    PatternPack *pack = compile(other, ARRAY_SIZE(other), dir);
    cr_assert_not(pattern_pack_from_cache(pack));
    pattern_pack_free(pack);
}

/* Put @text in the place of the cache file. */
static void replace(const char *dir, Str text)
{
    char path[1200];
    snprintf(path, sizeof(path), "%s", cache_file(dir));
    cr_assert_eq(file_write_private(path, text), 0);
}

Test(ttp_pack, damaged_or_foreign_cache_is_made_anew)
{
    char dir[1100], link_target[1200];
    cleanup(buf_free) Buf good = {0};

    snprintf(dir, sizeof(dir), "%s/cache", scratch_folder());
    expect_cached(dir, false, "new");
    cr_assert_eq(file_read(cache_file(dir), LIMIT_PACK_CACHE_BYTES, &good), 0);

    /* Any damaged byte: header, key, checksum, prefilter flags, database. */
    for (size_t at = 0; at < good.len; at += at < 96 ? 7 : good.len / 11 + 1) {
        good.data[at] ^= 1;
        replace(dir, buf_str(&good));
        good.data[at] ^= 1;
        expect_cached(dir, false, "a byte differs");
        expect_cached(dir, true, "it was mended");
    }
    replace(dir, (Str){good.data, good.len / 2});
    expect_cached(dir, false, "cut short");
    replace(dir, STR(""));
    expect_cached(dir, false, "empty");

    cr_assert_eq(chmod(cache_file(dir), 0644), 0);
    expect_cached(dir, false, "others may read it: not ours alone");

    snprintf(link_target, sizeof(link_target), "%s/elsewhere", scratch_folder());
    cr_assert_eq(rename(cache_file(dir), link_target), 0);
    char name[1200];
    expect_cached(dir, false, "gone");
    snprintf(name, sizeof(name), "%s", cache_file(dir));
    cr_assert_eq(unlink(name), 0);
    cr_assert_eq(symlink(link_target, name), 0);
    expect_cached(dir, false, "a symbolic link is not followed");
}

Test(ttp_pack, cache_of_another_pack_under_our_name_is_not_used)
{
    char dir[1100];
    cleanup(buf_free) Buf other = {0};
    const PackPattern others[] = {{"curl\\s", true}, {"foo(?!bar)", false}};

    snprintf(dir, sizeof(dir), "%s/one", scratch_folder());
    pattern_pack_free(compile(others, ARRAY_SIZE(others), dir));
    cr_assert_eq(file_read(cache_file(dir), LIMIT_PACK_CACHE_BYTES, &other), 0);
    snprintf(dir, sizeof(dir), "%s/two", scratch_folder());
    expect_cached(dir, false, "new");
    replace(dir, buf_str(&other));
    expect_cached(dir, false, "whole and well, but of another pack");
}

Test(ttp_pack, a_cache_that_cannot_be_written_is_a_warning)
{
    PatternPack *pack = compile(cached, ARRAY_SIZE(cached), "/proc/no/such/place");

    cr_assert_not_null(strstr(pattern_pack_warning(pack), "/proc/no"));
    cr_assert(finds(pack, STR("wget x"), 0));
    pattern_pack_free(pack);
}
