#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "file/config.h"
#include "temporary.h"

static const dither_model_config small = {.layers = 4, .heads = 6, .kv_heads = 3, .head_dim = 20, .dim = 128,
                                          .ffn = 352, .vocab = 256, .ctx = 64, .rope_base = 10000,
                                          .norm_eps = 1e-5, .tied = true};

static void expect_equal(const dither_model_config *a, const dither_model_config *b)
{
    assert_int_equal(a->layers, b->layers);
    assert_int_equal(a->heads, b->heads);
    assert_int_equal(a->kv_heads, b->kv_heads);
    assert_int_equal(a->head_dim, b->head_dim);
    assert_int_equal(a->dim, b->dim);
    assert_int_equal(a->ffn, b->ffn);
    assert_int_equal(a->vocab, b->vocab);
    assert_int_equal(a->ctx, b->ctx);
    assert_true(a->rope_base == b->rope_base);
    assert_true(a->norm_eps == b->norm_eps);
    assert_int_equal(a->tied, b->tied);
    assert_int_equal(a->architecture, b->architecture);
    assert_int_equal(a->norm, b->norm);
    assert_int_equal(a->activation, b->activation);
    assert_int_equal(a->post_norms, b->post_norms);
    assert_int_equal(a->qk_norm, b->qk_norm);
    assert_int_equal(a->scaled_embedding, b->scaled_embedding);
    assert_int_equal(a->learned_positions, b->learned_positions);
    assert_int_equal(a->qkv_bias, b->qkv_bias);
    assert_int_equal(a->o_bias, b->o_bias);
    assert_int_equal(a->mlp_bias, b->mlp_bias);
    assert_true(a->attention_scalar == b->attention_scalar);
    assert_int_equal(a->rope_scaling, b->rope_scaling);
    assert_true(a->rope_factor == b->rope_factor);
    assert_true(a->rope_low == b->rope_low && a->rope_high == b->rope_high);
    assert_int_equal(a->rope_original, b->rope_original);
    assert_true(a->rope_local_base == b->rope_local_base);
    assert_int_equal(a->window, b->window);
    assert_int_equal(a->window_from, b->window_from);
    assert_int_equal(a->window_period, b->window_period);
}

static dither_status read_text(const char *text, dither_model_config *config, dither_error *error)
{
    temporary_write(temporary_path(temporary_folder, "config.json"), text, strlen(text));
    return dither_config_read(temporary_folder, config, error);
}

#define SIZES                                                                                                          \
    "\"hidden_size\": 64, \"intermediate_size\": 96, \"num_hidden_layers\": 2, \"num_attention_heads\": 4,"            \
    "\"vocab_size\": 256, \"max_position_embeddings\": 32"

static void what_is_written_is_read(void **state)
{
    (void)state;
    static const double numbers[] = {1e-5, 1e-6, 0.1, 1.0 / 3, 1e-300, 5e5, 1e300, 10000, 123456789.0,
                                     9.999999999999999};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        dither_model_config config = small, again;
        config.norm_eps = numbers[i];
        config.rope_base = numbers[sizeof numbers / sizeof *numbers - 1 - i];
        config.tied = i % 2 == 0;
        assert_int_equal(dither_config_write(temporary_folder, &config, "float32", NULL, NULL), DITHER_OK);
        assert_int_equal(dither_config_read(temporary_folder, &again, NULL), DITHER_OK);
        expect_equal(&config, &again);
    }
}

static void the_dtype_is_named(void **state)
{
    (void)state;
    for (int bf16 = 0; bf16 < 2; bf16++) {
        const char *type = bf16 ? "bfloat16" : "float32";
        assert_int_equal(dither_config_write(temporary_folder, &small, type, NULL, NULL), DITHER_OK);
        size_t size;
        char *text = (char *)temporary_read(temporary_path(temporary_folder, "config.json"), &size);
        text[size] = '\0';
        assert_non_null(strstr(text, bf16 ? "\"torch_dtype\": \"bfloat16\"" : "\"torch_dtype\": \"float32\""));
        assert_non_null(strstr(text, "\"rope_theta\": 10000.0"));
        free(text);
    }
}

