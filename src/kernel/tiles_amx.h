/*
 * AMX: the tile instructions by name, and the 32 x 32 block of sums, 2 x 2 tiles of them, that both kernels work on.
 *
 * The names are intrinsics or one instruction each. Compiled with DITHER_TILE_MODEL, the name of a header, they come
 * from there: that is how the kernels are tested on processors without tiles.
 */
#ifndef DITHER_KERNEL_TILES_AMX_H
#define DITHER_KERNEL_TILES_AMX_H

#include "kernel/gemm_kernel.h"

#if defined(DITHER_TILE_MODEL) || defined(__AMX_TILE__) || defined(__AMXTILE__) /* gcc, clang */

#include <string.h>

/* Palette 1 as LDTILECFG reads it: Intel's Software Developer's Manual, volume 2, LDTILECFG. */
typedef struct tile_config {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} tile_config;

_Static_assert(sizeof(tile_config) == 64, "LDTILECFG reads 64 bytes");

#if defined(DITHER_TILE_MODEL)
#include DITHER_TILE_MODEL
#else

#include <immintrin.h>

/* Not the intrinsics: gcc's say that they touch eight bytes of the 64. */
static inline void tile_config_load(const tile_config *config)
{
    __asm__ volatile("ldtilecfg %0" : : "m"(*config));
}

static inline void tile_config_store(tile_config *config)
{
    __asm__ volatile("sttilecfg %0" : "=m"(*config));
}

/* Macros, for the number of a tile is part of the instruction. Strides are in bytes. */
#define tile_zero(tile) _tile_zero(tile)
#define tile_load(tile, from, stride) _tile_loadd(tile, from, stride)
#define tile_store(tile, to, stride) _tile_stored(tile, to, stride)
#define tile_dot_s8(sums, a, b) _tile_dpbssd(sums, a, b)
#define tile_dot_bf16(sums, a, b) _tile_dpbf16ps(sums, a, b)

#endif

/* Tiles 0 to 3 are the sums, 4 and 5 the upper and lower half of A, 6 and 7 the left and right half of B. */
enum { TILE_ROWS = 16, TILE_ROW_BYTES = 64, BLOCK_M = 32, BLOCK_N = 32 };

/*
 * Eight tiles of 16 rows of 64 bytes, for both kernels. A call asks the processor what is configured and loads the
 * configuration only where that is something else:
 *
 * - STTILECFG takes 19 cycles, LDTILECFG 204 and TILERELEASE 13 (latencies in Intel's Optimization Reference Manual,
 *   the chapter on AMX); the products of a call with k = 128 take 128. Loading and releasing at each call would more
 *   than double it.
 * - A flag of the thread would be wrong as soon as anybody else on the thread used tiles: tiles and their configuration
 *   are nobody's to keep over a call (LLVM's reading of the ABI, pull request 155673), and a forked child would have
 *   the flag without the tiles. ONNX Runtime asks the processor for the same reason (pull request 15387).
 *
 * So the tiles stay configured. Their 8 KiB are saved when the thread is switched out, which is rare beside the
 * products, and Linux drops them before the processor sleeps deeply (CPUIDLE_FLAG_INIT_XSTATE in its intel_idle.c).
 *
 * Permission: dither_cpu_detect asks for it before a kernel can be chosen. It is the process's, not the thread's:
 * threads older than the request have it as well. Each thread's first tile instruction traps, and the trap makes room
 * for its tiles (Documentation/arch/x86/xstate.rst; xstate_get_group_perm in arch/x86/kernel/fpu/).
 */
static inline void tiles_configure(void)
{
    static const tile_config wanted = {
        .palette = 1,
        .row_bytes = {64, 64, 64, 64, 64, 64, 64, 64},
        .rows = {16, 16, 16, 16, 16, 16, 16, 16},
    };
    tile_config loaded;
    tile_config_store(&loaded);
    /* Word by word, as the instruction may have stored them. What is reserved is zero in both. */
    uint64_t is[8], should[8];
    memcpy(is, &loaded, sizeof is);
    memcpy(should, &wanted, sizeof should);
    if (is[0] != should[0] || is[2] != should[2] || is[3] != should[3] || is[6] != should[6])
        tile_config_load(&wanted);
}

