/*
 * f32 x f32 -> f32 on AVX-512: tiles of 8 x 32 of C. A block of B is packed into scratch on the stack (256 KiB with
 * what is packed of A), where it stays in a second-level cache while all rows of A pass by.
 *
 * Order of a sum: blocks of k as equal as possible; in a block k ascending with fused multiply-adds, one rounding a
 * step; the blocks' sums times alpha are added to beta c in order. k alone decides: not m, not n, not how C is cut.
 * With alpha = 1 and beta = 0 or 1:
 *
 *     |result - exact| <= gamma_(k+1) (|c| + sum |a b|)
 *
 * A tile does 16 multiply-adds of 16 lanes for ten loads a step of k; a processor that does one of them a cycle is kept
 * busy with B from its second-level cache.
 */
#include "kernel/gemm_f32_kernel.h"

#include <immintrin.h>
#include <string.h>

#include "kernel/tile_8x32.h"

enum {
    M = 8,
    N = 32,
    LANES = 16,
    K_BLOCK = 256,       /* the longest sum of a tile: so much of eight rows of A stays in a first-level cache */
    B_FLOATS = 56 << 10, /* 224 KiB: a block of B */
    A_PANELS = 4,        /* of a transposed A that are packed at a time: whole cache lines of it */
    A_FLOATS = A_PANELS * M * K_BLOCK
};

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* k is cut into equal blocks; it alone decides, so that every sum has one order. */
static size_t block_k(size_t k)
{
    const size_t blocks = (k + K_BLOCK - 1) / K_BLOCK;
    return (k + blocks - 1) / blocks;
}

/* As many as a block of B has room for, or fewer so that the last block is no narrower. */
static size_t columns_together(size_t n, size_t k)
{
    const size_t most = B_FLOATS / block_k(k) / N * N, blocks = (n + most - 1) / most;
    return ((n + blocks - 1) / blocks + N - 1) / N * N;
}

typedef struct tile {
    size_t rows, k;
    const float *a; /* [rows][k] or, transposed, [k][8] */
    size_t a_stride;
    const float *b; /* [k][32] */
    float alpha, beta;
    float *c;
    size_t c_stride;
    __mmask16 columns[2];
} tile;

static inline void step(__m512 sum[2], float a, const __m512 b[2])
{
    sum[0] = _mm512_fmadd_ps(_mm512_set1_ps(a), b[0], sum[0]);
    sum[1] = _mm512_fmadd_ps(_mm512_set1_ps(a), b[1], sum[1]);
}

static inline void store_row(const tile *t, size_t i, const __m512 sum[2])
{
    if (i >= t->rows)
        return;
    const __m512 alpha = _mm512_set1_ps(t->alpha), beta = _mm512_set1_ps(t->beta);
    float *c = t->c + i * t->c_stride;
    for (int half = 0; half < 2; half++, c += LANES) {
        __m512 y = _mm512_mul_ps(alpha, sum[half]);
        if (t->beta != 0) {
            const __m512 before = _mm512_maskz_loadu_ps(t->columns[half], c);
            y = _mm512_add_ps(_mm512_mul_ps(beta, before), y);
        }
        _mm512_mask_storeu_ps(c, t->columns[half], y);
    }
}

static inline void store(const tile *t, const __m512 sums[M][2])
{
#define STORE(i) store_row(t, i, sums[i]);
    DITHER_EIGHT_ROWS(STORE)
}

/* C is wanted when the sums are done: ask for it before. */
static inline void fetch_c(const tile *t)
{
    for (size_t i = 0; i < t->rows; i++) {
        _mm_prefetch((const char *)(t->c + i * t->c_stride), _MM_HINT_T0);
        _mm_prefetch((const char *)(t->c + i * t->c_stride + LANES), _MM_HINT_T0);
    }
}

#define CLEAR(i) sums[i][0] = sums[i][1] = _mm512_setzero_ps();

/*
 * Both kernels stay functions of their own: inlined into their callers they have too few registers left for pointers.
 * Of A its rows are read where they are; transposed, a step of it would touch a page of memory of its own.
 */
__attribute__((noinline)) static void multiply_rows(const tile *t)
{
    const float *row[M];
#define ROW(i) row[i] = t->a + smaller(i, t->rows - 1) * t->a_stride;
    DITHER_EIGHT_ROWS(ROW)
    fetch_c(t);
    __m512 sums[M][2];
    DITHER_EIGHT_ROWS(CLEAR)
    const float *from = t->b;
    for (size_t k = 0; k < t->k; k++, from += N) {
        const __m512 b[2] = {_mm512_loadu_ps(from), _mm512_loadu_ps(from + LANES)};
#define STEP_ROW(i) step(sums[i], row[i][k], b);
        DITHER_EIGHT_ROWS(STEP_ROW)
    }
    store(t, (const __m512(*)[2])sums);
}

