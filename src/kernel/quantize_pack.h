/*
 * f32 matrices straight into packed operands: rounded, scaled and laid out in one pass over memory, into as many
 * operands as products will read (x: act and bact; dy: goact and goweight; W: one set of codes, two operands).
 *
 * The codes and scales are those of dither_quantize (src/quant), to the bit, on every instruction set.
 */
#ifndef DITHER_KERNEL_QUANTIZE_PACK_H
#define DITHER_KERNEL_QUANTIZE_PACK_H

#include "base/arena.h"
#include "kernel/operand.h"

enum { DITHER_PACK_OPERANDS = 2, DITHER_PACK_TARGETS = 2 };

/* One quantization of the matrix, and the operands its codes go into. */
typedef struct dither_pack_target {
    const dither_quantizer *quantizer;
    dither_axis axis;                      /* of the quantizer's scales */
    const float *row_factor, *col_factor;  /* [rows], [cols] or NULL: multiplied in before anything else */
    const dither_draw *draw;               /* SR only */
    dither_operand *operand[DITHER_PACK_OPERANDS]; /* NULL: none */
    dither_axis operand_axis[DITHER_PACK_OPERANDS]; /* the axis of the matrix that is that product's k */
    dither_clips *clips;                   /* added to; may be NULL */
    bool bare[DITHER_PACK_OPERANDS]; /* codes without their scales (folded elsewhere): the operand's scales become 1 */
} dither_pack_target;

/**
 * How the values of a quantizer enter a product along `axis`, its scales included:
 *
 *     s8     integers up to 8 bits; scales none, tensor, row along that axis, or groups and tiles whose size is a
 *            multiple of 4 along it
 *     bf16   formats of at most 8 significant bits whose group scales (E8M0, E4M3) multiply in exactly; f32 scales
 *            none, tensor or row stay outside; f32 group scales do not fit
 *
 * @param bare  the scales are not used
 * @return whether `element` can carry it exactly
 */
bool dither_pack_fits(const dither_quantizer *quantizer, dither_axis scales, dither_axis axis, bool bare,
                      dither_element element);

/** k's that a scale of the operand stands for: the `group` of dither_operand_init. 0: one for all. */
size_t dither_pack_group(const dither_quantizer *quantizer, dither_axis scales, dither_axis axis, bool bare,
                         dither_element element);

/** Scratch bytes that dither_quantize_pack takes. */
size_t dither_quantize_pack_bytes(const dither_pack_target *targets, size_t count, size_t rows, size_t cols,
                                  int threads);

/**
 * @param x        [rows][cols]
 * @param targets  [count]; count <= DITHER_PACK_TARGETS
 * @param scratch  dither_quantize_pack_bytes(), 64-byte aligned
 * @param clips    elements and clipped are added to, once a target; may be NULL
 * @return DITHER_OK | DITHER_E_NUMERIC (x' holds NaN or Inf; operands unspecified)
 */
DITHER_MUST_USE dither_status dither_quantize_pack(const float *x, size_t rows, size_t cols,
                                                   const dither_pack_target *targets, size_t count, void *scratch,
                                                   dither_clips *clips, int threads);

/** Codes that are already there into an operand. */
void dither_codes_pack(const dither_codes *codes, dither_axis axis, bool bare, dither_operand *operand, int threads);

#endif
