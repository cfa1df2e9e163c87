/*
 * Fine-tune: start from a model there is, go on with another text and in other bits, and measure before and after.
 *
 * Writes 05_first and 05_second (.txt and .model) here; where they come from an earlier run, remove them first.
 */
#include <dither/dither.h>
#include <stdio.h>

static const char *const texts[] = {"05_first.txt", "05_second.txt"};
static const char *const models[] = {"05_first.model", "05_second.model"};
static const char *const lines[] = {"to round is to lose a part\n", "every draw is off, their mean is not\n"};

static bool write_text(int which)
{
    FILE *file = fopen(texts[which], "w");
    if (file == NULL)
        return false;
    for (int i = 0; i < 300; i++)
        fputs(lines[which], file);
    return fclose(file) == 0;
}

/* Loss of a model on a text, nats a token. */
static dither_status measure(int model_index, int text_index, double *loss, dither_error *error)
{
    dither_tokenizer *tokenizer = NULL;
    dither_corpus *corpus = NULL;
    dither_model *model = NULL;
    dither_evaluation result = {0};
    dither_status status = dither_tokenizer_open(&tokenizer, models[model_index], error);
    if (status == DITHER_OK)
        status = dither_corpus_open(&corpus, &texts[text_index], 1, tokenizer, error);
    if (status == DITHER_OK)
        status = dither_model_open(&model, models[model_index], NULL, 0, error);
    if (status == DITHER_OK)
        status = dither_evaluate(model, corpus, 0, 0, NULL, NULL, &result, error);
    *loss = result.nats_per_token;
    dither_model_close(model);
    dither_corpus_close(corpus);
    dither_tokenizer_close(tokenizer);
    return status;
}

int main(void)
{
    dither_train_options options;
    dither_error error = {.where = "the texts", .text = "cannot be written"};
    double before = 0, after = 0;
    bool ok = write_text(0) && write_text(1);

    dither_train_options_init(&options);
    options.new_model = "layers=1,heads=2,dim=32,ctx=32";
    options.data = &texts[0];
    options.data_count = 1;
    options.out = models[0];
    options.steps = 100;
    options.lr = 1e-2;
    options.scheme = "bf16";
    ok = ok && dither_train(&options, NULL, NULL, NULL, &error) == DITHER_OK;
    ok = ok && measure(0, 1, &before, &error) == DITHER_OK;

    options.new_model = NULL;
    options.model = models[0];
    options.data = &texts[1];
    options.out = models[1];
    options.scheme = "mxfp4"; /* the backward pass on 4-bit floats, 32 to a scale, rounded stochastically */
    ok = ok && dither_train(&options, NULL, NULL, NULL, &error) == DITHER_OK;
    ok = ok && measure(1, 1, &after, &error) == DITHER_OK;
    if (!ok) {
        fprintf(stderr, "%s: %s\n", error.where, error.text);
        return 1;
    }
    printf("before, the second text is strange to the model (above 2 nats a byte): %s\n", before > 2 ? "yes" : "no");
    printf("after 100 steps in mxfp4 it is known (below 0.5): %s\n", after < 0.5 ? "yes" : "no");
    fprintf(stderr, "loss %.3f before, %.3f after\n", before, after);
    return 0;
}
