/**
 * Number formats, roundings, scales, quantizers and schemes: the vocabulary of the whole library.
 *
 *     quantizer:  FORMAT[/SCALE][:ROUNDING]          int8/row:sr   e2m1/g16e4m3:sr   int4/g32:sr8   fx3:sr   bf16
 *     scheme:     ROLE=QUANTIZER,...[,FLAG...]        act=bf16,weight=int8/row,bact=int8/row:sr,...,same_weight
 *
 * The same text is used in code, configuration, command line and reports; print(parse(text)) is its canonical form.
 */
#ifndef DITHER_FORMAT_H
#define DITHER_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dither/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- formats ---------------------------------------------------------------------------------------------- */

typedef enum dither_format_kind {
    DITHER_KIND_FLOAT,  /* sign, exponent, mantissa; subnormals */
    DITHER_KIND_INT,    /* symmetric two's complement, |code| <= max */
    DITHER_KIND_FIXED,  /* integer times an absolute step 2^-N; 32-bit codes */
    DITHER_KIND_SCALE   /* unsigned power of two (E8M0); only ever a scale */
} dither_format_kind;

/* Which codes of a float format are not finite numbers. */
typedef enum dither_specials {
    DITHER_SPECIALS_NONE, /* every code is finite */
    DITHER_SPECIALS_IEEE, /* exponent all ones: Inf (mantissa 0) and NaN */
    DITHER_SPECIALS_NAN   /* only the all-ones code (both signs) is NaN: OCP E4M3, E8M0 */
} dither_specials;

typedef struct dither_format {
    char name[8];            /* canonical: "e4m3", "int8", "ternary", "fx3", "f32", "bf16", "f16" */
    dither_format_kind kind;
    dither_specials specials;
    int bits;                /* width of an unpacked code, 2 to 32 */
    int exponent_bits;       /* floats; else 0 */
    int mantissa_bits;       /* floats; else 0 */
    int bias;                /* floats: exponent bias 2^(X-1)-1 */
    int min_exponent;        /* of the smallest normal; ints 0: no step is below 2^(min_exponent - mantissa_bits) */
    int group_codes;         /* packing: this many codes ... */
    int group_bytes;         /* ... take this many bytes */
    double max;              /* largest finite magnitude */
    double smallest;         /* smallest positive value = smallest step */
} dither_format;

/** The formats of the table, in the order `dither formats` lists them. Fixed point, fx0 .. fx31, is found by name. */
DITHER_API size_t dither_format_count(void);
DITHER_API const dither_format *dither_format_at(size_t index);

/**
 * Find a format by name; aliases (e8m7 = bf16, fp16 and half = f16, fp32 = f32, s8 = int8) give the canonical row.
 * @return DITHER_OK | DITHER_E_USAGE (no such format; error names the nearest)
 */
DITHER_API DITHER_MUST_USE dither_status dither_format_find(const char *name, dither_format *format,
                                                            dither_error *error);

/* ---- rounding --------------------------------------------------------------------------------------------- */

typedef enum dither_rounding_mode {
    DITHER_ROUND_RNE,  /* to nearest, ties to the even code */
    DITHER_ROUND_SR,   /* stochastic: up with the probability of the fraction, rounded half to even to `bits` bits */
    DITHER_ROUND_UP,   /* toward +infinity */
    DITHER_ROUND_DOWN, /* toward -infinity */
    DITHER_ROUND_ZERO  /* toward zero */
} dither_rounding_mode;

typedef struct dither_rounding {
    dither_rounding_mode mode;
    int bits; /* random bits of SR, 1 to 32; 0 for the other modes */
} dither_rounding;

/**
 * Round one value to a code of `format`.
 *
 *     |x| = (k + f) step, 0 <= f < 1, k integer; step is that of |x|'s binade, subnormals included
 *     SR with N bits: F = f 2^N rounded half to even; away from zero iff (random mod 2^N) < F
 *
 * @param x        finite or Inf (saturates); NaN gives NaN where the format has one, else 0
 * @param random   read only under SR: its low `bits` bits are the draw
 * @param clipped  set to true where |x| > format->max, in which case the code is the largest of x's sign;
 *                 not cleared; may be NULL
 * @return the code, in the low format->bits bits (ints: two's complement; a negative zero keeps its sign in floats)
 *
 * Numerics: exact; the expectation over all draws is step (k + F/2^N). Integer arithmetic only.
 */