static inline void tiles_zero(void)
{
    tile_zero(0);
    tile_zero(1);
    tile_zero(2);
    tile_zero(3);
}

/* The block of 4-byte numbers at `c`; `stride` numbers from a row to the next. */
static inline void tiles_load(const void *c, size_t stride)
{
    const char *upper = c, *lower = upper + TILE_ROWS * 4 * stride;
    tile_load(0, upper, 4 * stride);
    tile_load(1, upper + TILE_ROW_BYTES, 4 * stride);
    tile_load(2, lower, 4 * stride);
    tile_load(3, lower + TILE_ROW_BYTES, 4 * stride);
}

static inline void tiles_store(void *c, size_t stride)
{
    char *upper = c, *lower = upper + TILE_ROWS * 4 * stride;
    tile_store(0, upper, 4 * stride);
    tile_store(1, upper + TILE_ROW_BYTES, 4 * stride);
    tile_store(2, lower, 4 * stride);
    tile_store(3, lower + TILE_ROW_BYTES, 4 * stride);
}

/*
 * Adds the products of all k's to the sums. A step is 64 bytes of k. Its A is 32 rows of 64 bytes; its B is 16 rows
 * of 4 bytes of k each, for 32 columns side by side. Four loads take 32 cycles beside the 64 of the four products, and
 * a product's 52 cycles of latency pass while the other three run.
 */
static inline void tiles_add_products(const dither_tile *t, dither_element element)
{
    enum { STEP_BYTES = BLOCK_M * TILE_ROW_BYTES, B_STRIDE = 2 * TILE_ROW_BYTES };
    const bool s8 = element == DITHER_ELEMENT_S8;
    const char *a = t->a, *b = t->b;
    for (size_t left = t->k / (s8 ? 64 : 32); left > 0; left--, a += STEP_BYTES, b += STEP_BYTES) {
        tile_load(4, a, TILE_ROW_BYTES);
        tile_load(6, b, B_STRIDE);
        tile_load(7, b + TILE_ROW_BYTES, B_STRIDE);
        tile_load(5, a + TILE_ROWS * TILE_ROW_BYTES, TILE_ROW_BYTES);
        if (s8) {
            tile_dot_s8(0, 4, 6);
            tile_dot_s8(1, 4, 7);
            tile_dot_s8(2, 5, 6);
            tile_dot_s8(3, 5, 7);
        } else {
            tile_dot_bf16(0, 4, 6);
            tile_dot_bf16(1, 4, 7);
            tile_dot_bf16(2, 5, 6);
            tile_dot_bf16(3, 5, 7);
        }
    }
}

/* A register of AVX-512, in the compilers' own words: C where the model runs. */
typedef float f32x16 __attribute__((vector_size(64)));
typedef int32_t s32x16 __attribute__((vector_size(64)));

/* C = (C) + sums * (a_scale * b_scale), every operation rounded; `sums` [32][32] as tiles_store left them. */
static inline void block_store(const dither_tile *t, const void *sums, dither_element element)
{
    const size_t stride = t->stride;
    const bool accumulate = t->accumulate;
    const char *sum = sums;
    const float *a_scale = t->a_scale;
    float *c = t->c;
    f32x16 b_scale[BLOCK_N / 16];
    memcpy(b_scale, t->b_scale, sizeof b_scale);
    for (size_t i = 0; i < BLOCK_M; i++, c += stride)
        for (size_t j = 0; j < BLOCK_N; j += 16, sum += sizeof(f32x16)) {
            f32x16 x, before;
            memcpy(&x, sum, sizeof x);
            if (element == DITHER_ELEMENT_S8)
                x = __builtin_convertvector((s32x16)x, f32x16);
            x *= a_scale[i] * b_scale[j / 16];
            if (accumulate) {
                memcpy(&before, c + j, sizeof before);
                x += before;
            }
            memcpy(c + j, &x, sizeof x);
        }
}

#endif
#endif
