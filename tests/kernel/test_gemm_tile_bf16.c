/*
 * Every bf16 microkernel that this processor runs, a tile at a time: against sums in f64 within a derived bound, to the
 * bit where sums are exact, with every operand between two pages that may not be touched.
 */
#include "dither/cpu.h"
#include "guarded.h"
#include "kernel/bf16.h"
#include "kernel/gemm_kernel.h"
#include "layer_check.h"

enum { K_ALL = 257, K_LARGEST = 3072, GAP = 5 };

/* ---- one tile and its numbers ----------------------------------------------------------------------------- */

typedef enum fill { UNIFORM, WIDE, LARGE, TINY, SPECIAL, OVERFLOWING, INTEGERS, EXACT_SUMS, FILLS } fill;

typedef struct workshop {
    const dither_gemm_kernel *kernel;
    guarded a, b, c, a_scale, b_scale;
    double *a_values, *b_values; /* [m][k], [n][k] */
    float *start;                /* C before, its gaps included */
    size_t nan, infinite, finite; /* elements of C under SPECIAL */
} workshop;

typedef struct trial {
    fill fill;
    size_t k;
    bool accumulate, at_end;
    uint64_t seed;
} trial;

static double value_of(uint16_t bits)
{
    const uint32_t wide = (uint32_t)bits << 16;
    float x;
    memcpy(&x, &wide, sizeof x);
    return (double)x;
}

static uint16_t bits_of(float x)
{
    const float rounded = dither_bf16_round(x);
    uint32_t bits;
    memcpy(&bits, &rounded, sizeof bits);
    return (uint16_t)(bits >> 16);
}

static uint16_t element(const trial *t, bool of_a, size_t row, size_t k)
{
    const uint64_t seed = 8 * t->seed + of_a;
    const float x = layer_number(seed, row * t->k + k), y = layer_number(seed + 2, row * t->k + k);
    switch (t->fill) {
    case WIDE:
        return bits_of(ldexpf(x, (int)(20 * y)));
    case LARGE: /* the largest finite values; K_LARGEST products of them stay below 2^126 */
        return of_a ? (uint16_t)(0x7f7f | (x < 0 ? 0x8000 : 0)) : bits_of(ldexpf(x, -14));
    case TINY: /* products about 2^-126, every fourth factor denormal */
        return bits_of(ldexpf(x, y < -0.5f ? -127 : -62));
    case SPECIAL:
        return y > 0.9996f ? 0x7fc1 : y > 0.9992f ? 0x7f80 : y > 0.9988f ? 0xff80 : y > 0.9f ? 0 : bits_of(x);
    case OVERFLOWING: /* 2^126, and 2 or -2 for the whole of a column */
        return of_a ? 0x7e80 : (uint16_t)(row % 2 ? 0xc000 : 0x4000);
    case INTEGERS:
    case EXACT_SUMS:
        return bits_of(floorf(8 * x));
    default:
        return bits_of(x);
    }
}

static float scale_of(const trial *t, bool of_a, size_t index)
{
    const float x = layer_number(8 * t->seed + 4 + of_a, index);
    if (t->fill == INTEGERS)
        return x < 0 ? 0.5f : 2;
    if (t->fill == TINY || t->fill == OVERFLOWING)
        return 1;
    return ldexpf(x < 0.5f ? 1 + fabsf(x) : -1 - fabsf(x), t->fill == LARGE ? -2 : (int)(8 * x));
}

static float before(const trial *t, size_t index)
{
    const float x = layer_number(8 * t->seed + 6, index);
    return t->fill == INTEGERS ? floorf(100 * x) : ldexpf(x, t->fill == TINY ? -120 : t->fill == LARGE ? 115 : 2);
}

/* Where (row, k) lies in a panel: gemm_kernel.h. */
static size_t place(const dither_packing *packing, size_t row, size_t k)
{
    return k / packing->unit * packing->panel * packing->unit + row * packing->unit + k % packing->unit;
}

static const uint16_t *pack(const trial *t, const guarded *g, const dither_packing *packing, bool of_a, double *values)
{
    uint16_t *panel = guarded_at(g, packing->panel * t->k * sizeof *panel, t->at_end);
    for (size_t row = 0; row < packing->panel; row++)
        for (size_t k = 0; k < t->k; k++) {
            const uint16_t bits = element(t, of_a, row, k);
            panel[place(packing, row, k)] = bits;
            values[row * t->k + k] = value_of(bits);
        }
    return panel;
}