static void absent_keys_have_the_defaults_of_transformers(void **state)
{
    (void)state;
    static const dither_model_config expected = {.layers = 2, .heads = 4, .kv_heads = 4, .head_dim = 16, .dim = 64,
                                                 .ffn = 96, .vocab = 256, .ctx = 32, .rope_base = 10000,
                                                 .norm_eps = 1e-6, .tied = false};
    dither_model_config config;
    assert_int_equal(read_text("{\"model_type\": \"llama\", " SIZES "}", &config, NULL), DITHER_OK);
    expect_equal(&config, &expected);
    assert_int_equal(read_text("{\"model_type\": \"llama\", \"head_dim\": null, \"rope_scaling\": null,"
                               "\"use_cache\": true, \"pretraining_tp\": 1, \"whatever\": [1], " SIZES "}",
                               &config, NULL), DITHER_OK);
    expect_equal(&config, &expected);
    assert_int_equal(read_text("{\"model_type\": \"llama\", \"rope_parameters\": {\"rope_type\": \"default\","
                               "\"rope_theta\": 500000.0}, " SIZES "}", &config, NULL), DITHER_OK);
    assert_true(config.rope_base == 500000);
}

#define GPT2_SIZES "\"n_embd\": 64, \"n_layer\": 2, \"n_head\": 4, \"vocab_size\": 256, \"n_positions\": 32"

