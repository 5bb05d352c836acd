/* Parameters of a method from words of a command line: KEY=VALUE, KEY=@FILE. */
#pragma once

#include "decnetctl.h"
#include "repo/method.h"

/* The words behind the method's name, ctl->args[1] on, as an object (the caller releases). A value that is JSON of the
 * parameter's type is taken so; for text anything else is the text itself, and a file's bytes always are. Returns 0, or
 * an exit status after a message. */
int words_to_params(const Ctl *ctl, const Method *method, json_object **ret) must_check;
