/*
 * Every s8 microkernel that this processor runs, one tile at a time: s32 against a plain triple loop byte for byte, f32
 * to the bit against the formula in gemm_kernel.h, with every operand next to a page that may not be touched.
 */
#include "dither/cpu.h"
#include "kernel/gemm_kernels.h"

#include "guarded.h"
#include "layer_check.h"

/*
 * AVX-VNNI is on few processors. Its source is also compiled here for AVX-512 VNNI, whose VPDPBUSD on 256 bits is the
 * same but for its encoding.
 */
#if defined(__x86_64__)
#include <immintrin.h>
#define DITHER_VPDPBUSD _mm256_dpbusd_epi32
#define dither_gemm_s8_avxvnni avxvnni_on_avx512
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,avx512vl,avx512vnni"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,avx512vl,avx512vnni")
#endif
extern const dither_gemm_kernel avxvnni_on_avx512;
#include "kernel/gemm_s8_avxvnni.c"
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#undef dither_gemm_s8_avxvnni
#endif

enum {
    K_ALL = 257,    /* every k up to here that a kernel takes */
    K_ROUNDS = 3072, /* sums beyond 2^24, which f32 has to round */
    GAP = 3,        /* elements between the rows of a C with gaps */
    LARGEST = 127
};

/* ---- codes -------------------------------------------------------------------------------------------------- */

typedef enum fill { RANDOM, RANDOM_EXTREMES, ALL_HIGH, ALL_LOW, OPPOSED, ALTERNATING, SPARSE, FILLS } fill;

/* The code of (row, k) of one side. */
static int8_t code_of(fill kind, bool of_a, uint64_t seed, size_t row, size_t k)
{
    const float x = layer_number(2 * seed + of_a, row * DITHER_S8_K_MAX + k);
    switch (kind) {
    case RANDOM:
        return (int8_t)(int)rintf(LARGEST * x);
    case RANDOM_EXTREMES:
        return x < 0 ? -LARGEST : LARGEST;
    case ALL_HIGH:
        return LARGEST;
    case ALL_LOW:
        return -LARGEST;
    case OPPOSED:
        return of_a ? LARGEST : -LARGEST;
    case ALTERNATING: /* with k in A, with row and k in B */
        return (k + (of_a ? 0 : row)) % 2 ? LARGEST : -LARGEST;
    default: /* one code a row: a product that lands on another sum, or is left out, shows by itself */
        return k % 64 == row % 64 ? (int8_t)(int)rintf(LARGEST * x) : 0;
    }
}

/* The place of (row, k) in a panel: gemm_kernel.h. */
static size_t place(const dither_packing *packing, size_t row, size_t k)
{
    return k / packing->unit * packing->panel * packing->unit + row * packing->unit + k % packing->unit;
}

/* ---- one kernel and its memory ------------------------------------------------------------------------------ */

typedef struct workshop {
    const dither_gemm_kernel *kernel;
    guarded a, b, sums, a_scale, b_scale, c;
    int8_t *a_codes, *b_codes; /* [m][k], [n][k] */
    int32_t *wanted;           /* [m][n] */
    uint32_t *before;          /* C, gaps and all, as bits */
} workshop;

static workshop workshop_open(const dither_gemm_kernel *kernel, size_t k_largest)
{
    const size_t m = kernel->m, n = kernel->n, c_count = m * (n + GAP);
    return (workshop){
        .kernel = kernel,
        .a = guarded_new(m * k_largest),
        .b = guarded_new(n * k_largest),
        .sums = guarded_new(n * sizeof(int32_t)),
        .a_scale = guarded_new(m * sizeof(float)),
        .b_scale = guarded_new(n * sizeof(float)),
        .c = guarded_new(c_count * sizeof(uint32_t)),
        .a_codes = layer_new(m * k_largest, 1),
        .b_codes = layer_new(n * k_largest, 1),
        .wanted = layer_new(m * n, sizeof(int32_t)),
        .before = layer_new(c_count, sizeof(uint32_t)),
    };
}

static void workshop_close(workshop *w)
{
    guarded_free(&w->a);
    guarded_free(&w->b);
    guarded_free(&w->sums);
    guarded_free(&w->a_scale);
    guarded_free(&w->b_scale);
    guarded_free(&w->c);
    free(w->a_codes);
    free(w->b_codes);
    free(w->wanted);
    free(w->before);
}

