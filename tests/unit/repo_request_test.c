/* The lines of decnetctl repo: particulars of errors, and answers that stay on one line. Requests are tested with the
 * program itself and fuzzed. */
#include <criterion/criterion.h>
#include <string.h>

#include "repo/request.h"

static void expect_error(const AnswerError *error, const char *want)
{
    cleanup(buf_free) Buf out = {0};

    answer_error(&out, STR("7"), error);
    cr_expect_str_eq(out.data, want);
}

Test(repo_request, errors_carry_the_particulars_of_their_class)
{
    expect_error(
        &(AnswerError){.class = "E_VERSION",
                       .method = "update_lan",
                       .message = "the version is 3",
                       .sqlstate = "",
                       .hint = "",
                       .detail_json = "\"current\":3,\"expected\":2"},
        "{\"id\":7,\"error\":{\"class\":\"E_VERSION\",\"method\":\"update_lan\",\"message\":\"the version is 3\","
        "\"sqlstate\":null,\"hint\":null,\"current\":3,\"expected\":2}}\n");
    expect_error(&(AnswerError){.class = "E_ORPHAN", .message = "m", .detail_json = "\"lan\":\"a\\n\",\"decky\":\"b\""},
                 "{\"id\":7,\"error\":{\"class\":\"E_ORPHAN\",\"method\":null,\"message\":\"m\",\"sqlstate\":null,"
                 "\"hint\":null,\"lan\":\"a\\n\",\"decky\":\"b\"}}\n");
    expect_error(&(AnswerError){.class = "E_ORPHAN", .message = "m", .detail_json = "\"lan\":\"a\",\"decky\":\"bbb"},
                 "{\"id\":7,\"error\":{\"class\":\"E_ORPHAN\",\"method\":null,\"message\":\"m\",\"sqlstate\":null,"
                 "\"hint\":null}}\n");
    expect_error(&(AnswerError){.class = "E_DB", .message = "a\nb\xff", .sqlstate = "08006", .hint = "wait"},
                 "{\"id\":7,\"error\":{\"class\":\"E_DB\",\"method\":null,\"message\":\"a\\nb\xef\xbf\xbd\","
                 "\"sqlstate\":\"08006\",\"hint\":\"wait\"}}\n");
}

Test(repo_request, an_answer_is_one_line)
{
    cleanup(buf_free) Buf out = {0};

    answer_begin(&out, STR("\"x\""), "result");
    buf_add(&out, "{\n  \"a\": \"\\n\",\n\n\"b\":\n1}");
    answer_end(&out);
    cr_expect_str_eq(out.data, "{\"id\":\"x\",\"result\":{   \"a\": \"\\n\",  \"b\": 1}}\n");
}
