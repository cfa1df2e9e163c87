#include "kernel/gemm.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/parallel.h"
#include "kernel/bf16.h"

enum {
    K_WHOLE = 1 << 14,       /* the longest k that one sum runs over; longer ones are added up in f32 ... */
    K_PART = 1 << 13,        /* ... from parts of this many */
    K_BLOCK = 1 << 11,       /* of a block that has more than one step: a panel of A stays in the first cache */
    BLOCK_BYTES = 384 << 10, /* of B in a piece: it stays in a second-level cache while all panels of A pass by */
    BLOCK_SUMS = 1 << 14,    /* of B's columns over the steps of a block */
    ROWS_MOST = 1024,        /* of a piece */
    ROWS_ENOUGH = 192,
    PIECES = 16 /* wanted, where each is work enough */
};

_Static_assert(K_WHOLE <= (int)DITHER_S8_K_MAX, "a sum fits 32 bits");
_Static_assert(K_PART % (int)DITHER_K_STEP == 0, "parts are whole steps");

/* Operations of a piece: enough that starting it costs nothing. */
static const double piece_least = 4e6;

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

static void add_bias(const dither_gemm_out *out, size_t i0, size_t rows, size_t j0, size_t cols)
{
    for (size_t i = i0; i < i0 + rows; i++) {
        float *c = (float *)out->c + i * out->stride + j0;
        for (size_t j = 0; j < cols; j++)
            c[j] += out->bias[j0 + j];
    }
}

/* Of a piece and a block of k: which panels of B, and the sums of their columns, step by step. */
typedef struct block {
    size_t j0, j1, k0, k1;
    int32_t sums[BLOCK_SUMS]; /* [panels][steps][n] */
} block;

static size_t block_steps(const gemm_job *job, const block *b)
{
    return (b->k1 - b->k0 + job->step - 1) / job->step;
}

static void fill_sums(const gemm_job *job, block *b)
{
    const dither_gemm_kernel *kernel = job->kernel;
    if (!kernel->sums)
        return;
    int32_t *sum = b->sums;
    for (size_t j = b->j0; j < b->j1; j += kernel->n)
        for (size_t k = b->k0; k < b->k1; k += job->step, sum += kernel->n)
            kernel->sum(smaller(job->step, b->k1 - k), panel_at(job->b, j, kernel->n, k), sum);
}

static const int32_t *sums_at(const gemm_job *job, const block *b, size_t j)
{
    return job->kernel->sums ? b->sums + (j - b->j0) * block_steps(job, b) : NULL;
}

/* One panel of A against a block of B; along a row of tiles C is written in long stretches. */
static void run_row(const gemm_job *job, const block *b, size_t i, bool accumulate)
{
    const dither_gemm_kernel *kernel = job->kernel;
    const dither_gemm_out *out = job->out;
    corner at = {.i = i, .rows = smaller(kernel->m, job->a->rows - i)};
    for (at.j = b->j0; at.j < b->j1; at.j += kernel->n) {
        at.cols = smaller(kernel->n, job->b->rows - at.j);
        const int32_t *sums = sums_at(job, b, at.j);
        if (at.rows < kernel->m || at.cols < kernel->n) {
            run_cut_tile(job, &at, b->k0, b->k1, sums, accumulate);
            continue;
        }
        float *c = (float *)out->c + i * out->stride + at.j; /* or int32_t, as large */
        run_tile(job, &at, b->k0, b->k1, sums, c, out->stride, accumulate);
    }
}

/* bf16 out is rounded once, from tiles that have seen all of k. */
static void run_bf16_tile(const gemm_job *job, block *b, const corner *at)
{
    const dither_gemm_kernel *kernel = job->kernel;
    const size_t k = job->a->padded_k;
    _Alignas(64) float tile[DITHER_TILE_M * DITHER_TILE_N];
    for (size_t k0 = 0; k0 < k; k0 += job->block) {
        if (k > job->block) {
            b->j0 = at->j, b->j1 = at->j + 1;
            b->k0 = k0, b->k1 = smaller(k0 + job->block, k);
            fill_sums(job, b);
        }
        run_tile(job, at, b->k0, b->k1, sums_at(job, b, at->j), tile, kernel->n, k0 > 0);
    }
    store_bf16(tile, at, kernel->n, job->out);
}

