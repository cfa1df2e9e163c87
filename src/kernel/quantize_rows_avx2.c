/*
 * Blocks of rows on AVX2: quantize_rows_avx512.c, which says why the arithmetic is exact, with vectors of 8 columns;
 * the 16 columns beside each other that share a lane of their draws are two vectors.
 */
#if defined(__AVX2__)

#include <immintrin.h>
#include "kernel/quantize_loops.h"

#define INLINE static inline __attribute__((always_inline))

enum {
    ROUNDS = 10,
    BLOCKS = 16, /* of Philox, side by side */
    LANES = 8,
    HALVES = 2, /* vectors of 16 columns */
    QUAD = 64,  /* columns of a store: four times 16 */
    BF16_LARGEST = 0x7f7f0000,
    F32_FRACTION = 23,
    F32_BIAS = 127
};

typedef struct sixteen {
    __m256i half[HALVES]; /* columns 0 .. 7 and 8 .. 15 */
} sixteen;

/* ---- draws ------------------------------------------------------------------------------------------------- */

/* What a row's blocks share. The first two rounds meet counter words that are the same in all lanes. */
typedef struct row_draws {
    __m256i key0[ROUNDS], key1[ROUNDS];
    __m256i first2;  /* round 1: x2 = hi(M0 x0) ^ this */
    __m256i second0; /* round 2: x0 = hi(M1 x2) ^ this */
    __m256i second2; /* round 2: x2 = lo(M0 x0 of round 1) ^ this */
    __m256i third3;  /* round 3 starts with this x3 */
    uint32_t seed0, seed1, word1, word2, word3;
} row_draws;

static const uint32_t multiplier0 = 0xD2511F53u, multiplier1 = 0xCD9E8D57u, weyl0 = 0x9E3779B9u, weyl1 = 0xBB67AE85u;

INLINE __m256i all32(uint32_t x)
{
    return _mm256_set1_epi32((int)x);
}

static void start_draws(const dither_draw *draw, row_draws *d)
{
    d->seed0 = (uint32_t)draw->seed;
    d->seed1 = (uint32_t)(draw->seed >> 32);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        d->key0[round] = all32(d->seed0 + round * weyl0);
        d->key1[round] = all32(d->seed1 + round * weyl1);
    }
    d->word1 = draw->row0;
    d->word2 = draw->tensor << 16 | draw->role << 12 | draw->microbatch;
    d->word3 = draw->step;
}

static void start_row(row_draws *d, size_t row)
{
    const uint64_t p1 = (uint64_t)multiplier1 * d->word2;
    const uint32_t x0 = (uint32_t)(p1 >> 32) ^ (d->word1 + (uint32_t)row) ^ d->seed0;
    const uint64_t p0 = (uint64_t)multiplier0 * x0;
    d->first2 = all32(d->word3 ^ d->seed1);
    d->second0 = all32((uint32_t)p1 ^ (d->seed0 + weyl0));
    d->second2 = all32((uint32_t)(p0 >> 32) ^ (d->seed1 + weyl1));
    d->third3 = all32((uint32_t)p0);
}

/*
 * Four blocks, each in the low half of a 64-bit lane: products leave their low words where the next round reads them,
 * and nothing reads the high halves.
 */
INLINE void four_blocks(const row_draws *d, __m256i counter, __m256i x[4])
{
    const __m256i m0 = _mm256_set1_epi64x(multiplier0), m1 = _mm256_set1_epi64x(multiplier1);
    __m256i p0 = _mm256_mul_epu32(counter, m0);
    __m256i x2 = _mm256_xor_si256(_mm256_srli_epi64(p0, 32), d->first2);
    __m256i p1 = _mm256_mul_epu32(x2, m1);
    __m256i x0 = _mm256_xor_si256(_mm256_srli_epi64(p1, 32), d->second0);
    x2 = _mm256_xor_si256(p0, d->second2);
    __m256i x1 = p1, x3 = d->third3;
    for (int round = 2; round < ROUNDS; round++) {
        p0 = _mm256_mul_epu32(x0, m0);
        p1 = _mm256_mul_epu32(x2, m1);
        x0 = _mm256_xor_si256(_mm256_srli_epi64(p1, 32), _mm256_xor_si256(x1, d->key0[round]));
        x2 = _mm256_xor_si256(_mm256_srli_epi64(p0, 32), _mm256_xor_si256(x3, d->key1[round]));
        x1 = p1;
        x3 = p0;
    }
    x[0] = x0;
    x[1] = x1;
    x[2] = x2;
    x[3] = x3;
}

