/*
 * Products of every kernel. s8: s32 sums against plain loops, scaled f32 against the portable kernel, all to the bit,
 * codes at their extremes among them. bf16: to the bit where every sum is exact, else within gamma_n sum |a b|, with
 * one rounding a term at most, the scales' and the groups' behind it (docs/numerics.md, "Order of sums").
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/bf16.h"
#include "kernel/gemm.h"
#include "kernel/gemm_kernels.h"
#include "quant/bits.h"
#include "study/selftest_products.h"

enum { M_MOST = 67, K_MOST = 600, ROWS_PADDED = 128, K_PADDED = 768, OPERAND_BYTES = ROWS_PADDED * K_PADDED * 4 };

typedef enum fill { EXTREMES, EXACT, ANY, FILLS } fill;

static const size_t shapes[][3] = {{1, 1, 1}, {5, 33, 63}, {33, 1, 64}, {67, 65, 257}, {17, 47, 600}, {64, 64, 512}};
static const size_t groups[] = {0, 64, 128};

/* The operands of both sides, by the kernel and by the portable one. */
typedef struct workshop {
    int8_t *codes[2];
    uint16_t *halves[2];
    double *values[2]; /* [rows][k] */
    void *memory[4];
    float *c[2];
    int32_t *sums;
} workshop;

static void carve(dither_arena *arena, workshop *w)
{
    const size_t most = (size_t)M_MOST * K_MOST;
    for (int side = 0; side < 2; side++) {
        w->codes[side] = dither_arena_take(arena, most, sizeof *w->codes[side]);
        w->halves[side] = dither_arena_take(arena, most, sizeof *w->halves[side]);
        w->values[side] = dither_arena_take(arena, most, sizeof *w->values[side]);
        w->c[side] = dither_arena_take(arena, (size_t)M_MOST * M_MOST, sizeof *w->c[side]);
    }
    for (int i = 0; i < 4; i++)
        w->memory[i] = dither_arena_take(arena, OPERAND_BYTES, 1);
    w->sums = dither_arena_take(arena, (size_t)M_MOST * M_MOST, sizeof *w->sums);
}

static uint32_t next(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*state >> 40);
}

static void fill_side(workshop *w, int side, size_t count, dither_element element, fill kind, uint64_t *state)
{
    for (size_t i = 0; i < count; i++) {
        const uint32_t random = next(state);
        const int32_t code = kind == EXTREMES ? (random & 1 ? 127 : -127) : (int32_t)(random % 255) - 127;
        /* bf16: integers whose sums are below 2^24 in any order; or any number between 2^-9 and 2^8 */
        const float significand = random & 1 ? 1.0f + (float)(random >> 17) * 0x1p-7f : -1.0f;
        const float any = ldexpf(significand, (int)(random >> 4 & 15) - 8);
        const float half = kind == ANY ? dither_bf16_round(any) : (float)code;
        w->codes[side][i] = (int8_t)code;
        w->halves[side][i] = (uint16_t)(dither_f32_bits(half) >> 16);
        w->values[side][i] = element == DITHER_ELEMENT_S8 ? (double)code : (double)half;
    }
}

static float scale_at(size_t index, bool powers)
{
    return powers ? ldexpf(1.0f, -(int)(index % 5)) : 1.0f + (float)(index * 37 % 101) * 0x1p-9f;
}

static dither_operand operand_of(const workshop *w, const dither_gemm_kernel *kernel, int side, size_t rows, size_t k,
                                 size_t group, bool powers, void *memory)
{
    dither_operand operand;
    dither_operand_init(&operand, kernel, side == 0 ? DITHER_SIDE_A : DITHER_SIDE_B, rows, k, group, memory);
    const bool s8 = kernel->element == DITHER_ELEMENT_S8;
    memset(memory, 0x7f, dither_operand_bytes(kernel, operand.side, rows, k, group)); /* padding must not matter */
    dither_operand_write(&operand, DITHER_AXIS_COLS, 0, 0, rows, k,
                         s8 ? (const void *)w->codes[side] : (const void *)w->halves[side], k);
    for (size_t g = 0; g < operand.groups; g++)
        for (size_t row = 0; row < operand.padded_rows; row++)
            operand.scale[g * operand.padded_rows + row] = scale_at(g * 67 + row + (size_t)side, powers);
    return operand;
}

