/* Codes and their scales as an operand holds them: what stays outside of the product's values, what is multiplied in. */
#ifndef DITHER_KERNEL_CODES_PACK_H
#define DITHER_KERNEL_CODES_PACK_H

#include "kernel/operand.h"

enum { DITHER_PIECE_ROWS = 64, DITHER_PIECE_COLS = 256 }; /* of a matrix: whole steps of k either way */

/** Whether the scales of a quantizer that fits (dither_pack_fits) are multiplied into the values of `element`. */
bool dither_pack_inside(const dither_quantizer *quantizer, bool bare, dither_element element);

/** Write operand->scale from the scales of `codes`; their packed codes are not read. */
void dither_codes_scales(const dither_codes *codes, dither_axis axis, bool bare, dither_operand *operand);

#endif
