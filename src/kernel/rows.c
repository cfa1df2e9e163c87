#include "kernel/rows.h"

#include "dither/cpu.h"

#if defined(__x86_64__)
extern const dither_rows dither_rows_avx512, dither_rows_avx2;
#endif
extern const dither_rows dither_rows_ref;

static const dither_rows *const variants[] = {
#if defined(__x86_64__)
    &dither_rows_avx512, &dither_rows_avx2,
#endif
    &dither_rows_ref,
};

const dither_rows *dither_rows_at(size_t index)
{
    return index < sizeof variants / sizeof variants[0] ? variants[index] : NULL;
}

const dither_rows *dither_rows_select(uint32_t features)
{
    size_t i = 0;
    while ((variants[i]->needs & features) != variants[i]->needs)
        i++;
    return variants[i];
}

const dither_rows *dither_rows_active(void)
{
    return dither_rows_select(dither_cpu_active()->features);
}