static void check_sums(workshop *w, const dither_operand *a, const dither_operand *b, dither_selftest_tally *tally)
{
    const dither_gemm_out out = {.type = DITHER_GEMM_S32, .c = w->sums, .stride = b->rows};
    dither_gemm(a, b, &out, 1);
    for (size_t i = 0; i < a->rows; i++)
        for (size_t j = 0; j < b->rows; j++) {
            double sum = 0.0;
            for (size_t k = 0; k < a->k; k++)
                sum += w->values[0][i * a->k + k] * w->values[1][j * a->k + k];
            dither_tally_equal(tally, (double)w->sums[i * b->rows + j] == sum);
        }
}

static bool within(const workshop *w, const dither_operand *a, const dither_operand *b, size_t i, size_t j, float got)
{
    double sum = 0.0, size = 0.0;
    for (size_t k = 0; k < a->k; k++) {
        const double term = w->values[0][i * a->k + k] * w->values[1][j * a->k + k] *
                            (double)a->scale[k / a->group * a->padded_rows + i] *
                            (double)b->scale[k / b->group * b->padded_rows + j];
        sum += term;
        size += fabs(term);
    }
    const double nu = (double)(a->k + a->groups + 8) * 0x1p-24;
    return fabs((double)got - sum) <= nu / (1.0 - nu) * size;
}

static void check_one(workshop *w, const dither_gemm_kernel *kernel, const size_t *shape, size_t group, fill kind,
                      uint64_t seed, dither_selftest_tally *tally)
{
    const bool s8 = kernel->element == DITHER_ELEMENT_S8, exact = s8 || kind != ANY;
    const dither_gemm_kernel *portable = s8 ? &dither_gemm_s8_ref : &dither_gemm_bf16_ref;
    const size_t m = shape[0], n = shape[1], k = shape[2];
    fill_side(w, 0, m * k, kernel->element, kind, &seed);
    fill_side(w, 1, n * k, kernel->element, kind, &seed);
    const bool powers = !s8 && exact; /* a sum of scaled groups is exact too */
    dither_operand a[2], b[2];
    for (int i = 0; i < 2; i++) {
        const dither_gemm_kernel *by = i == 0 ? kernel : portable;
        a[i] = operand_of(w, by, 0, m, k, group, powers, w->memory[i]);
        b[i] = operand_of(w, by, 1, n, k, group, powers, w->memory[2 + i]);
        const dither_gemm_out out = {.type = DITHER_GEMM_F32, .c = w->c[i], .stride = n};
        dither_gemm(&a[i], &b[i], &out, 1);
    }
    for (size_t at = 0; at < m * n; at++) {
        const bool same = dither_f32_bits(w->c[0][at]) == dither_f32_bits(w->c[1][at]);
        dither_tally_equal(tally, exact ? same : within(w, &a[0], &b[0], at / n, at % n, w->c[0][at]));
    }
    if (s8)
        check_sums(w, &a[0], &b[0], tally);
}

dither_selftest_tally dither_selftest_kernel(const dither_gemm_kernel *kernel, void *memory, uint64_t seed)
{
    dither_arena arena = {.base = memory, .size = dither_selftest_kernel_bytes()};
    workshop w;
    carve(&arena, &w);
    dither_selftest_tally tally = {0};
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++)
        for (size_t g = 0; g < sizeof groups / sizeof groups[0]; g++)
            for (int kind = 0; kind < FILLS; kind++)
                if (groups[g] % kernel->k_step == 0)
                    check_one(&w, kernel, shapes[s], groups[g], (fill)kind, seed + s * 8 + (uint64_t)kind, &tally);
    return tally;
}

size_t dither_selftest_kernel_bytes(void)
{
    dither_arena arena = dither_arena_dry();
    workshop w;
    carve(&arena, &w);
    return arena.peak;
}

dither_status dither_selftest_products(dither_selftest_run *run)
{
    dither_arena arena;
    const dither_status status = dither_arena_open(&arena, dither_selftest_kernel_bytes());
    if (status != DITHER_OK)
        return status;
    for (size_t i = 0; run->subject->gemm[i] != NULL; i++) {
        const dither_gemm_kernel *kernel = run->subject->gemm[i];
        const bool s8 = kernel->element == DITHER_ELEMENT_S8;
        const dither_selftest_tally tally = dither_selftest_kernel(kernel, arena.base, run->options.seed);
        char name[64];
        snprintf(name, sizeof name, "products %s %s", s8 ? "s8" : "bf16", kernel->isa);
        dither_selftest_say(run, name,
                            s8 ? "sums with plain loops, scaled sums with ref's; extremes, odd shapes"
                               : "exact sums with ref's, others with f64 within their bound",
                            &tally);
    }
    dither_arena_close(&arena);
    return DITHER_OK;
}
