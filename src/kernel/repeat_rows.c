#include "kernel/repeat_rows.h"

#if defined(__x86_64__)
extern const dither_repeat_rows dither_repeat_rows_avx512, dither_repeat_rows_avx2;
#endif
extern const dither_repeat_rows dither_repeat_rows_ref;

static const dither_repeat_rows *const variants[] = {
#if defined(__x86_64__)
    &dither_repeat_rows_avx512, &dither_repeat_rows_avx2,
#endif
    &dither_repeat_rows_ref,
};

const dither_repeat_rows *dither_repeat_rows_at(size_t index)
{
    return index < sizeof variants / sizeof variants[0] ? variants[index] : NULL;
}

const dither_repeat_rows *dither_repeat_rows_select(uint32_t features)
{
    size_t i = 0;
    while ((variants[i]->needs & features) != variants[i]->needs)
        i++;
    return variants[i];
}
