#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "model/table.h"

static dither_model_config parsed(const char *text)
{
    dither_model_config config;
    dither_error error = {.text = ""};
    if (dither_model_config_parse(text, 256, &config, &error))
        fail_msg("%s: %s", text, error.text);
    return config;
}

/* What a shape prints is read as the same shape: a checkpoint has it so. */
static void what_is_printed_is_read(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "layers=4,heads=4,dim=128,ctx=64",
        "layers=4,heads=4,dim=128,ctx=64,qkv_bias=1,o_bias=1,mlp_bias=1,tied=0",
        "layers=4,heads=4,dim=128,ctx=64,rope_scaling=linear,rope_factor=2.5",
        "layers=4,heads=4,dim=128,ctx=64,rope_scaling=llama3,rope_factor=8,rope_low=1,rope_high=4,rope_original=8192",
        "arch=mistral,layers=4,heads=4,kv_heads=2,dim=128,ctx=64,window=16",
        "arch=qwen2,layers=4,heads=4,dim=128,ctx=64,window=16,window_from=2",
        "arch=qwen3,layers=4,heads=4,head_dim=64,dim=128,ctx=64,norm_eps=1e-06",
        "arch=gemma3,layers=4,heads=4,dim=128,ctx=64,attention_scalar=168,window_period=2,rope_local_base=500",
        "arch=gemma3,layers=4,heads=4,dim=128,ctx=64,window=0",
        "arch=gpt2,layers=4,heads=4,dim=128,ctx=64,attention_scalar=1",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        char first[DITHER_SHAPE_TEXT], second[DITHER_SHAPE_TEXT];
        const dither_model_config config = parsed(texts[i]);
        dither_shape_print(&config, first);
        const dither_model_config again = parsed(first);
        dither_shape_print(&again, second);
        assert_string_equal(first, second);
        assert_int_equal(config.architecture, again.architecture);
        assert_int_equal(dither_model_parameters(&config), dither_model_parameters(&again));
        for (size_t layer = 0; layer < config.layers; layer++)
            assert_int_equal(dither_model_windowed(&config, layer), dither_model_windowed(&again, layer));
        assert_true(config.attention_scalar == again.attention_scalar && config.rope_factor == again.rope_factor);
        assert_true(config.rope_local_base == again.rope_local_base && config.rope_original == again.rope_original);
    }
}

static void architectures_bring_their_switches(void **state)
{
    (void)state;
    const dither_model_config llama = parsed("layers=2,heads=2,dim=64,ctx=64");
    assert_int_equal(llama.architecture, DITHER_ARCHITECTURE_LLAMA);
    assert_true(!llama.qkv_bias && !llama.qk_norm && !llama.window && llama.norm == DITHER_NORM_RMS);
    const dither_model_config gemma = parsed("arch=gemma3,layers=7,heads=2,dim=64,ctx=64");
    assert_true(gemma.post_norms && gemma.qk_norm && gemma.scaled_embedding);
    for (size_t layer = 0; layer < 7; layer++)
        assert_int_equal(dither_model_windowed(&gemma, layer), layer != 5);
    const dither_model_config gpt2 = parsed("arch=gpt2,layers=2,heads=2,dim=64,ctx=16");
    assert_true(gpt2.ffn == 256 && gpt2.learned_positions && gpt2.norm == DITHER_NORM_LAYER && gpt2.mlp_bias);
    /* embedding, positions; of a layer: two norms, qkv, o, up, down with their biases; the last norm */
    const uint64_t layer = 4 * 64 + 3 * (64 * 64 + 64) + 64 * 64 + 64 + 64 * 256 + 256 + 256 * 64 + 64;
    assert_int_equal(dither_model_parameters(&gpt2), 256 * 64 + 16 * 64 + 2 * layer + 128);
}

static void what_cannot_be_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *named;
    } cases[] = {
        {"arch=falcon,layers=2,heads=2,dim=64,ctx=64", "falcon"},
        {"arch=qwen4,layers=2,heads=2,dim=64,ctx=64", "did you mean"},
        {"layers=2,arch=qwen2,heads=2,dim=64,ctx=64", "first"},
        {"arch=qwen2,layers=2,heads=2,dim=64,ctx=64,qkv_bias=0", "biases"},
        {"arch=mistral,layers=2,heads=2,dim=64,ctx=64,mlp_bias=1", "biases"},
        {"arch=gpt2,layers=2,heads=2,kv_heads=1,dim=64,ctx=64", "kv_heads"},
        {"arch=gpt2,layers=2,heads=2,dim=64,ctx=64,window=8", "learned"},
        {"layers=2,heads=2,dim=64,ctx=64,rope_scaling=yarn", "rope_scaling"},
        {"layers=2,heads=2,dim=64,ctx=64,rope_scaling=linear", "rope_factor"},
        {"layers=2,heads=2,dim=64,ctx=64,rope_scaling=llama3,rope_factor=8", "rope_low"},
        {"layers=2,heads=2,dim=64,ctx=64,attention_scalar=-1", "attention_scalar"},
        {"layers=2,heads=2,dim=64,ctx=64,rope_local_base=-1", "rope_local_base"},
        {"layers=2,heads=2,dim=64,ctx=64,window=8,window_period=1", "window_period"},
        {"layers=2,heads=2,dim=64,ctx=64,windows=8", "window"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dither_model_config config;
        dither_error error = {.text = ""};
        if (dither_model_config_parse(cases[i].text, 256, &config, &error) != DITHER_E_USAGE)
            fail_msg("accepted: %s", cases[i].text);
        if (!strstr(error.text, cases[i].named))
            fail_msg("%s: %s", cases[i].text, error.text);
    }
    /* Switches that an architecture does not have cannot be asked for by text, but by a program. */
    dither_model_config config = parsed("layers=2,heads=2,dim=64,ctx=64");
    config.qk_norm = true;
    assert_int_equal(dither_model_config_check(&config, NULL), DITHER_E_USAGE);
    config = parsed("arch=gpt2,layers=2,heads=2,dim=64,ctx=64");
    config.architecture = DITHER_ARCHITECTURES;
    assert_int_equal(dither_model_config_check(&config, NULL), DITHER_E_USAGE);
}

