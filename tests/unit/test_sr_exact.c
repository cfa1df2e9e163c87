/*
 * Stochastic rounding, exactly. Of the 2^N draws, F = f 2^N rounded half to even must be accepted: for N <= 16 all are
 * tried, above that the two draws at the threshold, the ends and some between. F is computed here in rational
 * arithmetic from the values around x, which are searched among the decoded codes: nothing of the library's rounding
 * is used.
 */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/philox.h"
#include "dither/tensor.h"
#include "quant/round.h"

__extension__ typedef unsigned __int128 u128;

enum { INPUTS = 256, MEMORY = 1 << 16, FRACTION = 23, SPAN = 256 };

static float inputs[INPUTS];
static size_t input_count;

static uint32_t lcg(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state ^ *state >> 15;
}

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

static dither_format find(const char *name)
{
    dither_format f;
    dither_error error = {.text = ""};
    if (dither_format_find(name, &f, &error) != DITHER_OK) {
        fail_msg("%s: %s", name, error.text);
    }
    return f;
}

/* The table, and of the fixed-point family those below. */
static const char *const fixed[] = {"fx0", "fx3", "fx10", "fx31"};
enum { FIXED = sizeof fixed / sizeof fixed[0] };

static size_t format_count(void)
{
    return dither_format_count() + FIXED;
}

static dither_format format_at(size_t i)
{
    return i < dither_format_count() ? *dither_format_at(i) : find(fixed[i - dither_format_count()]);
}

/* ---- what must come out ----------------------------------------------------------------------------------- */

/* A positive f32 is significand 2^exponent. */
typedef struct number {
    uint64_t significand;
    int exponent;
} number;

static number number_of(float x)
{
    const uint32_t bits = bits_of(x) & 0x7fffffffu, field = bits >> FRACTION, fraction = bits & 0x7fffffu;
    return field == 0 ? (number){fraction, -149} : (number){fraction | 1u << FRACTION, (int)field - 150};
}

/* |x| = (k + rest/2^shift) steps; `low` is the code of k steps' value, `high` the next. */
typedef struct place {
    uint32_t low, high;
    uint64_t rest;
    int shift;
    bool clips;
} place;

static uint32_t with_sign(const dither_format *f, uint32_t magnitude, bool negative)
{
    const uint32_t mask = (uint32_t)((UINT64_C(1) << f->bits) - 1);
    if (!negative) {
        return magnitude;
    }
    return f->kind == DITHER_KIND_FLOAT ? magnitude | 1u << (f->bits - 1) : (0u - magnitude) & mask;
}

static uint32_t largest_code(const dither_format *f)
{
    if (f->kind == DITHER_KIND_INT || f->kind == DITHER_KIND_FIXED) {
        return (uint32_t)(f->max / f->smallest);
    }
    uint32_t code = 0;
    for (int bit = f->bits - (f->kind == DITHER_KIND_SCALE ? 1 : 2); bit >= 0; bit--) {
        const float v = dither_format_decode(f, code | 1u << bit);
        code |= isfinite(v) && (double)v <= f->max ? 1u << bit : 0;
    }
    return code;
}

/* a - b, a >= b, where the result fits: exact. */
static number minus(number a, number b)
{
    if (b.significand == 0) {
        return a;
    }
    const int exponent = a.exponent < b.exponent ? a.exponent : b.exponent;
    const uint64_t p = a.significand << (a.exponent - exponent), q = b.significand << (b.exponent - exponent);
    assert_true(a.exponent - exponent < 40 && b.exponent - exponent < 40 && p >= q);
    return (number){p - q, exponent};
}

/*
 * Integers and fixed point have 2^-N from code to code; their k and rest are a division of |x| 2^N by 1. A float's
 * neighbours are searched: codes are ordered as their magnitudes are, and the distance of two is a power of two.
 */
static place integer_place(number x, int step_exponent)
{
    const int shift = step_exponent - x.exponent;
    if (shift <= 0) {
        return (place){.low = (uint32_t)(x.significand << -shift)};
    }
    const uint64_t k = shift < 64 ? x.significand >> shift : 0;
    return (place){.low = (uint32_t)k,
                   .high = (uint32_t)k + 1,
                   .rest = shift < 64 ? x.significand - (k << shift) : x.significand,
                   .shift = shift};
}