/* words[w] = word w of the 16 blocks of a stretch. */
INLINE void stretch_words(const row_draws *d, size_t stretch, sixteen words[4])
{
    for (int h = 0; h < HALVES; h++) {
        const __m256i first = _mm256_set1_epi64x((long long)(stretch * BLOCKS) + LANES * h);
        __m256i even[4], odd[4];
        four_blocks(d, _mm256_add_epi64(first, _mm256_set_epi64x(6, 4, 2, 0)), even);
        four_blocks(d, _mm256_add_epi64(first, _mm256_set_epi64x(7, 5, 3, 1)), odd);
        for (int w = 0; w < 4; w++)
            words[w].half[h] = _mm256_blend_epi32(even[w], _mm256_slli_epi64(odd[w], 32), 0xAA);
    }
}

/* ---- values ------------------------------------------------------------------------------------------------ */

/* A row of a block, and what its loops keep in registers. */
typedef struct row_state {
    const float *x, *col_factor, *scale, *divisor, *inside;
    size_t ahead; /* bytes */
    __m256 factor;
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
        .factor = _mm256_set1_ps(dither_source_factor(source, i)),
        .shift = block->shift,
    };
}

INLINE __m256 scaled_at(const row_state *row, size_t j)
{
    /* A hint, which may point anywhere; without anything ahead, at what is read here. */
    if (j % 16 == 0)
        _mm_prefetch((const char *)((uintptr_t)(row->x + j) + row->ahead), _MM_HINT_T1);
    const __m256 y = _mm256_mul_ps(_mm256_loadu_ps(row->x + j), row->factor);
    return row->col_factor != NULL ? _mm256_mul_ps(y, _mm256_loadu_ps(row->col_factor + j)) : y;
}

/* The scales of columns j .. j + 7, of any of the three kinds. */
INLINE __m256 scales_at(const float *scales, unsigned shift, bool per_column, size_t j)
{
    return per_column ? _mm256_loadu_ps(scales + j) : _mm256_set1_ps(scales[j >> shift]);
}

INLINE __m256 quotient_at(const row_state *row, bool per_column, size_t j)
{
    return _mm256_div_ps(scaled_at(row, j), scales_at(row->divisor, row->shift, per_column, j));
}

/* Dwords of both 128-bit halves, one by one in turn. */
INLINE __m256i zip_halves(__m256i v)
{
    return _mm256_permutevar8x32_epi32(v, _mm256_set_epi32(7, 3, 6, 2, 5, 1, 4, 0));
}

/* Four times sixteen integers within +-127 to 64 bytes in order. */
INLINE void store_quad(int8_t *to, const sixteen v[4])
{
    for (int pair = 0; pair < 2; pair++) {
        const sixteen *a = &v[2 * pair], *b = a + 1;
        const __m256i bytes =
            _mm256_packs_epi16(_mm256_packs_epi32(a->half[0], a->half[1]), _mm256_packs_epi32(b->half[0], b->half[1]));
        _mm256_storeu_si256((__m256i *)(void *)(to + 32 * pair), zip_halves(bytes));
    }
}

/* The draws of sixteen v of a quad: `words` are those that the quad reads. */
INLINE __m256i draw_at(const sixteen *words, dither_lane lane, int v, int half)
{
    if (lane == LANE_8)
        return _mm256_srli_epi32(words[0].half[half], 8 * v);
    if (lane == LANE_16)
        return _mm256_srli_epi32(words[v / 2].half[half], 16 * (v % 2));
    return words[v].half[half];
}

/* What a rounding needs beside the values. */
typedef struct rounder {
    __m256i mask;  /* 2^N - 1 */
    __m256 power;  /* 2^N */
    __m128i count; /* N */
    int bits;
} rounder;

INLINE rounder rounder_of(const dither_quantize_plan *plan)
{
    const int bits = plan->quantizer->rounding.bits;
    return (rounder){
        .mask = all32((uint32_t)((UINT64_C(1) << bits) - 1)),
        .power = _mm256_set1_ps((float)(UINT64_C(1) << bits)),
        .count = _mm_cvtsi32_si128(bits),
        .bits = bits,
    };
}

/* r of negative v, 2^N - 1 - r of others. */
INLINE __m256i signed_draw(__m256i random, __m256i signs, __m256i mask)
{
    return _mm256_andnot_si256(_mm256_xor_si256(random, signs), mask);
}

