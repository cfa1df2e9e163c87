/*
 * Loss and every gradient of two small models against PyTorch in float64 (tools/golden_model.py), under the scheme f32.
 *
 * A gradient may be off by 1e-5 of its tensor's largest one. Sums here have at most 48 terms (twice ffn), so a product
 * is off by at most 48 * 2^-24 = 3e-6 of its sum of magnitudes, and by far less where errors have either sign.
 * PyTorch's own float32 is off by 1.2e-6 on these files, as the script prints. A lost factor or token: by percents.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "file/safetensors.h"
#include "model/network.h"
#include "model/weights.h"

enum { BATCH = 2, SEQ = 12, TOKENS = BATCH * SEQ };

static const double tolerance = 1e-5;

typedef struct golden {
    dither_safetensors *file;
    dither_network network;
    dither_arena arena, scratch;
    dither_context context;
    uint32_t ids[TOKENS], targets[TOKENS];
    float scale;     /* 1 / trained tokens */
    double loss;     /* PyTorch's mean */
    float *expected; /* PyTorch's gradients, laid out as the network's */
} golden;

static void load_tokens(const dither_safetensors *file, const char *name, uint32_t *tokens)
{
    const dither_safetensor *tensor = dither_safetensors_find(file, name);
    assert_non_null(tensor);
    assert_string_equal(tensor->dtype, "I32");
    assert_int_equal(tensor->bytes, TOKENS * sizeof *tokens);
    for (size_t i = 0; i < TOKENS; i++) {
        const unsigned char *b = tensor->data + 4 * i;
        tokens[i] = b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24; /* -1: UINT32_MAX */
    }
}

static double load_loss(const dither_safetensors *file)
{
    const dither_safetensor *tensor = dither_safetensors_find(file, "loss");
    assert_non_null(tensor);
    assert_string_equal(tensor->dtype, "F64");
    assert_int_equal(tensor->bytes, 8);
    uint64_t bits = 0;
    for (int i = 7; i >= 0; i--) {
        bits = bits << 8 | tensor->data[i];
    }
    double loss;
    memcpy(&loss, &bits, sizeof loss);
    assert_true(isfinite(loss) && loss > 1.0);
    return loss;
}

static void lay_out(golden *g, const dither_model_config *config, int threads)
{
    dither_scheme scheme;
    assert_int_equal(dither_scheme_parse("f32", &scheme, NULL), DITHER_OK);
    dither_arena dry = dither_arena_dry();
    assert_int_equal(dither_network_layout(&g->network, config, &scheme, true, BATCH, SEQ, &dry), DITHER_OK);
    dither_network_free(&g->network);
    assert_int_equal(dither_arena_open(&g->arena, dry.peak), DITHER_OK);
    assert_int_equal(dither_network_layout(&g->network, config, &scheme, true, BATCH, SEQ, &g->arena), DITHER_OK);
    assert_int_equal(dither_arena_open(&g->scratch, dither_network_scratch(&g->network, threads)), DITHER_OK);
    g->context = (dither_context){.scratch = &g->scratch, .seed = 1, .threads = threads};
}

static void open_golden(golden *g, const char *name, int threads)
{
    *g = (golden){0};
    char path[4096];
    dither_error error = {.text = ""};
    dither_model_config config;
    snprintf(path, sizeof path, "%s/%s", DITHER_TEST_DATA, name);
    if (dither_safetensors_open(&g->file, path, &error) != DITHER_OK) {
        fail_msg("%s: %s", path, error.text);
    }
    const char *shape = dither_safetensors_metadata(g->file, "config");
    assert_non_null(shape);
    assert_int_equal(dither_model_config_parse(shape, 0, &config, &error), DITHER_OK);
    lay_out(g, &config, threads);
    for (size_t i = 0; i < g->network.table_count; i++) {
        assert_non_null(dither_safetensors_find(g->file, g->network.table[i].name));
    }
    /* As many tensors as the table has, twice, the tokens and the loss: nothing of the file is left out. */
    assert_int_equal(dither_safetensors_count(g->file), 2 * g->network.table_count + 3);
    assert_int_equal(dither_weights_check(&g->network, g->file, "grad.", path, &error), DITHER_OK);
    dither_weights_load(&g->network, g->file, "", g->network.parameters);
    g->expected = calloc(g->network.elements, sizeof *g->expected);
    assert_non_null(g->expected);
    dither_weights_load(&g->network, g->file, "grad.", g->expected);
    load_tokens(g->file, "ids", g->ids);
    load_tokens(g->file, "targets", g->targets);
    size_t trained = 0;
    for (size_t i = 0; i < TOKENS; i++) {
        trained += g->targets[i] != UINT32_MAX;
    }
    g->scale = 1.0f / (float)trained;
    g->loss = load_loss(g->file);
}

static void close_golden(golden *g)
{
    dither_network_free(&g->network);
    dither_arena_close(&g->arena);
    dither_arena_close(&g->scratch);
    dither_safetensors_close(g->file);
    free(g->expected);
}

static void assert_loss(golden *g, dither_head_mode mode)
{
    dither_error error = {.text = ""};
    double loss = 0;
    assert_int_equal(dither_network_refresh(&g->network, &g->context, &error), DITHER_OK);
    const dither_batch_view batch = {.batch = BATCH, .seq = SEQ, .ids = g->ids, .targets = g->targets};
    const dither_status status = dither_network_loss(&g->network, &g->context, mode, &batch, g->scale, &loss, &error);
    assert_int_equal(status, DITHER_OK);
    const double mean = loss * (double)g->scale;
    if (!(fabs(mean - g->loss) <= tolerance * g->loss)) {
        fail_msg("the loss is %.9f, not %.9f", mean, g->loss);
    }
}

/* @param times  how often the gradients were added */
static void assert_gradients(const golden *g, double times)
{
    for (size_t i = 0; i < g->network.table_count; i++) {
        const dither_parameter *row = &g->network.table[i];
        double largest = 0, worst = 0;
        for (size_t k = row->offset; k < row->offset + row->rows * row->cols; k++) {
            const double expected = (double)g->expected[k];
            const double difference = fabs((double)g->network.gradients[k] / times - expected);
            largest = fmax(largest, fabs(expected));
            worst = difference <= worst ? worst : difference; /* NaN is kept */
        }
        if (!(largest > 0 && worst <= tolerance * largest)) {
            fail_msg("%s: its gradient is off by %g, %g of its largest", row->name, worst, worst / largest);
        }
    }
}

static void check(const char *name, int threads)
{
    golden g;
    open_golden(&g, name, threads);
    assert_loss(&g, DITHER_HEAD_EXACT);
    assert_loss(&g, DITHER_HEAD_FORWARD);
    assert_loss(&g, DITHER_HEAD_TRAIN);
    assert_gradients(&g, 1);
    assert_loss(&g, DITHER_HEAD_TRAIN);
    assert_gradients(&g, 2);
    close_golden(&g);
}

static void tied(void **state)
{
    (void)state;
    check("model_tied.safetensors", 1);
    check("model_tied.safetensors", 3);
}

static void untied_with_tokens_not_trained_on(void **state)
{
    (void)state;
    check("model_untied.safetensors", 1);
    check("model_untied.safetensors", 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tied),
        cmocka_unit_test(untied_with_tokens_not_trained_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