static place float_place(const dither_format *f, float magnitude)
{
    uint32_t low = 0, above = largest_code(f) + 1;
    while (above - low > 1) {
        const uint32_t middle = low + (above - low) / 2;
        if (dither_format_decode(f, middle) <= magnitude) {
            low = middle;
        } else {
            above = middle;
        }
    }
    place p = {.low = low, .high = low + 1};
    const float v = dither_format_decode(f, low);
    if (v == magnitude) {
        return p;
    }
    const number rest = minus(number_of(magnitude), number_of(v));
    const number step = minus(number_of(dither_format_decode(f, low + 1)), number_of(v));
    assert_true(step.significand != 0 && (step.significand & (step.significand - 1)) == 0);
    int log2 = step.exponent;
    for (uint64_t s = step.significand; s > 1; s >>= 1) {
        log2++;
    }
    p.rest = rest.significand;
    p.shift = log2 - rest.exponent;
    return p;
}

static place place_of(const dither_format *f, float x)
{
    const float magnitude = f32_of(bits_of(x) & 0x7fffffffu);
    const bool negative = signbit(x);
    const uint32_t largest = largest_code(f);
    place p;
    if (f->kind == DITHER_KIND_SCALE && (negative || (double)magnitude <= f->smallest)) {
        p = (place){.clips = (double)magnitude > f->max};
        return p;
    }
    if ((double)magnitude > f->max) {
        p = (place){.low = largest, .high = largest, .clips = true};
    } else if (f->kind == DITHER_KIND_FLOAT || f->kind == DITHER_KIND_SCALE) {
        p = float_place(f, magnitude);
    } else {
        p = integer_place(number_of(magnitude), ilogb(f->smallest));
    }
    p.low = with_sign(f, p.low, negative);
    p.high = with_sign(f, p.high, negative);
    return p;
}

/* F = rest 2^bits / 2^shift, rounded half to even. */
static uint64_t accepted(place p, int bits)
{
    if (p.rest == 0 || p.shift > 100) {
        return 0;
    }
    const u128 scaled = (u128)p.rest << bits, one = (u128)1 << p.shift;
    const u128 whole = scaled / one, twice = 2 * (scaled % one);
    return (uint64_t)(whole + (twice > one || (twice == one && whole % 2 == 1)));
}

/* k + F/2^N is the fraction to N bits: no other number of draws is nearer to rest/2^shift, and a tie is even. */
static void assert_nearest(const dither_format *f, float x, place p, int bits, uint64_t count)
{
    if (p.shift > 90) {
        assert_int_equal(count, 0);
        return;
    }
    const u128 exact = (u128)p.rest << bits, got = (u128)count << p.shift;
    const u128 twice = 2 * (exact > got ? exact - got : got - exact), one = (u128)1 << p.shift;
    if (twice > one || (twice == one && count % 2 == 1)) {
        fail_msg("%s: of %a with %d bits %llu draws are accepted", f->name, (double)x, bits, (unsigned long long)count);
    }
}

/* ---- one value -------------------------------------------------------------------------------------------- */

static void add(double x)
{
    if (input_count + 2 <= INPUTS && fabs(x) <= (double)FLT_MAX) {
        inputs[input_count++] = (float)x;
        inputs[input_count++] = (float)-x;
    }
}

static void add_between(double low, double high)
{
    const double step = high - low;
    const float middle = (float)(low + step / 2);
    add((double)middle);
    add((double)nextafterf(middle, 0.0f));
    add((double)nextafterf(middle, INFINITY));
    add((double)nextafterf((float)low, INFINITY));
    add((double)nextafterf((float)high, 0.0f));
    add(low + step * 0x1.8p-2);
    add(low + step * 0x1.55p-9);
    add(low + step * 0x1.000002p-1);
    add(low + step * 0x1.fffp-1);
}