static const float *scales(const trial *t, const guarded *g, size_t count, bool of_a)
{
    float *scale = guarded_at(g, count * sizeof *scale, t->at_end);
    for (size_t i = 0; i < count; i++)
        scale[i] = scale_of(t, of_a, i);
    return scale;
}

/* ---- what an element of C must be -------------------------------------------------------------------------- */

/*
 * K products of bf16 values, exact in f32 but for underflow, in an order that is the kernel's own. A term of the sum
 * passes through at most K additions that round to nearest, u = 2^-24, fused or not; or, where a pair of products is
 * added first and additions round to odd (Arm's BFDOT), through at most 1 + K/2 of them, each within 2 u. In either
 * case, as (1 + 2u)^(1 + K/2) <= 1 / (1 - (K + 2) u) (Higham, Accuracy and Stability, section 3.1),
 *
 *     |sum - exact| <= gamma_(K+2) sum |a b| + lost,   gamma_n = n u / (1 - n u)
 *
 * a_scale b_scale, its product with the sum, and the sum with C round once more each; the f64 sums of this check are
 * within K 2^-53 < u: gamma_(K+6) in all. Lost is what units that flush may lose: the terms with a denormal factor
 * (each counts for 0), and 2^-126 for every product and every addition.
 */
typedef struct expected {
    double value, slack;
    double sum; /* of the products */
} expected;

static expected expect(const workshop *w, const trial *t, size_t i, size_t j, double scale, double c0)
{
    const double *a = w->a_values + i * t->k, *b = w->b_values + j * t->k;
    double sum = 0, size = 0, lost = 2.0 * (double)t->k * 0x1p-126;
    for (size_t k = 0; k < t->k; k++) {
        const double term = a[k] * b[k];
        sum += term;
        size += fabs(term);
        if (fabs(a[k]) < 0x1p-126 || fabs(b[k]) < 0x1p-126)
            lost += fabs(term);
    }
    const double nu = (double)(t->k + 6) * 0x1p-24;
    return (expected){.value = c0 + sum * scale,
                      .slack = nu / (1 - nu) * (fabs(c0) + size * fabs(scale)) + lost * fabs(scale),
                      .sum = sum};
}

static bool agrees(const trial *t, const expected *e, float c, float a_scale, float b_scale, float c0)
{
    if (t->fill == INTEGERS) /* every number fits 24 bits, in whatever order */
        return (double)c == e->value;
    if (t->fill == EXACT_SUMS) { /* the sum does; everything after it rounds one by one */
        const float product = (float)e->sum * (a_scale * b_scale);
        return c == (t->accumulate ? c0 + product : product);
    }
    if (isnan(e->value))
        return isnan(c);
    if (isinf(e->value) || fabs(e->value) >= 0x1p128)
        return isinf(c) && (c > 0) == (e->value > 0);
    return fabs((double)c - e->value) <= e->slack;
}

static void run_trial(workshop *w, const trial *t)
{
    const dither_gemm_kernel *kernel = w->kernel;
    const size_t stride = kernel->n + (t->seed % 2 ? GAP : 0), count = (kernel->m - 1) * stride + kernel->n;
    float *c = guarded_at(&w->c, count * sizeof *c, t->at_end);
    for (size_t i = 0; i < count; i++) /* what is not added to is not read, nor is what lies between the rows */
        c[i] = w->start[i] = t->accumulate && i % stride < kernel->n ? before(t, i) : NAN;
    const dither_tile tile = {
        .k = t->k,
        .a = pack(t, &w->a, &kernel->a, true, w->a_values),
        .b = pack(t, &w->b, &kernel->b, false, w->b_values),
        .a_scale = scales(t, &w->a_scale, kernel->m, true),
        .b_scale = scales(t, &w->b_scale, kernel->n, false),
        .c = c,
        .stride = stride,
        .accumulate = t->accumulate,
    };
    kernel->f32(&tile);
    for (size_t at = 0; at < count; at++) {
        const size_t i = at / stride, j = at % stride;
        if (j >= kernel->n) {
            assert_memory_equal(&c[at], &w->start[at], sizeof *c);
            continue;
        }
        const float a_scale = tile.a_scale[i], b_scale = tile.b_scale[j], c0 = t->accumulate ? w->start[at] : 0;
        const expected e = expect(w, t, i, j, (double)a_scale * (double)b_scale, (double)c0);
        if (!agrees(t, &e, c[at], a_scale, b_scale, c0))
            fail_msg("%s, fill %d, k %zu, %s, element %zu,%zu: %.9g, should be %.9g within %.3g", kernel->isa,
                     (int)t->fill, t->k, t->accumulate ? "added" : "stored", i, j, (double)c[at], e.value, e.slack);
        if (t->fill == SPECIAL)
            *(isnan(c[at]) ? &w->nan : isinf(c[at]) ? &w->infinite : &w->finite) += 1;
    }
}

