/**
 * What this processor can do, and how the environment variable DITHER_CPU lowers it.
 */
#ifndef DITHER_CPU_H
#define DITHER_CPU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dither/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Levels are ordered within an architecture: DITHER_CPU=NAME hides every feature above. */
typedef struct dither_cpu {
    char model[64];        /* as the processor names itself */
    const char *level;     /* amx | avx512 | avxvnni | avx2 | i8mm | dotprod | neon | ref */
    uint32_t features;     /* DITHER_CPU_* */
} dither_cpu;

enum {
    DITHER_CPU_AVX2 = 1u << 0,
    DITHER_CPU_FMA = 1u << 1,
    DITHER_CPU_F16C = 1u << 2,
    DITHER_CPU_AVX_VNNI = 1u << 3,
    DITHER_CPU_AVX512 = 1u << 4, /* F, BW, DQ, VL, CD */
    DITHER_CPU_AVX512_VNNI = 1u << 5,
    DITHER_CPU_AVX512_BF16 = 1u << 6,
    DITHER_CPU_AMX_INT8 = 1u << 7, /* the tile permission of Linux included */
    DITHER_CPU_AMX_BF16 = 1u << 8,
    DITHER_CPU_NEON = 1u << 9,
    DITHER_CPU_DOTPROD = 1u << 10,
    DITHER_CPU_I8MM = 1u << 11,
    DITHER_CPU_BF16 = 1u << 12 /* Arm */
};

/**
 * The processor, with every feature above `mask` (a level's name; NULL or "": none) hidden.
 * An unknown mask gives level NULL.
 */
DITHER_API dither_cpu dither_cpu_detect(const char *mask);

/**
 * The levels of this architecture, fastest first and "ref" last, and which of them a processor has.
 * @param has  may be NULL
 * @return its name; NULL past the end
 */
DITHER_API const char *dither_cpu_level_at(const dither_cpu *cpu, size_t index, bool *has);

/**
 * Whether DITHER_CPU, where it is set, names a level of this architecture.
 * @return DITHER_OK, also where this processor lacks the level and computes with a lower one
 *       | DITHER_E_USAGE (error says which there are, and which of them this processor has)
 */
DITHER_API DITHER_MUST_USE dither_status dither_cpu_check(dither_error *error);

/**
 * The processor as the environment variable DITHER_CPU lowers it, detected at the first call: what every kernel is
 * chosen by. A name that is no level leaves portable C.
 */
DITHER_API const dither_cpu *dither_cpu_active(void);

/* The instruction set that one kind of work is done with. */
typedef struct dither_cpu_kernel {
    const char *work; /* "s8 products" */
    const char *isa;  /* "avx512vnni"; "ref" is portable C, "blas" OpenBLAS */
} dither_cpu_kernel;

/** What the library computes with on a processor. @return false past the end */
DITHER_API bool dither_cpu_kernel_at(const dither_cpu *cpu, size_t index, dither_cpu_kernel *kernel);

/** Names of the feature bits, for printing. NULL past the end. */
DITHER_API const char *dither_cpu_feature_name(int bit);

#ifdef __cplusplus
}
#endif
#endif