/*
 * All ones where r < F = rint(f 2^N), unsigned; f < 1. From 2^31 on f 2^N is a multiple of 2^8, so that 2^31 less is
 * exact, and the conversion then gives F with its top bit turned over.
 */
INLINE __m256i accepts(__m256 f, __m256i random, const rounder *to)
{
    const __m256i top = all32(0x80000000u);
    const __m256 half = _mm256_set1_ps(0x1p31f), scaled = _mm256_mul_ps(f, to->power);
    const __m256 large = _mm256_cmp_ps(scaled, half, _CMP_GE_OQ);
    const __m256i low = _mm256_cvtps_epi32(_mm256_sub_ps(scaled, _mm256_and_ps(large, half)));
    const __m256i accept = _mm256_xor_si256(low, _mm256_andnot_si256(_mm256_castps_si256(large), top));
    return _mm256_cmpgt_epi32(accept, _mm256_xor_si256(_mm256_and_si256(random, to->mask), top));
}

/* ---- s8 ---------------------------------------------------------------------------------------------------- */

INLINE void s8_quad_nearest(const row_state *row, bool per_column, size_t j, int8_t *codes)
{
    sixteen v[4];
    for (size_t l = 0; l < 4; l++)
        for (size_t h = 0; h < HALVES; h++)
            v[l].half[h] = _mm256_cvtps_epi32(quotient_at(row, per_column, j + 16 * l + LANES * h));
    store_quad(codes, v);
}

/* In 16-bit halves: vectors 0 and 2, then 1 and 3, as their draws lie in the bytes of a word. */
INLINE __m256i s8_bytes(const __m256i v[4], __m256i word, const rounder *to)
{
    const __m256i mask = _mm256_set1_epi16((short)((1 << to->bits) - 1));
    __m256i sum[2];
    for (int h = 0; h < 2; h++) {
        const __m256i both = _mm256_blend_epi16(v[h], _mm256_slli_epi32(v[h + 2], 16), 0xAA);
        const __m256i random = h == 0 ? word : _mm256_srli_epi16(word, 8);
        sum[h] = _mm256_add_epi16(both, signed_draw(random, _mm256_srai_epi16(both, 15), mask));
    }
    const __m128i rest = _mm_cvtsi32_si128(8 - to->bits);
    const __m256i low = _mm256_and_si256(_mm256_srl_epi16(sum[0], to->count), _mm256_set1_epi16(0x00ff));
    const __m256i high = _mm256_andnot_si256(_mm256_set1_epi16(0x00ff), _mm256_sll_epi16(sum[1], rest));
    return _mm256_or_si256(low, high);
}

INLINE void s8_quad_8(const row_state *row, bool per_column, size_t j, const sixteen *word, const rounder *to,
                      int8_t *codes)
{
    const __m256i within =
        _mm256_broadcastsi128_si256(_mm_set_epi8(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0));
    __m256i pairs[HALVES]; /* of 4 columns: those of 0, 16, 32 and 48, 8 each */
    for (size_t h = 0; h < HALVES; h++) {
        __m256i v[4];
        for (size_t l = 0; l < 4; l++)
            v[l] = _mm256_cvtps_epi32(quotient_at(row, per_column, j + 16 * l + LANES * h));
        pairs[h] = zip_halves(_mm256_shuffle_epi8(s8_bytes(v, word->half[h], to), within));
    }
    const __m256i even = _mm256_unpacklo_epi64(pairs[0], pairs[1]), odd = _mm256_unpackhi_epi64(pairs[0], pairs[1]);
    _mm256_storeu_si256((__m256i *)(void *)codes, _mm256_permute2x128_si256(even, odd, 0x20));
    _mm256_storeu_si256((__m256i *)(void *)(codes + 32), _mm256_permute2x128_si256(even, odd, 0x31));
}

INLINE void s8_quad_16(const row_state *row, bool per_column, size_t j, const sixteen *words, const rounder *to,
                       int8_t *codes)
{
    sixteen v[4];
    for (int l = 0; l < 4; l++)
        for (int h = 0; h < HALVES; h++) {
            const __m256i whole = _mm256_cvtps_epi32(quotient_at(row, per_column, j + (size_t)(16 * l + LANES * h)));
            const __m256i random = draw_at(words, LANE_16, l, h);
            const __m256i sum = _mm256_add_epi32(whole, signed_draw(random, _mm256_srai_epi32(whole, 31), to->mask));
            v[l].half[h] = _mm256_sra_epi32(sum, to->count);
        }
    store_quad(codes, v);
}