/* Names in files: what neighbours of a row must not be taken for, and those that begin otherwise. */
static void names_of_files(void **state)
{
    (void)state;
    char text[DITHER_PARAMETER_NAME];
    const dither_model_config gpt2 = parsed("arch=gpt2,layers=2,heads=2,dim=64,ctx=64");
    assert_string_equal(dither_table_hf_name(&gpt2, "h.1.attn.c_attn.weight", text),
                        "transformer.h.1.attn.c_attn.weight");
    assert_string_equal(dither_table_hf_name(&gpt2, "transformer.wte.weight", text), "transformer.wte.weight");
    assert_null(dither_table_hf_name(&gpt2, "h.1.attn.bias", text));
    assert_null(dither_table_hf_name(&gpt2, "transformer.h.1.attn.masked_bias", text));
    assert_null(dither_table_hf_name(&gpt2, "lm_head.weight", text));
    assert_non_null(dither_table_hf_name(&gpt2, "h.1.attn.c_attn.bias", text));
    const dither_model_config gemma = parsed("arch=gemma3,layers=2,heads=2,dim=64,ctx=64,tied=0");
    assert_string_equal(dither_table_hf_name(&gemma, "language_model.model.norm.weight", text), "model.norm.weight");
    assert_string_equal(dither_table_hf_name(&gemma, "model.language_model.norm.weight", text), "model.norm.weight");
    assert_string_equal(dither_table_hf_name(&gemma, "language_model.lm_head.weight", text), "lm_head.weight");
    assert_null(dither_table_hf_name(&gemma, "vision_tower.vision_model.embeddings.patch_embedding.weight", text));
    const dither_model_config llama = parsed("layers=2,heads=2,dim=64,ctx=64");
    assert_null(dither_table_hf_name(&llama, "model.layers.0.self_attn.rotary_emb.inv_freq", text));
    assert_string_equal(dither_table_hf_name(&llama, "vision_tower.x", text), "vision_tower.x");
}

/* Of every architecture: names are unique but for what is stacked, whose parts fill it without a gap. */
static void places_in_files(void **state)
{
    (void)state;
    for (int a = 0; a < DITHER_ARCHITECTURES; a++) {
        char shape[128];
        snprintf(shape, sizeof shape, "arch=%s,layers=2,heads=4,dim=64,ctx=32",
                 dither_architecture_name((dither_architecture)a));
        const dither_model_config config = parsed(shape);
        const size_t count = dither_table_count(&config);
        for (size_t i = 0; i < count; i++) {
            const dither_parameter row = dither_table_at(&config, i);
            const size_t length = row.vector ? row.cols : row.rows;
            size_t hf = 0, gguf = 0;
            for (size_t k = 0; k < count; k++) {
                const dither_parameter other = dither_table_at(&config, k);
                const size_t others = other.vector ? other.cols : other.rows;
                hf += strcmp(other.hf.name, row.hf.name) ? 0 : others;
                gguf += strcmp(other.gguf.name, row.gguf.name) ? 0 : others;
                assert_true(i == k || strcmp(other.name, row.name));
            }
            assert_int_equal(hf, row.hf.stacked);
            assert_int_equal(gguf, row.gguf.stacked);
            assert_true(row.hf.from + length <= row.hf.stacked && row.gguf.from + length <= row.gguf.stacked);
            assert_int_equal(row.hf.plus_one, a == DITHER_ARCHITECTURE_GEMMA3 && row.vector);
            assert_false(row.gguf.plus_one || row.gguf.transposed);
            const bool of_gpt2 = a == DITHER_ARCHITECTURE_GPT2;
            const bool in_layer = !row.vector && row.layer != DITHER_LAYER_NONE;
            assert_int_equal(row.hf.transposed, of_gpt2 && in_layer);
            const bool turned = a == DITHER_ARCHITECTURE_LLAMA || a == DITHER_ARCHITECTURE_MISTRAL;
            const bool q_or_k = row.role == DITHER_PARAMETER_Q || row.role == DITHER_PARAMETER_K;
            assert_int_equal(row.gguf.heads, turned && q_or_k ? 4 : 0);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_printed_is_read),
        cmocka_unit_test(architectures_bring_their_switches),
        cmocka_unit_test(what_cannot_be_is_refused),
        cmocka_unit_test(names_of_files),
        cmocka_unit_test(places_in_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
