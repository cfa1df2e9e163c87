/*
 * Blocks of rows on AVX-512: 16 columns a vector, Philox in registers, four vectors of codes to a store.
 *
 * Rounding of a magnitude a = k + f to N random bits r, F = f 2^N half to even: away from zero iff r < F. With
 * v = rint(a 2^N) = k 2^N + F that is (v + (2^N - 1 - r)) >> N: the sum carries into bit N iff F > r. For negative x,
 * -((|v| + 2^N - 1 - r) >> N) = (v + r) >> N, the shift rounding down. v and the sum fit 16 bits at N = 8, since
 * 127 2^8 + 255 = 2^15 - 1, and 32 bits at N = 24; for more, F itself, unsigned, is compared with r.
 * x' / (s 2^-N) is (x' / s) 2^N to the bit: s is within 2^-64 .. 2^64 here, and what underflows rounds to 0 either way.
 */
#if defined(__AVX512F__)

#include <immintrin.h>

#include "kernel/quantize_loops.h"

#define INLINE static inline __attribute__((always_inline))

enum {
    ROUNDS = 10,
    BLOCKS = 16, /* of Philox, side by side: one a lane */
    QUAD = 64,   /* columns of four vectors */
    BF16_LARGEST = 0x7f7f0000,
    F32_FRACTION = 23,
    F32_BIAS = 127
};

/* ---- draws ------------------------------------------------------------------------------------------------- */

/* What a row's blocks share. The first two rounds meet counter words that are the same in all lanes. */
typedef struct row_draws {
    uint32_t key0[ROUNDS], key1[ROUNDS];
    uint32_t first2;  /* round 1: x2 = hi(M0 x0) ^ this */
    uint32_t second0; /* round 2: x0 = hi(M1 x2) ^ this */
    uint32_t second2; /* round 2: x2 = lo(M0 x0 of round 1) ^ this */
    uint32_t third3;  /* round 3 starts with this x3 */
    uint32_t word1, word2, word3;
} row_draws;

static const uint32_t multiplier0 = 0xD2511F53u, multiplier1 = 0xCD9E8D57u;

static void start_draws(const dither_draw *draw, row_draws *d)
{
    for (uint32_t round = 0; round < ROUNDS; round++) {
        d->key0[round] = (uint32_t)draw->seed + round * 0x9E3779B9u;
        d->key1[round] = (uint32_t)(draw->seed >> 32) + round * 0xBB67AE85u;
    }
    d->word1 = draw->row0;
    d->word2 = draw->tensor << 16 | draw->role << 12 | draw->microbatch;
    d->word3 = draw->step;
}

static void start_row(row_draws *d, size_t row)
{
    const uint64_t p1 = (uint64_t)multiplier1 * d->word2;
    const uint32_t x0 = (uint32_t)(p1 >> 32) ^ (d->word1 + (uint32_t)row) ^ d->key0[0];
    const uint64_t p0 = (uint64_t)multiplier0 * x0;
    d->first2 = d->word3 ^ d->key1[0];
    d->second0 = (uint32_t)p1 ^ d->key0[1];
    d->second2 = (uint32_t)(p0 >> 32) ^ d->key1[1];
    d->third3 = (uint32_t)p0;
}

/*
 * Eight blocks, each in the low half of a 64-bit lane: products leave their low words where the next round reads them,
 * and nothing reads the high halves.
 */
