/* Requests of decnetctl repo: whatever the line is, it is a request or has a problem, and its answer is one line of JSON
 * under an id that reads back as it was given. */
#include "fuzz.h"
#include "repo/request.h"

static void promise_answer(const Buf *out, Str id_json)
{
    cleanup(json_putp) json_object *answer = json_parse(buf_str(out));
    cleanup(json_putp) json_object *id = json_parse(id_json);

    PROMISE(answer && memchr(out->data, '\n', out->len) == out->data + out->len - 1);
    PROMISE(json_object_equal(json_member(answer, "id"), id));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cleanup(freep) uint8_t *block = NULL;
    cleanup(request_free) Request request;
    cleanup(buf_free) Buf out = {0};

    bool good = request_parse(fuzz_input(&block, data, size), &request);
    PROMISE(good == (request.problem[0] == '\0'));
    Str id = buf_str(&request.id);
    if (good) {
        PROMISE(request.method && *request.method);
        PROMISE(!request.params || json_object_is_type(request.params, json_type_object));
        answer_begin(&out, id, "result");
        buf_add(&out, "{\n}");
        answer_end(&out);
    } else {
        answer_error(&out, id,
                     &(AnswerError){.class = "E_INVALID",
                                    .method = request.method,
                                    .message = request.problem,
                                    .detail_json = request.problem});
    }
    promise_answer(&out, id);
    return 0;
}
