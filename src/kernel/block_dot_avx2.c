/* Stored rows in AVX2: two registers are the lanes of lanes.h. */
#include <immintrin.h>

#include "dither/cpu.h"
#include "kernel/block_dots.h"

#define INTO_CALLER static inline __attribute__((always_inline))

/* The 32 values of a turn, eight by eight. */
typedef struct turn {
    __m256 part[4];
} turn;

typedef turn read_fn(const unsigned char *block);

INTO_CALLER __m256 f16_everywhere(const unsigned char *at)
{
    return _mm256_cvtph_ps(_mm_set1_epi16((short)dither_dot_u16(at)));
}

INTO_CALLER turn read_f32(const unsigned char *block)
{
    turn w;
    for (int i = 0; i < 4; i++)
        w.part[i] = _mm256_loadu_ps((const void *)(block + 32 * i));
    return w;
}

INTO_CALLER turn read_f16(const unsigned char *block)
{
    turn w;
    for (int i = 0; i < 4; i++)
        w.part[i] = _mm256_cvtph_ps(_mm_loadu_si128((const void *)(block + 16 * i)));
    return w;
}

INTO_CALLER turn read_bf16(const unsigned char *block)
{
    turn w;
    for (int i = 0; i < 4; i++) {
        const __m256i words = _mm256_cvtepu16_epi32(_mm_loadu_si128((const void *)(block + 16 * i)));
        w.part[i] = _mm256_castsi256_ps(_mm256_slli_epi32(words, 16));
    }
    return w;
}

/* Eight signed bytes from `from` on, times d. */
INTO_CALLER __m256 steps(__m128i bytes, __m256 d)
{
    return _mm256_mul_ps(d, _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)));
}

/* The codes of the first half are low, those of the second high; of each, `zero` stands for 0. */
INTO_CALLER turn by_nibble(const unsigned char *codes, __m256 d, char zero)
{
    const __m128i low = _mm_set1_epi8(15), shift = _mm_set1_epi8(zero);
    const __m128i pairs = _mm_loadu_si128((const void *)codes);
    const __m128i first = _mm_sub_epi8(_mm_and_si128(pairs, low), shift);
    const __m128i second = _mm_sub_epi8(_mm_and_si128(_mm_srli_epi16(pairs, 4), low), shift);
    return (turn){{steps(first, d), steps(_mm_srli_si128(first, 8), d), steps(second, d),
                   steps(_mm_srli_si128(second, 8), d)}};
}

/* d, then 16 bytes of codes */
INTO_CALLER turn read_q4_0(const unsigned char *block)
{
    return by_nibble(block + 2, f16_everywhere(block), 8);
}

/* d, the least value, then 16 bytes of codes */
INTO_CALLER turn read_q4_1(const unsigned char *block)
{
    const __m256 least = f16_everywhere(block + 2);
    turn w = by_nibble(block + 4, f16_everywhere(block), 0);
    for (int i = 0; i < 4; i++)
        w.part[i] = _mm256_add_ps(w.part[i], least);
    return w;
}

/* d, then 32 signed bytes */
INTO_CALLER turn read_q8_0(const unsigned char *block)
{
    const __m256 d = f16_everywhere(block);
    turn w;
    for (int i = 0; i < 4; i++)
        w.part[i] = steps(_mm_loadl_epi64((const void *)(block + 2 + 8 * i)), d);
    return w;
}

INTO_CALLER float dot(dither_block_type type, size_t bytes, read_fn *read, size_t n, const unsigned char *blocks,
                      const float *x)
{
    __m256 sum[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
    for (; n >= DITHER_DOT_BLOCK; n -= DITHER_DOT_BLOCK, blocks += bytes, x += DITHER_DOT_BLOCK) {
        const turn w = read(blocks);
        for (int i = 0; i < 4; i++)
            sum[i % 2] = _mm256_add_ps(sum[i % 2], _mm256_mul_ps(w.part[i], _mm256_loadu_ps(x + 8 * i)));
    }
    float lanes[DITHER_LANES];
    _mm256_storeu_ps(lanes, sum[0]);
    _mm256_storeu_ps(lanes + 8, sum[1]);
    return n ? dither_dot_rest(type, n, blocks, x, lanes) : dither_lanes_sum(lanes);
}

/* name, type, bytes of a turn */
#define TYPES(X)                                                                                                      \
    X(f32, DITHER_BLOCK_F32, 128)                                                                                     \
    X(f16, DITHER_BLOCK_F16, 64)                                                                                      \
    X(bf16, DITHER_BLOCK_BF16, 64)                                                                                    \
    X(q4_0, DITHER_BLOCK_Q4_0, 18)                                                                                    \
    X(q4_1, DITHER_BLOCK_Q4_1, 20)                                                                                    \
    X(q8_0, DITHER_BLOCK_Q8_0, 34)

#define LOOP(name, type, bytes)                                                                                       \
    static float dot_##name(size_t n, const unsigned char *blocks, const float *x)                                    \
    {                                                                                                                 \
        return dot(type, bytes, read_##name, n, blocks, x);                                                           \
    }
TYPES(LOOP)

#define ENTRY(name, type, bytes) [type] = dot_##name,
const dither_block_dots dither_block_dots_avx2 = {
    .isa = "avx2",
    .needs = DITHER_CPU_AVX2 | DITHER_CPU_FMA | DITHER_CPU_F16C,
    .dot = {TYPES(ENTRY)},
};
