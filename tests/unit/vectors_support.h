/* decnet-vectors as a user runs it, for the tests of its shapes. DECNET_VECTORS_PROGRAM names the program. */
#pragma once

#include "ttp_support.h"

typedef struct VectorsOutput {
    char text[16384];
    int status;
} VectorsOutput;

/* Run the program on @arguments, with the shipped rules; its two outputs together. */
VectorsOutput vectors_run(const char *arguments);
/* Run on one file with @text, which is called "cases". */
VectorsOutput vectors_run_text(const char *text);
/* Fails the test unless the exit status is @status and the output holds @part. */
void vectors_expect(const VectorsOutput *out, int status, const char *part);
