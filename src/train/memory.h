/* What the process and the machine have. */
#ifndef DITHER_TRAIN_MEMORY_H
#define DITHER_TRAIN_MEMORY_H

#include <stdint.h>

uint64_t dither_memory_resident(void); /* bytes of this process now */
uint64_t dither_memory_peak(void);     /* largest ever, or since it was forgotten */
void dither_memory_forget_peak(void);

/** Bytes this process could have in all: free memory and what it holds, within the limits of its control group. */
uint64_t dither_memory_available(void);

/** Touch what the products' library keeps for itself, so that dither_memory_resident() counts it. */
void dither_memory_warm(int threads);

#endif
