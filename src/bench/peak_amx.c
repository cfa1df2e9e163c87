#include <immintrin.h>
#include <string.h>

#include "bench/peak_loop.h"
#include "dither/cpu.h"

/* Tiles 0 to 3 are sums, 4 and 5 one operand, 6 and 7 the other: 16 rows of 64 bytes each. */
enum { TILES = 8, SUMS = 4, ROWS = 16, ROW_BYTES = 64 };

/* Palette 1 as LDTILECFG reads it: Intel's Software Developer's Manual, volume 1, chapter 18. */
typedef struct tile_config {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} tile_config;

_Static_assert(sizeof(tile_config) == 64, "LDTILECFG reads 64 bytes");

static void begin(uint8_t value)
{
    _Alignas(64) uint8_t block[ROWS * ROW_BYTES];
    tile_config config = {.palette = 1};
#pragma GCC unroll 8
    for (int i = 0; i < TILES; i++) {
        config.row_bytes[i] = ROW_BYTES;
        config.rows[i] = ROWS;
    }
    memset(block, value, sizeof block);
    _tile_loadconfig(&config);
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    _tile_loadd(4, block, ROW_BYTES);
    _tile_loadd(5, block, ROW_BYTES);
    _tile_loadd(6, block, ROW_BYTES);
    _tile_loadd(7, block, ROW_BYTES);
}

static int32_t end(void)
{
    _Alignas(64) int32_t block[ROWS * ROW_BYTES / 4];
    _tile_stored(0, block, ROW_BYTES);
    _tile_release();
    return block[0];
}

static int32_t run_s8(size_t rounds)
{
    begin(3);
    for (size_t round = 0; round < rounds; round++) {
        _tile_dpbssd(0, 4, 6);
        _tile_dpbssd(1, 4, 7);
        _tile_dpbssd(2, 5, 6);
        _tile_dpbssd(3, 5, 7);
    }
    return end();
}

static int32_t run_bf16(size_t rounds)
{
    begin(0x3f);
    for (size_t round = 0; round < rounds; round++) {
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    return end();
}

/* A tile of sums is 16 by 16, and each sum runs over a row of the operand. */
const dither_peak_loop dither_peak_s8_amx = {
    .isa = "amx",
    .needs = DITHER_CPU_AMX_INT8,
    .unit = DITHER_UNIT_S8,
    .ops = 2.0 * SUMS * ROWS * ROWS * ROW_BYTES,
    .run = run_s8,
};

const dither_peak_loop dither_peak_bf16_amx = {
    .isa = "amx",
    .needs = DITHER_CPU_AMX_BF16,
    .unit = DITHER_UNIT_BF16,
    .ops = 2.0 * SUMS * ROWS * ROWS * ROW_BYTES / 2,
    .run = run_bf16,
};
