/* The table of attention's row loops, fastest first, the baseline of the architecture last. */
#include "kernel/softmax.h"

static const dither_softmax *const variants[] = {
#if defined(__x86_64__)
    &dither_softmax_avx512bf16,
    &dither_softmax_avx512,
    &dither_softmax_avx2,
#endif
    &dither_softmax_ref,
};

const dither_softmax *dither_softmax_at(size_t index)
{
    return index < sizeof variants / sizeof variants[0] ? variants[index] : NULL;
}

const dither_softmax *dither_softmax_select(uint32_t features)
{
    size_t i = 0;
    while ((variants[i]->needs & features) != variants[i]->needs)
        i++;
    return variants[i];
}
