/* A tiny model with random weights, and sequences of random tokens: what gradients of are measured in tests. */
#ifndef DITHER_TESTS_GRADIENT_FIXTURE_H
#define DITHER_TESTS_GRADIENT_FIXTURE_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/philox.h"
#include "study/gradient.h"

enum { FIXTURE_SEQ = 12, FIXTURE_SEQUENCES = 4, FIXTURE_VOCAB = 40 };

typedef struct gradient_fixture {
    dither_gradient gradient;
    uint32_t ids[FIXTURE_SEQUENCES][FIXTURE_SEQ], targets[FIXTURE_SEQUENCES][FIXTURE_SEQ];
} gradient_fixture;

static inline dither_scheme fixture_scheme(const char *text)
{
    dither_scheme scheme;
    dither_error error;
    assert_int_equal(dither_scheme_parse(text, &scheme, &error), DITHER_OK);
    return scheme;
}

/* Opened for these schemes, the first of which is laid out. Norms and biases are not all alike. */
static inline void fixture_open(gradient_fixture *f, const dither_scheme *schemes, size_t count, size_t blocks,
                                int threads)
{
    dither_model_config config;
    dither_error error;
    assert_int_equal(dither_model_config_parse("layers=2,heads=2,kv_heads=1,dim=16,ffn=24,ctx=12,vocab=40", 0, &config,
                                               &error), DITHER_OK);
    const dither_gradient_request request = {.config = &config, .schemes = schemes, .scheme_count = count, .batch = 1,
                                             .seq = FIXTURE_SEQ, .blocks = blocks, .seed = 3, .threads = threads};
    uint64_t bytes = 0;
    assert_int_equal(dither_gradient_count(&request, &bytes, &error), DITHER_OK);
    assert_int_equal(dither_gradient_open(&f->gradient, &request, &error), DITHER_OK);
    assert_true(bytes >= f->gradient.arena.size + (blocks - 1) * f->gradient.network.elements * sizeof(float));
    dither_network *net = &f->gradient.network;
    dither_network_init(net, 11);
    const dither_draw draw = {.seed = 8};
    for (size_t i = 0; i < net->elements; i++) /* larger weights: softmax and activations off their linear parts */
        net->parameters[i] *= 6 + (float)(dither_draw_u32(&draw, 0, i) % 5);
    for (size_t s = 0; s < FIXTURE_SEQUENCES; s++)
        for (size_t t = 0; t < FIXTURE_SEQ; t++) {
            f->ids[s][t] = dither_draw_u32(&draw, 1 + s, t) % FIXTURE_VOCAB;
            f->targets[s][t] = dither_draw_u32(&draw, 100 + s, t) % FIXTURE_VOCAB;
        }
    assert_int_equal(dither_gradient_scheme(&f->gradient, &schemes[0], &error), DITHER_OK);
}

static inline void fixture_scheme_set(gradient_fixture *f, const dither_scheme *scheme)
{
    dither_error error;
    assert_int_equal(dither_gradient_scheme(&f->gradient, scheme, &error), DITHER_OK);
}

static inline dither_batch_view fixture_view(const gradient_fixture *f, size_t sequence)
{
    return (dither_batch_view){
        .batch = 1, .seq = FIXTURE_SEQ, .ids = f->ids[sequence], .targets = f->targets[sequence]};
}

/* block = or += factor * gradient of the sequence's summed loss */
static inline void fixture_add(gradient_fixture *f, size_t sequence, uint32_t draw, float factor, bool fresh,
                               float *block)
{
    dither_error error;
    const dither_batch_view view = fixture_view(f, sequence);
    const dither_gradient_draw at = {draw, (uint32_t)sequence};
    assert_int_equal(dither_gradient_add(&f->gradient, &view, at, factor, fresh, block, NULL, &error), DITHER_OK);
}

#endif