/* Ties, their f32 neighbours, ties of F for many N, subnormals, values on the grid, tiny, huge and random ones. */
static void load_inputs(const dither_format *f)
{
    const uint32_t largest = largest_code(f);
    const uint32_t codes[] = {0, largest / 3, largest - 1, 1, largest / 2};
    uint32_t seed = 99;
    input_count = 0;
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        const uint32_t low = codes[i] < largest ? codes[i] : 0;
        add_between((double)dither_format_decode(f, low), (double)dither_format_decode(f, low + 1));
    }
    for (int i = 0; i < 8; i++) {
        const uint32_t field = bits_of((float)f->smallest) >> FRACTION, top = bits_of((float)f->max) >> FRACTION;
        const uint32_t random = lcg(&seed);
        add((double)f32_of((field + (random >> 24) % (top - field + 1)) << FRACTION | (random & 0x7fffffu)));
    }
    const double special[] = {0.0, f->smallest, f->max, 0x1p-149, 0x1p-126, 0x1.fffffcp-127, f->smallest * 0x1.8p-20,
                              f->smallest * 0x1p-33, f->smallest * 0x1.8p-33, 1.0, 2.0 * f->max, (double)FLT_MAX};
    for (size_t i = 0; i < sizeof special / sizeof special[0]; i++) {
        add(special[i]);
    }
}

static uint32_t encode(const dither_format *f, int bits, float x, uint32_t random, bool *clipped)
{
    return dither_format_encode(f, (dither_rounding){DITHER_ROUND_SR, bits}, x, random, clipped);
}

/* The given draws, one value at a time and as a row: exactly those below `count` are accepted. @return how many were */
static uint64_t assert_draws(const dither_format *f, int bits, float x, place p, uint64_t count, const uint32_t *draws,
                             size_t n)
{
    const dither_grid grid = dither_grid_of(f);
    const bool scale = f->kind == DITHER_KIND_SCALE; /* never of a row */
    const uint32_t above = bits < 32 ? 0xdeadbeefu << bits : 0; /* not part of the draw */
    uint32_t random[SPAN], codes[SPAN];
    float row[SPAN];
    uint64_t seen = 0;
    for (size_t i = 0; i < n; i++) {
        row[i] = x;
        random[i] = draws[i] | above;
    }
    if (!scale) {
        const size_t clips = dither_round_span(&grid, (dither_rounding){DITHER_ROUND_SR, bits}, row, random, n, codes);
        assert_int_equal(clips, p.clips ? n : 0);
    }
    for (size_t i = 0; i < n; i++) {
        bool clipped = false;
        const uint32_t code = encode(f, bits, x, random[i], &clipped);
        const uint32_t expected = draws[i] < count ? p.high : p.low;
        if (code != expected || clipped != p.clips || (!scale && codes[i] != expected)) {
            fail_msg("%s:sr%d of %a with draw %u: code %#x (clipped %d), not %#x (%d)", f->name, bits, (double)x,
                     draws[i], code != expected || scale ? code : codes[i], clipped, expected, p.clips);
        }
        seen += p.rest != 0 && code == p.high;
    }
    return seen;
}

static void assert_enumerated(const dither_format *f, int bits, float x)
{
    const place p = place_of(f, x);
    const uint64_t expected = p.clips ? 0 : accepted(p, bits);
    uint64_t count = 0;
    for (uint32_t first = 0; first >> bits == 0; first += SPAN) {
        uint32_t draws[SPAN];
        size_t n = 0;
        for (; n < SPAN && (first + n) >> bits == 0; n++) {
            draws[n] = first + (uint32_t)n;
        }
        count += assert_draws(f, bits, x, p, expected, draws, n);
    }
    assert_int_equal(count, expected);
    assert_nearest(f, x, p, bits, count);
}

static void few_bits_enumerated(void **state)
{
    (void)state;
    for (size_t i = 0; i < format_count(); i++) {
        const dither_format f = format_at(i);
        load_inputs(&f);
        assert_true(input_count > 100);
        for (int bits = 1; bits <= 16; bits++) {
            const size_t stride = bits <= 8 ? 1 : bits <= 11 ? 5 : bits <= 13 ? 11 : 37;
            for (size_t j = (size_t)bits % stride; j < input_count; j += stride) {
                assert_enumerated(&f, bits, inputs[j]);
            }
        }
    }
}

