/*
 * The tile instructions of AMX in plain C, one function each, as Intel's Software Developer's Manual, volume 2, writes
 * them down: LDTILECFG, STTILECFG, TILEZERO, TILELOADD, TILESTORED, TDPBSSD, TDPBF16PS. What a processor would answer
 * with an exception ends the test. Palette 1: eight tiles of up to 16 rows of up to 64 bytes.
 *
 * One thread only. Included by src/kernel/tiles_amx.h, which has the type tile_config.
 */
#ifndef DITHER_TEST_TILE_MODEL_H
#define DITHER_TEST_TILE_MODEL_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { MODEL_TILES = 8, MODEL_ROWS = 16, MODEL_ROW_BYTES = 64 };

static struct {
    tile_config config; /* all zeros: not configured */
    uint8_t data[MODEL_TILES][MODEL_ROWS][MODEL_ROW_BYTES];
    int configurations; /* how often LDTILECFG has run */
} tile_model;

static void tile_config_load(const tile_config *config)
{
    static const uint8_t zeros[16];
    tile_model.configurations++;
    memset(tile_model.data, 0, sizeof tile_model.data);
    if (config->palette == 0) {
        memset(&tile_model.config, 0, sizeof tile_model.config);
        return;
    }
    if (config->palette != 1 || memcmp(config->reserved, zeros, sizeof config->reserved) != 0)
        fail_msg("#GP: palette %d, or something in the reserved bytes", config->palette);
    for (int i = 0; i < 16; i++) {
        const bool used = config->row_bytes[i] != 0 && config->rows[i] != 0;
        const bool empty = config->row_bytes[i] == 0 && config->rows[i] == 0;
        const bool fits = config->row_bytes[i] <= MODEL_ROW_BYTES && config->rows[i] <= MODEL_ROWS;
        if (i < MODEL_TILES ? !fits || (!used && !empty) : !empty)
            fail_msg("#GP: tile %d of %d rows of %d bytes", i, config->rows[i], config->row_bytes[i]);
    }
    tile_model.config = *config;
}

static void tile_config_store(tile_config *config)
{
    *config = tile_model.config;
}

/* Rows of a tile that may be used; bytes of a row through the pointer. */
static size_t model_shape(int tile, size_t *row_bytes)
{
    const tile_config *config = &tile_model.config;
    if (config->palette == 0)
        fail_msg("#UD: no tiles are configured");
    if (tile < 0 || tile >= MODEL_TILES || config->rows[tile] == 0)
        fail_msg("#UD: no tile %d is configured", tile);
    if (config->start_row != 0)
        fail_msg("tile %d begins at row %d", tile, config->start_row);
    *row_bytes = config->row_bytes[tile];
    return config->rows[tile];
}

static void tile_zero(int tile)
{
    size_t bytes;
    (void)model_shape(tile, &bytes);
    memset(tile_model.data[tile], 0, sizeof tile_model.data[tile]);
}

/* What lies beyond a tile's rows and bytes becomes 0. */
static void tile_load(int tile, const void *from, size_t stride)
{
    size_t bytes;
    const size_t rows = model_shape(tile, &bytes);
    memset(tile_model.data[tile], 0, sizeof tile_model.data[tile]);
    for (size_t row = 0; row < rows; row++)
        memcpy(tile_model.data[tile][row], (const uint8_t *)from + row * stride, bytes);
}

static void tile_store(int tile, void *to, size_t stride)
{
    size_t bytes;
    const size_t rows = model_shape(tile, &bytes);
    for (size_t row = 0; row < rows; row++)
        memcpy((uint8_t *)to + row * stride, tile_model.data[tile][row], bytes);
}

/* The m x n sums and k steps of a product, or an exception: tiles of different shapes, or twice the same tile. */
typedef struct model_product {
    size_t m, n, k;
} model_product;

static model_product model_shapes(int sums, int a, int b)
{
    size_t sums_bytes, a_bytes, b_bytes;
    const size_t sums_rows = model_shape(sums, &sums_bytes), a_rows = model_shape(a, &a_bytes);
    const size_t b_rows = model_shape(b, &b_bytes);
    if (sums == a || sums == b || a == b)
        fail_msg("#UD: one tile twice in (%d, %d, %d)", sums, a, b);
    if (sums_rows != a_rows || sums_bytes != b_bytes || a_bytes % 4 != 0 || b_bytes % 4 != 0 || a_bytes / 4 != b_rows)
        fail_msg("#UD: shapes of (%d, %d, %d)", sums, a, b);
    return (model_product){sums_rows, sums_bytes / 4, a_bytes / 4};
}

/* Four products of bytes with their signs to a sum; no saturation. */
static void tile_dot_s8(int sums, int a, int b)
{
    const model_product shape = model_shapes(sums, a, b);
    for (size_t i = 0; i < shape.m; i++)
        for (size_t k = 0; k < shape.k; k++)
            for (size_t j = 0; j < shape.n; j++) {
                int8_t x[4], y[4];
                uint32_t sum;
                memcpy(x, tile_model.data[a][i] + 4 * k, sizeof x);
                memcpy(y, tile_model.data[b][k] + 4 * j, sizeof y);
                memcpy(&sum, tile_model.data[sums][i] + 4 * j, sizeof sum);
                for (int byte = 0; byte < 4; byte++)
                    sum += (uint32_t)(x[byte] * y[byte]);
                memcpy(tile_model.data[sums][i] + 4 * j, &sum, sizeof sum);
            }
}

/* Denormals are zeros of their sign. Next to 2^-126 a processor may flush before it rounds; nobody tests that. */
static float model_flush(float x)
{
    return fabsf(x) < 0x1p-126f ? copysignf(0, x) : x;
}

static float model_bf16(const uint8_t *at)
{
    uint16_t half;
    memcpy(&half, at, sizeof half);
    const uint32_t bits = (uint32_t)half << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return model_flush(x);
}

/* The even k's with fused multiply-adds, the odd ones likewise, their sum, and that to what was there. */
static void tile_dot_bf16(int sums, int a, int b)
{
    const model_product shape = model_shapes(sums, a, b);
    for (size_t i = 0; i < shape.m; i++)
        for (size_t j = 0; j < shape.n; j++) {
            float parts[2] = {0, 0}, sum;
            for (size_t k = 0; k < shape.k; k++)
                for (size_t part = 0; part < 2; part++)
                    parts[part] = model_flush(fmaf(model_bf16(tile_model.data[a][i] + 4 * k + 2 * part),
                                                   model_bf16(tile_model.data[b][k] + 4 * j + 2 * part), parts[part]));
            memcpy(&sum, tile_model.data[sums][i] + 4 * j, sizeof sum);
            sum = model_flush(model_flush(sum) + model_flush(parts[0] + parts[1]));
            memcpy(tile_model.data[sums][i] + 4 * j, &sum, sizeof sum);
        }
}

#endif