INLINE void s8_quad_32(const row_state *row, bool per_column, size_t j, const sixteen *words, const rounder *to,
                       int8_t *codes)
{
    const __m256 minus = _mm256_set1_ps(-0.0f);
    sixteen v[4];
    for (size_t l = 0; l < 4; l++)
        for (size_t h = 0; h < HALVES; h++) {
            const __m256 q = quotient_at(row, per_column, j + 16 * l + LANES * h);
            const __m256i k = _mm256_cvttps_epi32(q);
            const __m256 f = _mm256_andnot_ps(minus, _mm256_sub_ps(q, _mm256_cvtepi32_ps(k)));
            const __m256i away = accepts(f, words[l].half[h], to);
            const __m256i unit = _mm256_or_si256(_mm256_srai_epi32(_mm256_castps_si256(q), 31), all32(1));
            v[l].half[h] = _mm256_add_epi32(k, _mm256_and_si256(away, unit));
        }
    store_quad(codes, v);
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
            sixteen words[4];
            if (lane != NO_DRAW)
                stretch_words(&draws, (block->col0 + j) / (quads * QUAD), words);
            for (size_t q = 0; q < quads && j < cols; q++, j += QUAD) {
                if (lane == NO_DRAW)
                    s8_quad_nearest(&row, per_column, j, codes + j);
                else if (lane == LANE_8)
                    s8_quad_8(&row, per_column, j, &words[q], &to, codes + j);
                else if (lane == LANE_16)
                    s8_quad_16(&row, per_column, j, words + 2 * q, &to, codes + j);
                else
                    s8_quad_32(&row, per_column, j, words, &to, codes + j);
            }
        }
    }
}

/* ---- bf16 -------------------------------------------------------------------------------------------------- */

/* Sixteen 32-bit values, each below 2^16, in order. */
INLINE void store_halves(uint16_t *to, const sixteen *v)
{
    const __m256i packed = _mm256_packus_epi32(v->half[0], v->half[1]);
    _mm256_storeu_si256((__m256i *)(void *)to, _mm256_permute4x64_epi64(packed, 0xD8));
}

/* What blocks of bf16 values find out on the way. */
typedef struct findings {
    __m256i clipped; /* counts */
    __m256i largest; /* magnitudes */
} findings;

/*
 * f32 to bf16: the 16 bits that go are f whatever the binade. More random bits than 16 change nothing in F 2^16, whose
 * low ones are 0: the draw's upper 16 of N decide. Fewer: the bits are first rounded to N of the 16.
 */
INLINE __m256i bf16_vector(__m256 y, dither_lane lane, __m256i random, const rounder *to, findings *found)
{
    const __m256i bits = _mm256_castps_si256(y), most = all32(BF16_LARGEST), one = all32(1);
    __m256i u = _mm256_and_si256(bits, all32(0x7fffffff));
    found->largest = _mm256_max_epu32(found->largest, u);
    found->clipped = _mm256_sub_epi32(found->clipped, _mm256_cmpgt_epi32(u, most));
    u = _mm256_min_epu32(u, most);
    if (lane == NO_DRAW) {
        const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(u, 16), one);
        u = _mm256_add_epi32(u, _mm256_add_epi32(odd, all32(0x7fff)));
    } else if (to->bits >= 16) {
        const __m128i extra = _mm_cvtsi32_si128(to->bits - 16);
        const __m256i draw = _mm256_srl_epi32(_mm256_and_si256(random, to->mask), extra);
        u = _mm256_add_epi32(u, _mm256_sub_epi32(all32(0xffff), draw));
    } else {
        const __m128i drop = _mm_cvtsi32_si128(16 - to->bits);
        const __m256i half = _mm256_set1_epi32((1 << (15 - to->bits)) - 1);
        const __m256i odd = _mm256_and_si256(_mm256_srl_epi32(u, drop), one);
        u = _mm256_srl_epi32(_mm256_add_epi32(u, _mm256_add_epi32(odd, half)), drop);
        u = _mm256_add_epi32(u, _mm256_andnot_si256(random, to->mask));
        u = _mm256_sll_epi32(u, drop);
    }
    const __m256i sign = _mm256_and_si256(_mm256_srli_epi32(bits, 16), all32(0x8000));
    return _mm256_or_si256(_mm256_srli_epi32(u, 16), sign);
}