INLINE void eight_blocks(const row_draws *d, __m512i counter, __m512i x[4])
{
    const __m512i m0 = _mm512_set1_epi64(multiplier0), m1 = _mm512_set1_epi64(multiplier1);
    __m512i p0 = _mm512_mul_epu32(counter, m0);
    __m512i x2 = _mm512_xor_si512(_mm512_srli_epi64(p0, 32), _mm512_set1_epi32((int)d->first2));
    __m512i p1 = _mm512_mul_epu32(x2, m1);
    __m512i x0 = _mm512_xor_si512(_mm512_srli_epi64(p1, 32), _mm512_set1_epi32((int)d->second0));
    x2 = _mm512_xor_si512(p0, _mm512_set1_epi32((int)d->second2));
    __m512i x1 = p1, x3 = _mm512_set1_epi32((int)d->third3);
    for (int round = 2; round < ROUNDS; round++) {
        p0 = _mm512_mul_epu32(x0, m0);
        p1 = _mm512_mul_epu32(x2, m1);
        const __m512i key0 = _mm512_set1_epi32((int)d->key0[round]), key1 = _mm512_set1_epi32((int)d->key1[round]);
        x0 = _mm512_ternarylogic_epi32(_mm512_srli_epi64(p1, 32), x1, key0, 0x96); /* a ^ b ^ c */
        x2 = _mm512_ternarylogic_epi32(_mm512_srli_epi64(p0, 32), x3, key1, 0x96);
        x1 = p1;
        x3 = p0;
    }
    x[0] = x0;
    x[1] = x1;
    x[2] = x2;
    x[3] = x3;
}

/* words[w] = word w of the 16 blocks of a stretch. */
INLINE void stretch_words(const row_draws *d, size_t stretch, __m512i words[4])
{
    const __m512i first = _mm512_set1_epi64((long long)(stretch * BLOCKS));
    __m512i even[4], odd[4];
    eight_blocks(d, _mm512_add_epi64(first, _mm512_set_epi64(14, 12, 10, 8, 6, 4, 2, 0)), even);
    eight_blocks(d, _mm512_add_epi64(first, _mm512_set_epi64(15, 13, 11, 9, 7, 5, 3, 1)), odd);
    for (int w = 0; w < 4; w++)
        words[w] = _mm512_mask_shuffle_epi32(even[w], 0xAAAA, odd[w], _MM_PERM_CCAA);
}

/* ---- values ------------------------------------------------------------------------------------------------ */

/* A row of a block, and what its loops keep in registers. */
typedef struct row_state {
    const float *x, *col_factor, *scale, *divisor, *inside;
    size_t ahead; /* bytes */
    __m512 factor;
    unsigned shift;
} row_state;

INLINE row_state row_of(const dither_quantize_block *block, size_t i)
{
    const dither_quantize_source *source = &block->source;
    return (row_state){
        .x = source->x + i * source->stride,
        .col_factor = source->col_factor,
        .scale = block->scale + i * block->scale_step,
        .divisor = block->divisor + i * block->scale_step,
        .inside = block->inside + i * block->scale_step,
        .ahead = source->ahead * sizeof(float),
        .factor = _mm512_set1_ps(dither_source_factor(source, i)),
        .shift = block->shift,
    };
}

INLINE __m512 scaled_at(const row_state *row, size_t j)
{
    /* A hint, which may point anywhere; without anything ahead, at what is read here. */
    _mm_prefetch((const char *)((uintptr_t)(row->x + j) + row->ahead), _MM_HINT_T1);
    const __m512 y = _mm512_mul_ps(_mm512_loadu_ps(row->x + j), row->factor);
    return row->col_factor != NULL ? _mm512_mul_ps(y, _mm512_loadu_ps(row->col_factor + j)) : y;
}

/* The scales of columns j .. j + 15, of any of the three kinds. */
INLINE __m512 scales_at(const float *scales, unsigned shift, bool per_column, size_t j)
{
    return per_column ? _mm512_loadu_ps(scales + j) : _mm512_set1_ps(scales[j >> shift]);
}

INLINE __m512 quotient_at(const row_state *row, bool per_column, size_t j)
{
    return _mm512_div_ps(scaled_at(row, j), scales_at(row->divisor, row->shift, per_column, j));
}

/* Four vectors of integers within +-127 to 64 bytes in order. */
INLINE __m512i narrow_quad(const __m512i v[4])
{
    const __m512i order = _mm512_set_epi32(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0);
    const __m512i bytes = _mm512_packs_epi16(_mm512_packs_epi32(v[0], v[1]), _mm512_packs_epi32(v[2], v[3]));
    return _mm512_permutexvar_epi32(order, bytes);
}

