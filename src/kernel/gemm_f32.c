#include "kernel/gemm_f32.h"

#include <assert.h>
#include <limits.h>

#include "base/parallel.h"
#include "kernel/gemm_f32_kernel.h"

enum {
    UNIT = 16,           /* pieces for BLAS begin at multiples of it: the width of the widest microkernels */
    MIN_SIDE = 48,       /* a piece narrower than that spends its time packing */
    PIECES_FEW = 16,     /* sixteen cost OpenBLAS about a tenth of its speed, 64 a fifth: ... */
    PIECES_MOST = 64,    /* ... more than sixteen only where they are large */
    STRIP_ROW_UNIT = 32, /* strips begin at multiples of these: whole tiles, whole cache lines of a transposed A */
    STRIP_COL_UNIT = 32,
    STRIPS_A_THREAD = 8,
    ROWS_MOST = 1024,    /* of a strip: so much of A stays in a last-level cache */
    ROWS_ENOUGH = 192    /* with fewer, packing B shows */
};

/* A piece does at least this many multiply-adds (2 MFLOP): some 20 us, against about 1 us to start it. */
static const double min_piece = 1e6;
static const double large_piece = 1e8;

static const dither_gemm_f32_kernel *const kernels[] = {
#if defined(__x86_64__)
    &dither_gemm_f32_avx512,
#endif
    &dither_gemm_f32_blas,
};

/*
 * Measured on Zen 4 against OpenBLAS 0.3.21: of a narrow or low C too much of the tiles is padding, and small products
 * that need no transposition have a path in OpenBLAS that packs nothing. Here, not in the kernel's file: a processor
 * without its instructions asks as well.
 */
static bool suits(const dither_gemm_f32_kernel *kernel, dither_gemm_layout layout, size_t m, size_t n, size_t k)
{
    const size_t rows = kernel->tile_rows, cols = kernel->tile_cols;
    if (rows == 0)
        return true;
    const double padded = (double)((m + rows - 1) / rows * rows) * (double)((n + cols - 1) / cols * cols);
    const double used = (double)m * (double)n;
    return used >= 0.85 * padded && (layout == DITHER_GEMM_NT || used * (double)k > 1e6);
}

const dither_gemm_f32_kernel *dither_gemm_f32_select(uint32_t features, dither_gemm_layout layout, size_t m, size_t n,
                                                     size_t k)
{
    size_t i = 0;
    while ((kernels[i]->needs & features) != kernels[i]->needs || !suits(kernels[i], layout, m, n, k))
        i++;
    return kernels[i];
}

static const dither_gemm_f32_kernel *best(dither_gemm_layout layout, size_t m, size_t n, size_t k)
{
    return dither_gemm_f32_select(dither_cpu_active()->features, layout, m, n, k);
}

static void multiply(const dither_gemm_f32_kernel *kernel, const dither_gemm_f32_part *p)
{
    if (p->k > 0 && p->m > 0 && p->n > 0) {
        kernel->multiply(p);
        return;
    }
    for (size_t i = 0; i < p->m; i++)
        for (size_t j = 0; j < p->n; j++)
            p->c[i * p->c_stride + j] = p->beta == 0 ? 0.0f : p->beta * p->c[i * p->c_stride + j];
}

void dither_gemm_f32_block(dither_gemm_layout layout, size_t m, size_t n, size_t k, float alpha, const float *a,
                           size_t a_stride, const float *b, size_t b_stride, float beta, float *c, size_t c_stride)
{
    const dither_gemm_f32_part part = {.layout = layout, .m = m, .n = n, .k = k, .alpha = alpha, .a = a,
                                       .a_stride = a_stride, .b = b, .b_stride = b_stride, .beta = beta, .c = c,
                                       .c_stride = c_stride};
    multiply(best(layout, m, n, k), &part);
}

typedef struct gemm_job {
    const dither_gemm_f32_kernel *kernel;
    dither_gemm_layout layout;
    size_t m, n, k;
    const float *a, *b;
    float *c;
    float beta;
    size_t row_unit, col_unit, m_parts, n_parts;
} gemm_job;

/* First element of part `part` of `parts` of a side. */
static size_t part_begin(size_t side, size_t unit, size_t parts, size_t part)
{
    const size_t units = (side + unit - 1) / unit, begin = units * part / parts * unit;
    return begin < side ? begin : side;
}

