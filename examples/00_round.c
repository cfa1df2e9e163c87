/*
 * Round one number to few bits: to nearest, and stochastically.
 *
 * 2.7 lies between the codes 2 and 3 of e2m1, the 4-bit float. To nearest it is always 3. Stochastic rounding with 8
 * random bits takes 3 for 179 of the 256 equally likely draws and 2 for the others, so that the mean is 2.7 rounded to
 * 8 further bits: what one draw loses, the average of many gives back.
 *
 *     cc 00_round.c $(pkg-config --cflags --libs dither)
 */
#include <dither/dither.h>
#include <stdio.h>

static const char *const formats[] = {"bf16", "e4m3", "e5m2", "e2m1", "int8", "int4", "fx3"};

int main(void)
{
    const float x = 2.7f;
    const dither_rounding nearest = {DITHER_ROUND_RNE, 0};
    const dither_rounding stochastic = {DITHER_ROUND_SR, 8};
    dither_format format;
    dither_error error;

    puts("2.7 to nearest");
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        if (dither_format_find(formats[i], &format, &error) != DITHER_OK) {
            fprintf(stderr, "%s\n", error.text);
            return 1;
        }
        uint32_t code = dither_format_encode(&format, nearest, x, 0, NULL);
        printf("  %-5s %2d bits  code 0x%04x  value %g\n", format.name, format.bits, (unsigned)code,
               (double)dither_format_decode(&format, code));
    }

    if (dither_format_find("e2m1", &format, &error) != DITHER_OK) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    int up = 0;
    double sum = 0;
    for (uint32_t random = 0; random < 256; random++) {
        float value = dither_format_decode(&format, dither_format_encode(&format, stochastic, x, random, NULL));
        up += value > x;
        sum += (double)value;
    }
    printf("2.7 to e2m1 with every draw of 8 bits\n  3 for %d, 2 for %d; mean %.8f\n", up, 256 - up, sum / 256);

    /* Beyond the largest value every rounding saturates. That is a bias, so it is said. */
    bool clipped = false;
    uint32_t code = dither_format_encode(&format, stochastic, 7.5f, 0, &clipped);
    printf("7.5 to e2m1\n  %g, %s\n", (double)dither_format_decode(&format, code), clipped ? "clipped" : "exact");
    return 0;
}
