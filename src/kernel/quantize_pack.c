#include "kernel/quantize_pack.h"

#include <assert.h>

#include "kernel/codes_pack.h"

size_t dither_quantize_pack_bytes(const dither_pack_target *targets, size_t count, size_t rows, size_t cols,
                                  int threads)
{
    (void)threads;
    size_t most = 0;
    for (size_t t = 0; t < count; t++) {
        const size_t bytes = dither_codes_bytes(targets[t].quantizer, targets[t].axis, rows, cols);
        most = bytes > most ? bytes : most;
    }
    return most;
}

/* Through codes in scratch: any quantizer, at the speed of the definition. */
static dither_status pack_through_codes(const float *x, size_t rows, size_t cols, const dither_pack_target *target,
                                        void *scratch, dither_clips *clips, int threads)
{
    dither_codes codes;
    dither_status status = dither_codes_init(&codes, target->quantizer, target->axis, rows, cols, scratch);
    if (status == DITHER_OK)
        status = dither_quantize(&codes, x, target->row_factor, target->col_factor, target->draw, clips, threads);
    for (size_t o = 0; status == DITHER_OK && o < DITHER_PACK_OPERANDS; o++)
        if (target->operand[o] != NULL)
            dither_codes_pack(&codes, target->operand_axis[o], target->bare[o], target->operand[o], threads);
    return status;
}

dither_status dither_quantize_pack(const float *x, size_t rows, size_t cols, const dither_pack_target *targets,
                                   size_t count, void *scratch, dither_clips *clips, int threads)
{
    assert(count <= DITHER_PACK_TARGETS);
    for (size_t t = 0; t < count; t++) {
        const dither_status status = pack_through_codes(x, rows, cols, &targets[t], scratch, clips, threads);
        if (status != DITHER_OK)
            return status;
    }
    return DITHER_OK;
}
