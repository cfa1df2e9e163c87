#include "quant/bits.h"
#include "quant/format_rows.h"

#include <math.h>

static float decode_float(const dither_format *format, uint32_t code)
{
    const int m = format->mantissa_bits;
    const uint32_t sign = code >> (format->bits - 1) & 1;
    const uint32_t magnitude = code & ((1u << (format->bits - 1)) - 1);
    const uint32_t all_ones = (1u << (format->bits - 1)) - 1;
    const uint32_t exponent = magnitude >> m;
    const uint32_t fraction = magnitude & ((1u << m) - 1);
    float value;
    if (format->specials == DITHER_SPECIALS_NAN && magnitude == all_ones) {
        value = dither_f32_from_bits(DITHER_F32_INF | 0x400000u);
    } else if (format->specials == DITHER_SPECIALS_IEEE && exponent == all_ones >> m) {
        value = dither_f32_from_bits(DITHER_F32_INF | fraction << (23 - m));
    } else if (exponent == 0) {
        value = (float)fraction * (float)format->smallest;
    } else {
        value = dither_f32_from_bits((exponent - (uint32_t)format->bias + 127u) << 23 | fraction << (23 - m));
    }
    return dither_f32_from_bits(dither_f32_bits(value) | sign << 31);
}

float dither_format_decode(const dither_format *format, uint32_t code)
{
    switch (format->kind) {
    case DITHER_KIND_FLOAT:
        return decode_float(format, code);
    case DITHER_KIND_INT:
    case DITHER_KIND_FIXED: {
        const int64_t sign = INT64_C(1) << (format->bits - 1);
        const int64_t low = (int64_t)code & (2 * sign - 1);
        return (float)((low ^ sign) - sign) * (float)format->smallest;
    }
    case DITHER_KIND_SCALE:
        break;
    }
    code &= 255;
    return code == 255 ? dither_f32_from_bits(DITHER_F32_INF | 0x400000u)
                       : dither_f32_from_bits(code > 0 ? code << 23 : 0x00400000u);
}