/* The draws of vector v of a quad: `words` are those that the quad reads. */
INLINE __m512i draw_at(const __m512i *words, dither_lane lane, int v)
{
    if (lane == LANE_8)
        return _mm512_srli_epi32(words[0], 8 * (unsigned)v);
    if (lane == LANE_16)
        return _mm512_srli_epi32(words[v / 2], 16 * (unsigned)(v % 2));
    return words[v];
}

/* What a rounding needs beside the values. */
typedef struct rounder {
    __m512i mask;  /* 2^N - 1 */
    __m512 power;  /* 2^N */
    __m128i count; /* N */
    int bits;
} rounder;

INLINE rounder rounder_of(const dither_quantize_plan *plan)
{
    const int bits = plan->quantizer->rounding.bits;
    return (rounder){
        .mask = _mm512_set1_epi32((int)(uint32_t)((UINT64_C(1) << bits) - 1)),
        .power = _mm512_set1_ps((float)(UINT64_C(1) << bits)),
        .count = _mm_cvtsi32_si128(bits),
        .bits = bits,
    };
}

/* r of negative v, 2^N - 1 - r of others. */
INLINE __m512i signed_draw(__m512i random, __m512i signs, __m512i mask)
{
    return _mm512_ternarylogic_epi32(random, signs, mask, 0x82); /* ~(a ^ b) & c */
}

/* ---- s8 ---------------------------------------------------------------------------------------------------- */

INLINE __m512i s8_quad_nearest(const row_state *row, bool per_column, size_t j)
{
    __m512i v[4];
    for (size_t l = 0; l < 4; l++)
        v[l] = _mm512_cvtps_epi32(quotient_at(row, per_column, j + 16 * l));
    return narrow_quad(v);
}

/* In 16-bit halves: vectors 0 and 2, then 1 and 3, as their draws lie in the bytes of a word. */
INLINE __m512i s8_quad_8(const row_state *row, bool per_column, size_t j, __m512i word, const rounder *to)
{
    const __m512i low_bytes = _mm512_set1_epi16(0x00ff);
    const __m512i mask = _mm512_and_si512(_mm512_set1_epi16((short)((1 << to->bits) - 1)), low_bytes);
    __m512i v[4], sum[2];
    for (size_t l = 0; l < 4; l++)
        v[l] = _mm512_cvtps_epi32(quotient_at(row, per_column, j + 16 * l));
    for (int h = 0; h < 2; h++) {
        const __m512i both = _mm512_mask_blend_epi16(0xAAAAAAAA, v[h], _mm512_slli_epi32(v[h + 2], 16));
        const __m512i random = h == 0 ? word : _mm512_srli_epi16(word, 8);
        sum[h] = _mm512_add_epi16(both, signed_draw(random, _mm512_srai_epi16(both, 15), mask));
    }
    const __m128i rest = _mm_cvtsi32_si128(8 - to->bits);
    const __m512i bytes = _mm512_ternarylogic_epi32(low_bytes, _mm512_srl_epi16(sum[0], to->count),
                                                    _mm512_sll_epi16(sum[1], rest), 0xCA); /* a ? b : c */
    /* Dword b holds columns b, 16 + b, 32 + b, 48 + b. */
    const __m512i within = _mm512_broadcast_i32x4(_mm_set_epi8(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0));
    const __m512i order = _mm512_set_epi32(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0);
    return _mm512_permutexvar_epi32(order, _mm512_shuffle_epi8(bytes, within));
}

INLINE __m512i s8_quad_16(const row_state *row, bool per_column, size_t j, const __m512i *words, const rounder *to)
{
    __m512i v[4];
    for (int l = 0; l < 4; l++) {
        const __m512i whole = _mm512_cvtps_epi32(quotient_at(row, per_column, j + 16 * (size_t)l));
        const __m512i random = draw_at(words, LANE_16, l);
        const __m512i sum = _mm512_add_epi32(whole, signed_draw(random, _mm512_srai_epi32(whole, 31), to->mask));
        v[l] = _mm512_sra_epi32(sum, to->count);
    }
    return narrow_quad(v);
}