DITHER_API uint32_t dither_format_encode(const dither_format *format, dither_rounding rounding, float x,
                                         uint32_t random, bool *clipped);

/**
 * Value of a code, exact in f32 (fixed-point codes beyond 2^24 to nearest); high bits beyond format->bits are ignored.
 */
DITHER_API float dither_format_decode(const dither_format *format, uint32_t code);

/* ---- scales ----------------------------------------------------------------------------------------------- */

typedef enum dither_scale_shape {
    DITHER_SCALE_NONE,   /* scale 1 */
    DITHER_SCALE_TENSOR, /* one */
    DITHER_SCALE_ROW,    /* one for each vector along the reduction axis */
    DITHER_SCALE_GROUP,  /* one for `size` elements along the reduction axis */
    DITHER_SCALE_TILE    /* one for a square of `size` x `size` */
} dither_scale_shape;

typedef enum dither_scale_type {
    DITHER_SCALE_F32,  /* largest magnitude / format->max, rounded up */
    DITHER_SCALE_E8M0, /* a power of two, rounded up (OCP MX rounds down and clips) */
    DITHER_SCALE_E4M3  /* E4M3 rounded up, times one scale a tensor (NVFP4) */
} dither_scale_type;

typedef struct dither_quantizer {
    dither_format format;
    dither_scale_shape shape;
    size_t size; /* of a group or tile; else 0 */
    dither_scale_type scale;
    dither_rounding rounding;
} dither_quantizer;

enum { DITHER_QUANTIZER_TEXT = 48 }; /* bytes that hold any printed quantizer and its 0 */

/** Parse "FORMAT[/SCALE][:ROUNDING]"; fixed point has an absolute step and takes no scale. @return DITHER_OK |
 * DITHER_E_USAGE */
DITHER_API DITHER_MUST_USE dither_status dither_quantizer_parse(const char *text, dither_quantizer *quantizer,
                                                                dither_error *error);

/** Print the canonical text (rne is left out) into text[DITHER_QUANTIZER_TEXT]. */
DITHER_API void dither_quantizer_print(const dither_quantizer *quantizer, char *text);

/* ---- schemes ---------------------------------------------------------------------------------------------- */

/* The six places where a linear layer quantizes; what each is used in. */
typedef enum dither_role {
    DITHER_ROLE_ACT,      /* x in forward:        y  = Q(x) Q(W)^T */
    DITHER_ROLE_WEIGHT,   /* W in forward:        y */
    DITHER_ROLE_BACT,     /* x kept for backward: dW = Q(dy)^T Q(x) */
    DITHER_ROLE_BWEIGHT,  /* W in backward:       dx = Q(dy) Q(W) */
    DITHER_ROLE_GOACT,    /* dy for dx */
    DITHER_ROLE_GOWEIGHT, /* dy for dW */
    DITHER_ROLES
} dither_role;

typedef struct dither_scheme {
    dither_quantizer role[DITHER_ROLES];
    bool same_input;  /* bact reuses the codes of act */
    bool same_weight; /* bweight reuses the codes of weight */
    bool same_grad;   /* goweight reuses the codes of goact */
    size_t rht;       /* random Hadamard transform over blocks of this many tokens on bact and goweight; 0 = none */
    dither_quantizer head[DITHER_ROLES]; /* the same roles of the output head; role's own unless overridden */
} dither_scheme;

enum { DITHER_SCHEME_TEXT = 1024 };

DITHER_API const char *dither_role_name(dither_role role);

/**
 * Parse a preset's name or a scheme string; roles left out are f32. A preset's name may come first and the rest change
 * it ("int8,goact=int8/g64:sr"); head.ROLE=QUANTIZER is for the output head alone ("int8,head.goact=bf16").
 * @return DITHER_OK | DITHER_E_USAGE
 */
DITHER_API DITHER_MUST_USE dither_status dither_scheme_parse(const char *text, dither_scheme *scheme,
                                                             dither_error *error);

/** What the output head computes by: its overrides in place of the roles. */
DITHER_API dither_scheme dither_scheme_of_head(const dither_scheme *scheme);

/** Print the canonical string (never a preset's name) into text[DITHER_SCHEME_TEXT]. */
DITHER_API void dither_scheme_print(const dither_scheme *scheme, char *text);

/** The presets: names for scheme strings, nothing more. NULL past the end. */
DITHER_API const char *dither_preset_name(size_t index);
DITHER_API const char *dither_preset_text(size_t index);

#ifdef __cplusplus
}
#endif
#endif
