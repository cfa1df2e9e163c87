/* What dither plan prints: a table of the ways to train, what limits them, and the line to run. */
#ifndef DITHER_CLI_ADVICE_PRINT_H
#define DITHER_CLI_ADVICE_PRINT_H

#include "dither/advice.h"

typedef struct dither_advice_text {
    const dither_advice_options *options;
    const dither_advice *advice;
    const char *command; /* to run; NULL where nothing fits */
    double seconds;      /* that measuring took */
} dither_advice_text;

void dither_advice_print(const dither_advice_text *plan);

/** One object on one line. */
void dither_advice_print_json(const dither_advice_text *plan);

enum { DITHER_ADVICE_WHY = 512 };

/** Why that line, in one or two sentences, into text[DITHER_ADVICE_WHY]. */
void dither_advice_why(const dither_advice_text *plan, char *text);

#endif