static void many_bits_at_the_threshold(void **state)
{
    (void)state;
    uint32_t seed = 7;
    for (size_t i = 0; i < format_count(); i++) {
        const dither_format f = format_at(i);
        load_inputs(&f);
        for (int bits = 1; bits <= 32; bits++) {
            const uint64_t draws = UINT64_C(1) << bits;
            for (size_t j = 0; j < input_count; j++) {
                const place p = place_of(&f, inputs[j]);
                const uint64_t count = p.clips ? 0 : accepted(p, bits);
                assert_nearest(&f, inputs[j], p, bits, count);
                const uint64_t tried[] = {count - 1, count, count + 1, 0, draws - 1, lcg(&seed) & (draws - 1),
                                          count / 2, count + (draws - count) / 2};
                uint32_t kept[SPAN];
                size_t n = 0;
                for (size_t t = 0; t < sizeof tried / sizeof tried[0]; t++) {
                    if (tried[t] < draws) {
                        kept[n++] = (uint32_t)tried[t];
                    }
                }
                assert_draws(&f, bits, inputs[j], p, count, kept, n);
            }
        }
    }
}

/* Cases worked out by hand, so that accepted() is itself tested: F = 2^N, where no draw is refused, and ties of F. */
static void by_hand(void **state)
{
    (void)state;
    const dither_format f = find("e2m1");
    const float below = 0x1.fffffep-2f; /* the step is 0.5, f = 1 - 2^-24; for N = 23 a tie */
    for (int bits = 1; bits <= 23; bits++) {
        assert_true(accepted(place_of(&f, below), bits) == UINT64_C(1) << bits);
        assert_int_equal(encode(&f, bits, below, UINT32_MAX, NULL), 1);
    }
    assert_true(accepted(place_of(&f, below), 24) == 0xffffff);
    assert_int_equal(encode(&f, 24, below, 0xffffff, NULL), 0);
    const dither_format i8 = find("int8");
    const float tiny = 0x1p-33f;
    assert_true(accepted(place_of(&i8, tiny), 32) == 0);        /* f = 2^-33: a tie between 0 and 1, even is 0 */
    assert_true(accepted(place_of(&i8, 0x1.8p-32f), 32) == 2);  /* 1.5: even is 2 */
    assert_int_equal(encode(&i8, 32, tiny, 0, NULL), 0);
    assert_int_equal(encode(&i8, 32, 0x1.8p-32f, 1, NULL), 1);
    assert_int_equal(encode(&i8, 32, 0x1.8p-32f, 2, NULL), 0);
}

/* ---- a matrix --------------------------------------------------------------------------------------------- */

static _Alignas(64) unsigned char memory[MEMORY];
static float x[MEMORY / sizeof(float)];

static const dither_draw address = {.seed = 0x0123456789abcdefu, .step = 77, .microbatch = 9, .tensor = 300,
                                   .role = 4, .row0 = 2};

/* The documented address: see include/dither/tensor.h and docs/numerics.md. */
static uint32_t draw_at(size_t row, size_t column, int bits)
{
    const uint32_t width = bits <= 8 ? 8 : bits <= 16 ? 16 : 32;
    const uint32_t stretch = 16 * 128 / width, inside = (uint32_t)column % stretch, lane = inside / 16;
    const uint32_t key[2] = {(uint32_t)address.seed, (uint32_t)(address.seed >> 32)};
    const uint32_t counter[4] = {(uint32_t)column / stretch * 16 + inside % 16, address.row0 + (uint32_t)row,
                                 address.tensor << 16 | address.role << 12 | address.microbatch, address.step};
    uint32_t words[4];
    dither_philox(key, counter, words);
    const uint32_t from = lane * width;
    return (uint32_t)(words[from / 32] >> from % 32 & ((UINT64_C(1) << bits) - 1));
}

