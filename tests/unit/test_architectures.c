/*
 * Tiny models of every architecture against transformers (tools/golden_architectures.py): its folders are opened as
 * they are; logits, loss and every gradient agree to 1e-4 of the largest, the sums here having at most 160 terms in
 * f32, and theirs norms and angles in f32. A switch that is off, a wrong row, a lost bias: by percents.
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

enum { BATCH = 2, SEQ = 12, TOKENS = BATCH * SEQ, PATH = 4096 };

static const double tolerance = 1e-4;

static const char *const names[] = {"llama", "mistral", "qwen2", "qwen3", "gemma3", "gpt2"};
enum { NAMES = sizeof names / sizeof names[0] };

typedef struct golden {
    const char *name;
    dither_safetensors *expected;
    dither_network network;
    dither_arena arena, scratch;
    dither_context context;
} golden;

static const dither_safetensor *tensor_of(const golden *g, const char *prefix, const char *name, const char *dtype)
{
    char full[160];
    snprintf(full, sizeof full, "%s%s", prefix, name);
    const dither_safetensor *tensor = dither_safetensors_find(g->expected, full);
    if (!tensor)
        fail_msg("%s: no %s", g->name, full);
    assert_string_equal(tensor->dtype, dtype);
    return tensor;
}

static void load_numbers(const golden *g, const char *prefix, const char *name, uint32_t *numbers)
{
    const dither_safetensor *tensor = tensor_of(g, prefix, name, "I32");
    assert_int_equal(tensor->bytes, TOKENS * sizeof *numbers);
    memcpy(numbers, tensor->data, TOKENS * sizeof *numbers); /* -1: UINT32_MAX */
}

static void lay_out(golden *g, const dither_model_config *config, const char *scheme_text, int threads)
{
    dither_scheme scheme;
    assert_int_equal(dither_scheme_parse(scheme_text, &scheme, NULL), DITHER_OK);
    dither_arena dry = dither_arena_dry();
    assert_int_equal(dither_network_layout(&g->network, config, &scheme, true, BATCH, SEQ, &dry), DITHER_OK);
    dither_network_free(&g->network);
    assert_int_equal(dither_arena_open(&g->arena, dry.peak), DITHER_OK);
    assert_int_equal(dither_network_layout(&g->network, config, &scheme, true, BATCH, SEQ, &g->arena), DITHER_OK);
    assert_int_equal(dither_arena_open(&g->scratch, dither_network_scratch(&g->network, threads)), DITHER_OK);
    memset(g->scratch.base, 0xff, g->scratch.size); /* NaN: nothing may count on zeros */
    g->context = (dither_context){.scratch = &g->scratch, .seed = 1, .threads = threads, .fresh = true};
}

static void open_golden(golden *g, const char *name, const char *scheme, int threads)
{
    *g = (golden){.name = name};
    char folder[PATH], path[PATH + 32];
    dither_error error = {.text = ""};
    dither_model_config config;
    dither_safetensors *file = NULL;
    snprintf(folder, sizeof folder, "%s/architectures/%s", DITHER_TEST_DATA, name);
    snprintf(path, sizeof path, "%s/expected.safetensors", folder);
    if (dither_safetensors_open(&g->expected, path, &error) || dither_model_config_read(folder, &config, &error) ||
        dither_weights_open(&file, folder, path, PATH, &error))
        fail_msg("%s: %s", error.where, error.text);
    assert_string_equal(dither_architecture_name(config.architecture), name);
    lay_out(g, &config, scheme, threads);
    if (dither_weights_check(&g->network, file, NULL, path, &error))
        fail_msg("%s: %s", error.where, error.text);
    dither_weights_load(&g->network, file, NULL, g->network.parameters);
    dither_safetensors_close(file);
    assert_int_equal(dither_network_refresh(&g->network, &g->context, &error), DITHER_OK);
}

static void close_golden(golden *g)
{
    dither_network_free(&g->network);
    dither_arena_close(&g->arena);
    dither_arena_close(&g->scratch);
    dither_safetensors_close(g->expected);
}

/* Loss and gradients of the batch under `prefix`; a packed one has positions and firsts. @return the mean loss */
static double run_batch(golden *g, const char *prefix, dither_head_mode mode)
{
    uint32_t ids[TOKENS], targets[TOKENS], positions[TOKENS], first[TOKENS];
    dither_batch_view view = {.batch = BATCH, .seq = SEQ, .ids = ids, .targets = targets};
    load_numbers(g, prefix, "ids", ids);
    load_numbers(g, prefix, "targets", targets);
    if (*prefix) {
        load_numbers(g, prefix, "positions", positions);
        load_numbers(g, prefix, "first", first);
        view.positions = positions;
        view.first = first;
    }
    size_t trained = 0;
    for (size_t i = 0; i < TOKENS; i++)
        trained += targets[i] != UINT32_MAX;
    dither_error error = {.text = ""};
    double loss = 0;
    if (dither_network_loss(&g->network, &g->context, mode, &view, 1.0f / (float)trained, &loss, &error))
        fail_msg("%s: %s", g->name, error.text);
    assert_int_equal(g->scratch.used, 0);
    return loss / (double)trained;
}