INLINE __m512i s8_quad_32(const row_state *row, bool per_column, size_t j, const __m512i *words, const rounder *to)
{
    __m512i v[4];
    for (size_t l = 0; l < 4; l++) {
        const __m512 q = quotient_at(row, per_column, j + 16 * l);
        const __m512i k = _mm512_cvttps_epi32(q);
        const __m512 f = _mm512_abs_ps(_mm512_sub_ps(q, _mm512_cvtepi32_ps(k)));
        const __m512i accept = _mm512_cvtps_epu32(_mm512_mul_ps(f, to->power));
        const __mmask16 away = _mm512_cmplt_epu32_mask(_mm512_and_si512(words[l], to->mask), accept);
        const __m512i unit = _mm512_or_si512(_mm512_srai_epi32(_mm512_castps_si512(q), 31), _mm512_set1_epi32(1));
        v[l] = _mm512_mask_add_epi32(k, away, k, unit);
    }
    return narrow_quad(v);
}

INLINE void s8_rows(dither_quantize_block *block, dither_lane lane, bool per_column)
{
    const size_t cols = block->source.cols;
    const size_t quads = lane == NO_DRAW ? 4 : 32 / (size_t)lane; /* of a stretch */
    const rounder to = rounder_of(block->plan);
    row_draws draws;
    if (lane != NO_DRAW)
        start_draws(block->plan->draw, &draws);
    for (size_t i = 0; i < block->source.rows; i++) {
        const row_state row = row_of(block, i);
        int8_t *codes = (int8_t *)block->values + i * DITHER_PIECE_COLS;
        if (lane != NO_DRAW)
            start_row(&draws, block->row0 + i);
        for (size_t j = 0; j < cols;) {
            __m512i words[4];
            if (lane != NO_DRAW)
                stretch_words(&draws, (block->col0 + j) / (quads * QUAD), words);
            for (size_t q = 0; q < quads && j < cols; q++, j += QUAD) {
                const __m512i bytes = lane == NO_DRAW   ? s8_quad_nearest(&row, per_column, j)
                                      : lane == LANE_8  ? s8_quad_8(&row, per_column, j, words[q], &to)
                                      : lane == LANE_16 ? s8_quad_16(&row, per_column, j, words + 2 * q, &to)
                                                        : s8_quad_32(&row, per_column, j, words, &to);
                _mm512_storeu_si512(codes + j, bytes);
            }
        }
    }
}

/* ---- bf16 -------------------------------------------------------------------------------------------------- */

/* Two pairs of vectors of 32-bit values, each below 2^16, to 64 values in order. */
INLINE void store_halves(uint16_t *to, const __m512i v[4])
{
    const __m512i order = _mm512_set_epi64(7, 5, 3, 1, 6, 4, 2, 0);
    for (int h = 0; h < 2; h++)
        _mm512_storeu_si512(to + 32 * h, _mm512_permutexvar_epi64(order, _mm512_packus_epi32(v[2 * h], v[2 * h + 1])));
}

/* What blocks of bf16 values find out on the way. */
typedef struct findings {
    uint64_t clipped;
    __m512i largest; /* magnitude */
} findings;

/*
 * f32 to bf16: the 16 bits that go are f whatever the binade. More random bits than 16 change nothing in F 2^16, whose
 * low ones are 0: the draw's upper 16 of N decide. Fewer: the bits are first rounded to N of the 16.
 */