/* ---- all kernels -------------------------------------------------------------------------------------------- */

static workshop workshop_open(const dither_gemm_kernel *kernel)
{
    const size_t m = kernel->m, n = kernel->n, c_count = m * (n + GAP);
    return (workshop){
        .kernel = kernel,
        .a = guarded_new(m * K_LARGEST * sizeof(uint16_t)),
        .b = guarded_new(n * K_LARGEST * sizeof(uint16_t)),
        .c = guarded_new(c_count * sizeof(float)),
        .a_scale = guarded_new(m * sizeof(float)),
        .b_scale = guarded_new(n * sizeof(float)),
        .a_values = layer_new(m * K_LARGEST, sizeof(double)),
        .b_values = layer_new(n * K_LARGEST, sizeof(double)),
        .start = layer_new(c_count, sizeof(float)),
    };
}

static void workshop_close(workshop *w)
{
    guarded_free(&w->a);
    guarded_free(&w->b);
    guarded_free(&w->c);
    guarded_free(&w->a_scale);
    guarded_free(&w->b_scale);
    free(w->a_values);
    free(w->b_values);
    free(w->start);
}

/* Four trials a fill: stored and added, with and without gaps between the rows, at either end of the memory. */
static void run_k(workshop *w, size_t k)
{
    for (int f = 0; f < FILLS; f++)
        for (uint64_t variant = 0; variant < 4; variant++)
            run_trial(w, &(trial){.fill = (fill)f,
                                  .k = k,
                                  .accumulate = variant & 1,
                                  .at_end = (k + variant / 2) % 2,
                                  .seed = 4096 * (uint64_t)f + 4 * k + (variant * 3 + 1) / 2});
}

static void run_kernel(const dither_gemm_kernel *kernel)
{
    workshop w = workshop_open(kernel);
    size_t k = kernel->k_step;
    for (; k < K_ALL + kernel->k_step; k += kernel->k_step)
        run_k(&w, k);
    run_k(&w, 576);
    run_k(&w, K_LARGEST);
    assert_true(w.nan > 0 && w.infinite > 0 && w.finite > 0);
    workshop_close(&w);
}

static void kernels_keep_the_bound(void **state)
{
    (void)state;
    const uint32_t features = dither_cpu_detect(NULL).features;
    const dither_gemm_kernel *kernel;
    for (size_t at = 0; (kernel = dither_gemm_kernel_at(at)) != NULL; at++) {
        if (kernel->element != DITHER_ELEMENT_BF16)
            continue;
        if ((kernel->needs & features) == kernel->needs)
            run_kernel(kernel);
        else
            print_message("skipped: no %s here\n", kernel->isa);
    }
}

static void kernels_are_as_the_contract_says(void **state)
{
    (void)state;
    const dither_gemm_kernel *kernel, *last = NULL;
    for (size_t at = 0; (kernel = dither_gemm_kernel_at(at)) != NULL; at++) {
        if (kernel->element != DITHER_ELEMENT_BF16)
            continue;
        last = kernel;
        assert_true(kernel->m > 0 && kernel->m <= DITHER_TILE_M && kernel->n > 0 && kernel->n <= DITHER_TILE_N);
        assert_true(kernel->a.panel == kernel->m && kernel->b.panel == kernel->n);
        assert_true(kernel->k_step % kernel->a.unit == 0 && kernel->k_step % kernel->b.unit == 0);
        assert_true(DITHER_K_STEP % kernel->k_step == 0);
        assert_true(kernel->a.flip == 0 && kernel->b.flip == 0);
        assert_true(kernel->f32 != NULL && kernel->s32 == NULL && !kernel->sums && kernel->sum == NULL);
    }
    assert_non_null(last);
    assert_true(last->needs == 0 && last->k_step == 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kernels_are_as_the_contract_says),
        cmocka_unit_test(kernels_keep_the_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
