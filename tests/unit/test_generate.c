/* A context read in any pieces, taken back and read on: the logits are those of its tokens, however they came. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dither/generate.h"

static const char *const names[] = {"llama", "mistral", "qwen2", "qwen3", "gemma3", "gpt2"};
enum { NAMES = sizeof names / sizeof names[0], TOKENS = 20 };

static dither_model *open_golden(const char *name, const char *scheme_text, int threads)
{
    dither_model *model;
    dither_error error;
    dither_scheme scheme;
    char folder[512];
    snprintf(folder, sizeof folder, "%s/architectures/%s", DITHER_TEST_DATA, name);
    if (scheme_text)
        assert_int_equal(dither_scheme_parse(scheme_text, &scheme, NULL), DITHER_OK);
    if (dither_model_open(&model, folder, scheme_text ? &scheme : NULL, threads, &error))
        fail_msg("%s: %s", error.where, error.text);
    return model;
}

static void make_ids(const dither_model *model, uint32_t *ids)
{
    for (size_t i = 0; i < TOKENS; i++)
        ids[i] = (uint32_t)((i * i * 7 + 3 * i + 1) % dither_model_config_get(model)->vocab);
}

/*
 * The same sums in another order, of a few hundred terms: 1e-5 of the largest logit is some tens of roundings. A key at
 * the wrong place changes them by percents.
 */
static void assert_logits(const dither_model *model, const float *logits, const float *expected, const char *what)
{
    double largest = 0, worst = 0;
    for (size_t i = 0; i < dither_model_config_get(model)->vocab; i++) {
        largest = fmax(largest, fabs((double)expected[i]));
        const double difference = fabs((double)logits[i] - (double)expected[i]);
        worst = difference <= worst ? worst : difference;
    }
    if (!(largest > 0 && worst <= 1e-5 * largest))
        fail_msg("%s: off by %g of %g", what, worst, largest);
}

static void any_pieces_give_the_same(void **state)
{
    (void)state;
    for (size_t n = 0; n < NAMES; n++) {
        dither_model *model = open_golden(names[n], NULL, 2);
        const size_t vocab = dither_model_config_get(model)->vocab;
        uint32_t ids[TOKENS];
        float *expected = calloc(vocab, sizeof *expected);
        assert_non_null(expected);
        make_ids(model, ids);
        dither_writer *whole, *parts;
        assert_int_equal(dither_writer_open(&whole, model, 0, NULL), DITHER_OK);
        assert_int_equal(dither_writer_read(whole, ids, TOKENS, NULL, NULL), DITHER_OK);
        for (size_t step = 1; step < TOKENS; step += 3) {
            size_t fresh = 0, all = 0;
            assert_int_equal(dither_writer_open(&parts, model, TOKENS, NULL), DITHER_OK);
            for (size_t t = step; t < TOKENS + step; t += step) {
                const size_t count = t < TOKENS ? t : TOKENS;
                assert_int_equal(dither_writer_read(parts, ids, count, &fresh, NULL), DITHER_OK);
                assert_int_equal(dither_writer_context(parts, NULL), count);
                all += fresh;
            }
            assert_int_equal(all, TOKENS); /* nothing was read twice */
            assert_logits(model, dither_writer_logits(parts), dither_writer_logits(whole), names[n]);
            dither_writer_close(parts);
        }
        free(expected);
        dither_writer_close(whole);
        dither_model_close(model);
    }
}

/* Taken back, and gone on otherwise: what is kept is what both begin with. */
static void a_context_can_be_taken_back(void **state)
{
    (void)state;
    dither_model *model = open_golden("llama", NULL, 2);
    dither_writer *w, *fresh_one;
    uint32_t ids[TOKENS], other[TOKENS];
    size_t fresh;
    make_ids(model, ids);
    memcpy(other, ids, sizeof ids);
    for (size_t i = 11; i < TOKENS; i++)
        other[i] = (ids[i] + 1) % 97;
    assert_int_equal(dither_writer_open(&w, model, 0, NULL), DITHER_OK);
    assert_int_equal(dither_writer_open(&fresh_one, model, 0, NULL), DITHER_OK);
    assert_int_equal(dither_writer_read(w, ids, TOKENS, &fresh, NULL), DITHER_OK);
    assert_int_equal(fresh, TOKENS);
    assert_int_equal(dither_writer_read(w, other, TOKENS, &fresh, NULL), DITHER_OK);
    assert_int_equal(fresh, TOKENS - 11);
    assert_int_equal(dither_writer_read(fresh_one, other, TOKENS, NULL, NULL), DITHER_OK);
    assert_logits(model, dither_writer_logits(w), dither_writer_logits(fresh_one), "another end");
    assert_int_equal(dither_writer_read(w, other, TOKENS, &fresh, NULL), DITHER_OK);
    assert_int_equal(fresh, 0);
    assert_int_equal(dither_writer_read(w, other, 5, &fresh, NULL), DITHER_OK);
    assert_int_equal(fresh, 1); /* the logits of an end inside are read again */
    dither_writer_close(fresh_one);
    assert_int_equal(dither_writer_open(&fresh_one, model, 0, NULL), DITHER_OK);
    assert_int_equal(dither_writer_read(fresh_one, other, 5, NULL, NULL), DITHER_OK);
    assert_logits(model, dither_writer_logits(w), dither_writer_logits(fresh_one), "an end inside");
    dither_writer_close(fresh_one);
    dither_writer_close(w);
    dither_model_close(model);
}