/* Halve the longer side of the pieces until they are many enough or small enough: the shape alone decides. */
static void cut_squares(gemm_job *job)
{
    job->row_unit = job->col_unit = UNIT;
    job->m_parts = job->n_parts = 1;
    double work = (double)job->m * (double)job->n * (double)job->k;
    for (int pieces = 1; pieces < PIECES_MOST; pieces *= 2, work /= 2) {
        const size_t rows = job->m / job->m_parts, cols = job->n / job->n_parts;
        if (work < 2 * (pieces < PIECES_FEW ? min_piece : large_piece))
            break;
        if ((rows > cols ? rows : cols) < 2 * (size_t)MIN_SIDE)
            break;
        if (rows > cols)
            job->m_parts *= 2;
        else
            job->n_parts *= 2;
    }
}

/*
 * Strips as wide as the kernel takes and as high as possible, then smaller ones until every thread has some. Sums do
 * not depend on the pieces here, so that the threads may.
 */
static void cut_strips(gemm_job *job, int threads)
{
    const size_t columns = job->kernel->columns(job->n, job->k);
    const double most = (double)job->m * (double)job->n * (double)job->k / min_piece;
    const double wanted = threads == 1 ? 1 : (double)threads * STRIPS_A_THREAD;
    const size_t pieces = most < 1 ? 1 : (size_t)(most < wanted ? most : wanted);
    job->row_unit = STRIP_ROW_UNIT, job->col_unit = STRIP_COL_UNIT;
    job->n_parts = (job->n + columns - 1) / columns;
    job->m_parts = (job->m + ROWS_MOST - 1) / ROWS_MOST;
    while (job->n_parts * job->m_parts < pieces) {
        const size_t rows = job->m / job->m_parts, cols = job->n / job->n_parts;
        const bool high = rows >= 2 * STRIP_ROW_UNIT, wide = cols >= 2 * STRIP_COL_UNIT;
        if (high && (rows >= 2 * (size_t)ROWS_ENOUGH || !wide))
            job->m_parts *= 2;
        else if (wide)
            job->n_parts *= 2;
        else
            break;
    }
}

static void multiply_piece(void *context, size_t index, int thread)
{
    (void)thread;
    const gemm_job *job = context;
    const size_t i = index / job->n_parts, j = index % job->n_parts;
    const size_t row = part_begin(job->m, job->row_unit, job->m_parts, i);
    const size_t col = part_begin(job->n, job->col_unit, job->n_parts, j);
    const bool a_transposed = job->layout == DITHER_GEMM_TN, b_transposed = job->layout == DITHER_GEMM_NT;
    const dither_gemm_f32_part part = {
        .layout = job->layout,
        .m = part_begin(job->m, job->row_unit, job->m_parts, i + 1) - row,
        .n = part_begin(job->n, job->col_unit, job->n_parts, j + 1) - col,
        .k = job->k,
        .alpha = 1,
        .a = job->a + (a_transposed ? row : row * job->k),
        .a_stride = a_transposed ? job->m : job->k,
        .b = job->b + (b_transposed ? col * job->k : col),
        .b_stride = b_transposed ? job->k : job->n,
        .beta = job->beta,
        .c = job->c + row * job->n + col,
        .c_stride = job->n,
    };
    multiply(job->kernel, &part);
}

void dither_gemm_f32_by(const dither_gemm_f32_kernel *kernel, dither_gemm_layout layout, size_t m, size_t n, size_t k,
                        const float *a, const float *b, float *c, bool accumulate, int threads)
{
    assert(m <= INT_MAX && n <= INT_MAX && k <= INT_MAX && threads >= 1);
    if (m == 0 || n == 0)
        return;
    gemm_job job = {.kernel = kernel, .layout = layout, .m = m, .n = n, .k = k, .a = a, .b = b, .c = c,
                    .beta = accumulate ? 1.0f : 0.0f};
    if (k > 0 && kernel->columns != NULL)
        cut_strips(&job, threads);
    else
        cut_squares(&job);
    dither_parallel_for(threads, job.m_parts * job.n_parts, multiply_piece, &job);
}

void dither_gemm_f32(dither_gemm_layout layout, size_t m, size_t n, size_t k, const float *a, const float *b, float *c,
                     bool accumulate, int threads)
{
    dither_gemm_f32_by(best(layout, m, n, k), layout, m, n, k, a, b, c, accumulate, threads);
}
