/*
 * Parts of a scheme: the whole of it, or one of its roles with the other five in f32. A role that shares another's
 * codes (same_input, same_weight, same_grad) has codes of its own where it is alone.
 */
#ifndef DITHER_STUDY_SCHEME_PART_H
#define DITHER_STUDY_SCHEME_PART_H

#include "dither/noise.h"

/** @param part  0: the whole; 1 + a dither_role: that role alone */
dither_scheme dither_scheme_part(const dither_scheme *scheme, size_t part);

/** Whether it is f32 without a scale: the identity. */
bool dither_quantizer_plain(const dither_quantizer *quantizer);

/** Whether nothing is quantized: f32 in all roles, those of the head too. */
bool dither_scheme_plain(const dither_scheme *scheme);

/** Whether gradients depend on the number of the draw: stochastic rounding, or random signs, of what is of a sample. */
bool dither_scheme_random(const dither_scheme *scheme);

#endif
