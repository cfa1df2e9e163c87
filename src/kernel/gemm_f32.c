#include "kernel/gemm_f32.h"

#include <assert.h>
#include <cblas.h>
#include <limits.h>
#include <omp.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "base/parallel.h"

enum {
    UNIT = 16,       /* pieces begin at multiples of it: the width of the widest BLAS microkernels */
    PIECES_LOG2 = 6, /* at most 64 pieces: 16 threads, four each */
    MIN_SIDE = 48    /* a piece narrower than that spends its time packing */
};

/* A piece does at least this many multiply-adds (2 MFLOP): some 20 us, against about 1 us to start it. */
static const double min_piece = 1e6;

typedef struct gemm_job {
    dither_gemm_layout layout;
    size_t m, n, k;
    const float *a, *b;
    float *c;
    float beta;
    size_t m_parts, n_parts;
} gemm_job;

static void lower_process(void)
{
    if (openblas_get_parallel() == OPENBLAS_THREAD)
        openblas_set_num_threads(1);
}

/*
 * OpenBLAS would use every core outside of a parallel region. Its OpenMP build asks omp_get_max_threads(), which
 * belongs to the calling thread, so it can be lowered around a call without anybody else noticing; its pthread build
 * has one number for the whole process, which may not change during a product: it goes to 1 before the first.
 */
static int single_begin(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, lower_process);
    const int before = omp_get_max_threads();
    if (before != 1)
        omp_set_num_threads(1);
    return before;
}

static void single_end(int before)
{
    if (before != 1)
        omp_set_num_threads(before);
}

bool dither_gemm_f32_ready(int threads, size_t others)
{
    /* What OpenBLAS maps for each thread that multiplies, and what libc does for its stack and heap. */
    const size_t each = ((size_t)128 + 8 + 64) << 20;
    if ((size_t)threads > (SIZE_MAX / 2 - others) / each)
        return false;
    const size_t size = each * (size_t)threads + others;
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        return false;
    (void)munmap(memory, size);
    return true;
}

static CBLAS_TRANSPOSE transpose(bool yes)
{
    return yes ? CblasTrans : CblasNoTrans;
}

static void scale_rows(size_t m, size_t n, float beta, float *c, size_t c_stride)
{
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++)
            c[i * c_stride + j] = beta == 0 ? 0.0f : beta * c[i * c_stride + j];
}

void dither_gemm_f32_block(dither_gemm_layout layout, size_t m, size_t n, size_t k, float alpha, const float *a,
                           size_t a_stride, const float *b, size_t b_stride, float beta, float *c, size_t c_stride)
{
    assert(m <= INT_MAX && n <= INT_MAX && k <= INT_MAX);
    assert(a_stride <= INT_MAX && b_stride <= INT_MAX && c_stride <= INT_MAX);
    if (m == 0 || n == 0)
        return;
    if (k == 0) {
        scale_rows(m, n, beta, c, c_stride);
        return;
    }
    const int before = single_begin();
    if (m == 1 && (layout != DITHER_GEMM_TN || a_stride == 1)) {
        /* One row is a matrix times a vector, which BLAS does without packing. */
        const bool rows = layout == DITHER_GEMM_NT;
        cblas_sgemv(CblasRowMajor, transpose(!rows), (int)(rows ? n : k), (int)(rows ? k : n), alpha, b, (int)b_stride,
                    a, 1, beta, c, 1);
    } else {
        cblas_sgemm(CblasRowMajor, transpose(layout == DITHER_GEMM_TN), transpose(layout == DITHER_GEMM_NT), (int)m,
                    (int)n, (int)k, alpha, a, (int)a_stride, b, (int)b_stride, beta, c, (int)c_stride);
    }
    single_end(before);
}

/* First element of part `part` of `parts` of a side. */
static size_t part_begin(size_t side, size_t parts, size_t part)
{
    const size_t units = (side + UNIT - 1) / UNIT;
    const size_t begin = units * part / parts * UNIT;
    return begin < side ? begin : side;
}

/* Halve the longer side of the pieces until they are many enough or small enough: the shape alone decides. */
static void partition(gemm_job *job)
{
    job->m_parts = job->n_parts = 1;
    double work = (double)job->m * (double)job->n * (double)job->k;
    for (int halvings = 0; halvings < PIECES_LOG2 && work >= 2 * min_piece; halvings++, work /= 2) {
        const size_t rows = job->m / job->m_parts, cols = job->n / job->n_parts;
        if ((rows > cols ? rows : cols) < 2 * (size_t)MIN_SIDE)
            break;
        if (rows > cols)
            job->m_parts *= 2;
        else
            job->n_parts *= 2;
    }
}

static void multiply_piece(void *context, size_t index, int thread)
{
    (void)thread;
    const gemm_job *job = context;
    const size_t i = index / job->n_parts, j = index % job->n_parts;
    const size_t row = part_begin(job->m, job->m_parts, i), rows = part_begin(job->m, job->m_parts, i + 1) - row;
    const size_t col = part_begin(job->n, job->n_parts, j), cols = part_begin(job->n, job->n_parts, j + 1) - col;
    const bool a_transposed = job->layout == DITHER_GEMM_TN, b_transposed = job->layout == DITHER_GEMM_NT;
    dither_gemm_f32_block(job->layout, rows, cols, job->k, 1.0f, job->a + (a_transposed ? row : row * job->k),
                          a_transposed ? job->m : job->k, job->b + (b_transposed ? col * job->k : col),
                          b_transposed ? job->k : job->n, job->beta, job->c + row * job->n + col, job->n);
}

void dither_gemm_f32(dither_gemm_layout layout, size_t m, size_t n, size_t k, const float *a, const float *b, float *c,
                     bool accumulate, int threads)
{
    assert(m <= INT_MAX && n <= INT_MAX && k <= INT_MAX && threads >= 1);
    gemm_job job = {.layout = layout, .m = m, .n = n, .k = k, .a = a, .b = b, .c = c, .beta = accumulate ? 1.0f : 0.0f};
    partition(&job);
    dither_parallel_for(threads, job.m_parts * job.n_parts, multiply_piece, &job);
}
