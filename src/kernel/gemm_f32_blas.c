/* f32 products by OpenBLAS, kept to the calling thread. */
#include "kernel/gemm_f32_kernel.h"

#include <assert.h>
#include <cblas.h>
#include <limits.h>
#include <omp.h>
#include <pthread.h>
#include <sys/mman.h>

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

static void multiply(const dither_gemm_f32_part *p)
{
    assert(p->m <= INT_MAX && p->n <= INT_MAX && p->k <= INT_MAX);
    assert(p->a_stride <= INT_MAX && p->b_stride <= INT_MAX && p->c_stride <= INT_MAX);
    const int before = single_begin();
    if (p->m == 1 && (p->layout != DITHER_GEMM_TN || p->a_stride == 1)) {
        /* One row is a matrix times a vector, which BLAS does without packing. */
        const bool rows = p->layout == DITHER_GEMM_NT;
        cblas_sgemv(CblasRowMajor, transpose(!rows), (int)(rows ? p->n : p->k), (int)(rows ? p->k : p->n), p->alpha,
                    p->b, (int)p->b_stride, p->a, 1, p->beta, p->c, 1);
    } else {
        cblas_sgemm(CblasRowMajor, transpose(p->layout == DITHER_GEMM_TN), transpose(p->layout == DITHER_GEMM_NT),
                    (int)p->m, (int)p->n, (int)p->k, p->alpha, p->a, (int)p->a_stride, p->b, (int)p->b_stride, p->beta,
                    p->c, (int)p->c_stride);
    }
    single_end(before);
}

const dither_gemm_f32_kernel dither_gemm_f32_blas = {.isa = "blas", .multiply = multiply};
