/* What the tests of the repository's methods share: calls by name with JSON in which single quotes stand for double
 * ones, answers, refusals, and several connections at once. */
#pragma once

#include "base/json.h"
#include "repo/method.h"

/* The repository under test, as superuser on a database of this test's own, and its connection string. */
extern Repo *repo;
extern char *conninfo;
void repo_test_setup(void);
void repo_test_teardown(void);

/* The result of a call that succeeds; the caller releases. A JSON null is NULL. */
json_object *call(const char *method, const char *fmt, ...) printf_like(2, 3);
int64_t call_int(const char *method, const char *fmt, ...) printf_like(2, 3);
/* A call that must fail with @outcome and a message that holds @words; nothing may come out of it, and the connection
 * stays usable. */
void refuse(int outcome, const char *words, const char *method, const char *fmt, ...) printf_like(4, 5);

/* Member of a row as text; "null" for null. Fails when the key is missing. */
const char *text_of(json_object *row, const char *key);
#define expect_key(row, key, want) cr_expect_str_eq(text_of(row, key), want, "%s is %s", key, text_of(row, key))
json_object *nth(json_object *list, size_t i);

/* Id of the attacker of @ip, of identity number @n: made when missing; static text, good for the next three calls. */
const char *attacker(const char *ip);
const char *identity(unsigned n);

/* Runs @fn on 8 connections at the same time, index 0 to 7. Inside it use call_on(). */
enum { HAMMERS = 8 };
typedef void (*HammerFn)(Repo *own, int index, void *arg);
void hammer_all(HammerFn fn, void *arg);
json_object *call_on(Repo *on, const char *method, const char *fmt, ...) printf_like(3, 4);
/* What a call comes to that may be refused; its result is dropped. */
int outcome_on(Repo *on, const char *method, const char *fmt, ...) printf_like(3, 4);
