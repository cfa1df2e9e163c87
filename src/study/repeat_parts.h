/* What repeat.c and repeat_layout.c share: the memory of repeat.h. */
#ifndef DITHER_STUDY_REPEAT_PARTS_H
#define DITHER_STUDY_REPEAT_PARTS_H

#include "base/arena.h"
#include "study/repeat.h"

enum {
    DITHER_REPEAT_GROUP = 32, /* rows of a product of codes */
    DITHER_REPEAT_TOP = 8     /* samples whose top dy is drawn together */
};

/* Widths here are multiples of DITHER_REPEAT_BLOCK; what lies beyond the true ones is 0. */
typedef struct dither_repeat_layer {
    size_t in, out;
    float *w;    /* layer 0: [out / block][in][block], pixels in the order of patches; else [out][in] */
    float *bias; /* [out] */
    float *y;    /* [samples][out]; after ReLU but for the top one */
    /* Layers above 0: the split of their input. */
    int16_t *low, *step; /* [samples][in] */
    uint16_t *accept;
    int32_t largest; /* code that the input may come to */
    /*
     * Sums of the codes' products: sum, and where `spilled` wide beside it. They take a group of rows at a time, output
     * by output, so that a row of sums stays in the first-level cache.
     */
    int16_t *sum;  /* [out][in] */
    int32_t *wide; /* [out][in] */
    bool spilled;
    int64_t bound, total; /* of |sum|, of |sum + wide| */
    size_t rows;          /* in the group */
    int64_t largest_sum;  /* of |products| that the group may come to */
    dither_repeat_blocks *x;  /* [DITHER_REPEAT_GROUP] */
    int16_t *values;          /* [DITHER_REPEAT_GROUP][in]: what they point to */
    dither_repeat_term *term; /* [out][DITHER_REPEAT_GROUP] */
    uint16_t *terms;          /* [out] */
    float *bias_sum;   /* [out] */
} dither_repeat_layer;

/* A sample's pixels. */
typedef struct dither_repeat_pixels {
    size_t count; /* that are not 0 */
    const uint16_t *index;
    const float *x;
    size_t blocks; /* that are not all 0 */
    const uint16_t *id;
    const int16_t *low, *step; /* [blocks][DITHER_REPEAT_BLOCK] */
    const uint16_t *accept;
} dither_repeat_pixels;

struct dither_repeat {
    dither_mlp net;
    size_t samples, repeats, height, width;
    float grid; /* D */
    const dither_repeat_rows *kernels;
    dither_arena arena;
    dither_repeat_layer layer[DITHER_MLP_LAYERS];
    dither_repeat_pixels *pixels; /* [samples] */
    uint8_t *labels;
    uint8_t *used;        /* [layer[0].in / block]: some sample has a pixel there */
    int16_t *top_low, *top_step; /* [samples][classes] */
    uint16_t *top_accept;
    float *top;           /* [samples][classes]: dy */
    int16_t *top_codes;   /* [DITHER_REPEATS_MAX][DITHER_REPEAT_TOP][classes] */
    /* Of a row: */
    float *dy;            /* [widest] */
    int16_t *low, *step, *codes, *code;
    uint16_t *accept, *index, *every; /* every: 0, 1, 2, ... */
};

/** Where pixel (row, column) of a picture stands: in its patch of 4 x 4, of which `across` lie side by side. */
size_t dither_repeat_place(size_t row, size_t column, size_t across);

#endif
