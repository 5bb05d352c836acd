/* Prints the C functions of all methods out of the method table, at build time, so that they are what the table is.
 *
 * usage: generate_methods HEADER SOURCE */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "repo/method.h"

/* --- how types look in C --- */

typedef enum CType { C_TEXT, C_INT, C_BOOL, C_JSON } CType;

static const struct {
    const char *value, *pointer; /* required; one that may be left out or null */
    const char *add;
    bool by_address; /* of the value */
} c_types[] = {
    [C_TEXT] = {"const char *", "const char *", "typed_text", false},
    [C_INT] = {"int64_t ", "const int64_t *", "typed_int", true},
    [C_BOOL] = {"bool ", "const bool *", "typed_bool", true},
    [C_JSON] = {"const char *", "const char *", "typed_json", false},
};

static const struct {
    CType type;
    const char *words; /* in C; what the notation of the type does not say */
} params[] = {
    [PARAM_TEXT] = {C_TEXT, ""},
    [PARAM_FILTER] = {C_TEXT, "; \"\" filters nothing"},
    [PARAM_IP] = {C_TEXT, ", an address in any spelling"},
    [PARAM_ID] = {C_TEXT, ", an id"},
    [PARAM_UUID] = {C_TEXT, ""},
    [PARAM_NEW_ID] = {C_TEXT, ", a malformed one is refused"},
    [PARAM_INT] = {C_INT, ""},
    [PARAM_COUNT] = {C_INT, ", not negative"},
    [PARAM_LIMIT] = {C_INT, ", 0 to " STRINGIFY(LIMIT_PAGE_ROWS)},
    [PARAM_BOOL] = {C_BOOL, ""},
    [PARAM_TIME] = {C_TEXT, ", RFC 3339"},
    [PARAM_OBJECT] = {C_JSON, " as JSON text"},
    [PARAM_LIST] = {C_JSON, " as JSON text"},
    [PARAM_SET] = {C_JSON, " as a JSON list"},
    [PARAM_IPS] = {C_JSON, " as a JSON list, addresses"},
    [PARAM_JSON] = {C_JSON, " value as JSON text"},
};

/* What a method returns, and how its function gives it. The last row is for everything else. */
typedef struct Result {
    const char *returns;
    const char *declaration, *end, *words;
} Result;

#define AN_INT "int64_t *ret", "typed_end_int(&call, ret)"
#define A_BOOL "bool *ret", "typed_end_bool(&call, ret)"
#define A_TEXT "char **ret", "typed_end_text(&call, ret)"
#define FREE_IT "; release it with free()"
#define OR_NULL ", or NULL" FREE_IT

static const Result results[] = {
    {"void", NULL, "typed_end_void(&call)", ""},
    {"int", AN_INT, ""},
    {"int (row id)", AN_INT, ""},
    {"bool", A_BOOL, ""},
    {"uuid", A_TEXT, FREE_IT},
    {"id", A_TEXT, FREE_IT},
    {"trigger uuid", A_TEXT, FREE_IT},
    {"uuid?", A_TEXT, OR_NULL},
    {"identity uuid?", A_TEXT, OR_NULL},
    {NULL, "char **ret_json", "typed_end_json(&call, ret_json)", " as JSON text" FREE_IT},
};
static const Result items = {NULL, "DecnetRepoItem fn, void *arg", "typed_end_items(&call, fn, arg)",
                             ", each item to @fn, see decnet_repo_call_each()"};

static const Result *result_of(const Method *m)
{
    const Result *r = results;

    if (method_iterates(m))
        return &items;
    while (r->returns && strcmp(r->returns, method_returns(m)) != 0)
        r++;
    return r;
}

/* --- output --- */

static const MethodParam *nth_param(const Method *m, size_t i)
{
    const MethodParam *p = method_params(m);
    return i < METHOD_PARAMS_MAX && p[i].name ? &p[i] : NULL;
}

static bool may_be_missing(const MethodParam *p)
{
    return !p->required || p->nullable;
}

static void put_prototype(FILE *out, const Method *m)
{
    const MethodParam *p;
    const Result *r = result_of(m);

    fprintf(out, "int decnet_repo_%s(DecnetRepo *repo", method_name(m));
    for (size_t i = 0; (p = nth_param(m, i)); i++) {
        CType type = params[p->type].type;
        fprintf(out, ", %s%s", may_be_missing(p) ? c_types[type].pointer : c_types[type].value, p->name);
    }
    fprintf(out, "%s%s)", r->declaration ? ", " : "", r->declaration ? r->declaration : "");
}