static void assert_loss(golden *g, const char *prefix, dither_head_mode mode)
{
    double expected;
    memcpy(&expected, tensor_of(g, prefix, "loss", "F64")->data, sizeof expected);
    const double loss = run_batch(g, prefix, mode);
    if (!(fabs(loss - expected) <= tolerance * expected))
        fail_msg("%s: the %sloss is %.9f, not %.9f", g->name, prefix, loss, expected);
}

/* Element (i, j) of a parameter in the file's tensor, as table.h defines it. */
static size_t element_of(const dither_parameter *row, size_t i, size_t j)
{
    const dither_parameter_place *place = &row->hf;
    if (row->vector)
        return place->from + j;
    return place->transposed ? j * place->stacked + place->from + i : (place->from + i) * row->cols + j;
}

static void assert_gradients(const golden *g, const char *prefix, double within)
{
    for (size_t r = 0; r < g->network.table_count; r++) {
        const dither_parameter *row = &g->network.table[r];
        char name[DITHER_PARAMETER_NAME + 8];
        snprintf(name, sizeof name, "grad.%s", row->hf.name);
        const dither_safetensor *tensor = tensor_of(g, prefix, name, "F32");
        assert_int_equal(tensor->bytes, (row->vector ? 1 : row->cols) * row->hf.stacked * sizeof(float));
        double largest = 0, worst = 0;
        for (uint64_t k = 0; k < tensor->bytes / sizeof(float); k++) {
            float value;
            dither_safetensor_f32(tensor, k, 1, &value);
            largest = fmax(largest, fabs((double)value));
        }
        for (size_t i = 0; i < row->rows; i++)
            for (size_t j = 0; j < row->cols; j++) {
                float expected;
                dither_safetensor_f32(tensor, element_of(row, i, j), 1, &expected);
                const float value = g->network.gradients[row->offset + i * row->cols + j];
                const double difference = fabs((double)value - (double)expected);
                worst = difference <= worst ? worst : difference; /* NaN is kept */
            }
        if (!(largest > 0 && worst <= within * largest))
            fail_msg("%s: %s%s is off by %g, %g of its largest", g->name, prefix, row->name, worst, worst / largest);
    }
}

static void loss_and_gradients(void **state)
{
    (void)state;
    for (size_t n = 0; n < NAMES; n++)
        for (int threads = 1; threads <= 3; threads += 2) {
            golden g;
            open_golden(&g, names[n], "f32", threads);
            assert_loss(&g, "", DITHER_HEAD_EXACT);
            assert_loss(&g, "", DITHER_HEAD_FORWARD);
            for (size_t i = 0; i < g.network.elements; i++)
                g.network.gradients[i] = NAN; /* of a fresh step all are written */
            assert_loss(&g, "", DITHER_HEAD_TRAIN);
            assert_gradients(&g, "", tolerance);
            close_golden(&g);
        }
}

/*
 * What is kept in bf16, and quantized, comes back for every switch: the gradient points where it should. Its cosine
 * with theirs is above 0.99 in bf16 for all and above 0.9 in int8, where stochastic rounding of a few tokens is loud; a
 * gradient of something else is near 0.
 */
static void check_direction(const golden *g, const char *scheme, double least)
{
    for (size_t r = 0; r < g->network.table_count; r++) {
        const dither_parameter *row = &g->network.table[r];
        char name[DITHER_PARAMETER_NAME + 8];
        snprintf(name, sizeof name, "grad.%s", row->hf.name);
        const dither_safetensor *tensor = tensor_of(g, "", name, "F32");
        double product = 0, ours = 0, theirs = 0;
        for (size_t i = 0; i < row->rows; i++)
            for (size_t j = 0; j < row->cols; j++) {
                float expected;
                dither_safetensor_f32(tensor, element_of(row, i, j), 1, &expected);
                const double value = (double)g->network.gradients[row->offset + i * row->cols + j];
                product += value * (double)expected;
                ours += value * value;
                theirs += (double)expected * (double)expected;
            }
        /* The bias of keys moves all scores of a query alike: its gradient is rounding and nothing else. */
        const bool nothing = row->role == DITHER_PARAMETER_K_BIAS && g->network.config.learned_positions;
        if (!nothing && !(product >= least * sqrt(ours * theirs)))
            fail_msg("%s under %s: %s points elsewhere: %g", g->name, scheme, row->name,
                     product / sqrt(ours * theirs));
    }
}