/* A float format of up to 6 exponent bits, as it is rounded. */
typedef struct float_steps {
    __m256i lowest;  /* exponent field where steps stop shrinking */
    __m256i inverse; /* exponent field of 2^N / step, plus that of the value */
    __m256i mantissa;
} float_steps;

INLINE float_steps steps_of(const dither_quantize_plan *plan, dither_lane lane)
{
    const dither_grid *grid = &plan->grid;
    const int power = lane == LANE_8 || lane == LANE_16 ? plan->quantizer->rounding.bits : 0;
    return (float_steps){
        .lowest = _mm256_set1_epi32(grid->min_exponent + F32_BIAS),
        .inverse = _mm256_set1_epi32(2 * F32_BIAS + grid->mantissa + power),
        .mantissa = _mm256_set1_epi32(grid->mantissa),
    };
}

/* The value that q rounds to: a whole number of steps of its binade. */
INLINE __m256 float_vector(__m256 q, dither_lane lane, __m256i random, const float_steps *steps, const rounder *to)
{
    const __m256 minus = _mm256_set1_ps(-0.0f), sign = _mm256_and_ps(q, minus);
    const __m256 a = _mm256_andnot_ps(minus, q);
    const __m256i field = _mm256_srli_epi32(_mm256_castps_si256(a), F32_FRACTION);
    const __m256i binade = _mm256_max_epi32(field, steps->lowest);
    const __m256i inverse = _mm256_slli_epi32(_mm256_sub_epi32(steps->inverse, binade), F32_FRACTION);
    const __m256 count = _mm256_mul_ps(a, _mm256_castsi256_ps(inverse)); /* of steps, times 2^N; exact */
    __m256i k;
    if (lane == NO_DRAW) {
        k = _mm256_cvtps_epi32(count);
    } else if (lane == LANE_32) {
        k = _mm256_cvttps_epi32(count);
        k = _mm256_sub_epi32(k, accepts(_mm256_sub_ps(count, _mm256_cvtepi32_ps(k)), random, to));
    } else {
        k = _mm256_add_epi32(_mm256_cvtps_epi32(count), _mm256_andnot_si256(random, to->mask));
        k = _mm256_srl_epi32(k, to->count);
    }
    const __m256i step = _mm256_slli_epi32(_mm256_sub_epi32(binade, steps->mantissa), F32_FRACTION);
    return _mm256_or_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(k), _mm256_castsi256_ps(step)), sign);
}

/* Under a scale of 0 every code is +0. */
INLINE __m256 divided_at(const row_state *row, bool per_column, size_t j)
{
    const __m256 scale = scales_at(row->scale, row->shift, per_column, j);
    const __m256 some = _mm256_cmp_ps(scale, _mm256_setzero_ps(), _CMP_NEQ_UQ);
    return _mm256_and_ps(some, _mm256_div_ps(scaled_at(row, j), scale));
}

INLINE uint32_t lanes_max(__m256i v)
{
    __m128i most = _mm_max_epu32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    most = _mm_max_epu32(most, _mm_shuffle_epi32(most, 0x4E));
    most = _mm_max_epu32(most, _mm_shuffle_epi32(most, 0xB1));
    return (uint32_t)_mm_cvtsi128_si32(most);
}

INLINE uint64_t lanes_sum(__m256i v)
{
    uint32_t lanes[LANES];
    uint64_t sum = 0;
    _mm256_storeu_si256((__m256i *)(void *)lanes, v);
    for (int l = 0; l < LANES; l++)
        sum += lanes[l];
    return sum;
}

/* One vector of bf16 values, in 32 bits each. */
INLINE __m256i bf16_at(const dither_quantize_block *block, const row_state *row, dither_lane lane, bool plain,
                       bool per_column, size_t at, __m256i random, const float_steps *steps, const rounder *to,
                       findings *found)
{
    if (plain)
        return bf16_vector(scaled_at(row, at), lane, random, to, found);
    const __m256 whole = float_vector(divided_at(row, per_column, at), lane, random, steps, to);
    const __m256 inside = scales_at(row->inside, row->shift, per_column, at);
    return _mm256_srli_epi32(_mm256_castps_si256(block->plan->inside ? _mm256_mul_ps(whole, inside) : whole), 16);
}

