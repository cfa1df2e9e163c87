/* One matrix and one quantizer: what is put in, what must come out, and what kernels make of it. */
#ifndef DITHER_STUDY_SELFTEST_CASE_H
#define DITHER_STUDY_SELFTEST_CASE_H

#include "base/arena.h"
#include "study/selftest_run.h"

enum {
    DITHER_CASE_ROWS = 12,
    DITHER_CASE_COLS = 300, /* more than a stretch of draws and than a piece of the kernels, and whole in neither */
    DITHER_CASE_SIZE = DITHER_CASE_ROWS * DITHER_CASE_COLS,
    DITHER_CASE_CELLS = 16,
    DITHER_CASE_NO_CELL = 255
};

typedef enum dither_case_fill {
    DITHER_CASE_PLACED, /* chosen fractions, turning points of single draws, extremes of every scale */
    DITHER_CASE_ANY,    /* numbers of every size, as data are */
    DITHER_CASE_HALVES  /* halfway between 0 and the smallest value, under a scale of 1; the first is the largest */
} dither_case_fill;

typedef struct dither_case {
    dither_quantizer quantizer;
    dither_axis axis;
    dither_draw draw;
    dither_case_fill fill;
} dither_case;

/* Memory of a case, and what must come out of it. */
typedef struct dither_case_room {
    float *x, *got;             /* [rows][cols], as all the following */
    float *scale, *inside;      /* of the element; the part of it that a bf16 operand holds in its values */
    float *low, *high, *wanted; /* values of codes */
    float *probability;         /* of high */
    uint8_t *cell;              /* whose statistics it enters, or DITHER_CASE_NO_CELL */
    void *codes, *operand, *scratch;
    uint64_t clipped;           /* elements beyond the largest value */
    bool scales_hold;           /* no region's largest magnitude is beyond its scale times the largest value */
} dither_case_room;

/** Bytes of a room, and a room laid out on them. */
size_t dither_case_bytes(void);
dither_case_room dither_case_room_of(void *memory);

/** Fill x and, but for the rounding by src/quant whose scales are read, all that must come out. */
void dither_case_make(const dither_case *c, dither_case_room *room);

/** room->got = what src/quant makes of it. @return how many it says were clipped */
uint64_t dither_case_define(const dither_case *c, dither_case_room *room);

/**
 * room->got = what a row kernel makes of it, read out of an operand whose own scales are compared as well.
 * @return false where no operand takes such values; *right: scales as they must be
 */
bool dither_case_pack(const dither_case *c, const dither_quantize_rows *rows, dither_case_room *room,
                      uint64_t *clipped, bool *right);

#endif
