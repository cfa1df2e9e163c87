#include "data/samples.h"

dither_batch_view dither_samples_fill(const dither_samples *samples, uint64_t n, size_t batch,
                                      const dither_batch_buffers *buffers)
{
    const size_t seq = samples->seq;
    dither_batch_view view = {.batch = batch, .seq = seq, .ids = buffers->ids, .targets = buffers->targets};
    if (samples->corpus) {
        dither_sampler_batch(&samples->sampler, samples->corpus, n, batch, buffers->ids, buffers->targets,
                             buffers->window);
        return view;
    }
    for (size_t b = 0; b < batch; b++)
        dither_packer_row(samples->packing, n + b, buffers->ids + b * seq, buffers->targets + b * seq,
                           buffers->positions + b * seq, buffers->first + b * seq);
    view.positions = buffers->positions;
    view.first = buffers->first;
    return view;
}

uint64_t dither_samples_trained(const dither_samples *samples, uint64_t n, uint64_t count)
{
    return samples->corpus ? count * samples->seq : dither_packer_trained(samples->packing, n, count);
}