INLINE __m512i bf16_vector(__m512 y, dither_lane lane, __m512i random, const rounder *to, findings *found)
{
    const __m512i bits = _mm512_castps_si512(y);
    __m512i u = _mm512_and_si512(bits, _mm512_set1_epi32(0x7fffffff));
    const __m512i most = _mm512_set1_epi32(BF16_LARGEST);
    found->largest = _mm512_max_epu32(found->largest, u);
    found->clipped += (uint64_t)_mm_popcnt_u32(_mm512_cmpgt_epu32_mask(u, most));
    u = _mm512_min_epu32(u, most);
    if (lane == NO_DRAW) {
        const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(u, 16), _mm512_set1_epi32(1));
        u = _mm512_add_epi32(u, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    } else if (to->bits >= 16) {
        const __m128i extra = _mm_cvtsi32_si128(to->bits - 16);
        const __m512i draw = _mm512_srl_epi32(_mm512_and_si512(random, to->mask), extra);
        u = _mm512_add_epi32(u, _mm512_sub_epi32(_mm512_set1_epi32(0xffff), draw));
    } else {
        const __m128i drop = _mm_cvtsi32_si128(16 - to->bits);
        const __m512i half = _mm512_set1_epi32((1 << (15 - to->bits)) - 1);
        const __m512i odd = _mm512_and_si512(_mm512_srl_epi32(u, drop), _mm512_set1_epi32(1));
        u = _mm512_srl_epi32(_mm512_add_epi32(u, _mm512_add_epi32(odd, half)), drop);
        u = _mm512_add_epi32(u, _mm512_andnot_si512(random, to->mask));
        u = _mm512_sll_epi32(u, drop);
    }
    const __m512i sign = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(0x8000));
    return _mm512_or_si512(_mm512_srli_epi32(u, 16), sign);
}

/* A float format of up to 6 exponent bits, as it is rounded. */
typedef struct float_steps {
    __m512i lowest;  /* exponent field where steps stop shrinking */
    __m512i inverse; /* exponent field of 2^N / step, plus that of the value */
    __m512i mantissa;
    uint32_t max_bits;
} float_steps;

INLINE float_steps steps_of(const dither_quantize_plan *plan, dither_lane lane)
{
    const dither_grid *grid = &plan->grid;
    const int power = lane == LANE_8 || lane == LANE_16 ? plan->quantizer->rounding.bits : 0;
    return (float_steps){
        .lowest = _mm512_set1_epi32(grid->min_exponent + F32_BIAS),
        .inverse = _mm512_set1_epi32(2 * F32_BIAS + grid->mantissa + power),
        .mantissa = _mm512_set1_epi32(grid->mantissa),
    };
}

/* The value that q rounds to: a whole number of steps of its binade. */
INLINE __m512 float_vector(__m512 q, dither_lane lane, __m512i random, const float_steps *steps, const rounder *to)
{
    const __m512 sign = _mm512_and_ps(q, _mm512_set1_ps(-0.0f));
    const __m512 a = _mm512_abs_ps(q);
    const __m512i field = _mm512_srli_epi32(_mm512_castps_si512(a), F32_FRACTION);
    const __m512i binade = _mm512_max_epi32(field, steps->lowest);
    const __m512i inverse = _mm512_slli_epi32(_mm512_sub_epi32(steps->inverse, binade), F32_FRACTION);
    const __m512 count = _mm512_mul_ps(a, _mm512_castsi512_ps(inverse)); /* of steps, times 2^N; exact */
    __m512i k;
    if (lane == NO_DRAW) {
        k = _mm512_cvtps_epi32(count);
    } else if (lane == LANE_32) {
        k = _mm512_cvttps_epi32(count);
        const __m512 f = _mm512_sub_ps(count, _mm512_cvtepi32_ps(k));
        const __m512i accept = _mm512_cvtps_epu32(_mm512_mul_ps(f, to->power));
        const __mmask16 away = _mm512_cmplt_epu32_mask(_mm512_and_si512(random, to->mask), accept);
        k = _mm512_mask_add_epi32(k, away, k, _mm512_set1_epi32(1));
    } else {
        k = _mm512_add_epi32(_mm512_cvtps_epi32(count), _mm512_andnot_si512(random, to->mask));
        k = _mm512_srl_epi32(k, to->count);
    }
    const __m512i step = _mm512_slli_epi32(_mm512_sub_epi32(binade, steps->mantissa), F32_FRACTION);
    return _mm512_or_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(k), _mm512_castsi512_ps(step)), sign);
}

