/* Attention's row loops, compiled for the baseline of the architecture. */
#define DITHER_SOFTMAX_THIS dither_softmax_ref
#define DITHER_SOFTMAX_ISA "ref"
#define DITHER_SOFTMAX_NEEDS (0)
#include "kernel/softmax_body.h"