/* Written tokens are part of the context as read ones are. */
static void what_is_written_is_read(void **state)
{
    (void)state;
    const dither_sampling sampling = {.temperature = 1, .seed = 3};
    dither_model *model = open_golden("qwen3", NULL, 1);
    dither_writer *w, *again;
    uint32_t ids[TOKENS], id;
    const uint32_t *context;
    make_ids(model, ids);
    assert_int_equal(dither_writer_open(&w, model, 0, NULL), DITHER_OK);
    assert_int_equal(dither_writer_next(w, &sampling, &id, NULL), DITHER_E_USAGE); /* nothing to go on from */
    assert_int_equal(dither_writer_read(w, ids, 6, NULL, NULL), DITHER_OK);
    for (size_t i = 6; i < 12; i++)
        assert_int_equal(dither_writer_next(w, &sampling, &ids[i], NULL), DITHER_OK);
    assert_int_equal(dither_writer_context(w, &context), 12);
    assert_memory_equal(context, ids, 12 * sizeof *ids);
    assert_int_equal(dither_writer_open(&again, model, 0, NULL), DITHER_OK);
    assert_int_equal(dither_writer_read(again, ids, 11, NULL, NULL), DITHER_OK);
    assert_logits(model, dither_writer_logits(w), dither_writer_logits(again), "behind what was written");
    double sum = 0;
    dither_likely likely[97];
    assert_int_equal(dither_writer_likeliest(w, 97, likely), 97);
    for (size_t i = 0; i < 97; i++) {
        sum += exp(likely[i].logprob);
        assert_true(i == 0 || likely[i].logprob <= likely[i - 1].logprob);
        assert_true(fabs(dither_writer_logprob(w, likely[i].id) - likely[i].logprob) < 1e-12);
    }
    assert_true(fabs(sum - 1) < 1e-9);
    dither_writer_close(w);
    dither_writer_close(again);
    dither_model_close(model);
}

typedef struct collected {
    uint32_t ids[64];
    size_t count;
} collected;

static bool collect(void *context, uint32_t id)
{
    collected *c = context;
    c->ids[c->count++] = id;
    return true;
}

/* Longer than the context; any number of threads; a scheme: the same seed writes the same. */
static void texts_are_a_function_of_the_seed(void **state)
{
    (void)state;
    const char *const schemes[] = {NULL, "int8", "bf16"};
    uint32_t ids[TOKENS];
    for (size_t s = 0; s < 3; s++) {
        collected text[3] = {{.count = 0}};
        for (int run = 0; run < 3; run++) {
            const dither_sampling sampling = {.temperature = 1, .top_p = 0.9, .seed = run < 2 ? 8 : 9};
            dither_model *model = open_golden("llama", schemes[s], run == 1 ? 3 : 1);
            make_ids(model, ids);
            assert_int_equal(dither_model_generate(model, ids, TOKENS, 60, &sampling, collect, &text[run], NULL),
                             DITHER_OK);
            assert_int_equal(text[run].count, 60);
            dither_model_close(model);
        }
        assert_memory_equal(text[0].ids, text[1].ids, sizeof text[0].ids);
        assert_true(memcmp(text[0].ids, text[2].ids, sizeof text[0].ids) != 0);
    }
}

/* A full context goes on from its younger half. */
static void a_full_context_slides(void **state)
{
    (void)state;
    const dither_sampling greedy = {.temperature = 0};
    dither_model *model = open_golden("llama", NULL, 1);
    dither_writer *w, *half;
    uint32_t ids[TOKENS], id;
    const uint32_t *context;
    make_ids(model, ids);
    assert_int_equal(dither_writer_open(&w, model, 8, NULL), DITHER_OK);
    assert_int_equal(dither_writer_ctx(w), 8);
    assert_int_equal(dither_writer_read(w, ids, 8, NULL, NULL), DITHER_OK);
    assert_int_equal(dither_writer_next(w, &greedy, &id, NULL), DITHER_OK);
    assert_int_equal(dither_writer_context(w, &context), 5);
    assert_memory_equal(context, ids + 4, 4 * sizeof *ids);
    assert_int_equal(context[4], id);
    uint32_t younger[5];
    memcpy(younger, context, sizeof younger);
    assert_int_equal(dither_writer_next(w, &greedy, &id, NULL), DITHER_OK);
    assert_int_equal(dither_writer_open(&half, model, 8, NULL), DITHER_OK);
    assert_int_equal(dither_writer_read(half, younger, 5, NULL, NULL), DITHER_OK);
    assert_logits(model, dither_writer_logits(w), dither_writer_logits(half), "the younger half");
    dither_writer_close(w);
    dither_writer_close(half);
    dither_model_close(model);
}

static void mistakes_are_named(void **state)
{
    (void)state;
    dither_model *model = open_golden("gpt2", NULL, 1);
    dither_writer *w;
    dither_error error;
    const size_t ctx = dither_model_config_get(model)->ctx;
    uint32_t ids[TOKENS];
    make_ids(model, ids);
    assert_int_equal(dither_writer_open(&w, model, ctx + 1, &error), DITHER_E_USAGE);
    assert_null(w);
    assert_int_equal(dither_writer_open(&w, model, 4, &error), DITHER_OK);
    assert_int_equal(dither_writer_read(w, ids, 5, NULL, &error), DITHER_E_USAGE);
    assert_int_equal(dither_writer_read(w, ids, 0, NULL, &error), DITHER_E_USAGE);
    ids[1] = (uint32_t)dither_model_config_get(model)->vocab;
    assert_int_equal(dither_writer_read(w, ids, 3, NULL, &error), DITHER_E_USAGE);
    assert_non_null(strstr(error.text, "vocabulary"));
    dither_writer_close(w);
    dither_model_close(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_pieces_give_the_same),
        cmocka_unit_test(a_context_can_be_taken_back),
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(texts_are_a_function_of_the_seed),
        cmocka_unit_test(a_full_context_slides),
        cmocka_unit_test(mistakes_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
