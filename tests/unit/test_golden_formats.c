/*
 * Every format of at most 16 bits against gfloat, ml_dtypes and numpy: the values of all codes, and the rounding of all
 * bf16 values and of 10^6 f32 values around every tie. tools/golden_formats.py makes the golden files and says what is
 * in them; the inputs and the hash are restated here.
 */
#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dither/format.h"
#include "quant/round.h"

enum { LANES = 1024, INPUTS = 1000000, CODES = 1 << 16, SPAN = 1000 };

static const uint32_t inf_bits = 0x7f800000u, sign_bit = 0x80000000u;
static const uint64_t fnv_prime = UINT64_C(0x100000001b3), fnv_basis = UINT64_C(0xcbf29ce484222325);

static uint32_t bits_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static float f32_of(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* ---- the hash --------------------------------------------------------------------------------------------- */

typedef struct hash {
    uint64_t lane[LANES];
    size_t count;
} hash;

static void hash_start(hash *h)
{
    for (size_t i = 0; i < LANES; i++) {
        h->lane[i] = fnv_basis;
    }
    h->count = 0;
}

static void hash_value(hash *h, float x)
{
    const uint32_t bits = isnan(x) ? 0x7fc00000u : bits_of(x);
    uint64_t lane = h->lane[h->count % LANES];
    for (int byte = 0; byte < 4; byte++) {
        lane = (lane ^ (bits >> (8 * byte) & 255)) * fnv_prime;
    }
    h->lane[h->count++ % LANES] = lane;
}

static uint64_t hash_end(const hash *h)
{
    uint64_t total = fnv_basis;
    for (size_t i = 0; i < LANES; i++) {
        for (int byte = 0; byte < 8; byte++) {
            total = (total ^ (h->lane[i] >> (8 * byte) & 255)) * fnv_prime;
        }
    }
    return total;
}

/* ---- the inputs ------------------------------------------------------------------------------------------- */

static float values[CODES]; /* the values >= 0 of the format under test, ascending */
static size_t value_count;
static float inputs[INPUTS];
static size_t input_count;

static int ascending(const void *a, const void *b)
{
    float x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x > y) - (x < y);
}

static void load_values(const dither_format *f)
{
    value_count = 0;
    for (uint32_t code = 0; code >> f->bits == 0; code++) {
        const float v = dither_format_decode(f, code);
        if (isfinite(v) && !signbit(v)) {
            values[value_count++] = v;
        }
    }
    qsort(values, value_count, sizeof values[0], ascending);
}

static void add_bits(int64_t bits)
{
    assert_true(input_count < INPUTS);
    inputs[input_count++] = f32_of(bits < 0 ? 0 : (uint32_t)bits);
}

static void add_around_values(void)
{
    for (size_t i = 0; i < value_count; i++) {
        const double v = (double)values[i];
        const double next = i + 1 < value_count ? (double)values[i + 1] : 2 * v - (double)values[i - 1];
        const int64_t near = bits_of(values[i]), middle = bits_of((float)((v + next) / 2));
        for (int d = -1; d <= 1; d++) {
            add_bits(near + d);
        }
        for (int d = -2; d <= 2; d++) {
            add_bits(middle + d);
        }
    }
}

static void add_random(void)
{
    size_t first = 0;
    while (first < value_count && values[first] == 0.0f) {
        first++;
    }
    const uint32_t below = bits_of(values[first]) >> 23, top = bits_of(values[value_count - 1]) >> 23;
    const uint32_t low = below > 3 ? below - 3 : 0, high = top < 254 ? top + 1 : 254;
    uint32_t state = 2463534242u;
    while (input_count < INPUTS) {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        const uint32_t field = low + (state >> 23 & 255) % (high - low + 1);
        add_bits((state & 0x807fffffu) | field << 23);
    }
}

static void load_f32_inputs(void)
{
    static const uint32_t special[] = {1, 2, 0x7fffff, 0x800000, 0x800001, 0x7f7fffff};
    input_count = 0;
    add_around_values();
    for (size_t i = 0; i < sizeof special / sizeof special[0]; i++) {
        add_bits(special[i]);
    }
    const size_t positive = input_count;
    for (size_t i = 0; i < positive; i++) {
        add_bits(bits_of(inputs[i]) | sign_bit);
    }
    add_random();
}

static void load_bf16_inputs(void)
{
    input_count = 0;
    for (uint32_t code = 0; code < 1u << 16; code++) {
        if ((code << 16 & ~sign_bit) <= inf_bits) {
            add_bits(code << 16);
        }
    }
}

/* ---- the golden files ------------------------------------------------------------------------------------- */

static FILE *golden(const char *name)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", DITHER_TEST_DATA, name);
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        fail_msg("%s: cannot be read", path);
    }
    return file;
}

