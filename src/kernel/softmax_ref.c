/* Attention's row loops, compiled for the baseline of the architecture. */
#include "kernel/softmax_body.h"

const dither_softmax dither_softmax_ref = DITHER_SOFTMAX_ENTRY("ref", 0);
