#include "advice_command.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "output.h"

static void add_text(FILE *file, const char *name, const char *value)
{
    if (!value)
        return;
    fprintf(file, " --%s ", name);
    dither_output_shell_word(file, value);
}

/* What the shape and the data are, as they were given. */
static void add_run(FILE *file, const dither_train_options *run)
{
    add_text(file, "new", run->new_model);
    add_text(file, "model", run->model);
    add_text(file, "tokenizer", run->tokenizer);
    fputs(" --data", file);
    for (size_t i = 0; i < run->data_count; i++) {
        fputc(' ', file);
        dither_output_shell_word(file, run->data[i]);
    }
    add_text(file, "val", run->val);
    add_text(file, "chat-format", run->chat_format);
    add_text(file, "fields", run->fields);
    if (run->train_on != DITHER_TRAIN_ON_ASSISTANT)
        add_text(file, "train-on", dither_train_on_name((int)run->train_on));
    if (run->longer != DITHER_LONG_CUT)
        add_text(file, "long", dither_long_name((int)run->longer));
}

static void add_out(FILE *file, const char *out)
{
    char name[32] = "trained";
    for (int i = 2; !out && !access(name, F_OK) && i < 10000; i++)
        (void)snprintf(name, sizeof name, "trained-%d", i);
    add_text(file, "out", out ? out : name);
}

char *dither_advice_command(const dither_advice_options *options, const dither_advice *advice, const char *out)
{
    const dither_train_options *run = &options->run;
    const dither_advice_row *row = &advice->rows[advice->best];
    char *line = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&line, &size);
    if (!file)
        return NULL;
    fputs("dither train", file);
    add_run(file, run);
    add_text(file, "scheme", row->scheme);
    fprintf(file, " --batch %llu", (unsigned long long)row->batch);
    if (row->accumulate > 1)
        fprintf(file, " --accumulate %llu", (unsigned long long)row->accumulate);
    fprintf(file, " --seq %llu --steps %llu --lr %.9g", (unsigned long long)advice->seq,
            (unsigned long long)(row->steps ? row->steps : 1), run->lr);
    if (run->seed != 1)
        fprintf(file, " --seed %llu", (unsigned long long)run->seed);
    if (run->threads)
        fprintf(file, " --threads %d", run->threads);
    if (run->memory)
        fprintf(file, " --memory %llu", (unsigned long long)run->memory);
    add_out(file, out);
    if (fclose(file)) {
        free(line);
        return NULL;
    }
    return line;
}