/* Under a scale of 0 every code is +0. */
INLINE __m512 divided_at(const row_state *row, bool per_column, size_t j)
{
    const __m512 scale = scales_at(row->scale, row->shift, per_column, j);
    const __mmask16 some = _mm512_cmp_ps_mask(scale, _mm512_setzero_ps(), _CMP_NEQ_UQ);
    return _mm512_maskz_div_ps(some, scaled_at(row, j), scale);
}

INLINE void bf16_rows(dither_quantize_block *block, dither_lane lane, bool plain, bool per_column)
{
    const size_t cols = block->source.cols;
    const size_t quads = lane == NO_DRAW ? 4 : 32 / (size_t)lane;
    const rounder to = rounder_of(block->plan);
    const float_steps steps = steps_of(block->plan, lane);
    findings found = {.largest = _mm512_setzero_si512()};
    row_draws draws;
    if (lane != NO_DRAW)
        start_draws(block->plan->draw, &draws);
    for (size_t i = 0; i < block->source.rows; i++) {
        const row_state row = row_of(block, i);
        uint16_t *values = (uint16_t *)block->values + i * DITHER_PIECE_COLS;
        if (lane != NO_DRAW)
            start_row(&draws, block->row0 + i);
        for (size_t j = 0; j < cols;) {
            __m512i words[4] = {0};
            if (lane != NO_DRAW)
                stretch_words(&draws, (block->col0 + j) / (quads * QUAD), words);
            for (size_t q = 0; q < quads && j < cols; q++, j += QUAD) {
                const __m512i *read = words + (lane == LANE_8 ? q : lane == LANE_16 ? 2 * q : 0);
                __m512i v[4];
                for (int l = 0; l < 4; l++) {
                    const size_t at = j + 16 * (size_t)l;
                    const __m512i random = lane == NO_DRAW ? words[0] : draw_at(read, lane, l);
                    if (plain) {
                        v[l] = bf16_vector(scaled_at(&row, at), lane, random, &to, &found);
                        continue;
                    }
                    const __m512 whole = float_vector(divided_at(&row, per_column, at), lane, random, &steps, &to);
                    const __m512 inside = scales_at(row.inside, row.shift, per_column, at);
                    const __m512 value = block->plan->inside ? _mm512_mul_ps(whole, inside) : whole;
                    v[l] = _mm512_srli_epi32(_mm512_castps_si512(value), 16);
                }
                store_halves(values + j, v);
            }
        }
    }
    block->clipped += found.clipped;
    block->bad = block->bad || _mm512_reduce_max_epu32(found.largest) >= DITHER_F32_INF;
}

/* ---- the table's entry ------------------------------------------------------------------------------------- */

/* One function for each way of rounding and of reading scales. */
#define S8_ROWS(LANE)                                                                                                  \
    static void s8_rows_##LANE(dither_quantize_block *block)                                                           \
    {                                                                                                                  \
        if (block->shift == 0)                                                                                         \
            s8_rows(block, LANE, true);                                                                                \
        else                                                                                                           \
            s8_rows(block, LANE, false);                                                                               \
    }
#define BF16_ROWS(LANE)                                                                                                \
    static void bf16_rows_##LANE(dither_quantize_block *block)                                                         \
    {                                                                                                                  \
        if (block->plan->quantizer->shape == DITHER_SCALE_NONE)                                                        \
            bf16_rows(block, LANE, true, false);                                                                       \
        else if (block->shift == 0)                                                                                    \
            bf16_rows(block, LANE, false, true);                                                                       \
        else                                                                                                           \
            bf16_rows(block, LANE, false, false);                                                                      \
    }