static const void *pack(const guarded *g, const dither_packing *packing, const int8_t *codes, size_t k, bool at_end)
{
    uint8_t *panel = guarded_at(g, packing->panel * k, at_end);
    for (size_t row = 0; row < packing->panel; row++)
        for (size_t p = 0; p < k; p++)
            panel[place(packing, row, p)] = (uint8_t)codes[row * k + p] ^ packing->flip;
    return panel;
}

static const float *scales(const guarded *g, size_t count, uint64_t seed, bool at_end)
{
    float *scale = guarded_at(g, count * sizeof *scale, at_end);
    for (size_t i = 0; i < count; i++)
        scale[i] = ldexpf(layer_number(seed, i), (int)(16 * layer_number(seed + 1, i)));
    return scale;
}

/* Codes, the panels made of them, and the sums that they must give. */
static dither_tile fill_tile(workshop *w, fill kind, size_t k, bool at_end)
{
    const dither_gemm_kernel *kernel = w->kernel;
    const uint64_t seed = 1000 * k + (uint64_t)kind;
    for (size_t i = 0; i < kernel->m; i++)
        for (size_t p = 0; p < k; p++)
            w->a_codes[i * k + p] = code_of(kind, true, seed, i, p);
    for (size_t j = 0; j < kernel->n; j++)
        for (size_t p = 0; p < k; p++)
            w->b_codes[j * k + p] = code_of(kind, false, seed, j, p);
    for (size_t i = 0; i < kernel->m; i++)
        for (size_t j = 0; j < kernel->n; j++) {
            int32_t sum = 0;
            for (size_t p = 0; p < k; p++)
                sum += w->a_codes[i * k + p] * w->b_codes[j * k + p];
            w->wanted[i * kernel->n + j] = sum;
        }
    dither_tile tile = {
        .k = k,
        .a = pack(&w->a, &kernel->a, w->a_codes, k, at_end),
        .b = pack(&w->b, &kernel->b, w->b_codes, k, at_end),
        .a_scale = scales(&w->a_scale, kernel->m, seed + 1, at_end),
        .b_scale = scales(&w->b_scale, kernel->n, seed + 3, at_end),
    };
    if (kernel->sums) {
        int32_t *sums = guarded_at(&w->sums, kernel->n * sizeof *sums, at_end);
        kernel->sum(k, tile.b, sums);
        tile.sums = sums;
    }
    return tile;
}

/* ---- one call ----------------------------------------------------------------------------------------------- */

