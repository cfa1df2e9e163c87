#include "kernel/block_dot.h"

#include "dither/cpu.h"
#include "kernel/block_dots.h"
#include "kernel/lanes.h"

static const dither_block_dots *const variants[] = {
#if defined(__x86_64__)
    &dither_block_dots_avx512, &dither_block_dots_avx2,
#endif
    &dither_block_dots_ref,
};

const dither_block_dots *dither_block_dots_at(size_t index)
{
    return index < sizeof variants / sizeof variants[0] ? variants[index] : NULL;
}

const dither_block_dots *dither_block_dots_select(uint32_t features)
{
    size_t i = 0;
    while ((variants[i]->needs & features) != variants[i]->needs)
        i++;
    return variants[i];
}

const dither_block_dots *dither_block_dots_active(void)
{
    return dither_block_dots_select(dither_cpu_active()->features);
}

float dither_block_dot(const dither_block_dots *dots, dither_block_type type, size_t n, const unsigned char *blocks,
                       const float *x, float *values)
{
    if (dots->dot[type])
        return dots->dot[type](n, blocks, x);
    dither_block_decode(type, n, blocks, values);
    const unsigned char *decoded = (const unsigned char *)values;
    return dots->dot[DITHER_BLOCK_F32](n, decoded, x);
}