S8_ROWS(NO_DRAW)
S8_ROWS(LANE_8) S8_ROWS(LANE_16) S8_ROWS(LANE_32) BF16_ROWS(NO_DRAW) BF16_ROWS(LANE_8) BF16_ROWS(LANE_16)
    BF16_ROWS(LANE_32)

        static void quantize(dither_quantize_block *block)
{
    const dither_lane lane = dither_lane_of(block->plan);
    const bool ints = block->plan->grid.kind == DITHER_KIND_INT;
    if (ints)
        (lane == NO_DRAW   ? s8_rows_NO_DRAW
         : lane == LANE_8  ? s8_rows_LANE_8
         : lane == LANE_16 ? s8_rows_LANE_16
                           : s8_rows_LANE_32)(block);
    else
        (lane == NO_DRAW   ? bf16_rows_NO_DRAW
         : lane == LANE_8  ? bf16_rows_LANE_8
         : lane == LANE_16 ? bf16_rows_LANE_16
                           : bf16_rows_LANE_32)(block);
    if (ints && block->plan->element == DITHER_ELEMENT_BF16)
        dither_loop_widen(block);
}

/* Magnitudes of 16 columns. */
INLINE __m512i magnitude_at(const row_state *row, size_t j)
{
    return _mm512_and_si512(_mm512_castps_si512(scaled_at(row, j)), _mm512_set1_epi32(0x7fffffff));
}

static row_state source_row(const dither_quantize_source *source, size_t i)
{
    return (row_state){
        .x = source->x + i * source->stride,
        .col_factor = source->col_factor,
        .ahead = source->stride * sizeof(float), /* the next row: a cut of it, whose start no stream foretells */
        .factor = _mm512_set1_ps(dither_source_factor(source, i)),
    };
}

static void amax_rows(const dither_quantize_source *source, size_t width, uint32_t *amax, size_t step)
{
    const size_t span = width < source->cols ? width : source->cols;
    if (span % 16 != 0 || source->cols % span != 0) {
        dither_loop_amax_rows(source, width, amax, step);
        return;
    }
    for (size_t i = 0; i < source->rows; i++, amax += step) {
        const row_state row = source_row(source, i);
        for (size_t j = 0, g = 0; j < source->cols; g++) {
            __m512i most = _mm512_setzero_si512();
            for (const size_t end = j + span; j < end; j += 16)
                most = _mm512_max_epu32(most, magnitude_at(&row, j));
            const uint32_t found = _mm512_reduce_max_epu32(most);
            amax[g] = found > amax[g] ? found : amax[g];
        }
    }
}

static void amax_cols(const dither_quantize_source *source, uint32_t *amax)
{
    const size_t whole = source->cols / QUAD * QUAD;
    for (size_t j = 0; j < whole; j += QUAD) {
        __m512i most[4];
        for (size_t l = 0; l < 4; l++)
            most[l] = _mm512_loadu_si512(amax + j + 16 * l);
        for (size_t i = 0; i < source->rows; i++) {
            const row_state row = source_row(source, i);
            for (size_t l = 0; l < 4; l++)
                most[l] = _mm512_max_epu32(most[l], magnitude_at(&row, j + 16 * l));
        }
        for (size_t l = 0; l < 4; l++)
            _mm512_storeu_si512(amax + j + 16 * l, most[l]);
    }
    dither_quantize_source rest = *source;
    rest.x += whole;
    rest.cols -= whole;
    if (rest.col_factor != NULL)
        rest.col_factor += whole;
    dither_loop_amax_cols(&rest, amax + whole);
}

const dither_quantize_rows dither_quantize_rows_avx512 = {
    .isa = "avx512",
    .needs = DITHER_CPU_AVX512,
    .can = dither_simd_can,
    .quantize = quantize,
    .amax_rows = amax_rows,
    .amax_cols = amax_cols,
    .scales = dither_loop_scales,
    .variance = dither_loop_variance,
};

#endif
