/* Stored rows in AVX-512: a lane of lanes.h is a lane of one register. */
#include <immintrin.h>

#include "dither/cpu.h"
#include "kernel/block_dots.h"

#define INTO_CALLER static inline __attribute__((always_inline))

/* The 32 values of a turn. */
typedef struct turn {
    __m512 first, second;
} turn;

typedef turn read_fn(const unsigned char *block);

INTO_CALLER __m512 f16_everywhere(const unsigned char *at)
{
    return _mm512_cvtph_ps(_mm256_set1_epi16((short)dither_dot_u16(at)));
}

INTO_CALLER __m256i load_16_words(const unsigned char *at)
{
    return _mm256_loadu_si256((const void *)at);
}

INTO_CALLER turn read_f32(const unsigned char *block)
{
    return (turn){_mm512_loadu_ps((const void *)block), _mm512_loadu_ps((const void *)(block + 64))};
}

INTO_CALLER turn read_f16(const unsigned char *block)
{
    return (turn){_mm512_cvtph_ps(load_16_words(block)), _mm512_cvtph_ps(load_16_words(block + 32))};
}

INTO_CALLER __m512 bf16_values(__m256i words)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(words), 16));
}

INTO_CALLER turn read_bf16(const unsigned char *block)
{
    return (turn){bf16_values(load_16_words(block)), bf16_values(load_16_words(block + 32))};
}

/* Sixteen values by their codes: a permutation reads the lowest four bits alone. */
INTO_CALLER turn by_code(const unsigned char *codes, __m512 values)
{
    const __m512i pairs = _mm512_cvtepu8_epi32(_mm_loadu_si128((const void *)codes));
    return (turn){_mm512_permutexvar_ps(pairs, values), _mm512_permutexvar_ps(_mm512_srli_epi32(pairs, 4), values)};
}

/* d, then 16 bytes: codes of the first half low, of the second high, 8 standing for 0 */
INTO_CALLER turn read_q4_0(const unsigned char *block)
{
    const __m512 codes = _mm512_setr_ps(-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7);
    return by_code(block + 2, _mm512_mul_ps(f16_everywhere(block), codes));
}

/* d, the least value, then codes as above from 0 on */
INTO_CALLER turn read_q4_1(const unsigned char *block)
{
    const __m512 codes = _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512 steps = _mm512_mul_ps(f16_everywhere(block), codes);
    return by_code(block + 4, _mm512_add_ps(steps, f16_everywhere(block + 2)));
}

/* d, then 32 signed bytes */
INTO_CALLER turn read_q8_0(const unsigned char *block)
{
    const __m512 d = f16_everywhere(block);
    const __m512i first = _mm512_cvtepi8_epi32(_mm_loadu_si128((const void *)(block + 2)));
    const __m512i second = _mm512_cvtepi8_epi32(_mm_loadu_si128((const void *)(block + 18)));
    return (turn){_mm512_mul_ps(d, _mm512_cvtepi32_ps(first)), _mm512_mul_ps(d, _mm512_cvtepi32_ps(second))};
}

INTO_CALLER float dot(dither_block_type type, size_t bytes, read_fn *read, size_t n, const unsigned char *blocks,
                      const float *x)
{
    __m512 sum = _mm512_setzero_ps();
    for (; n >= DITHER_DOT_BLOCK; n -= DITHER_DOT_BLOCK, blocks += bytes, x += DITHER_DOT_BLOCK) {
        const turn w = read(blocks);
        sum = _mm512_add_ps(sum, _mm512_mul_ps(w.first, _mm512_loadu_ps(x)));
        sum = _mm512_add_ps(sum, _mm512_mul_ps(w.second, _mm512_loadu_ps(x + DITHER_LANES)));
    }
    float lanes[DITHER_LANES];
    _mm512_storeu_ps(lanes, sum);
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
const dither_block_dots dither_block_dots_avx512 = {
    .isa = "avx512",
    .needs = DITHER_CPU_AVX2 | DITHER_CPU_FMA | DITHER_CPU_F16C | DITHER_CPU_AVX512,
    .dot = {TYPES(ENTRY)},
};
