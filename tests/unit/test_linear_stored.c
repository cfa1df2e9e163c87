/* Products with weights that stay where a file has them, against the same weights in memory. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dither/cpu.h"
#include "kernel/lanes.h"
#include "nn/embedding.h"
#include "nn/linear.h"
#include "nn/linear_stored.h"

enum { IN = 256, PARTS = 3, OUT = 96 + 40 + 33, TOKENS = 40 };

typedef struct fixture {
    float *w;              /* [OUT][IN], what the parts decode to */
    unsigned char *bytes;
    dither_stored parts[PARTS];
    float *x, *y, *other;  /* [TOKENS][IN], [TOKENS][OUT] twice */
    float bias[OUT];
    dither_arena scratch;
} fixture;

static float noise(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return (float)(*state >> 8) / 8388608.0f - 1;
}

/* Three matrices of different types that follow one another; the second with its rows in another order. */
static void make_parts(fixture *f, dither_block_type type, uint32_t *state)
{
    static const size_t rows[PARTS] = {96, 40, 33};
    const dither_block_type types[PARTS] = {type, DITHER_BLOCK_Q8_0, DITHER_BLOCK_F32};
    unsigned char *at = f->bytes;
    size_t row0 = 0;
    for (size_t p = 0; p < PARTS; p++) {
        const size_t stride = dither_block_row_bytes(types[p], IN);
        f->parts[p] = (dither_stored){.type = types[p], .data = at, .rows = rows[p], .cols = IN, .stride = stride};
        f->parts[p].interleaved = p == 1 ? 5 : 0;
        for (size_t r = 0; r < rows[p]; r++, at += stride) {
            float row[IN];
            for (size_t i = 0; i < IN; i++)
                row[i] = noise(state);
            dither_block_encode(types[p], IN, row, at, NULL, 0);
        }
        dither_stored_rows(&f->parts[p], 0, rows[p], f->w + row0 * IN);
        row0 += rows[p];
    }
    assert_int_equal(row0, OUT);
}

static void *take(size_t bytes)
{
    void *memory = aligned_alloc(64, (bytes + 63) / 64 * 64);
    assert_non_null(memory);
    memset(memory, 0xff, bytes); /* NaN: whatever is not written shows */
    return memory;
}

static void open_fixture(fixture *f, dither_block_type type)
{
    uint32_t state = 7;
    *f = (fixture){.w = take(sizeof(float) * OUT * IN),
                   .bytes = take(sizeof(float) * OUT * IN),
                   .x = take(sizeof(float) * TOKENS * IN),
                   .y = take(sizeof(float) * TOKENS * OUT),
                   .other = take(sizeof(float) * TOKENS * OUT)};
    make_parts(f, type, &state);
    for (size_t i = 0; i < TOKENS * IN; i++)
        f->x[i] = noise(&state);
    for (size_t i = 0; i < OUT; i++)
        f->bias[i] = noise(&state);
    assert_int_equal(dither_arena_open(&f->scratch, 64 << 20), DITHER_OK);
}

static void close_fixture(fixture *f)
{
    free(f->w);
    free(f->bytes);
    free(f->x);
    free(f->y);
    free(f->other);
    dither_arena_close(&f->scratch);
}

static dither_linear_plan plan_of(const char *text)
{
    dither_scheme scheme;
    assert_int_equal(dither_scheme_parse(text, &scheme, NULL), DITHER_OK);
    dither_linear_plan plan = dither_linear_plan_make(&scheme, dither_cpu_active()->features);
    dither_linear_plan_forward_only(&plan);
    return plan;
}

static void exact_forward(fixture *f, const dither_linear_plan *plan, size_t tokens, int threads, float *y)
{
    dither_linear linear;
    const dither_context context = {.scratch = &f->scratch, .threads = threads};
    assert_int_equal(dither_linear_init(&linear, plan, IN, OUT, 0, NULL, f->bias, NULL), DITHER_OK);
    dither_linear_stored(&linear, f->parts, PARTS);
    dither_linear_forward_exact(&context, &linear, tokens, f->x, y);
    assert_int_equal(f->scratch.used, 0);
}