__attribute__((noinline)) static void multiply_panel(const tile *t)
{
    const float *a = t->a;
    fetch_c(t);
    __m512 sums[M][2];
    DITHER_EIGHT_ROWS(CLEAR)
    const float *from = t->b;
    for (size_t k = 0; k < t->k; k++, from += N, a += M) {
        const __m512 b[2] = {_mm512_loadu_ps(from), _mm512_loadu_ps(from + LANES)};
#define STEP_PANEL(i) step(sums[i], a[i], b);
        DITHER_EIGHT_ROWS(STEP_PANEL)
    }
    store(t, (const __m512(*)[2])sums);
}

/* 8 x 8: to[k][row] = from[row][k]. Four k's each half, of rows 0..3 in the low lanes and of 4..7 in the high. */
static inline void transpose(const float *from, size_t stride, float *to, size_t to_stride)
{
    __m256 row[8];
    for (size_t i = 0; i < 4; i++)
        for (size_t half = 0; half < 2; half++) {
            const float *low = from + i * stride + 4 * half, *high = low + 4 * stride;
            const __m256 both = _mm256_castps128_ps256(_mm_loadu_ps(low));
            row[4 * half + i] = _mm256_insertf128_ps(both, _mm_loadu_ps(high), 1);
        }
    for (size_t half = 0; half < 2; half++, to += 4 * to_stride) {
        const __m256 *r = row + 4 * half;
        const __m256 a = _mm256_unpacklo_ps(r[0], r[1]), b = _mm256_unpacklo_ps(r[2], r[3]);
        const __m256 c = _mm256_unpackhi_ps(r[0], r[1]), d = _mm256_unpackhi_ps(r[2], r[3]);
        _mm256_storeu_ps(to, _mm256_shuffle_ps(a, b, 0x44));
        _mm256_storeu_ps(to + to_stride, _mm256_shuffle_ps(a, b, 0xee));
        _mm256_storeu_ps(to + 2 * to_stride, _mm256_shuffle_ps(c, d, 0x44));
        _mm256_storeu_ps(to + 3 * to_stride, _mm256_shuffle_ps(c, d, 0xee));
    }
}

/* A panel of B from its rows: to[k][32] = from[32][k], with zeros past the last of `columns`. */
static void pack_b_rows(size_t columns, size_t ks, const float *from, size_t stride, float *to)
{
    if (columns < N)
        memset(to, 0, ks * N * sizeof *to);
    size_t j = 0;
    for (; j + 8 <= columns; j += 8) {
        size_t k = 0;
        for (; k + 8 <= ks; k += 8)
            transpose(from + j * stride + k, stride, to + k * N + j, N);
        for (; k < ks; k++)
            for (size_t i = j; i < j + 8; i++)
                to[k * N + i] = from[i * stride + k];
    }
    for (; j < columns; j++)
        for (size_t k = 0; k < ks; k++)
            to[k * N + j] = from[j * stride + k];
}

static __mmask16 lanes(size_t count)
{
    return (__mmask16)(count >= LANES ? 0xffffu : (1u << count) - 1);
}

/* A panel of B from its columns: to[k][32] = from[k][32], likewise. */
static void pack_b_columns(size_t columns, size_t ks, const float *from, size_t stride, float *to)
{
    const __mmask16 left = lanes(columns), right = lanes(columns > LANES ? columns - LANES : 0);
    for (size_t k = 0; k < ks; k++, from += stride, to += N) {
        _mm512_storeu_ps(to, _mm512_maskz_loadu_ps(left, from));
        _mm512_storeu_ps(to + LANES, _mm512_maskz_loadu_ps(right, from + LANES));
    }
}

/* Panels of a transposed A: to[panel][k][8] = from[k][panel][8], likewise. */
static void pack_a(size_t rows, size_t ks, const float *from, size_t stride, float *to)
{
    const __mmask16 left = lanes(rows), right = lanes(rows > LANES ? rows - LANES : 0);
    for (size_t k = 0; k < ks; k++, from += stride, to += M) {
        const __m512 x = _mm512_maskz_loadu_ps(left, from), y = _mm512_maskz_loadu_ps(right, from + LANES);
        _mm256_storeu_ps(to, _mm512_castps512_ps256(x));
        _mm256_storeu_ps(to + M * ks, _mm512_extractf32x8_ps(x, 1));
        _mm256_storeu_ps(to + 2 * M * ks, _mm512_castps512_ps256(y));
        _mm256_storeu_ps(to + 3 * M * ks, _mm512_extractf32x8_ps(y, 1));
    }
}

/* A block of B and of k, and their panels. */
typedef struct scratch {
    size_t j0, j1, k0, k1;
    _Alignas(64) float b[B_FLOATS]; /* [panels][k][32] */
    _Alignas(64) float a[A_FLOATS]; /* [4][k][8] */
} scratch;

