/* A text to train on and options of a run that takes a moment, for tests of training. */
#ifndef DITHER_TESTS_TRAINING_H
#define DITHER_TESTS_TRAINING_H

#include <stdio.h>

#include "dither/train.h"
#include "temporary.h"

static char training_text[512];
static const char *const training_texts[] = {training_text};

/* temporary_setup, with the text in the folder. */
static inline int training_setup(void **state)
{
    (void)temporary_setup(state);
    (void)snprintf(training_text, sizeof training_text, "%s/text.txt", temporary_folder);
    FILE *file = fopen(training_text, "w");
    if (!file)
        return -1;
    for (int i = 0; i < 400; i++)
        (void)fprintf(file, "line %d: the quick brown fox counts %d sheep\n", i, i * i % 97);
    return fclose(file);
}

/* A run of one thread into `out`, without evaluations on the way. */
static inline dither_train_options training_options(const char *shape, const char *out)
{
    dither_train_options options;
    dither_train_options_init(&options);
    options.new_model = shape;
    options.data = training_texts;
    options.data_count = 1;
    options.out = out;
    options.eval_every = 0;
    options.threads = 1;
    return options;
}

#endif
