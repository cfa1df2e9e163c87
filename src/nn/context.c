#include "nn/context.h"

dither_draw dither_context_draw(const dither_context *context, uint32_t tensor, uint32_t role)
{
    return (dither_draw){
        .seed = context->seed,
        .step = context->step,
        .microbatch = context->microbatch + (context->redrawn >> role & 1),
        .tensor = tensor,
        .role = role,
    };
}
