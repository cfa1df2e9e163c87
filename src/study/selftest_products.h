/* Products of one kernel against plain loops and the portable kernel. */
#ifndef DITHER_STUDY_SELFTEST_PRODUCTS_H
#define DITHER_STUDY_SELFTEST_PRODUCTS_H

#include "base/arena.h"
#include "study/selftest_run.h"

size_t dither_selftest_kernel_bytes(void);

/** @param memory  dither_selftest_kernel_bytes(), 64-byte aligned */
dither_selftest_tally dither_selftest_kernel(const dither_gemm_kernel *kernel, void *memory, uint64_t seed);

#endif
