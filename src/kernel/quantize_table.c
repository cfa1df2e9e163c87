/* The table of row kernels, fastest first, portable C last. */
#include "kernel/quantize_rows.h"

static const dither_quantize_rows *const variants[] = {
#if defined(__x86_64__)
    &dither_quantize_rows_avx512,
    &dither_quantize_rows_avx2,
#endif
    &dither_quantize_rows_ref,
};

const dither_quantize_rows *dither_quantize_rows_at(size_t index)
{
    return index < sizeof variants / sizeof variants[0] ? variants[index] : NULL;
}

const dither_quantize_rows *dither_quantize_rows_select(uint32_t features)
{
    size_t i = 0;
    while ((variants[i]->needs & features) != variants[i]->needs)
        i++;
    return variants[i];
}