static uint32_t bits(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static float from_bits(uint32_t u)
{
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

static uint32_t wanted_bits(const dither_tile *tile, bool f32, int32_t sum, uint32_t before, size_t i, size_t j)
{
    if (!f32)
        return (uint32_t)sum + (tile->accumulate ? before : 0);
    const float product = (float)sum * (tile->a_scale[i] * tile->b_scale[j]);
    return bits(tile->accumulate ? from_bits(before) + product : product);
}

/* What is not added to is not read: NaN, which in s32 is as good a number as any. */
static uint32_t start_bits(bool f32, bool accumulate, size_t at)
{
    const float x = layer_number(99, at);
    return !accumulate ? bits(NAN) : f32 ? bits(1000 * x) : (uint32_t)(int32_t)(1e6f * x);
}

static void call(const workshop *w, const dither_tile *filled, bool f32, bool accumulate, bool gaps, bool at_end)
{
    const dither_gemm_kernel *kernel = w->kernel;
    dither_tile tile = *filled;
    tile.stride = kernel->n + (gaps ? GAP : 0);
    tile.accumulate = accumulate;
    const size_t count = (kernel->m - 1) * tile.stride + kernel->n;
    uint32_t *c = guarded_at(&w->c, count * sizeof *c, at_end);
    for (size_t at = 0; at < count; at++)
        c[at] = w->before[at] = start_bits(f32, accumulate, at);
    tile.c = c;
    if (f32) {
        kernel->f32(&tile);
    } else {
        tile.a_scale = tile.b_scale = NULL;
        kernel->s32(&tile);
    }
    for (size_t at = 0; at < count; at++) {
        const size_t i = at / tile.stride, j = at % tile.stride;
        const uint32_t old = w->before[at];
        const uint32_t wanted = j < kernel->n ? wanted_bits(&tile, f32, w->wanted[i * kernel->n + j], old, i, j) : old;
        if (c[at] != wanted)
            fail_msg("%s %s, k %zu, %s, stride %zu, element %zu,%zu: %08x, should be %08x", kernel->isa,
                     f32 ? "f32" : "s32", tile.k, accumulate ? "added" : "stored", tile.stride, i, j, c[at], wanted);
    }
}

/* Both outputs, stored and added, with and without gaps; and the operands are left alone. */
static void check(workshop *w, fill kind, size_t k, bool at_end)
{
    const dither_tile tile = fill_tile(w, kind, k, at_end);
    for (unsigned variant = 0; variant < 8; variant++)
        call(w, &tile, variant & 1, variant & 2, variant & 4, at_end);
    const int8_t *a = tile.a, *b = tile.b;
    for (size_t row = 0; row < w->kernel->m; row++)
        for (size_t p = 0; p < k; p++)
            assert_true(((uint8_t)a[place(&w->kernel->a, row, p)] ^ w->kernel->a.flip) ==
                        (uint8_t)w->a_codes[row * k + p]);
    for (size_t row = 0; row < w->kernel->n; row++)
        for (size_t p = 0; p < k; p++)
            assert_true(((uint8_t)b[place(&w->kernel->b, row, p)] ^ w->kernel->b.flip) ==
                        (uint8_t)w->b_codes[row * k + p]);
}

/* ---- all kernels -------------------------------------------------------------------------------------------- */

static void check_kernel(const dither_gemm_kernel *kernel)
{
    const size_t step = kernel->k_step;
    workshop small = workshop_open(kernel, K_ROUNDS);
    for (size_t k = step; k < K_ALL + step; k += step)
        for (int kind = 0; kind < FILLS; kind++)
            check(&small, (fill)kind, k, kind != RANDOM_EXTREMES);
    check(&small, RANDOM, K_ROUNDS, true);
    check(&small, ALL_HIGH, K_ROUNDS, true);
    workshop_close(&small);
    /* The longest sum that fits: on the way unsigned units pass through numbers that do not, and must come back. */
    const size_t longest = DITHER_S8_K_MAX / step * step;
    workshop large = workshop_open(kernel, longest);
    const dither_tile low = fill_tile(&large, ALL_LOW, longest, true);
    call(&large, &low, false, false, false, true);
    const dither_tile opposed = fill_tile(&large, OPPOSED, longest, true);
    call(&large, &opposed, true, true, false, true);
    workshop_close(&large);
}

static void kernels_are_exact(void **state)
{
    (void)state;
    const uint32_t features = dither_cpu_detect(NULL).features;
    const dither_gemm_kernel *kernel;
    for (size_t at = 0; (kernel = dither_gemm_kernel_at(at)) != NULL; at++) {
        if (kernel->element != DITHER_ELEMENT_S8)
            continue;
        if ((kernel->needs & features) == kernel->needs)
            check_kernel(kernel);
        else
            print_message("skipped: no %s here\n", kernel->isa);
    }
}

static void avxvnni_is_exact_on_avx512(void **state)
{
    (void)state;
#if defined(__x86_64__)
    const uint32_t needs = DITHER_CPU_AVX512 | DITHER_CPU_AVX512_VNNI;
    if ((dither_cpu_detect(NULL).features & needs) == needs) {
        check_kernel(&avxvnni_on_avx512);
        return;
    }
#endif
    print_message("skipped: no avx512vnni here, which the source of avxvnni would run on\n");
    skip();
}

static void kernels_are_as_the_contract_says(void **state)
{
    (void)state;
    const dither_gemm_kernel *kernel, *last = NULL;
    for (size_t at = 0; (kernel = dither_gemm_kernel_at(at)) != NULL; at++) {
        if (kernel->element != DITHER_ELEMENT_S8)
            continue;
        last = kernel;
        assert_true(kernel->m > 0 && kernel->m <= DITHER_TILE_M && kernel->n > 0 && kernel->n <= DITHER_TILE_N);
        assert_true(kernel->a.panel == kernel->m && kernel->b.panel == kernel->n);
        assert_true(kernel->k_step % kernel->a.unit == 0 && kernel->k_step % kernel->b.unit == 0);
        assert_true(DITHER_K_STEP % kernel->k_step == 0);
        assert_true(kernel->f32 != NULL && kernel->s32 != NULL && kernel->sums == (kernel->sum != NULL));
    }
    assert_non_null(last);
    assert_true(last->needs == 0 && last->k_step == 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kernels_are_as_the_contract_says),
        cmocka_unit_test(kernels_are_exact),
        cmocka_unit_test(avxvnni_is_exact_on_avx512),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
