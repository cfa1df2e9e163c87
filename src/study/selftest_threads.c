/* One thread and several: the same bits, of codes, of packed operands, and of products. */
#include <stdio.h>
#include <string.h>

#include "kernel/gemm.h"
#include "study/selftest_run.h"

enum {
    ROWS = 300,
    COLS = 700,
    COUNT = ROWS * COLS,
    OPERAND_BYTES = 4 * COUNT,
    CODES_BYTES = 8 * COUNT,
    SCRATCH_BYTES = 32 * COUNT
};

static const int threads[] = {1, 2, 3, 7};
static const char *const quantizers[] = {"int8/g128:sr8", "int8/row:sr", "e4m3/row:sr16", "e2m1/g16e4m3:sr"};

/* What several threads made is compared with what one did. */
typedef struct workshop {
    float *x, *c[2];
    void *codes[2], *operand[2], *scratch;
} workshop;

static void carve(dither_arena *arena, workshop *w)
{
    w->x = dither_arena_take(arena, COUNT, sizeof *w->x);
    for (int i = 0; i < 2; i++) {
        w->c[i] = dither_arena_take(arena, (size_t)ROWS * ROWS, sizeof *w->c[i]);
        w->codes[i] = dither_arena_take(arena, CODES_BYTES, 1);
        w->operand[i] = dither_arena_take(arena, OPERAND_BYTES, 1);
    }
    w->scratch = dither_arena_take(arena, SCRATCH_BYTES, 1);
}

static void check_codes(const workshop *w, const dither_quantizer *q, const dither_draw *draw,
                        dither_selftest_tally *tally)
{
    uint64_t clipped[2] = {0};
    for (size_t t = 0; t < sizeof threads / sizeof threads[0]; t++) {
        const int into = t > 0;
        dither_codes codes;
        dither_clips clips = {0};
        memset(w->codes[into], 0, CODES_BYTES);
        const bool done =
            dither_codes_bytes(q, DITHER_AXIS_ROWS, ROWS, COLS) <= CODES_BYTES &&
            dither_codes_init(&codes, q, DITHER_AXIS_ROWS, ROWS, COLS, w->codes[into]) == DITHER_OK &&
            dither_quantize(&codes, w->x, NULL, NULL, draw, &clips, threads[t]) == DITHER_OK;
        clipped[into] = clips.clipped;
        dither_tally_equal(tally, done && !memcmp(w->codes[0], w->codes[into], CODES_BYTES) &&
                                      clipped[0] == clipped[into]);
    }
}

/* With the kernel's own threads, into an operand of a product kernel that can hold it. */
static void check_operands(const workshop *w, const dither_selftest_subject *subject, const dither_quantize_rows *rows,
                           const dither_quantizer *q, const dither_draw *draw, dither_selftest_tally *tally)
{
    for (size_t g = 0; subject->gemm[g] != NULL; g++) {
        const dither_gemm_kernel *kernel = subject->gemm[g];
        if (!dither_pack_fits(q, DITHER_AXIS_COLS, DITHER_AXIS_COLS, false, kernel->element))
            continue;
        const size_t group = dither_pack_group(q, DITHER_AXIS_COLS, DITHER_AXIS_COLS, false, kernel->element);
        if (group % kernel->k_step != 0 ||
            dither_operand_bytes(kernel, DITHER_SIDE_A, ROWS, COLS, group) > OPERAND_BYTES)
            continue;
        for (size_t t = 0; t < sizeof threads / sizeof threads[0]; t++) {
            const int into = t > 0;
            dither_operand operand;
            dither_operand_init(&operand, kernel, DITHER_SIDE_A, ROWS, COLS, group, w->operand[into]);
            memset(w->operand[into], 0, OPERAND_BYTES);
            const dither_pack_target target = {.quantizer = q,
                                               .axis = DITHER_AXIS_COLS,
                                               .draw = draw,
                                               .operand = {&operand},
                                               .operand_axis = {DITHER_AXIS_COLS}};
            const size_t scratch = dither_quantize_pack_bytes(&target, 1, ROWS, COLS, threads[t]);
            const bool done = scratch <= SCRATCH_BYTES &&
                              dither_quantize_pack_with(rows, w->x, ROWS, COLS, &target, 1, w->scratch, NULL,
                                                        threads[t]) == DITHER_OK;
            dither_tally_equal(tally, done && !memcmp(w->operand[0], w->operand[into], OPERAND_BYTES));
        }
    }
}

static void check_products(const workshop *w, const dither_gemm_kernel *kernel, dither_selftest_tally *tally)
{
    dither_operand side[2];
    for (int i = 0; i < 2; i++) {
        dither_operand_init(&side[i], kernel, i == 0 ? DITHER_SIDE_A : DITHER_SIDE_B, ROWS, COLS, 0, w->operand[i]);
        for (size_t at = 0; at < COUNT; at++) /* read as codes or as bf16 values, at[row][k]: no NaN, no extremes */
            if (kernel->element == DITHER_ELEMENT_S8)
                ((int8_t *)w->codes[i])[at] = (int8_t)((int)(at * 31 + at / 7) % 255 - 127);
            else
                ((uint16_t *)w->codes[i])[at] = (uint16_t)(0x3f00 + (at * 29 + at / 5) % 128);
        dither_operand_write(&side[i], DITHER_AXIS_COLS, 0, 0, ROWS, COLS, w->codes[i], COLS);
        dither_operand_fill_scale(&side[i], 0.5f);
    }
    for (size_t t = 0; t < sizeof threads / sizeof threads[0]; t++) {
        const int into = t > 0;
        const dither_gemm_out out = {.type = DITHER_GEMM_F32, .c = w->c[into], .stride = ROWS};
        dither_gemm(&side[0], &side[1], &out, threads[t]);
        dither_tally_equal(tally, !memcmp(w->c[0], w->c[into], sizeof(float) * ROWS * ROWS));
    }
}

dither_status dither_selftest_threads(dither_selftest_run *run)
{
    dither_arena arena = dither_arena_dry();
    workshop w;
    carve(&arena, &w);
    const dither_status status = dither_arena_open(&arena, arena.peak);
    if (status != DITHER_OK)
        return status;
    carve(&arena, &w);
    for (size_t i = 0; i < COUNT; i++)
        w.x[i] = (float)((int)(i * 2654435761u % 2001u) - 1000) * 0x1p-7f;
    dither_selftest_tally quantized = {0}, multiplied = {0};
    for (size_t i = 0; i < sizeof quantizers / sizeof quantizers[0]; i++) {
        const dither_draw draw = {.seed = run->options.seed, .step = (uint32_t)i, .role = DITHER_ROLE_BACT};
        dither_quantizer q;
        if (dither_quantizer_parse(quantizers[i], &q, NULL) != DITHER_OK)
            continue;
        check_codes(&w, &q, &draw, &quantized);
        for (size_t k = 0; run->subject->rows[k] != NULL; k++)
            check_operands(&w, run->subject, run->subject->rows[k], &q, &draw, &quantized);
    }
    for (size_t i = 0; run->subject->gemm[i] != NULL; i++)
        check_products(&w, run->subject->gemm[i], &multiplied);
    dither_arena_close(&arena);
    dither_selftest_say(run, "threads quantizers", "codes and operands of 1, 2, 3 and 7 threads are the same bits",
                        &quantized);
    dither_selftest_say(run, "threads products", "products of 1, 2, 3 and 7 threads are the same bits", &multiplied);
    return DITHER_OK;
}