static void pack_block(const dither_gemm_f32_part *p, scratch *block)
{
    const size_t ks = block->k1 - block->k0;
    float *to = block->b;
    for (size_t j = block->j0; j < block->j1; j += N, to += N * ks) {
        const size_t columns = smaller(N, block->j1 - j);
        if (p->layout == DITHER_GEMM_NT)
            pack_b_rows(columns, ks, p->b + j * p->b_stride + block->k0, p->b_stride, to);
        else
            pack_b_columns(columns, ks, p->b + block->k0 * p->b_stride + j, p->b_stride, to);
    }
}

/*
 * What the next rows will want of A, on its way into the second-level cache while these rows are multiplied: `rows`
 * rows of `across` cache lines, `each` lines a tile.
 */
typedef struct ahead {
    const float *a;
    size_t stride, rows, across, column, each;
} ahead;

static void fetch_ahead(ahead *x)
{
    for (size_t left = x->each; left > 0 && x->rows > 0; left--) {
        _mm_prefetch((const char *)(x->a + x->column * LANES), _MM_HINT_T1);
        if (++x->column == x->across) {
            x->column = 0;
            x->rows--;
            x->a += x->stride;
        }
    }
}

/* Eight rows of A, or fewer, against the block of B. */
static void run_row(const dither_gemm_f32_part *p, const scratch *block, size_t i, tile *t, ahead *next)
{
    t->rows = smaller(M, p->m - i);
    t->b = block->b;
    for (size_t j = block->j0; j < block->j1; j += N, t->b += N * t->k) {
        const size_t columns = smaller(N, block->j1 - j);
        t->columns[0] = lanes(columns);
        t->columns[1] = lanes(columns > LANES ? columns - LANES : 0);
        t->c = p->c + i * p->c_stride + j;
        fetch_ahead(next);
        if (p->layout == DITHER_GEMM_TN)
            multiply_panel(t);
        else
            multiply_rows(t);
    }
}

/* What to fetch while a batch of A's rows is multiplied that begins at `i`. */
static ahead look_ahead(const dither_gemm_f32_part *p, const scratch *block, size_t i, size_t batch)
{
    const size_t ks = block->k1 - block->k0, tiles = (block->j1 - block->j0 + N - 1) / N * (batch / M);
    const size_t next = smaller(i + batch, p->m), left = smaller(batch, p->m - next);
    ahead x = {.stride = p->a_stride};
    if (left == 0)
        return x;
    if (p->layout == DITHER_GEMM_TN) {
        x.a = p->a + block->k0 * p->a_stride + next;
        x.rows = ks;
        x.across = (left + LANES - 1) / LANES;
    } else {
        x.a = p->a + next * p->a_stride + block->k0;
        x.rows = left;
        x.across = (ks + LANES - 1) / LANES;
    }
    x.each = (x.rows * x.across + tiles - 1) / tiles;
    return x;
}

static void run_block(const dither_gemm_f32_part *p, scratch *block)
{
    const size_t ks = block->k1 - block->k0;
    const bool transposed = p->layout == DITHER_GEMM_TN;
    const size_t batch = transposed ? A_PANELS * M : M;
    tile t = {.k = ks, .alpha = p->alpha, .beta = block->k0 > 0 ? 1 : p->beta, .c_stride = p->c_stride};
    pack_block(p, block);
    for (size_t i0 = 0; i0 < p->m; i0 += batch) {
        const size_t i1 = smaller(i0 + batch, p->m);
        ahead next = look_ahead(p, block, i0, batch);
        if (transposed)
            pack_a(i1 - i0, ks, p->a + block->k0 * p->a_stride + i0, p->a_stride, block->a);
        for (size_t i = i0; i < i1; i += M) {
            t.a = transposed ? block->a + (i - i0) * ks : p->a + i * p->a_stride + block->k0;
            t.a_stride = p->a_stride;
            run_row(p, block, i, &t, &next);
        }
    }
}

static void multiply(const dither_gemm_f32_part *p)
{
    const size_t ks = block_k(p->k), columns = columns_together(p->n, p->k);
    scratch block;
    for (block.j0 = 0; block.j0 < p->n; block.j0 += columns) {
        block.j1 = smaller(block.j0 + columns, p->n);
        for (block.k0 = 0; block.k0 < p->k; block.k0 += ks) {
            block.k1 = smaller(block.k0 + ks, p->k);
            run_block(p, &block);
        }
    }
}

const dither_gemm_f32_kernel dither_gemm_f32_avx512 = {
    .isa = "avx512",
    .needs = DITHER_CPU_AVX512,
    .tile_rows = M,
    .tile_cols = N,
    .columns = columns_together,
    .multiply = multiply,
};
