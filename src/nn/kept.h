/* Activations that forward keeps for backward: matrices [tokens][cols] in bf16, or in f32 where act is f32. */
#ifndef DITHER_NN_KEPT_H
#define DITHER_NN_KEPT_H

#include <stdbool.h>
#include <string.h>

#include "kernel/rows.h"

typedef struct dither_kept {
    void *at;  /* bf16 bits (uint16_t) or float, contiguous; NULL: nothing is kept */
    bool bf16; /* rounded to nearest even, as rows.h says */
} dither_kept;

/** Keep x[n] as the elements from `first` on; nothing where kept.at is NULL. */
static inline void dither_kept_write(dither_kept kept, const dither_rows *rows, size_t first, size_t n, const float *x)
{
    if (!kept.at)
        return;
    if (kept.bf16)
        rows->to_bf16(n, x, (uint16_t *)kept.at + first);
    else
        memcpy((float *)kept.at + first, x, n * sizeof(float));
}

/** Bytes of n kept elements. */
static inline double dither_kept_bytes(dither_kept kept, size_t n)
{
    return kept.at ? (double)n * (kept.bf16 ? sizeof(uint16_t) : sizeof(float)) : 0;
}

#endif