/* Texts of config.json, and what they mean. */
static void architectures_are_read(void **state)
{
    (void)state;
#define SHAPE(kv_heads_of_it, head_dim_of_it)                                                                          \
    .layers = 2, .heads = 4, .kv_heads = kv_heads_of_it, .head_dim = head_dim_of_it, .dim = 64, .ffn = 96,             \
    .vocab = 256, .ctx = 32, .norm_eps = 1e-6
#define BASE .rope_base = 1e4
#define GEMMA                                                                                                          \
    .architecture = DITHER_ARCHITECTURE_GEMMA3, .activation = DITHER_ACTIVATION_GELU_GATE, .post_norms = true,         \
    .qk_norm = true, .scaled_embedding = true
#define GPT2                                                                                                           \
    .architecture = DITHER_ARCHITECTURE_GPT2, .activation = DITHER_ACTIVATION_GELU, .norm = DITHER_NORM_LAYER,         \
    .learned_positions = true, .qkv_bias = true, .o_bias = true, .mlp_bias = true, .layers = 2, .heads = 4,            \
    .kv_heads = 4, .head_dim = 16, .dim = 64, .vocab = 256, .ctx = 32, .rope_base = 1e4, .norm_eps = 1e-5, .tied = true
    static const struct {
        const char *text;
        dither_model_config config;
    } cases[] = {
        {"{\"model_type\": \"llama\", \"attention_bias\": true, \"mlp_bias\": true, \"rope_scaling\": {\"rope_type\":"
         "\"llama3\", \"factor\": 32.0, \"low_freq_factor\": 1.0, \"high_freq_factor\": 4.0,"
         "\"original_max_position_embeddings\": 8192}, \"is_llama_config\": true, \"rope_interleaved\": false, "
         SIZES "}",
         {SHAPE(4, 16), BASE, .qkv_bias = true, .o_bias = true, .mlp_bias = true,
          .rope_scaling = DITHER_ROPE_SCALING_LLAMA3, .rope_factor = 32, .rope_low = 1, .rope_high = 4,
          .rope_original = 8192}},
        {"{\"model_type\": \"llama\", \"rope_scaling\": {\"type\": \"linear\", \"factor\": 2.0}, " SIZES "}",
         {SHAPE(4, 16), BASE, .rope_scaling = DITHER_ROPE_SCALING_LINEAR, .rope_factor = 2}},
        {"{\"model_type\": \"mistral\", \"num_key_value_heads\": 2, " SIZES "}",
         {SHAPE(2, 16), BASE, .architecture = DITHER_ARCHITECTURE_MISTRAL, .window = 4096}},
        {"{\"model_type\": \"mistral\", \"num_key_value_heads\": null, \"sliding_window\": null, " SIZES "}",
         {SHAPE(4, 16), BASE, .architecture = DITHER_ARCHITECTURE_MISTRAL}},
        {"{\"model_type\": \"mistral\", " SIZES "}", /* which transformers takes for 8 */
         {SHAPE(8, 16), BASE, .architecture = DITHER_ARCHITECTURE_MISTRAL, .window = 4096}},
        {"{\"model_type\": \"qwen2\", \"num_key_value_heads\": 4, \"sliding_window\": 7, \"max_window_layers\": 1,"
         "\"use_mrope\": false, " SIZES "}",
         {SHAPE(4, 16), BASE, .architecture = DITHER_ARCHITECTURE_QWEN2, .qkv_bias = true}},
        {"{\"model_type\": \"qwen2\", \"num_key_value_heads\": 4, \"sliding_window\": 7, \"max_window_layers\": 1,"
         "\"use_sliding_window\": true, " SIZES "}",
         {SHAPE(4, 16), BASE, .architecture = DITHER_ARCHITECTURE_QWEN2, .qkv_bias = true, .window = 7,
          .window_from = 1}},
        {"{\"model_type\": \"qwen2\", \"num_key_value_heads\": 4, \"sliding_window\": 7, \"max_window_layers\": 99,"
         "\"use_sliding_window\": true, " SIZES "}", /* through which no layer looks */
         {SHAPE(4, 16), BASE, .architecture = DITHER_ARCHITECTURE_QWEN2, .qkv_bias = true}},
        {"{\"model_type\": \"qwen3\", \"num_key_value_heads\": 4, \"attention_bias\": true, " SIZES "}",
         {SHAPE(4, 128), BASE, .architecture = DITHER_ARCHITECTURE_QWEN3, .qk_norm = true, .qkv_bias = true,
          .o_bias = true}},
        {"{\"model_type\": \"gemma3_text\", \"head_dim\": 16, \"num_key_value_heads\": 4, \"sliding_window\": 512,"
         "\"query_pre_attn_scalar\": 16, \"cache_implementation\": \"hybrid\", " SIZES "}",
         {SHAPE(4, 16), GEMMA, .rope_base = 1e6, .rope_local_base = 1e4, .tied = true, .window = 512,
          .window_period = 6}},
        {"{\"model_type\": \"gemma3\", \"vision_config\": {\"hidden_size\": 9}, \"mm_tokens_per_image\": 256,"
         "\"text_config\": {\"model_type\": \"gemma3_text\", \"hidden_size\": 2560, \"intermediate_size\": 10240,"
         "\"num_hidden_layers\": 3, \"rope_scaling\": {\"factor\": 8.0, \"rope_type\": \"linear\"},"
         "\"rope_local_base_freq\": 20000, \"layer_types\": [\"sliding_attention\", \"sliding_attention\","
         "\"full_attention\"], \"query_pre_attn_scalar\": 168, \"sliding_window\": 1024}}",
         {GEMMA, .layers = 3, .heads = 8, .kv_heads = 4, .head_dim = 256, .dim = 2560, .ffn = 10240, .vocab = 262208,
          .ctx = 131072, .norm_eps = 1e-6, .rope_base = 1e6, .rope_local_base = 2e4, .tied = true,
          .rope_scaling = DITHER_ROPE_SCALING_LINEAR, .rope_factor = 8, .window = 1024, .window_period = 3,
          .attention_scalar = 168}},
        {"{\"model_type\": \"gpt2\", \"activation_function\": \"gelu_new\", \"n_ctx\": 32, \"resid_pdrop\": 0.1,"
         "\"task_specific_params\": {\"text-generation\": {\"max_length\": 50}}, " GPT2_SIZES "}",
         {GPT2, .ffn = 256}},
        {"{\"model_type\": \"gpt2\", \"scale_attn_weights\": false, \"n_inner\": 100, " GPT2_SIZES "}",
         {GPT2, .ffn = 100, .attention_scalar = 1}},
    };
#undef SHAPE
#undef BASE
#undef GEMMA
#undef GPT2
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dither_model_config config;
        dither_error error;
        if (read_text(cases[i].text, &config, &error) != DITHER_OK)
            fail_msg("case %zu: %s", i, error.text);
        expect_equal(&config, &cases[i].config);
        const bool impossible = config.heads % config.kv_heads != 0;
        assert_int_equal(dither_model_config_check(&config, NULL), impossible ? DITHER_E_USAGE : DITHER_OK);
    }
}

static void expect_refused(const char *model_type, const char *key, const char *pair, const char *sizes)
{
    char text[1024];
    snprintf(text, sizeof text, "{\"model_type\": \"%s\", %s, %s}", model_type, pair, sizes);
    dither_model_config config;
    dither_error error;
    if (read_text(text, &config, &error) != DITHER_E_FORMAT)
        fail_msg("accepted: %s", text);
    assert_string_equal(error.where, temporary_path(temporary_folder, "config.json"));
    if (strstr(error.text, key) == NULL)
        fail_msg("%s is not named in: %s", key, error.text);
}