static void run_bf16_piece(const gemm_job *job, block *b, size_t i0, size_t i1)
{
    const dither_gemm_kernel *kernel = job->kernel;
    const size_t j0 = b->j0, j1 = b->j1;
    b->k0 = 0, b->k1 = smaller(job->block, job->a->padded_k);
    fill_sums(job, b);
    for (size_t i = i0; i < i1; i += kernel->m)
        for (size_t j = j0; j < j1; j += kernel->n) {
            const corner at = {i, j, smaller(kernel->m, job->a->rows - i), smaller(kernel->n, job->b->rows - j)};
            run_bf16_tile(job, b, &at);
        }
}

static void run_piece(void *context, size_t index, int thread)
{
    (void)thread;
    const gemm_job *job = context;
    const size_t m = job->a->rows, n = job->b->rows, k = job->a->padded_k;
    const size_t i0 = index / job->pieces_across * job->rows, j0 = index % job->pieces_across * job->cols;
    const size_t i1 = smaller(i0 + job->rows, m), j1 = smaller(j0 + job->cols, n);
    block b;
    b.j0 = j0, b.j1 = j1;
    if (job->out->type == DITHER_GEMM_BF16) {
        run_bf16_piece(job, &b, i0, i1);
        return;
    }
    for (b.k0 = 0; b.k0 < k; b.k0 += job->block) {
        b.k1 = smaller(b.k0 + job->block, k);
        fill_sums(job, &b);
        for (size_t i = i0; i < i1; i += job->kernel->m)
            run_row(job, &b, i, job->out->accumulate || b.k0 > 0);
    }
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
    assert(s32 || job->a->group == k || job->a->group % job->step == 0);
    assert(s32 || job->b->group == k || job->b->group % job->step == 0);
    if (job->step > K_WHOLE)
        job->step = K_PART;
    const size_t steps = K_BLOCK / job->step, most = BLOCK_SUMS / job->kernel->n;
    job->block = job->step * (steps == 0 ? 1 : smaller(steps, most));
}

/* The size of a piece that cuts a side into as many, but all alike. */
static size_t even_pieces(size_t side, size_t piece, size_t unit)
{
    const size_t pieces = (side + piece - 1) / piece;
    return round_up((side + pieces - 1) / pieces, unit);
}

static size_t pieces_of(const gemm_job *job)
{
    return ((job->a->rows + job->rows - 1) / job->rows) * ((job->b->rows + job->cols - 1) / job->cols);
}

/*
 * Pieces as large as the cache holds of B and as the sums have room for, then smaller until there are enough of them.
 * Rows are halved last: every panel of A that passes a block of B saves reading it again.
 */
static void cut_c(gemm_job *job)
{
    const dither_gemm_kernel *kernel = job->kernel;
    const size_t m = job->a->rows, n = job->b->rows, k = job->a->padded_k, ks = smaller(k, job->block);
    const size_t bytes = kernel->element == DITHER_ELEMENT_S8 ? 1 : 2;
    const size_t panels = BLOCK_BYTES / (ks * bytes * kernel->n);
    const size_t panels_summed = BLOCK_SUMS / kernel->n / ((ks + job->step - 1) / job->step);
    const size_t all_panels = (n + kernel->n - 1) / kernel->n;
    job->cols = kernel->n * smaller(all_panels, panels == 0 ? 1 : smaller(panels, panels_summed));
    job->rows = round_up(smaller(m, ROWS_MOST), kernel->m);
    const double all = 2.0 * (double)m * (double)n * (double)k;
    const double wanted = fmin(all / piece_least, PIECES);
    while ((double)pieces_of(job) < wanted) {
        if (job->rows > ROWS_ENOUGH)
            job->rows = round_up(job->rows / 2, kernel->m);
        else if (job->cols > kernel->n)
            job->cols = round_up(job->cols / 2, kernel->n);
        else if (job->rows > kernel->m)
            job->rows = round_up(job->rows / 2, kernel->m);
        else
            break;
    }
    job->rows = even_pieces(m, job->rows, kernel->m);
    job->cols = even_pieces(n, job->cols, kernel->n);
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
