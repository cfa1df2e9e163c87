#include "kernel/vector.h"

#include <string.h>

#include "base/parallel.h"
#include "kernel/rows.h"

enum {
    PIECE = 32768,
    STRETCH = 1024, /* of a piece, that stays in the first cache */
    STRIP = 256 /* columns of a piece of dither_vector_add_columns */
};

typedef struct vector_job {
    const dither_rows *rows;
    size_t n;
    float *x;
    const float *y;
    uint16_t *to;
    const uint16_t *from;
    double *partial;
    float factor;
} vector_job;

static size_t piece_size(size_t n, size_t begin)
{
    return n - begin < PIECE ? n - begin : PIECE;
}

size_t dither_vector_pieces(size_t n)
{
    return (n + PIECE - 1) / PIECE;
}

static void run(vector_job *job, int threads, void (*piece)(void *context, size_t index, int thread))
{
    job->rows = dither_rows_active();
    dither_parallel_for(threads, dither_vector_pieces(job->n), piece, job);
}

static void add_piece(void *context, size_t index, int thread)
{
    (void)thread;
    const vector_job *job = context;
    const size_t begin = index * PIECE;
    job->rows->add(piece_size(job->n, begin), job->x + begin, job->y + begin);
}

void dither_vector_add(size_t n, float *x, const float *y, int threads)
{
    vector_job job = {.n = n, .x = x, .y = y};
    run(&job, threads, add_piece);
}

static void scale_piece(void *context, size_t index, int thread)
{
    (void)thread;
    const vector_job *job = context;
    const size_t begin = index * PIECE;
    job->rows->scale(piece_size(job->n, begin), job->factor, job->x + begin);
}

void dither_vector_scale(size_t n, float factor, float *x, int threads)
{
    vector_job job = {.n = n, .x = x, .factor = factor};
    run(&job, threads, scale_piece);
}

static void add_keep_piece(void *context, size_t index, int thread)
{
    (void)thread;
    const vector_job *job = context;
    const size_t begin = index * PIECE, end = begin + piece_size(job->n, begin);
    for (size_t i = begin; i < end; i += STRETCH) {
        const size_t count = end - i < STRETCH ? end - i : STRETCH;
        job->rows->add(count, job->x + i, job->y + i);
        job->rows->to_bf16(count, job->x + i, job->to + i);
    }
}

void dither_vector_add_keep(size_t n, float *x, const float *y, uint16_t *kept, int threads)
{
    vector_job job = {.n = n, .x = x, .y = y, .to = kept};
    run(&job, threads, add_keep_piece);
}

static void to_bf16_piece(void *context, size_t index, int thread)
{
    (void)thread;
    const vector_job *job = context;
    const size_t begin = index * PIECE;
    job->rows->to_bf16(piece_size(job->n, begin), job->y + begin, job->to + begin);
}

void dither_vector_to_bf16(size_t n, const float *x, uint16_t *y, int threads)
{
    vector_job job = {.n = n, .y = x, .to = y};
    run(&job, threads, to_bf16_piece);
}

static void from_bf16_piece(void *context, size_t index, int thread)
{
    (void)thread;
    const vector_job *job = context;
    const size_t begin = index * PIECE;
    job->rows->from_bf16(piece_size(job->n, begin), job->from + begin, job->x + begin);
}

void dither_vector_from_bf16(size_t n, const uint16_t *x, float *y, int threads)
{
    vector_job job = {.n = n, .x = y, .from = x};
    run(&job, threads, from_bf16_piece);
}

static void zero_piece(void *context, size_t index, int thread)
{
    (void)thread;
    const vector_job *job = context;
    const size_t begin = index * PIECE;
    memset(job->x + begin, 0, piece_size(job->n, begin) * sizeof(float));
}

void dither_vector_zero(size_t n, float *x, int threads)
{
    vector_job job = {.n = n, .x = x};
    run(&job, threads, zero_piece);
}

static void square_piece(void *context, size_t index, int thread)
{
    (void)thread;
    const vector_job *job = context;
    const size_t begin = index * PIECE;
    job->partial[index] = job->rows->square_sum(piece_size(job->n, begin), job->y + begin);
}

double dither_vector_square_sum(size_t n, const float *x, double *partial, int threads)
{
    vector_job job = {.n = n, .y = x, .partial = partial};
    run(&job, threads, square_piece);
    double sum = 0;
    for (size_t piece = 0; piece < dither_vector_pieces(n); piece++)
        sum += partial[piece];
    return sum;
}

typedef struct columns_job {
    const dither_rows *kernels;
    size_t rows, cols;
    const float *x;
    float *sums;
} columns_job;

static void columns_piece(void *context, size_t index, int thread)
{
    (void)thread;
    const columns_job *job = context;
    const size_t first = index * STRIP, count = job->cols - first < STRIP ? job->cols - first : STRIP;
    double sum[STRIP] = {0};
    job->kernels->columns(job->rows, count, job->cols, job->x + first, sum);
    for (size_t j = 0; j < count; j++)
        job->sums[first + j] += (float)sum[j];
}

void dither_vector_add_columns(size_t rows, size_t cols, const float *x, float *sums, int threads)
{
    columns_job job = {.kernels = dither_rows_active(), .rows = rows, .cols = cols, .x = x, .sums = sums};
    dither_parallel_for(threads, (cols + STRIP - 1) / STRIP, columns_piece, &job);
}