/* A few tokens: the dot product that lanes.h defines, and the bias. */
static void few_tokens_are_dot_products(void **state)
{
    (void)state;
    const dither_block_type types[] = {DITHER_BLOCK_F32, DITHER_BLOCK_BF16, DITHER_BLOCK_Q4_0, DITHER_BLOCK_Q4_1};
    const dither_linear_plan plan = plan_of("f32");
    for (size_t k = 0; k < 4; k++) {
        fixture f;
        open_fixture(&f, types[k]);
        for (size_t tokens = 1; tokens <= DITHER_STORED_FEW; tokens++) {
            exact_forward(&f, &plan, tokens, 2, f.y);
            for (size_t t = 0; t < tokens; t++)
                for (size_t o = 0; o < OUT; o++) {
                    const float expected = dither_lanes_dot(IN, f.w + o * IN, f.x + t * IN) + f.bias[o];
                    assert_memory_equal(&f.y[t * OUT + o], &expected, sizeof expected);
                }
        }
        close_fixture(&f);
    }
}

/*
 * Many tokens: a sum of IN products in f32 in any order is within gamma_IN of the sum of their magnitudes (Higham 2002,
 * 3.1), and the bias adds a rounding.
 */
static void many_tokens_are_products(void **state)
{
    (void)state;
    const double unit = 0x1p-24, gamma = (IN + 1) * unit / (1 - (IN + 1) * unit);
    const dither_linear_plan plan = plan_of("f32");
    fixture f;
    open_fixture(&f, DITHER_BLOCK_Q4_1);
    exact_forward(&f, &plan, TOKENS, 1, f.y);
    for (size_t t = 0; t < TOKENS; t++)
        for (size_t o = 0; o < OUT; o++) {
            double sum = (double)f.bias[o], size = fabs(sum);
            for (size_t i = 0; i < IN; i++) {
                const double product = (double)f.w[o * IN + i] * (double)f.x[t * IN + i];
                sum += product;
                size += fabs(product);
            }
            if (!(fabs((double)f.y[t * OUT + o] - sum) <= gamma * size))
                fail_msg("y[%zu][%zu] is %g where %g is right", t, o, (double)f.y[t * OUT + o], sum);
        }
    close_fixture(&f);
}

static void threads_do_not_show(void **state)
{
    (void)state;
    const dither_linear_plan plan = plan_of("f32");
    fixture f;
    open_fixture(&f, DITHER_BLOCK_Q4_0);
    for (size_t tokens = 1; tokens <= TOKENS; tokens += 13) {
        exact_forward(&f, &plan, tokens, 1, f.y);
        for (int threads = 2; threads < 60; threads += threads < 7 ? 5 : 1) { /* often: a race may be won */
            memset(f.other, 0xff, sizeof(float) * TOKENS * OUT);
            exact_forward(&f, &plan, tokens, threads, f.other);
            assert_memory_equal(f.y, f.other, sizeof(float) * tokens * OUT);
        }
    }
    close_fixture(&f);
}

static void quantized_forward(fixture *f, const dither_linear_plan *plan, bool stored, float *y)
{
    dither_linear linear;
    const dither_context context = {.scratch = &f->scratch, .threads = 2, .seed = 3};
    const size_t bytes = dither_linear_weight_bytes(plan, IN, OUT);
    void *memory = bytes ? take(bytes) : NULL;
    assert_int_equal(dither_linear_init(&linear, plan, IN, OUT, 5, stored ? NULL : f->w, f->bias, memory), DITHER_OK);
    if (stored)
        dither_linear_stored(&linear, f->parts, PARTS);
    assert_int_equal(dither_linear_refresh(&context, &linear), DITHER_OK);
    assert_true(stored == (linear.w == NULL));
    assert_int_equal(dither_linear_forward(&context, &linear, TOKENS, 0, f->x, y, NULL), DITHER_OK);
    assert_int_equal(f->scratch.used, 0);
    free(memory);
}

