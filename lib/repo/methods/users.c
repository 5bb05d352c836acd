/* Users of the console, the key-value state, and what is set up once. */
#include <crypt.h>
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "methods.h"
#include "repo/migrate.h"

/* --- setting up --- */

enum { BCRYPT_COST = 12, BCRYPT_PASSWORD_BYTES = 72 /* bcrypt looks at no more */ };

/* Null for unset and for empty. */
static const char *setting(const char *variable)
{
    const char *value = getenv(variable);
    return value && *value ? value : NULL;
}

static int hash_password(const MethodCall *call, const char *password, char hash[CRYPT_OUTPUT_SIZE])
{
    char salt[CRYPT_GENSALT_OUTPUT_SIZE], key[BCRYPT_PASSWORD_BYTES + 1] = "";
    struct crypt_data *scratch = arena_calloc(call->arena, 1, sizeof(*scratch));
    const char *made = NULL;

    memcpy(key, password, strnlen(password, BCRYPT_PASSWORD_BYTES));
    if (crypt_gensalt_rn("$2b$", BCRYPT_COST, NULL, 0, salt, sizeof(salt)))
        made = crypt_rn(key, salt, scratch, sizeof(*scratch));
    int why = errno;
    if (made)
        memcpy(hash, made, strlen(made) + 1);
    explicit_bzero(key, sizeof(key));
    explicit_bzero(scratch, sizeof(*scratch));
    return made ? 0
                : repo_fail(call->repo, REPO_E_OPERATOR, call->method->name, "libcrypt makes no bcrypt hash: %s",
                            strerror(why));
}

typedef struct Administrator {
    const char *username;
    char hash[CRYPT_OUTPUT_SIZE]; /* "" when the stored one stays */
} Administrator;

/* A schema that is not there yet has no users. */
static int keeps_password(MethodCall *call, const char *username, bool *ret)
{
    static const Statement there = {
        .name = "method_initialize_there", .shape = SHAPE_ROW, .sql = "SELECT to_regclass('users') IS NOT NULL"};
    static const Statement find = {.name = "method_initialize_find",
                                   .shape = SHAPE_ROWS,
                                   .sql = "SELECT FROM users WHERE username = $1 AND NOT must_change_password"};
    cleanup(args_free) Args args = {0};
    cleanup(pgresult_freep) PGresult *table = NULL, *user = NULL;

    *ret = false;
    int r = repo_exec(call->repo, &there, NULL, &table);
    if (r != 0 || !res_bool(table, 0, 0))
        return r;
    arg_cstr(&args, username);
    r = repo_exec(call->repo, &find, &args, &user);
    *ret = r == 0 && PQntuples(user) > 0;
    return r;
}

/* Until the first password is changed it follows the environment, so that a lost one can be set anew. Hashing takes a
 * good part of a second: only when the hash is needed, and before others have to wait. */
static int prepare_administrator(MethodCall *call, Administrator *admin)
{
    const char *username = setting("DECNET_ADMIN_USER"), *password = setting("DECNET_ADMIN_PASSWORD");
    bool keeps;

    admin->username = username ? username : "admin";
    int r = keeps_password(call, admin->username, &keeps);
    if (r != 0 || keeps)
        return r;
    if (!password) /* the one message of the library: nobody who calls this method could give it */
        log_warning("default_password", "user %s has the default password: set DECNET_ADMIN_PASSWORD", admin->username);
    return hash_password(call, password ? password : "admin", admin->hash);
}

static int store_administrator(MethodCall *call, const Administrator *admin)
{
    static const Statement seed = {
        .name = "method_initialize_seed",
        .shape = SHAPE_NONE,
        .sql = "INSERT INTO users AS u (uuid, username, password_hash, role, must_change_password)"
               " VALUES (gen_random_uuid(), $1, $2, 'admin', true)"
               " ON CONFLICT (username) DO UPDATE SET password_hash = EXCLUDED.password_hash"
               "  WHERE u.must_change_password"};
    cleanup(args_free) Args args = {0};

    if (!*admin->hash)
        return 0;
    arg_cstr(&args, admin->username);
    arg_cstr(&args, admin->hash);
    return repo_run(call->repo, &seed, &args, NULL);
}

