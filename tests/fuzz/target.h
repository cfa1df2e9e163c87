/* What every fuzz target defines and replay.c or libFuzzer calls. */
#ifndef DITHER_TESTS_FUZZ_TARGET_H
#define DITHER_TESTS_FUZZ_TARGET_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