/* Under a scheme the weights are quantized from what is stored: the results are those of weights in memory. */
static void schemes_quantize_what_is_stored(void **state)
{
    (void)state;
    const char *const schemes[] = {"int8", "int4", "bf16", "paper-int8", "paper-e4m3", "mxfp4", "paper-int8,rht=32"};
    for (size_t k = 0; k < sizeof schemes / sizeof schemes[0]; k++) {
        const dither_linear_plan plan = plan_of(schemes[k]);
        fixture f;
        open_fixture(&f, DITHER_BLOCK_Q4_1);
        quantized_forward(&f, &plan, false, f.y);
        quantized_forward(&f, &plan, true, f.other);
        assert_memory_equal(f.y, f.other, sizeof(float) * TOKENS * OUT);
        close_fixture(&f);
    }
}

/* y is all that an opened model computes: without dx's codes it is the same y, and less memory. */
static void forward_only_keeps_less(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f, DITHER_BLOCK_Q4_1);
    const dither_linear_plan less = plan_of("int8");
    const dither_linear_plan whole = dither_linear_plan_make(&less.scheme, dither_cpu_active()->features);
    assert_true(dither_linear_weight_bytes(&less, IN, OUT) < dither_linear_weight_bytes(&whole, IN, OUT));
    quantized_forward(&f, &whole, false, f.y);
    quantized_forward(&f, &less, false, f.other);
    assert_memory_equal(f.y, f.other, sizeof(float) * TOKENS * OUT);
    close_fixture(&f);
}

/* A dry run takes as much scratch as the real one, for few tokens and for many. */
static void a_dry_run_counts(void **state)
{
    (void)state;
    const dither_linear_plan plan = plan_of("f32");
    fixture f;
    open_fixture(&f, DITHER_BLOCK_Q4_1);
    dither_linear linear;
    assert_int_equal(dither_linear_init(&linear, &plan, IN, OUT, 0, NULL, NULL, NULL), DITHER_OK);
    dither_linear_stored(&linear, f.parts, PARTS);
    for (size_t tokens = 1; tokens <= TOKENS; tokens += TOKENS - 1) {
        dither_arena dry = dither_arena_dry();
        dither_context context = {.scratch = &dry, .threads = 3, .dry = true};
        dither_linear_forward_exact(&context, &linear, tokens, NULL, NULL);
        context = (dither_context){.scratch = &f.scratch, .threads = 3};
        f.scratch.peak = 0;
        dither_linear_forward_exact(&context, &linear, tokens, f.x, f.y);
        assert_int_equal(dry.peak, f.scratch.peak);
    }
    close_fixture(&f);
}

static void embeddings_are_looked_up_where_they_lie(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f, DITHER_BLOCK_Q4_1);
    const dither_context context = {.scratch = &f.scratch, .threads = 3};
    uint32_t ids[130];
    float *x = take(sizeof(float) * 130 * IN), *expected = take(sizeof(float) * 130 * IN);
    for (size_t i = 0; i < 130; i++)
        ids[i] = (uint32_t)(i * 31 % 96);
    dither_embedding_stored(&context, 130, ids, &f.parts[0], x);
    dither_embedding_forward(&context, 130, IN, ids, f.w, expected);
    assert_memory_equal(x, expected, sizeof(float) * 130 * IN);
    free(x);
    free(expected);
    close_fixture(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(few_tokens_are_dot_products),
        cmocka_unit_test(many_tokens_are_products),
        cmocka_unit_test(threads_do_not_show),
        cmocka_unit_test(schemes_quantize_what_is_stored),
        cmocka_unit_test(forward_only_keeps_less),
        cmocka_unit_test(a_dry_run_counts),
        cmocka_unit_test(embeddings_are_looked_up_where_they_lie),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
