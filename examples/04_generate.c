/*
 * Open a model folder and let it write.
 *
 * The model is a small one that learns a verse by heart first, so that the likeliest next byte is never in doubt.
 * Writes 04_generate.txt and 04_generate.model here; where they come from an earlier run, remove them first.
 */
#include <dither/dither.h>
#include <stdio.h>
#include <string.h>

static const char verse[] = "What one coin loses, many tosses mend.\n";

static dither_status learn(const char *out, dither_error *error)
{
    const char *data[] = {"04_generate.txt"};
    dither_train_options options;
    FILE *file = fopen(data[0], "w");
    if (file == NULL)
        return DITHER_E_IO;
    for (int i = 0; i < 300; i++)
        fputs(verse, file);
    if (fclose(file) != 0)
        return DITHER_E_IO;

    dither_train_options_init(&options);
    options.new_model = "layers=2,heads=2,dim=32,ctx=40";
    options.data = data;
    options.data_count = 1;
    options.out = out;
    options.steps = 150;
    options.lr = 1e-2;
    return dither_train(&options, NULL, NULL, NULL, error);
}

/*
 * Called with each new token. It may be a part of a character only, so bytes go out as they come. The end of the line
 * is the end of the verse: false stops the writing.
 */
static bool emit(void *context, uint32_t id)
{
    const char *bytes;
    size_t length = dither_tokenizer_decode(context, id, &bytes);
    return fwrite(bytes, 1, length, stdout) == length && memchr(bytes, '\n', length) == NULL;
}

int main(void)
{
    static const char folder[] = "04_generate.model";
    const char prompt[] = "What one coin";
    uint32_t ids[sizeof prompt];
    dither_tokenizer *tokenizer = NULL;
    dither_model *model = NULL;
    dither_error error = {.where = "04_generate.txt", .text = "cannot be written"};
    const dither_sampling greedy = {.temperature = 0, .top_p = 1};

    dither_status status = learn(folder, &error);
    if (status == DITHER_OK)
        status = dither_tokenizer_open(&tokenizer, folder, &error);
    if (status == DITHER_OK)
        status = dither_model_open(&model, folder, NULL, 0, &error);
    if (status == DITHER_OK) {
        size_t count = dither_tokenizer_encode(tokenizer, prompt, strlen(prompt), ids, sizeof ids / sizeof *ids);
        printf("%s|", prompt);
        status = dither_model_generate(model, ids, count, 100, &greedy, emit, tokenizer, &error);
    }
    if (status != DITHER_OK)
        fprintf(stderr, "%s: %s\n", error.where, error.text);
    dither_model_close(model);
    dither_tokenizer_close(tokenizer);
    return status != DITHER_OK;
}