static void what_changes_the_result_is_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *model_type, *key, *text;
    } cases[] = {
        {"llama", "hidden_act", "\"hidden_act\": \"gelu\""},
        {"llama", "rope_scaling", "\"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": 8.0}"},
        {"llama", "rope_scaling", "\"rope_scaling\": {\"type\": \"dynamic\", \"factor\": 2.0}"},
        {"llama", "beta_fast", "\"rope_scaling\": {\"type\": \"linear\", \"factor\": 2.0, \"beta_fast\": 32}"},
        {"llama", "factor", "\"rope_scaling\": {\"type\": \"linear\"}"},
        {"llama", "low_freq_factor", "\"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8.0}"},
        {"llama", "rope_type", "\"rope_scaling\": {\"rope_type\": 3}"},
        {"llama", "rope_scaling", "\"rope_scaling\": 3"},
        {"llama", "rope_parameters", "\"rope_parameters\": {\"rope_type\": \"longrope\"}"},
        {"llama", "full_attention", "\"rope_parameters\": {\"full_attention\": {\"rope_type\": \"default\"}}"},
        {"llama", "sliding_window", "\"sliding_window\": 4096"},
        {"llama", "layer_types", "\"layer_types\": [\"full_attention\", \"full_attention\"]"},
        {"llama", "pretraining_tp", "\"pretraining_tp\": 2"},
        {"llama", "quantization_config", "\"quantization_config\": {\"bits\": 4}"},
        {"llama", "partial_rotary_factor", "\"partial_rotary_factor\": 0.5"},
        {"llama", "auto_map", "\"auto_map\": {\"AutoModel\": \"modeling_mine.Mine\"}"},
        {"llama", "is_encoder_decoder", "\"is_encoder_decoder\": true"},
        {"llama", "rope_interleaved", "\"rope_interleaved\": true"},
        {"llama", "use_qk_norm", "\"use_qk_norm\": true"},
        {"llama", "residual_multiplier", "\"residual_multiplier\": 0.22"},
        {"llama", "num_local_experts", "\"num_local_experts\": 8"},
        {"llama", "final_logit_softcapping", "\"final_logit_softcapping\": 30.0"},
        {"llama", "pruned_heads", "\"pruned_heads\": {\"1\": [0]}"},
        {"llama", "rope_theta", "\"rope_theta\": 0"},
        {"llama", "rope_theta", "\"rope_theta\": 1e999"},
        {"llama", "rms_norm_eps", "\"rms_norm_eps\": -1e-5"},
        {"llama", "rms_norm_eps", "\"rms_norm_eps\": \"1e-5\""},
        {"llama", "tie_word_embeddings", "\"tie_word_embeddings\": 1"},
        {"llama", "num_key_value_heads", "\"num_key_value_heads\": 0"},
        {"llama", "num_key_value_heads", "\"num_key_value_heads\": 4294967296"},
        {"llama", "head_dim", "\"head_dim\": 1.5"},
        {"llama", "attention_bias", "\"attention_bias\": \"yes\""},
        {"mistral", "attention_bias", "\"attention_bias\": true"},
        {"mistral", "sliding_window", "\"sliding_window\": 0"},
        {"qwen2", "mlp_bias", "\"mlp_bias\": true"},
        {"qwen2", "layer_types", "\"layer_types\": [\"full_attention\"]"},
        {"qwen2", "layer_types", "\"layer_types\": [\"full_attention\", \"linear_attention\"]"},
        {"qwen2", "layer_types", "\"layer_types\": \"full_attention\""},
        {"qwen3", "sliding_window", "\"layer_types\": [\"full_attention\", \"sliding_attention\"]"},
        {"qwen3", "hidden_act", "\"hidden_act\": \"relu\""},
        {"gemma3_text", "hidden_activation", "\"hidden_activation\": \"gelu\""},
        {"gemma3_text", "attn_logit_softcapping", "\"attn_logit_softcapping\": 50.0"},
        {"gemma3_text", "final_logit_softcapping", "\"final_logit_softcapping\": 30.0"},
        {"gemma3_text", "use_bidirectional_attention", "\"use_bidirectional_attention\": true"},
        {"gemma3_text", "query_pre_attn_scalar", "\"query_pre_attn_scalar\": 0"},
        {"gemma3_text", "sliding_window_pattern", "\"sliding_window_pattern\": 0"},
        {"gemma3_text", "rope_local_base_freq", "\"rope_local_base_freq\": 0"},
        {"gemma3_text", "sliding_attention",
         "\"rope_parameters\": {\"sliding_attention\": {\"rope_type\": \"linear\", \"factor\": 2}}"},
        {"gemma3_text", "rope_parameters", "\"rope_parameters\": {\"full_attention\": {}, \"rope_theta\": 3}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_refused(cases[i].model_type, cases[i].key, cases[i].text, SIZES);
    static const struct {
        const char *key, *text;
    } gpt2[] = {
        {"activation_function", "\"activation_function\": \"gelu\""},
        {"scale_attn_by_inverse_layer_idx", "\"scale_attn_by_inverse_layer_idx\": true"},
        {"reorder_and_upcast_attn", "\"reorder_and_upcast_attn\": true"},
        {"add_cross_attention", "\"add_cross_attention\": true"},
        {"hidden_size", "\"hidden_size\": 64"},
        {"rope_theta", "\"rope_theta\": 1e4"},
        {"layer_norm_epsilon", "\"layer_norm_epsilon\": -1"},
        {"n_inner", "\"n_inner\": 0"},
    };
    for (size_t i = 0; i < sizeof gpt2 / sizeof *gpt2; i++)
        expect_refused("gpt2", gpt2[i].key, gpt2[i].text, GPT2_SIZES);
    expect_refused("gemma3", "text_config", "\"text_config\": 3", SIZES);
    expect_refused("gemma3", "hidden_size", "\"text_config\": {}", SIZES);
    expect_refused("gemma3", "quantization_config", "\"text_config\": {}", "\"quantization_config\": {\"bits\": 8}");
    expect_refused("gemma3", "model_type", "\"text_config\": {\"model_type\": \"gemma2\"}", "\"n\": 1");
    expect_refused("gemma3", "layer_types", "\"text_config\": {\"num_hidden_layers\": 4, \"layer_types\": ["
                   "\"sliding_attention\", \"full_attention\", \"full_attention\", \"sliding_attention\"]}",
                   "\"n\": 1");
    expect_refused("gemma3", "mlp_bias", "\"text_config\": {\"mlp_bias\": true}", "\"n\": 1");
}

static void other_files_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "", "x", "[]", "3", "{}", "{\"model_type\": \"llama\"}", "{" SIZES "}", "{\"model_type\": 3, " SIZES "}",
        "{\"model_type\": \"gpt2\", " SIZES "}",
        "{\"model_type\": \"llama\", \"hidden_size\": 63, \"intermediate_size\": 9, \"num_hidden_layers\": 1,"
        "\"num_attention_heads\": 4, \"vocab_size\": 2, \"max_position_embeddings\": 1}",
        "{\"model_type\": \"llama\", \"model_type\": \"llama\", " SIZES "}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        dither_model_config config;
        dither_error error;
        if (read_text(bad[i], &config, &error) != DITHER_E_FORMAT)
            fail_msg("accepted: %s", bad[i]);
    }
    assert_int_equal(unlink(temporary_path(temporary_folder, "config.json")), 0);
    dither_model_config config;
    assert_int_equal(dither_config_read(temporary_folder, &config, NULL), DITHER_E_IO);
    const char *none = temporary_path(temporary_folder, "none");
    assert_int_equal(dither_config_write(none, &small, "float32", NULL, NULL), DITHER_E_IO);
}

static void every_prefix_is_refused(void **state)
{
    (void)state;
    const char *path = temporary_path(temporary_folder, "config.json");
    assert_int_equal(dither_config_write(temporary_folder, &small, "float32", NULL, NULL), DITHER_OK);
    size_t size;
    unsigned char *bytes = temporary_read(path, &size);
    for (size_t cut = 0; cut < size - 2; cut++) { /* the last two bytes are } and a line's end */
        temporary_write(path, bytes, cut);
        dither_model_config config;
        assert_int_equal(dither_config_read(temporary_folder, &config, NULL), DITHER_E_FORMAT);
    }
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(the_dtype_is_named),
        cmocka_unit_test(absent_keys_have_the_defaults_of_transformers),
        cmocka_unit_test(architectures_are_read),
        cmocka_unit_test(what_changes_the_result_is_refused_by_name),
        cmocka_unit_test(other_files_are_refused),
        cmocka_unit_test(every_prefix_is_refused),
    };
    return cmocka_run_group_tests(tests, temporary_setup, temporary_teardown);
}