static void assert_matrix(const char *text, dither_axis axis, size_t rows, size_t cols)
{
    dither_quantizer q;
    dither_codes codes;
    dither_clips clips = {0};
    dither_error error = {.text = ""};
    if (dither_quantizer_parse(text, &q, &error) != DITHER_OK) {
        fail_msg("%s: %s", text, error.text);
    }
    assert_true(dither_codes_bytes(&q, axis, rows, cols) <= MEMORY);
    assert_int_equal(dither_codes_init(&codes, &q, axis, rows, cols, memory), DITHER_OK);
    assert_int_equal(dither_quantize(&codes, x, NULL, NULL, &address, &clips, 1), DITHER_OK);
    uint64_t clipped = 0;
    for (size_t i = 0; i < rows; i++) {
        for (size_t j = 0; j < cols; j++) {
            const float s = dither_codes_scale(&codes, i, j);
            const float y = s != 0.0f ? x[i * cols + j] / s : 0.0f;
            bool clips_here = false;
            const uint32_t draw = draw_at(i, j, q.rounding.bits);
            const uint32_t expected = encode(&q.format, q.rounding.bits, y, draw, &clips_here);
            clipped += clips_here;
            if (dither_codes_get(&codes, i, j) != expected) {
                fail_msg("%s along %s at (%zu, %zu): %a / %a has code %#x, not %#x", text,
                         axis == DITHER_AXIS_COLS ? "cols" : "rows", i, j, (double)x[i * cols + j], (double)s,
                         dither_codes_get(&codes, i, j), expected);
            }
        }
    }
    assert_int_equal(clips.elements, rows * cols);
    assert_int_equal(clips.clipped, clipped);
}

static void load_matrix(size_t count)
{
    uint32_t seed = 4242;
    for (size_t i = 0; i < count; i++) {
        const uint32_t random = lcg(&seed);
        x[i] = ldexpf((float)(random & 0xffffff) - 0x1p23f, (int)(random >> 28) - 34);
    }
    memset(x + count / 2, 0, sizeof x[0] * 40); /* groups of zeros */
}

static void every_format_and_scale(void **state)
{
    (void)state;
    static const char *const shapes[] = {"/tensor", "/row", "/g1", "/g7", "/g16", "/t1", "/t5", "/t8"};
    static const char *const types[] = {"", "e8m0", "e4m3"};
    static const int bits[] = {32, 8, 5, 16, 11, 24, 1};
    enum { SHAPES = sizeof shapes / sizeof shapes[0], TYPES = 3, BITS = sizeof bits / sizeof bits[0] };
    enum { ROWS = 11, COLS = 37 };
    char text[DITHER_QUANTIZER_TEXT];
    size_t n = 0;
    load_matrix(ROWS * COLS);
    for (size_t i = 0; i < format_count(); i++) {
        const dither_format f = format_at(i);
        if (f.kind == DITHER_KIND_SCALE) {
            continue;
        }
        snprintf(text, sizeof text, "%s:sr%d", f.name, bits[n++ % BITS]);
        assert_matrix(text, DITHER_AXIS_COLS, ROWS, COLS);
        const size_t scales = f.kind == DITHER_KIND_FIXED ? 0 : (size_t)SHAPES * TYPES; /* its step is absolute */
        for (size_t k = 0; k < 2 * scales; k++) {
            snprintf(text, sizeof text, "%s%s%s:sr%d", f.name, shapes[k / 2 / TYPES], types[k / 2 % TYPES],
                     bits[n++ % BITS]);
            assert_matrix(text, k % 2 == 0 ? DITHER_AXIS_COLS : DITHER_AXIS_ROWS, ROWS, COLS);
        }
    }
}

/* Rows longer than a stretch of draws, 64 to 256 columns, and than the 1,280 columns that are worked on at once. */
static void long_rows(void **state)
{
    (void)state;
    load_matrix(3 * 1700);
    assert_matrix("int8/row:sr", DITHER_AXIS_COLS, 3, 1700);
    assert_matrix("e2m1/g16e4m3:sr8", DITHER_AXIS_COLS, 3, 1700);
    assert_matrix("int3/row:sr7", DITHER_AXIS_ROWS, 3, 1700);
    assert_matrix("ternary/g32e8m0:sr16", DITHER_AXIS_COLS, 3, 1700);
    assert_matrix("fx3:sr9", DITHER_AXIS_COLS, 3, 1700);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(few_bits_enumerated),    cmocka_unit_test(many_bits_at_the_threshold),
        cmocka_unit_test(by_hand),                cmocka_unit_test(every_format_and_scale),
        cmocka_unit_test(long_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