static void low_bits_too(void **state)
{
    (void)state;
    static const struct {
        const char *scheme;
        double least;
    } schemes[] = {{"bf16", 0.99}, {"paper-int8", 0.9}, {"int8", 0.9}};
    for (size_t n = 0; n < NAMES; n++)
        for (size_t s = 0; s < sizeof schemes / sizeof *schemes; s++) {
            golden g;
            open_golden(&g, names[n], schemes[s].scheme, 2);
            run_batch(&g, "", DITHER_HEAD_TRAIN);
            check_direction(&g, schemes[s].scheme, schemes[s].least);
            float *first = malloc(g.network.elements * sizeof *first);
            assert_non_null(first);
            memcpy(first, g.network.gradients, g.network.elements * sizeof *first);
            g.context.threads = 1; /* scratch was counted for more */
            run_batch(&g, "", DITHER_HEAD_TRAIN);
            assert_memory_equal(first, g.network.gradients, g.network.elements * sizeof *first);
            free(first);
            close_golden(&g);
        }
}

static void documents_do_not_see_each_other(void **state)
{
    (void)state;
    golden g;
    open_golden(&g, "llama", "f32", 2);
    assert_loss(&g, "packed.", DITHER_HEAD_EXACT);
    assert_loss(&g, "packed.", DITHER_HEAD_TRAIN);
    assert_gradients(&g, "packed.", tolerance);
    close_golden(&g);
}

/* A document packed behind another has the loss that it has alone, under windows and learned positions too. */
static void packing_changes_nothing(void **state)
{
    (void)state;
    enum { FRONT = 5, BACK = SEQ - FRONT };
    for (size_t n = 0; n < NAMES; n++) {
        golden g;
        open_golden(&g, names[n], "f32", 2);
        uint32_t ids[TOKENS], targets[TOKENS], positions[SEQ], first[SEQ];
        load_numbers(&g, "", "ids", ids);
        load_numbers(&g, "", "targets", targets);
        for (uint32_t t = 0; t < SEQ; t++) {
            positions[t] = t < FRONT ? t : t - FRONT;
            first[t] = t < FRONT ? 0 : FRONT;
        }
        const dither_batch_view views[] = {
            {.batch = 1, .seq = SEQ, .ids = ids, .targets = targets, .positions = positions, .first = first},
            {.batch = 1, .seq = FRONT, .ids = ids, .targets = targets},
            {.batch = 1, .seq = BACK, .ids = ids + FRONT, .targets = targets + FRONT}};
        double loss[3];
        for (size_t i = 0; i < 3; i++)
            assert_int_equal(dither_network_loss(&g.network, &g.context, DITHER_HEAD_EXACT, &views[i], 1, &loss[i],
                                                 NULL), DITHER_OK);
        assert_true(fabs(loss[0] - loss[1] - loss[2]) <= 1e-5 * loss[0]);
        close_golden(&g);
    }
}

/* Every token's logits through the cache, `step` tokens at a time. */
static void check_logits(golden *g, size_t step)
{
    const dither_model_config *c = &g->network.config;
    const dither_safetensor *tensor = tensor_of(g, "", "logits", "F32");
    const size_t row = c->layers * c->ctx * c->kv_heads * c->head_dim;
    float *memory = calloc(2 * row + 2 * c->vocab, sizeof *memory);
    assert_non_null(memory);
    float *logits = memory + 2 * row, *expected = logits + c->vocab;
    uint32_t ids[TOKENS];
    load_numbers(g, "", "ids", ids);
    for (size_t b = 0; b < BATCH; b++) {
        dither_cache cache = {memory, memory + row, c->ctx};
        for (size_t t = 0, count; t < SEQ; t += count) {
            count = step < SEQ - t ? step : SEQ - t;
            assert_int_equal(dither_network_extend(&g->network, &g->context, true, &cache, t, count,
                                                   ids + b * SEQ + t, logits, NULL), DITHER_OK);
            dither_safetensor_f32(tensor, (b * SEQ + t + count - 1) * c->vocab, c->vocab, expected);
            double largest = 0, worst = 0;
            for (size_t v = 0; v < c->vocab; v++) {
                largest = fmax(largest, fabs((double)expected[v]));
                const double difference = fabs((double)logits[v] - (double)expected[v]);
                worst = difference <= worst ? worst : difference;
            }
            if (!(worst <= tolerance * largest))
                fail_msg("%s: logits of token %zu, %zu at a time, are off by %g", g->name, t + count - 1, step, worst);
        }
    }
    assert_int_equal(g->scratch.used, 0);
    free(memory);
}

static void logits_through_the_cache(void **state)
{
    (void)state;
    for (size_t n = 0; n < NAMES; n++) {
        golden g;
        open_golden(&g, names[n], "f32", 2);
        check_logits(&g, 1);
        check_logits(&g, 5);
        check_logits(&g, SEQ);
        close_golden(&g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loss_and_gradients),
        cmocka_unit_test(low_bits_too),
        cmocka_unit_test(documents_do_not_see_each_other),
        cmocka_unit_test(packing_changes_nothing),
        cmocka_unit_test(logits_through_the_cache),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
