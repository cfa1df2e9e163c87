#include "quant/block.h"

#include <assert.h>
#include <string.h>

#include "dither/cpu.h"
#include "quant/block_decode.h"
#include "quant/spec.h"

#if defined(__x86_64__)
extern const dither_block_decoders dither_block_decoders_avx512, dither_block_decoders_avx2;
#endif
extern const dither_block_decoders dither_block_decoders_ref;

static const dither_block_decoders *const variants[] = {
#if defined(__x86_64__)
    &dither_block_decoders_avx512, &dither_block_decoders_avx2,
#endif
    &dither_block_decoders_ref,
};

static const dither_block_info infos[DITHER_BLOCK_TYPES] = {
    [DITHER_BLOCK_F32] = {"f32", 0, 1, 4, true},         [DITHER_BLOCK_F16] = {"f16", 1, 1, 2, true},
    [DITHER_BLOCK_BF16] = {"bf16", 30, 1, 2, true},      [DITHER_BLOCK_Q4_0] = {"q4_0", 2, 32, 18, true},
    [DITHER_BLOCK_Q4_1] = {"q4_1", 3, 32, 20, true},     [DITHER_BLOCK_Q5_0] = {"q5_0", 6, 32, 22, false},
    [DITHER_BLOCK_Q5_1] = {"q5_1", 7, 32, 24, false},    [DITHER_BLOCK_Q8_0] = {"q8_0", 8, 32, 34, true},
    [DITHER_BLOCK_Q2_K] = {"q2_k", 10, 256, 84, false},  [DITHER_BLOCK_Q3_K] = {"q3_k", 11, 256, 110, false},
    [DITHER_BLOCK_Q4_K] = {"q4_k", 12, 256, 144, false}, [DITHER_BLOCK_Q5_K] = {"q5_k", 13, 256, 176, false},
    [DITHER_BLOCK_Q6_K] = {"q6_k", 14, 256, 210, false}, [DITHER_BLOCK_IQ4_NL] = {"iq4_nl", 20, 32, 18, false},
};

const dither_block_info *dither_block_info_of(dither_block_type type)
{
    assert(type < DITHER_BLOCK_TYPES);
    return &infos[type];
}

bool dither_block_from_gguf(uint32_t number, dither_block_type *type)
{
    size_t i = 0;
    while (i < DITHER_BLOCK_TYPES && infos[i].gguf != number)
        i++;
    if (i < DITHER_BLOCK_TYPES)
        *type = (dither_block_type)i;
    return i < DITHER_BLOCK_TYPES;
}

bool dither_block_from_name(const char *name, dither_block_type *type)
{
    char lower[16];
    dither_text_lower(name, lower, sizeof lower);
    size_t i = 0;
    while (i < DITHER_BLOCK_TYPES && strcmp(infos[i].name, lower) != 0)
        i++;
    if (i < DITHER_BLOCK_TYPES)
        *type = (dither_block_type)i;
    return i < DITHER_BLOCK_TYPES;
}

size_t dither_block_row_bytes(dither_block_type type, size_t cols)
{
    const dither_block_info *info = dither_block_info_of(type);
    size_t bytes;
    if (cols % info->values != 0 || __builtin_mul_overflow(cols / info->values, info->bytes, &bytes))
        return SIZE_MAX;
    return bytes;
}

const dither_block_decoders *dither_block_decoders_at(size_t index)
{
    return index < sizeof variants / sizeof *variants ? variants[index] : NULL;
}

const dither_block_decoders *dither_block_decoders_select(uint32_t features)
{
    size_t i = 0;
    while ((variants[i]->needs & features) != variants[i]->needs)
        i++;
    return variants[i];
}

void dither_block_decode(dither_block_type type, size_t count, const void *blocks, float *x)
{
    const size_t values = dither_block_info_of(type)->values;
    assert(count % values == 0);
    if (count > 0)
        dither_block_decoders_select(dither_cpu_active()->features)->decode[type](count / values, blocks, x);
}
