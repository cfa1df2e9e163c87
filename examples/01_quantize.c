/*
 * Quantize a matrix to int8 with one scale a row, look at the codes, and go back.
 *
 * Stochastically rounded, a value is off by up to one step (its row's scale), twice as much as to nearest. But the mean
 * of many draws is the value itself, while to nearest the error is the same every time.
 */
#include <dither/dither.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { ROWS = 3, COLS = 8, DRAWS = 4096 };

/* Largest |y - x| in steps of the row's scale. */
static double largest_error(const dither_codes *codes, const double *y, const float *x)
{
    double largest = 0;
    for (size_t i = 0; i < ROWS; i++)
        for (size_t j = 0; j < COLS; j++)
            largest = fmax(largest, fabs(y[i * COLS + j] - (double)x[i * COLS + j]) /
                                        (double)dither_codes_scale(codes, i, j));
    return largest;
}

/* Quantize x `draws` times, each with random bits of its own, and print the error of the mean. */
static dither_status report(const char *text, const float *x, uint32_t draws, dither_error *error)
{
    dither_quantizer quantizer;
    dither_codes codes;
    float y[ROWS * COLS];
    double mean[ROWS * COLS] = {0};
    dither_status status = dither_quantizer_parse(text, &quantizer, error);
    if (status != DITHER_OK)
        return status;
    void *memory = aligned_alloc(64, dither_codes_bytes(&quantizer, DITHER_AXIS_COLS, ROWS, COLS));
    if (memory == NULL)
        return DITHER_E_MEMORY;
    status = dither_codes_init(&codes, &quantizer, DITHER_AXIS_COLS, ROWS, COLS, memory);
    for (uint32_t step = 0; status == DITHER_OK && step < draws; step++) {
        dither_draw draw = {.seed = 1, .step = step};
        status = dither_quantize(&codes, x, NULL, NULL, &draw, NULL, 1);
        if (status != DITHER_OK)
            break;
        dither_dequantize(&codes, y, 1);
        for (size_t i = 0; i < ROWS * COLS; i++)
            mean[i] += (double)y[i] / draws;
    }
    if (status == DITHER_OK) {
        printf("%s, mean of %u: off by at most %.2f steps\n", text, (unsigned)draws, largest_error(&codes, mean, x));
        for (size_t i = 0; draws == 1 && i < ROWS; i++) {
            for (size_t j = 0; j < COLS; j++)
                printf("%5d", (int8_t)dither_codes_get(&codes, i, j));
            printf("   x %.6f\n", (double)dither_codes_scale(&codes, i, 0));
        }
    }
    free(memory);
    return status;
}

int main(void)
{
    float x[ROWS * COLS];
    dither_error error = {.text = "out of memory"};
    for (int i = 0; i < ROWS * COLS; i++) /* rows of different size: each has a scale of its own */
        x[i] = (float)((i * 7 + 3) % 16 - 8) * (i < COLS ? 0.0125f : i < 2 * COLS ? 0.125f : 1.25f) / 3;
    if (report("int8/row", x, 1, &error) != DITHER_OK || report("int8/row", x, DRAWS, &error) != DITHER_OK ||
        report("int8/row:sr", x, 1, &error) != DITHER_OK || report("int8/row:sr", x, DRAWS, &error) != DITHER_OK) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    return 0;
}
