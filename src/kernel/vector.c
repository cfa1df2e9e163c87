#include "kernel/vector.h"

#include <string.h>

#include "base/parallel.h"

enum { PIECE = 32768 };

typedef struct vector_job {
    size_t n;
    float *x;
    const float *y;
    double *partial;
} vector_job;

static size_t piece_end(size_t n, size_t begin)
{
    return n - begin < PIECE ? n : begin + PIECE;
}

size_t dither_vector_pieces(size_t n)
{
    return (n + PIECE - 1) / PIECE;
}

static void add_piece(void *context, size_t index, int thread)
{
    (void)thread;
    const vector_job *job = context;
    float *restrict x = job->x;
    const float *restrict y = job->y;
    const size_t begin = index * PIECE, end = piece_end(job->n, begin);
    for (size_t i = begin; i < end; i++)
        x[i] += y[i];
}

void dither_vector_add(size_t n, float *x, const float *y, int threads)
{
    vector_job job = {.n = n, .x = x, .y = y};
    dither_parallel_for(threads, dither_vector_pieces(n), add_piece, &job);
}

static void zero_piece(void *context, size_t index, int thread)
{
    (void)thread;
    const vector_job *job = context;
    const size_t begin = index * PIECE;
    memset(job->x + begin, 0, (piece_end(job->n, begin) - begin) * sizeof(float));
}

void dither_vector_zero(size_t n, float *x, int threads)
{
    vector_job job = {.n = n, .x = x};
    dither_parallel_for(threads, dither_vector_pieces(n), zero_piece, &job);
}

static void square_piece(void *context, size_t index, int thread)
{
    (void)thread;
    const vector_job *job = context;
    const float *x = job->y;
    const size_t begin = index * PIECE, end = piece_end(job->n, begin);
    double sum[4] = {0}; /* four chains: the additions do not wait for one another */
    size_t i = begin;
    for (; i + 4 <= end; i += 4)
        for (size_t lane = 0; lane < 4; lane++)
            sum[lane] += (double)x[i + lane] * (double)x[i + lane];
    for (; i < end; i++)
        sum[0] += (double)x[i] * (double)x[i];
    job->partial[index] = (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

double dither_vector_square_sum(size_t n, const float *x, double *partial, int threads)
{
    vector_job job = {.n = n, .y = x, .partial = partial};
    dither_parallel_for(threads, dither_vector_pieces(n), square_piece, &job);
    double sum = 0;
    for (size_t piece = 0; piece < dither_vector_pieces(n); piece++)
        sum += partial[piece];
    return sum;
}
