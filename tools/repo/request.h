/* The lines that `decnetctl repo` reads and writes. Pure: bytes in, a request or what is wrong with it out; an answer as
 * one line of JSON.
 *
 * Request: {"id": ID, "method": NAME, "params": {…}}, where ID is text, an integer or null, and may be missing like params.
 * Answer:  {"id": ID, "result": …}, {"id": ID, "error": {…}}, or of an iterator any number of {"id": ID, "item": …} and
 * then {"id": ID, "end": true}. */
#pragma once

#include "base/json.h"

typedef struct Request {
    json_object *json;   /* owns the next two */
    const char *method;  /* not empty */
    json_object *params; /* an object, or NULL */
    Buf id;              /* JSON text; null as long as the line has not told a usable one */
    char problem[200];   /* why it is no request */
} Request;

/* False when @line is no request; then problem and id are set. request_free() in any case. */
bool request_parse(Str line, Request *ret) must_check;
void request_free(Request *request); /* use with cleanup(request_free) */

/* One answer: begin, append JSON to @out, end. */
void answer_begin(Buf *out, Str id_json, const char *member);
void answer_end(Buf *out);

typedef struct AnswerError {
    const char *class, *method; /* of the interface: "E_INVALID"; NULL when the line named none */
    const char *message;
    const char *sqlstate, *hint; /* "" or NULL: null */
    const char *detail_json;     /* further members, see RepoError; left out when they are not whole */
} AnswerError;
void answer_error(Buf *out, Str id_json, const AnswerError *error);