static dither_format find(const char *name)
{
    dither_format f;
    dither_error error = {.text = ""};
    if (dither_format_find(name, &f, &error) != DITHER_OK) {
        fail_msg("%s: %s", name, error.text);
    }
    return f;
}

/* The files speak of every format of the table that they can. */
static size_t formats_up_to(int bits)
{
    size_t count = 0;
    for (size_t i = 0; i < dither_format_count(); i++) {
        count += dither_format_at(i)->bits <= bits;
    }
    return count;
}

static void values_of_small_formats(void **state)
{
    (void)state;
    FILE *file = golden("format_values.txt");
    char name[16];
    size_t formats = 0;
    while (fscanf(file, "%15s", name) == 1) {
        const dither_format f = find(name);
        assert_true(f.bits <= 8);
        for (uint32_t code = 0; code >> f.bits == 0; code++) {
            uint32_t expected;
            assert_int_equal(fscanf(file, "%" SCNx32, &expected), 1);
            const float v = dither_format_decode(&f, code);
            if (isnan(f32_of(expected)) ? !isnan(v) : bits_of(v) != expected) {
                fail_msg("%s code %#x: decodes to %a, not %a", name, code, (double)v, (double)f32_of(expected));
            }
        }
        formats++;
    }
    fclose(file);
    assert_int_equal(formats, formats_up_to(8));
}

static void values_of_all_formats(void **state)
{
    (void)state;
    FILE *file = golden("format_hashes.txt");
    char name[16];
    size_t codes, formats = 0;
    uint64_t expected;
    while (fscanf(file, "%15s %zu %" SCNx64, name, &codes, &expected) == 3) {
        const dither_format f = find(name);
        hash h;
        hash_start(&h);
        for (uint32_t code = 0; code >> f.bits == 0; code++) {
            hash_value(&h, dither_format_decode(&f, code));
        }
        assert_int_equal(h.count, codes);
        if (hash_end(&h) != expected) {
            fail_msg("%s: the values of its codes differ", name);
        }
        formats++;
    }
    fclose(file);
    assert_int_equal(formats, formats_up_to(16));
}

static dither_rounding_mode mode_named(const char *name)
{
    static const struct {
        const char *name;
        dither_rounding_mode mode;
    } modes[] = {{"rne", DITHER_ROUND_RNE},
                 {"up", DITHER_ROUND_UP},
                 {"down", DITHER_ROUND_DOWN},
                 {"zero", DITHER_ROUND_ZERO}};
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        if (strcmp(modes[i].name, name) == 0) {
            return modes[i].mode;
        }
    }
    fail_msg("no mode %s", name);
    return DITHER_ROUND_RNE;
}

/* The single-value encoder on all inputs, and the row encoder beside it where the format has one. */
static uint64_t hash_rounded(const dither_format *f, dither_rounding_mode mode)
{
    const dither_rounding rounding = {mode, 0};
    const dither_grid grid = dither_grid_of(f);
    hash h;
    hash_start(&h);
    for (size_t first = 0; first < input_count; first += SPAN) {
        const size_t count = input_count - first < SPAN ? input_count - first : SPAN;
        uint32_t span[SPAN];
        if (f->kind != DITHER_KIND_SCALE) {
            dither_round_span(&grid, rounding, inputs + first, NULL, count, span);
        }
        for (size_t i = 0; i < count; i++) {
            const float x = inputs[first + i];
            const uint32_t code = dither_format_encode(f, rounding, x, 0, NULL);
            if (f->kind != DITHER_KIND_SCALE && span[i] != code) {
                fail_msg("%s: %a alone gives code %#x, in a row %#x", f->name, (double)x, code, span[i]);
            }
            hash_value(&h, dither_format_decode(f, code));
        }
    }
    return hash_end(&h);
}

static void roundings(void **state)
{
    (void)state;
    FILE *file = golden("round_hashes.txt");
    char name[16], mode[8], set[8], loaded[32] = "", wanted[32];
    size_t count, lines = 0, different = 0;
    uint64_t expected;
    while (fscanf(file, "%15s %7s %7s %zu %" SCNx64, name, mode, set, &count, &expected) == 5) {
        const dither_format f = find(name);
        snprintf(wanted, sizeof wanted, "%s %s", name, set);
        if (strcmp(wanted, loaded) != 0) {
            if (strcmp(set, "bf16") == 0) {
                load_bf16_inputs();
            } else {
                load_values(&f);
                load_f32_inputs();
            }
            memcpy(loaded, wanted, sizeof loaded);
        }
        assert_int_equal(input_count, count);
        if (hash_rounded(&f, mode_named(mode)) != expected) {
            print_error("%s: rounding %s over the %s inputs differs\n", name, mode, set);
            different++;
        }
        lines++;
    }
    fclose(file);
    assert_int_equal(different, 0);
    assert_int_equal(lines, formats_up_to(16) * 4 * 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_of_small_formats),
        cmocka_unit_test(values_of_all_formats),
        cmocka_unit_test(roundings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
