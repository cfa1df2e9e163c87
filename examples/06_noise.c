/*
 * How much noise may a gradient have? Bias and variance of two schemes at a model's weights: stochastic rounding has
 * variance, which a larger batch averages out, rounding to nearest has a bias, which it does not.
 *
 * Writes 06_text.txt and 06_noise.model here; where they come from an earlier run, remove them first.
 */
#include <dither/dither.h>
#include <stdio.h>

static const char *const text = "06_text.txt";
static const char *const model = "06_noise.model";

static bool write_text(void)
{
    FILE *file = fopen(text, "w");
    if (file == NULL)
        return false;
    for (int i = 0; i < 400; i++)
        fprintf(file, "%d and %d are %d\n", i % 7, i % 11, i % 7 + i % 11);
    return fclose(file) == 0;
}

static dither_status measure(const char *scheme, dither_noise **noise, dither_error *error)
{
    static const uint64_t batches[] = {1, 16};
    dither_noise_options options;
    dither_noise_options_init(&options);
    options.model = model;
    options.data = &text;
    options.data_count = 1;
    options.scheme = scheme;
    options.batches = batches;
    options.batch_count = 2;
    options.parts = 1u << DITHER_NOISE_WHOLE;
    return dither_noise_measure(&options, noise, NULL, NULL, NULL, error);
}

static const char *yes(bool so)
{
    return so ? "yes" : "no";
}

static void compare(const dither_noise *sr, const dither_noise *rne)
{
    const dither_noise_cell *one = dither_noise_at(sr, 0, DITHER_NOISE_WHOLE, 0);
    const dither_noise_cell *many = dither_noise_at(sr, 1, DITHER_NOISE_WHOLE, 0);
    const dither_noise_cell *nearest = dither_noise_at(rne, 1, DITHER_NOISE_WHOLE, 0);
    char caveat[DITHER_NOISE_CAVEAT];
    printf("batches of %d and %d sequences\n", (int)sr->batches[0].sequences, (int)sr->batches[1].sequences);
    printf("stochastic: bias^2 is below a fifth of the variance, as far as 32 draws can tell: %s\n",
           yes(one->bias2.high < one->variance.low / 5 && many->bias2.high < many->variance.low / 5));
    printf("stochastic: 16 times the batch, less than a fourth of the variance: %s\n",
           yes(many->variance.high < one->variance.low / 4));
    printf("to nearest: a bias: %s, and no variance: %s\n", yes(nearest->bias2.low > many->bias2.high),
           yes(nearest->variance.value == 0));
    for (size_t i = 0; dither_noise_caveat(&rne->scheme, i, caveat); i++)
        printf("to nearest: %s\n", caveat);
}

int main(void)
{
    dither_train_options options;
    dither_error error = {.where = "the text", .text = "cannot be written"};
    dither_noise *sr = NULL, *rne = NULL;
    dither_train_options_init(&options);
    options.new_model = "layers=1,heads=2,dim=32,ctx=32";
    options.data = &text;
    options.data_count = 1;
    options.out = model;
    options.steps = 60;
    options.lr = 1e-2;
    const bool ok = write_text() && dither_train(&options, NULL, NULL, NULL, &error) == DITHER_OK &&
                    measure("goact=int3/row:sr,goweight=int3/row:sr", &sr, &error) == DITHER_OK &&
                    measure("goact=int3/row,goweight=int3/row", &rne, &error) == DITHER_OK;
    if (ok)
        compare(sr, rne);
    else
        fprintf(stderr, "%s: %s\n", error.where, error.text);
    dither_noise_free(sr);
    dither_noise_free(rne);
    return ok ? 0 : 1;
}