/* The migrations' lock is held to the end of the transaction: who comes at the same time waits and finds everything
 * done. */
static int initialize(MethodCall *call, JsonWriter *w)
{
    Administrator admin = {0};

    int r = prepare_administrator(call, &admin);
    r = r ? r : migrate_within(call->repo);
    r = r ? r : store_administrator(call, &admin);
    if (r == 0)
        json_value_null(w);
    return r;
}

METHOD(initialize, .returns = "void", .writes = true, .run = initialize);

/* --- users --- */

static const Column user_columns[] = {
    {"uuid", COLUMN_UUID, COLUMN_REQUIRED, 0},          {"username", COLUMN_TEXT, COLUMN_REQUIRED, 0},
    {"password_hash", COLUMN_TEXT, COLUMN_REQUIRED, 0}, {"role", COLUMN_TEXT, 0, 0},
    {"must_change_password", COLUMN_BOOL, 0, 0},
};

static int create_user(MethodCall *call, JsonWriter *w)
{
    static const Statement insert = {
        .name = "method_create_user",
        .shape = SHAPE_ROWS,
        .sql = "INSERT INTO users (uuid, username, password_hash, role, must_change_password)"
               " SELECT uuid, username, password_hash, COALESCE(role, 'viewer'), COALESCE(must_change_password, false)"
               " FROM jsonb_populate_record(NULL::users, $1)"};
    return method_run_dictionary(call, 0, user_columns, ARRAY_SIZE(user_columns), &insert, w);
}

METHOD(get_user_by_username, .params = {{"username", PARAM_TEXT, .required = true}}, .returns = "row(users)?",
       .shape = METHOD_ROW, .statement.sql = "SELECT * FROM users WHERE username = $1");

METHOD(get_user_by_uuid, .params = {{"uuid", PARAM_UUID, .required = true}}, .returns = "row(users)?",
       .shape = METHOD_ROW, .statement.sql = "SELECT * FROM users WHERE uuid = $1");

METHOD(create_user, .params = {{"user_data", PARAM_OBJECT, .required = true}}, .returns = "void", .writes = true,
       .run = create_user);

METHOD(update_user_password,
       .params = {{"uuid", PARAM_UUID, .required = true},
                  {"password_hash", PARAM_TEXT, .required = true},
                  {"must_change_password", PARAM_BOOL, .standard = "false"}},
       .returns = "void", .writes = true,
       .statement.sql = "UPDATE users SET password_hash = $2, must_change_password = $3 WHERE uuid = $1");

METHOD(list_users, .returns = "list[row(users)]", .shape = METHOD_ROWS,
       .statement.sql = "SELECT * FROM users ORDER BY username COLLATE \"C\"");

METHOD(
    delete_user, .params = {{"uuid", PARAM_UUID, .required = true}}, .returns = "bool", .writes = true,
    .shape = METHOD_SCALAR,
    .statement.sql = "WITH gone AS (DELETE FROM users WHERE uuid = $1 RETURNING 1) SELECT EXISTS (SELECT FROM gone)");

METHOD(update_user_role, .params = {{"uuid", PARAM_UUID, .required = true}, {"role", PARAM_TEXT, .required = true}},
       .returns = "void", .writes = true, .statement.sql = "UPDATE users SET role = $2 WHERE uuid = $1");

/* --- state --- */

METHOD(get_state, .params = {{"key", PARAM_TEXT, .required = true}}, .returns = "json?", .shape = METHOD_SCALAR,
       .statement.sql = "SELECT value FROM state WHERE key = $1");

METHOD(set_state, .params = {{"key", PARAM_TEXT, .required = true}, {"value", PARAM_JSON, .required = true}},
       .returns = "void", .writes = true,
       .statement.sql = "INSERT INTO state (key, value) VALUES ($1, COALESCE($2, 'null'))"
                        " ON CONFLICT (key) DO UPDATE SET value = EXCLUDED.value");