static void put_comment(FILE *out, size_t i)
{
    const Method *m = method_at(i);
    const MethodParam *p;

    fprintf(out, "\n/* %s: %s\n", method_group(i), method_writes(m) ? "writes" : "reads");
    for (size_t k = 0; (p = nth_param(m, k)); k++) {
        fprintf(out, " * @%s: %s%s", p->name, param_type_name(p), params[p->type].words);
        if (p->required && p->nullable)
            fputs("; NULL: null", out);
        if (!p->required)
            fprintf(out, "; NULL: %s", p->standard ? p->standard : "null");
        fputc('\n', out);
    }
    fprintf(out, " * Returns %s%s. */\n", method_returns(m), result_of(m)->words);
}

static void put_header(FILE *out)
{
    fputs(
        "/* The methods of the repository as functions of C, made from its method table. Include <decnet/repo.h>.\n"
        " *\n"
        " * Each returns DECNET_REPO_OK or what decnet_repo_call() returns. A result goes to *ret or *ret_json, which is\n"
        " * 0, false or NULL after a failure; ret or ret_json may be NULL when the result is not wanted. Parameters that\n"
        " * may be left out are pointers, and NULL leaves them out: what they are then stands behind \"NULL:\". */\n"
        "#ifndef DECNET_REPO_METHODS_H\n#define DECNET_REPO_METHODS_H\n\n"
        "#ifndef DECNET_REPO_H\n#error \"include <decnet/repo.h>\"\n#endif\n\n"
        "#ifdef __cplusplus\nextern \"C\" {\n#endif\n",
        out);
    for (size_t i = 0; i < method_count(); i++) {
        put_comment(out, i);
        put_prototype(out, method_at(i));
        fputs(";\n", out);
    }
    fputs("\n#ifdef __cplusplus\n}\n#endif\n\n#endif\n", out);
}

static void put_function(FILE *out, const Method *m)
{
    const MethodParam *p;

    fputc('\n', out);
    put_prototype(out, m);
    fprintf(out, "\n{\n    TypedCall call = typed_begin(repo, \"%s\");\n\n", method_name(m));
    for (size_t i = 0; (p = nth_param(m, i)); i++) {
        CType type = params[p->type].type;
        fprintf(out, "    %s(&call, \"%s\", %s, %s%s);\n", c_types[type].add, p->name,
                p->required ? "REQUIRED" : "OPTIONAL", c_types[type].by_address && !may_be_missing(p) ? "&" : "",
                p->name);
    }
    fprintf(out, "    return %s;\n}\n", result_of(m)->end);
}

/* As a literal of C: names and JSON, of which only quotes need care. */
static void put_literal(FILE *out, const char *text)
{
    fputc('"', out);
    for (; *text; text++)
        fprintf(out, "%s%c", *text == '"' || *text == '\\' ? "\\" : "", *text);
    fputc('"', out);
}

static void put_params(FILE *out, const Method *m)
{
    const MethodParam *p;

    if (!nth_param(m, 0))
        return;
    fprintf(out, "\nstatic const DecnetRepoParam params_of_%s[] = {\n", method_name(m));
    for (size_t i = 0; (p = nth_param(m, i)); i++) {
        fprintf(out, "    {\"%s\", \"%s\", %d, %d, ", p->name, param_type_name(p), p->required, param_may_be_null(p));
        if (p->required)
            fputs("NULL", out);
        else
            put_literal(out, p->standard ? p->standard : "null");
        fputs("},\n", out);
    }
    fputs("};\n", out);
}

static void put_row(FILE *out, size_t i)
{
    const Method *m = method_at(i);
    size_t n = 0;

    while (nth_param(m, n))
        n++;
    fprintf(out, "    {\"%s\", \"%s\", ", method_name(m), method_group(i));
    put_literal(out, method_returns(m));
    fprintf(out, ", %d, %d, %d, %s%s, %zu},\n", method_writes(m), method_iterates(m), method_streams(m),
            n ? "params_of_" : "NULL", n ? method_name(m) : "", n);
}

static void put_source(FILE *out)
{
    fputs("#include \"call.h\"\n", out);
    for (size_t i = 0; i < method_count(); i++)
        put_function(out, method_at(i));
    for (size_t i = 0; i < method_count(); i++)
        put_params(out, method_at(i));
    fputs("\nconst DecnetRepoMethod library_methods[] = {\n", out);
    for (size_t i = 0; i < method_count(); i++)
        put_row(out, i);
    fprintf(out, "};\nconst size_t library_n_methods = %zu;\n", method_count());
}

static int write_file(const char *path, void (*put)(FILE *out))
{
    FILE *out = fopen(path, "w");

    if (out)
        put(out);
    bool failed = !out || ferror(out);
    if ((!out || fclose(out) == 0) && !failed)
        return 0;
    fprintf(stderr, "cannot write %s: %s\n", path, strerror(errno));
    return 1;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fputs("usage: generate_methods HEADER SOURCE\n", stderr);
        return 2;
    }
    return write_file(argv[1], put_header) | write_file(argv[2], put_source);
}
