#include "kernel/gemm.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/parallel.h"
#include "kernel/bf16.h"

enum {
    K_WHOLE = 1 << 14,       /* the longest k that one sum runs over; longer ones are added up in f32 ... */
    K_PART = 1 << 13,        /* ... from parts of this many */
    BLOCK_BYTES = 384 << 10, /* of A in a piece: with a panel of B and a tile of C it stays in a second-level cache */
    BLOCK_ROWS = 256,
    BLOCK_GROUPS = 64 /* of a k block */
};

_Static_assert(K_WHOLE <= (int)DITHER_S8_K_MAX, "a sum fits 32 bits");
_Static_assert(K_PART % (int)DITHER_K_STEP == 0, "parts are whole steps");

/* Operations of a piece: enough that starting it costs nothing, few enough that threads end together. */
static const double piece_least = 4e6, piece_most = 32e6;

typedef struct gemm_job {
    const dither_operand *a, *b;
    const dither_gemm_out *out;
    const dither_gemm_kernel *kernel;
    size_t step;          /* k's of one call of the kernel at most: a group, a part, or all */
    size_t block;         /* k's of a block: whole steps */
    size_t rows, cols;    /* of a piece of C: whole tiles */
    size_t pieces_across;
} gemm_job;

static size_t round_up(size_t n, size_t unit)
{
    return (n + unit - 1) / unit * unit;
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* A part of C: rows i.., columns j.., of one tile, as much of it as exists. */
typedef struct corner {
    size_t i, j, rows, cols;
} corner;

static const void *panel_at(const dither_operand *operand, size_t row, size_t panel, size_t k)
{
    const unsigned char *data = operand->data;
    return data + row / panel * dither_operand_panel_bytes(operand) + dither_operand_unit_offset(operand, k);
}

static const float *scale_at(const dither_operand *operand, size_t row, size_t k)
{
    return operand->scale + k / operand->group * operand->padded_rows + row;
}

/* All steps of k0..k1 onto one tile. */
static void run_tile(const gemm_job *job, const corner *at, size_t k0, size_t k1, const int32_t *sums, void *c,
                     size_t stride, bool accumulate)
{
    const dither_gemm_kernel *kernel = job->kernel;
    dither_tile tile = {.c = c, .stride = stride, .accumulate = accumulate, .sums = sums};
    for (size_t k = k0; k < k1; k += tile.k) {
        tile.k = smaller(job->step, k1 - k);
        tile.a = panel_at(job->a, at->i, kernel->m, k);
        tile.b = panel_at(job->b, at->j, kernel->n, k);
        if (job->out->type == DITHER_GEMM_S32) {
            kernel->s32(&tile);
        } else {
            tile.a_scale = scale_at(job->a, at->i, k);
            tile.b_scale = scale_at(job->b, at->j, k);
            kernel->f32(&tile);
        }
        tile.accumulate = true;
        if (sums != NULL)
            tile.sums += kernel->n;
    }
}

static void store_bf16(const float *from, const corner *at, size_t n, const dither_gemm_out *out)
{
    for (size_t i = 0; i < at->rows; i++) {
        uint16_t *to = (uint16_t *)out->c + (at->i + i) * out->stride + at->j;
        for (size_t j = 0; j < at->cols; j++) {
            const float x = from[i * n + j] + (out->bias != NULL ? out->bias[at->j + j] : 0.0f);
            const float rounded = dither_bf16_round(x);
            uint32_t bits;
            memcpy(&bits, &rounded, sizeof bits);
            to[j] = (uint16_t)(bits >> 16 | (x != x ? 0x40u : 0u)); /* a NaN keeps a bit that says so */
        }
    }
}

/* A tile that is cut off: through one of scratch. */
static void run_cut_tile(const gemm_job *job, const corner *at, size_t k0, size_t k1, const int32_t *sums,
                         bool accumulate)
{
    const dither_gemm_out *out = job->out;
    const size_t n = job->kernel->n;
    _Alignas(64) float tile[DITHER_TILE_M * DITHER_TILE_N];
    _Static_assert(sizeof tile[0] == sizeof(int32_t), "one tile serves both");
    unsigned char *c = (unsigned char *)out->c + (at->i * out->stride + at->j) * sizeof tile[0];
    const size_t row = out->stride * sizeof tile[0], wide = at->cols * sizeof tile[0];
    if (accumulate) {
        memset(tile, 0, sizeof tile);
        for (size_t i = 0; i < at->rows; i++)
            memcpy(tile + i * n, c + i * row, wide);
    }
    run_tile(job, at, k0, k1, sums, tile, n, accumulate);
    for (size_t i = 0; i < at->rows; i++)
        memcpy(c + i * row, tile + i * n, wide);
}

/* sums[g][j] of the steps of k0..k1, at most BLOCK_GROUPS of them. */
static const int32_t *panel_sums(const gemm_job *job, size_t j, size_t k0, size_t k1, int32_t *sums)
{
    const dither_gemm_kernel *kernel = job->kernel;
    if (!kernel->sums)
        return NULL;
    int32_t *sum = sums;
    for (size_t k = k0; k < k1; k += job->step, sum += kernel->n)
        kernel->sum(smaller(job->step, k1 - k), panel_at(job->b, j, kernel->n, k), sum);
    return sums;
}

static void add_bias(const dither_gemm_out *out, size_t i0, size_t rows, size_t j0, size_t cols)
{
    for (size_t i = i0; i < i0 + rows; i++) {
        float *c = (float *)out->c + i * out->stride + j0;
        for (size_t j = 0; j < cols; j++)
            c[j] += out->bias[j0 + j];
    }
}

/* One panel of B against the rows of a piece, bf16 out: rounded once, from tiles that have seen all of k. */
static void run_bf16_panel(const gemm_job *job, size_t i0, size_t i1, size_t j)
{
    const dither_gemm_kernel *kernel = job->kernel;
    const size_t k = job->a->padded_k;
    _Alignas(64) float tile[DITHER_TILE_M * DITHER_TILE_N];
    int32_t sums[BLOCK_GROUPS * DITHER_TILE_N];
    const int32_t *used = panel_sums(job, j, 0, smaller(job->block, k), sums);
    corner at = {.j = j, .cols = smaller(kernel->n, job->b->rows - j)};
    for (at.i = i0; at.i < i1; at.i += kernel->m) {
        at.rows = smaller(kernel->m, job->a->rows - at.i);
        for (size_t k0 = 0; k0 < k; k0 += job->block) {
            const size_t k1 = smaller(k0 + job->block, k);
            if (k > job->block)
                used = panel_sums(job, j, k0, k1, sums);
            run_tile(job, &at, k0, k1, used, tile, kernel->n, k0 > 0);
        }
        store_bf16(tile, &at, kernel->n, job->out);
    }
}

/* One panel of B against the rows of a piece, over one block of k. */
static void run_panel(const gemm_job *job, size_t i0, size_t i1, size_t j, size_t k0, size_t k1, bool accumulate)
{
    const dither_gemm_kernel *kernel = job->kernel;
    const dither_gemm_out *out = job->out;
    int32_t sums[BLOCK_GROUPS * DITHER_TILE_N];
    const int32_t *used = panel_sums(job, j, k0, k1, sums);
    corner at = {.j = j, .cols = smaller(kernel->n, job->b->rows - j)};
    for (at.i = i0; at.i < i1; at.i += kernel->m) {
        at.rows = smaller(kernel->m, job->a->rows - at.i);
        if (at.rows < kernel->m || at.cols < kernel->n) {
            run_cut_tile(job, &at, k0, k1, used, accumulate);
            continue;
        }
        float *c = (float *)out->c + at.i * out->stride + j; /* or int32_t, as large */
        run_tile(job, &at, k0, k1, used, c, out->stride, accumulate);
    }
}

static void run_piece(void *context, size_t index, int thread)
{
    (void)thread;
    const gemm_job *job = context;
    const size_t m = job->a->rows, n = job->b->rows, k = job->a->padded_k;
    const size_t i0 = index / job->pieces_across * job->rows, j0 = index % job->pieces_across * job->cols;
    const size_t i1 = smaller(i0 + job->rows, m), j1 = smaller(j0 + job->cols, n);
    if (job->out->type == DITHER_GEMM_BF16) {
        for (size_t j = j0; j < j1; j += job->kernel->n)
            run_bf16_panel(job, i0, i1, j);
        return;
    }
    for (size_t k0 = 0; k0 < k; k0 += job->block)
        for (size_t j = j0; j < j1; j += job->kernel->n)
            run_panel(job, i0, i1, j, k0, smaller(k0 + job->block, k), job->out->accumulate || k0 > 0);
    if (job->out->bias != NULL)
        add_bias(job->out, i0, i1 - i0, j0, j1 - j0);
}

/* The k's of a call and of a block: from the shape and the scales alone, so that every machine sums alike. */
static void cut_k(gemm_job *job)
{
    const size_t k = job->a->padded_k;
    const bool s32 = job->out->type == DITHER_GEMM_S32;
    job->step = s32 ? k : smaller(job->a->group, job->b->group);
    assert(job->step == k || job->step <= K_WHOLE);
    assert(job->a->group == k || job->a->group % job->step == 0);
    assert(job->b->group == k || job->b->group % job->step == 0);
    if (job->step > K_WHOLE)
        job->step = K_PART;
    const size_t wanted = K_PART / job->step > 0 ? K_PART / job->step : 1;
    job->block = job->step * smaller(wanted, BLOCK_GROUPS);
}

static void cut_c(gemm_job *job)
{
    const dither_gemm_kernel *kernel = job->kernel;
    const size_t m = job->a->rows, n = job->b->rows, k = job->a->padded_k;
    const size_t bytes = kernel->element == DITHER_ELEMENT_S8 ? 1 : 2;
    const size_t rows = smaller(BLOCK_ROWS, BLOCK_BYTES / (smaller(k, job->block) * bytes));
    job->rows = round_up(smaller(m, rows > kernel->m ? rows / kernel->m * kernel->m : kernel->m), kernel->m);
    const double all = 2.0 * (double)m * (double)n * (double)k;
    const double wanted = fmin(fmax(all / 16, piece_least), piece_most);
    const double cols = wanted / (2.0 * (double)smaller(job->rows, m) * (double)k);
    job->cols = cols >= (double)n ? round_up(n, kernel->n) : round_up((size_t)cols + 1, kernel->n);
}

void dither_gemm(const dither_operand *a, const dither_operand *b, const dither_gemm_out *out, int threads)
{
    assert(a->kernel == b->kernel && a->side == DITHER_SIDE_A && b->side == DITHER_SIDE_B && a->k == b->k);
    assert(a->k > 0);
    assert(!out->accumulate || (out->type == DITHER_GEMM_F32 && out->bias == NULL));
    assert(out->type != DITHER_GEMM_S32 || (a->k <= DITHER_S8_K_MAX && a->kernel->element == DITHER_ELEMENT_S8));
    if (a->rows == 0 || b->rows == 0)
        return;
    gemm_job job = {.a = a, .b = b, .out = out, .kernel = a->kernel};
    cut_k(&job);
    cut_c(&job);
    job.pieces_across = (b->rows + job.cols - 1) / job.cols;
    const size_t down = (a->rows + job.rows - 1) / job.rows;
    dither_parallel_for(threads, down * job.pieces_across, run_piece, &job);
}
