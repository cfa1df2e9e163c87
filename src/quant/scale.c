#include "quant/scale.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <string.h>

#include "quant/bits.h"

enum {
    E4M3_MAX_CODE = 0x7e,
    E8M0_MAX_CODE = 254,
    TENSOR_BITS = 8 /* with the 4 of E4M3, 12 of f32's 24 */
};

static const double e4m3_max = 448.0;

size_t dither_scale_bytes(dither_scale_type type)
{
    return type == DITHER_SCALE_F32 ? sizeof(float) : 1;
}

static size_t at_least_one(size_t n)
{
    return n > 0 ? n : 1;
}

dither_regions dither_regions_of(const dither_quantizer *quantizer, dither_axis axis, size_t rows, size_t cols)
{
    const bool along_cols = axis == DITHER_AXIS_COLS;
    dither_regions regions = {.height = rows, .width = cols};
    switch (quantizer->shape) {
    case DITHER_SCALE_NONE:
    case DITHER_SCALE_TENSOR:
        break;
    case DITHER_SCALE_ROW:
        *(along_cols ? &regions.height : &regions.width) = 1;
        break;
    case DITHER_SCALE_GROUP:
        regions.height = along_cols ? 1 : quantizer->size;
        regions.width = along_cols ? quantizer->size : 1;
        break;
    case DITHER_SCALE_TILE:
        regions.height = regions.width = quantizer->size;
        break;
    }
    regions.height = at_least_one(regions.height);
    regions.width = at_least_one(regions.width);
    regions.down = rows / regions.height + (rows % regions.height != 0);
    regions.across = cols / regions.width + (cols % regions.width != 0);
    return regions;
}

/* s max is exact in f64 for every format but fixed point, where the division decides. */
static bool fits(float s, float amax, double max)
{
    return s > 0.0f && (double)s * max >= (double)amax && (double)(amax / s) <= max;
}

static float scale_f32(float amax, double max)
{
    const double exact = (double)amax / max;
    float s = exact < (double)FLT_MAX ? (float)exact : FLT_MAX;
    while (!fits(s, amax, max) && s < FLT_MAX) {
        s = nextafterf(s, FLT_MAX);
    }
    return s;
}

static float e8m0_value(uint32_t code)
{
    return dither_f32_from_bits(code > 0 ? code << 23 : 0x00400000u);
}

static uint8_t scale_e8m0(float amax, double max)
{
    int exponent;
    frexp((double)amax / max, &exponent);
    /* amax / max < 2^exponent, so one below is the first candidate */
    int code = exponent - 1 + 127;
    code = code < 0 ? 0 : code > E8M0_MAX_CODE ? E8M0_MAX_CODE : code;
    while (code < E8M0_MAX_CODE && !fits(e8m0_value((uint32_t)code), amax, max)) {
        code++;
    }
    return (uint8_t)code;
}

/* Zero and positive E4M3, the sign bit clear: the same bits as dither_format_decode, without asking the table. */
static float e4m3_value(uint32_t code)
{
    return code < 8 ? (float)code * 0x1p-9f : dither_f32_from_bits((code + (120u << 3)) << 20);
}

static uint8_t scale_e4m3(float amax, double max, float tensor)
{
    const double exact = (double)amax / max / (double)tensor;
    const uint32_t first_normal = 8;
    uint32_t code = 1;
    if (exact >= e4m3_max) {
        code = E4M3_MAX_CODE;
    } else if (exact > (double)e4m3_value(first_normal)) {
        /* Positive codes are f32 bits, cut short and rebiased: this one's value is not above `exact`. */
        code = (dither_f32_bits((float)exact) >> 20) - (120u << 3);
    }
    while (code < E4M3_MAX_CODE && !fits(e4m3_value(code) * tensor, amax, max)) {
        code++;
    }
    while (code > 1 && fits(e4m3_value(code - 1) * tensor, amax, max)) {
        code--;
    }
    return (uint8_t)code;
}

float dither_scale_tensor(float amax, double max)
{
    if (!(amax > 0.0f)) {
        return 0.0f;
    }
    const double exact = (double)amax / (max * e4m3_max);
    int exponent;
    frexp(exact, &exponent);
    const double quantum = fmax(ldexp(1.0, exponent - TENSOR_BITS), 0x1p-149);
    double tensor = ceil(exact / quantum) * quantum;
    while (tensor * e4m3_max > (double)FLT_MAX) {
        tensor -= quantum;
    }
    const float largest = (float)e4m3_max;
    if (!fits(largest * (float)tensor, amax, max) && (tensor + quantum) * e4m3_max <= (double)FLT_MAX) {
        tensor += quantum;
    }
    return (float)tensor;
}

void dither_scale_store(dither_scale_type type, float amax, double max, float tensor, uint8_t *scale)
{
    assert(isfinite(amax));
    if (type == DITHER_SCALE_F32) {
        const float s = amax > 0.0f ? scale_f32(amax, max) : 0.0f;
        memcpy(scale, &s, sizeof s);
    } else if (type == DITHER_SCALE_E8M0) {
        *scale = amax > 0.0f ? scale_e8m0(amax, max) : 0;
    } else {
        *scale = amax > 0.0f ? scale_e4m3(amax, max, tensor) : 0;
    }
}

float dither_scale_load(dither_scale_type type, float tensor, const uint8_t *scale)
{
    if (type == DITHER_SCALE_F32) {
        float s;
        memcpy(&s, scale, sizeof s);
        return s;
    }
    return type == DITHER_SCALE_E8M0 ? e8m0_value(*scale) : e4m3_value(*scale) * tensor;
}