INLINE void bf16_rows(dither_quantize_block *block, dither_lane lane, bool plain, bool per_column)
{
    const size_t cols = block->source.cols;
    const size_t quads = lane == NO_DRAW ? 4 : 32 / (size_t)lane;
    const rounder to = rounder_of(block->plan);
    const float_steps steps = steps_of(block->plan, lane);
    findings found = {.clipped = _mm256_setzero_si256(), .largest = _mm256_setzero_si256()};
    row_draws draws;
    if (lane != NO_DRAW)
        start_draws(block->plan->draw, &draws);
    for (size_t i = 0; i < block->source.rows; i++) {
        const row_state row = row_of(block, i);
        uint16_t *values = (uint16_t *)block->values + i * DITHER_PIECE_COLS;
        if (lane != NO_DRAW)
            start_row(&draws, block->row0 + i);
        for (size_t j = 0; j < cols;) {
            sixteen words[4] = {{{{0}}}};
            if (lane != NO_DRAW)
                stretch_words(&draws, (block->col0 + j) / (quads * QUAD), words);
            for (size_t q = 0; q < quads && j < cols; q++, j += QUAD) {
                const sixteen *read = words + (lane == LANE_8 ? q : lane == LANE_16 ? 2 * q : 0);
                for (int l = 0; l < 4; l++) {
                    sixteen v;
                    for (int h = 0; h < HALVES; h++) {
                        const __m256i random = lane == NO_DRAW ? words[0].half[0] : draw_at(read, lane, l, h);
                        v.half[h] = bf16_at(block, &row, lane, plain, per_column, j + (size_t)(16 * l + LANES * h),
                                            random, &steps, &to, &found);
                    }
                    store_halves(values + j + 16 * l, &v);
                }
            }
        }
    }
    block->clipped += lanes_sum(found.clipped);
    block->bad = block->bad || lanes_max(found.largest) >= DITHER_F32_INF;
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

/* Magnitudes of 8 columns. */
INLINE __m256i magnitude_at(const row_state *row, size_t j)
{
    return _mm256_and_si256(_mm256_castps_si256(scaled_at(row, j)), all32(0x7fffffff));
}

static row_state source_row(const dither_quantize_source *source, size_t i)
{
    return (row_state){
        .x = source->x + i * source->stride,
        .col_factor = source->col_factor,
        .ahead = source->stride * sizeof(float), /* the next row: a cut of it, whose start no stream foretells */
        .factor = _mm256_set1_ps(dither_source_factor(source, i)),
    };
}

static void amax_rows(const dither_quantize_source *source, size_t width, uint32_t *amax, size_t step)
{
    const size_t span = width < source->cols ? width : source->cols;
    if (span % LANES != 0 || source->cols % span != 0) {
        dither_loop_amax_rows(source, width, amax, step);
        return;
    }
    for (size_t i = 0; i < source->rows; i++, amax += step) {
        const row_state row = source_row(source, i);
        for (size_t j = 0, g = 0; j < source->cols; g++) {
            __m256i most = _mm256_setzero_si256();
            for (const size_t end = j + span; j < end; j += LANES)
                most = _mm256_max_epu32(most, magnitude_at(&row, j));
            const uint32_t found = lanes_max(most);
            amax[g] = found > amax[g] ? found : amax[g];
        }
    }
}

static void amax_cols(const dither_quantize_source *source, uint32_t *amax)
{
    const size_t whole = source->cols / (4 * LANES) * (4 * LANES);
    for (size_t j = 0; j < whole; j += 4 * LANES) {
        __m256i most[4];
        for (size_t l = 0; l < 4; l++)
            most[l] = _mm256_loadu_si256((const __m256i *)(const void *)(amax + j + LANES * l));
        for (size_t i = 0; i < source->rows; i++) {
            const row_state row = source_row(source, i);
            for (size_t l = 0; l < 4; l++)
                most[l] = _mm256_max_epu32(most[l], magnitude_at(&row, j + LANES * l));
        }
        for (size_t l = 0; l < 4; l++)
            _mm256_storeu_si256((__m256i *)(void *)(amax + j + LANES * l), most[l]);
    }
    dither_quantize_source rest = *source;
    rest.x += whole;
    rest.cols -= whole;
    if (rest.col_factor != NULL)
        rest.col_factor += whole;
    dither_loop_amax_cols(&rest, amax + whole);
}

const dither_quantize_rows dither_quantize_rows_avx2 = {
    .isa = "avx2",
    .needs = DITHER_CPU_AVX2 | DITHER_CPU_FMA | DITHER_CPU_F16C,
    .can = dither_simd_can,
    .quantize = quantize,
    .amax_rows = amax_rows,
    .amax_cols = amax_cols,
    .scales = dither_loop_scales,
    .variance = dither_loop_variance,
};

#endif
