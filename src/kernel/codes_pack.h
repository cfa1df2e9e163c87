/* Codes and their scales as an operand holds them: what is multiplied into its values, and what stays outside. */
#ifndef DITHER_KERNEL_CODES_PACK_H
#define DITHER_KERNEL_CODES_PACK_H

#include "dither/tensor.h"
#include "kernel/operand.h"
#include "quant/bits.h"

enum { DITHER_PIECE_ROWS = 64, DITHER_PIECE_COLS = 256 }; /* of a matrix: whole steps of k either way */

/* What codes stand for. */
typedef struct dither_value_table {
    dither_format format;
    float value[256]; /* of all codes of up to 8 bits */
} dither_value_table;

void dither_value_table_init(dither_value_table *table, const dither_format *format);

/** dither_format_decode() */
static inline float dither_value_at(const dither_value_table *table, uint32_t code)
{
    if (table->format.bits <= 8)
        return table->value[code];
    if (table->format.exponent_bits == 8)
        return dither_f32_from_bits(code << (32 - table->format.bits));
    return dither_format_decode(&table->format, code);
}

/** Integers of up to 8 bits, from the low bits of codes. */
static inline void dither_value_ints(const dither_value_table *table, const uint32_t *codes, size_t count,
                                     int8_t *values)
{
    const uint32_t sign = 1u << (table->format.bits - 1);
    for (size_t j = 0; j < count; j++)
        values[j] = (int8_t)((int32_t)(codes[j] ^ sign) - (int32_t)sign);
}

/** Whether the scales of a quantizer that fits (dither_pack_fits) are multiplied into the values of `element`. */
bool dither_pack_inside(const dither_quantizer *quantizer, bool bare, dither_element element);

/** Write operand->scale from the scales of `codes`; their packed codes are not read. */
void dither_codes_scales(const dither_codes *codes, dither_axis axis, bool bare, dither_operand *operand);

#endif
