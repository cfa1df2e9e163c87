#include "file/config_gguf.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "temporary.h"

/* A key of a file: a number, a real, or a text. */
typedef struct entry {
    const char *key;
    uint32_t number;
    float real;
    const char *text;
} entry;

enum { DIM = 64, VOCAB = 11, ENTRIES = 24 };

typedef struct file_text {
    const char *architecture;
    entry entries[ENTRIES];
    const char *tensors[8]; /* [DIM], beside the embedding */
} file_text;

/* @param factors  [pairs] rope_freqs.weight; NULL: there is none */
static const char *put_file(const file_text *text, const float *factors, size_t pairs)
{
    const char *path = temporary_path(temporary_folder, "model.gguf");
    dither_gguf_writer *writer = NULL;
    static const float zeros[VOCAB * DIM];
    assert_int_equal(dither_gguf_writer_open(&writer, path, NULL), DITHER_OK);
    dither_gguf_writer_string(writer, "general.architecture", text->architecture, strlen(text->architecture));
    dither_gguf_writer_string(writer, "general.name", "rope", 4);
    dither_gguf_writer_u32(writer, "tokenizer.ggml.bos_token_id", 1);
    for (const entry *e = text->entries; e->key; e++) {
        char full[128];
        snprintf(full, sizeof full, "%s.%s", text->architecture, e->key);
        if (e->text)
            dither_gguf_writer_string(writer, full, e->text, strlen(e->text));
        else if (e->real != 0)
            dither_gguf_writer_f32(writer, full, e->real);
        else
            dither_gguf_writer_u32(writer, full, e->number);
    }
    const uint64_t matrix[] = {DIM, VOCAB}, vector[] = {DIM}, factor_shape[] = {pairs};
    dither_gguf_writer_tensor(writer, "token_embd.weight", DITHER_BLOCK_F32, 2, matrix);
    for (size_t i = 0; text->tensors[i]; i++)
        dither_gguf_writer_tensor(writer, text->tensors[i], DITHER_BLOCK_F32, 1, vector);
    if (factors)
        dither_gguf_writer_tensor(writer, "rope_freqs.weight", DITHER_BLOCK_F32, 1, factor_shape);
    assert_int_equal(dither_gguf_writer_data(writer, zeros, sizeof zeros, NULL), DITHER_OK);
    for (size_t i = 0; text->tensors[i]; i++)
        assert_int_equal(dither_gguf_writer_data(writer, zeros, DIM * sizeof(float), NULL), DITHER_OK);
    if (factors)
        assert_int_equal(dither_gguf_writer_data(writer, factors, pairs * sizeof(float), NULL), DITHER_OK);
    assert_int_equal(dither_gguf_writer_commit(writer, NULL), DITHER_OK);
    return path;
}

static dither_status read_file(const file_text *text, const float *factors, size_t pairs, dither_model_config *config,
                               dither_error *error)
{
    dither_gguf *file = NULL;
    assert_int_equal(dither_gguf_open(&file, put_file(text, factors, pairs), error), DITHER_OK);
    const dither_status status = dither_config_from_gguf(file, config, error);
    dither_gguf_close(file);
    return status;
}

#define SIZES                                                                                                          \
    {"block_count", .number = 2}, {"attention.head_count", .number = 4}, {"embedding_length", .number = DIM},          \
        {"feed_forward_length", .number = 96}, {"context_length", .number = 32}
#define RMS {"attention.layer_norm_rms_epsilon", .real = 1e-6f}
#define SHAPE                                                                                                          \
    .layers = 2, .heads = 4, .head_dim = 16, .dim = DIM, .ffn = 96, .vocab = VOCAB, .ctx = 32,                         \
    .norm_eps = 1e-6 /* as written, whatever f32 makes of it */

static const struct {
    file_text file;
    dither_model_config config;
} cases[] = {
    {{"llama", {SIZES, RMS}, {NULL}}, {SHAPE, .kv_heads = 4, .rope_base = 1e4, .tied = true}},
    {{"llama",
      {SIZES, RMS, {"attention.head_count_kv", .number = 2}, {"vocab_size", .number = VOCAB},
       {"rope.dimension_count", .number = 16}, {"rope.freq_base", .real = 5e5f}, {"expert_count", .number = 0},
       {"rope.scaling.type", .text = "linear"}, {"rope.scaling.factor", .real = 4}},
      {"output.weight", "blk.0.attn_q.bias", "blk.0.attn_output.bias", "blk.0.ffn_up.bias"}},
     {SHAPE, .kv_heads = 2, .rope_base = 5e5, .qkv_bias = true, .o_bias = true, .mlp_bias = true,
      .rope_scaling = DITHER_ROPE_SCALING_LINEAR, .rope_factor = 4}},
    {{"llama", {SIZES, RMS, {"attention.sliding_window", .number = 8}}, {NULL}},
     {SHAPE, .kv_heads = 4, .rope_base = 1e4, .tied = true, .architecture = DITHER_ARCHITECTURE_MISTRAL, .window = 8}},
    {{"qwen2", {SIZES, RMS, {"attention.sliding_window", .number = 32}}, {NULL}},
     {SHAPE, .kv_heads = 4, .rope_base = 1e4, .tied = true, .architecture = DITHER_ARCHITECTURE_QWEN2,
      .qkv_bias = true}},
    {{"qwen3", {SIZES, RMS, {"attention.key_length", .number = 16}, {"attention.value_length", .number = 16}}, {NULL}},
     {SHAPE, .kv_heads = 4, .rope_base = 1e4, .tied = true, .architecture = DITHER_ARCHITECTURE_QWEN3,
      .qk_norm = true}},
    {{"gemma3",
      {SIZES, RMS, {"attention.sliding_window", .number = 8}, {"rope.freq_base", .real = 1e6f},
       {"rope.freq_base_swa", .real = 2e4f}},
      {NULL}},
     {SHAPE, .kv_heads = 4, .rope_base = 1e6, .rope_local_base = 2e4, .tied = true,
      .architecture = DITHER_ARCHITECTURE_GEMMA3, .activation = DITHER_ACTIVATION_GELU_GATE, .post_norms = true,
      .qk_norm = true, .scaled_embedding = true, .window = 8, .window_period = 6}},
    {{"gpt2", {SIZES, {"attention.layer_norm_epsilon", .real = 1e-6f}}, {NULL}},
     {SHAPE, .kv_heads = 4, .rope_base = 1e4, .tied = true, .architecture = DITHER_ARCHITECTURE_GPT2,
      .norm = DITHER_NORM_LAYER, .activation = DITHER_ACTIVATION_GELU, .learned_positions = true, .qkv_bias = true,
      .o_bias = true, .mlp_bias = true}},
};

static void expect_equal(const dither_model_config *a, const dither_model_config *b)
{
    assert_true(a->layers == b->layers && a->heads == b->heads && a->kv_heads == b->kv_heads);
    assert_true(a->head_dim == b->head_dim && a->dim == b->dim && a->ffn == b->ffn);
    assert_true(a->vocab == b->vocab && a->ctx == b->ctx && a->tied == b->tied);
    assert_true(a->norm_eps == b->norm_eps && a->rope_base == b->rope_base);
    assert_true(a->architecture == b->architecture && a->norm == b->norm && a->activation == b->activation);
    assert_true(a->post_norms == b->post_norms && a->qk_norm == b->qk_norm);
    assert_true(a->scaled_embedding == b->scaled_embedding && a->learned_positions == b->learned_positions);
    assert_true(a->qkv_bias == b->qkv_bias && a->o_bias == b->o_bias && a->mlp_bias == b->mlp_bias);
    assert_true(a->attention_scalar == b->attention_scalar && a->rope_scaling == b->rope_scaling);
    assert_true(a->rope_factor == b->rope_factor && a->rope_original == b->rope_original);
    assert_true(a->rope_local_base == b->rope_local_base && a->window == b->window);
    assert_true(a->window_from == b->window_from && a->window_period == b->window_period);
}

static void architectures_are_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dither_model_config config;
        dither_error error = {.text = ""};
        if (read_file(&cases[i].file, NULL, 0, &config, &error))
            fail_msg("case %zu: %s", i, error.text);
        expect_equal(&config, &cases[i].config);
        assert_int_equal(dither_model_config_check(&config, NULL), DITHER_OK);
    }
}

/* Llama 3's own rule, by wavelengths: fast turns stay, slow ones are divided, between them a mixture. */
static void llama3(size_t pairs, double base, double factor, double original, float *factors)
{
    for (size_t i = 0; i < pairs; i++) {
        const double frequency = pow(base, -(double)i / (double)pairs), wave = 2 * acos(-1) / frequency;
        double scaled = frequency;
        if (wave > original) {
            scaled = frequency / factor;
        } else if (wave >= original / 4) {
            const double smooth = (original / wave - 1) / 3;
            scaled = (1 - smooth) * frequency / factor + smooth * frequency;
        }
        factors[i] = (float)(frequency / scaled);
    }
}

static void llama3_scaling_is_found_in_its_factors(void **state)
{
    (void)state;
    static const double originals[] = {8192, 4096, 16384, 131072};
    float factors[8];
    for (size_t i = 0; i < sizeof originals / sizeof *originals; i++) {
        const file_text text = {"llama", {SIZES, RMS, {"rope.freq_base", .real = 5e5f}}, {NULL}};
        dither_model_config config;
        dither_error error = {.text = ""};
        llama3(8, 5e5, 32, originals[i], factors);
        if (read_file(&text, factors, 8, &config, &error))
            fail_msg("%s", error.text);
        assert_int_equal(config.rope_scaling, DITHER_ROPE_SCALING_LLAMA3);
        assert_true(config.rope_factor == 32 && config.rope_low == 1 && config.rope_high == 4);
        assert_int_equal(config.rope_original, (size_t)originals[i]);
        factors[3] *= 1.01f;
        assert_int_equal(read_file(&text, factors, 8, &config, &error), DITHER_E_FORMAT);
        assert_non_null(strstr(error.text, "rope_freqs.weight"));
        for (size_t k = 0; k < 8; k++)
            factors[k] = 1;
        assert_int_equal(read_file(&text, factors, 8, &config, &error), DITHER_OK);
        assert_int_equal(config.rope_scaling, DITHER_ROPE_SCALING_NONE);
        assert_int_equal(read_file(&text, factors, 7, &config, &error), DITHER_E_FORMAT);
    }
}

static void what_changes_the_result_is_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *named;
        file_text file;
    } refused[] = {
        {"falcon", {"falcon", {SIZES, RMS}, {NULL}}},
        {"llama.expert_count", {"llama", {SIZES, RMS, {"expert_count", .number = 8}}, {NULL}}},
        {"llama.use_parallel_residual", {"llama", {SIZES, RMS, {"use_parallel_residual", .number = 1}}, {NULL}}},
        {"llama.residual_scale", {"llama", {SIZES, RMS, {"residual_scale", .real = 0.2f}}, {NULL}}},
        {"gemma3.final_logit_softcapping",
         {"gemma3", {SIZES, RMS, {"attention.sliding_window", .number = 8}, {"final_logit_softcapping", .real = 30}},
          {NULL}}},
        {"gemma3.rope.freq_base_swa", {"gemma3", {SIZES, RMS, {"rope.freq_base_swa", .real = -1}}, {NULL}}},
        {"gemma3.attention.sliding_window", {"gemma3", {SIZES, RMS}, {NULL}}},
        {"qwen2.attention.sliding_window", {"qwen2", {SIZES, RMS, {"attention.sliding_window", .number = 8}}, {NULL}}},
        {"llama.rope.scaling.type",
         {"llama", {SIZES, RMS, {"rope.scaling.type", .text = "yarn"}, {"rope.scaling.factor", .real = 4}}, {NULL}}},
        {"llama.rope.scaling.factor",
         {"llama", {SIZES, RMS, {"rope.scaling.type", .text = "linear"}, {"rope.scaling.factor", .real = -4}}, {NULL}}},
        {"llama.rope.dimension_count", {"llama", {SIZES, RMS, {"rope.dimension_count", .number = 8}}, {NULL}}},
        {"llama.attention.value_length", {"llama", {SIZES, RMS, {"attention.value_length", .number = 8}}, {NULL}}},
        {"llama.attention.layer_norm_rms_epsilon", {"llama", {SIZES}, {NULL}}},
        {"llama.context_length", {"llama", {{"block_count", .number = 2}, {"attention.head_count", .number = 4},
                                            {"embedding_length", .number = DIM},
                                            {"feed_forward_length", .number = 96}}, {NULL}}},
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        dither_model_config config;
        dither_error error = {.text = ""};
        if (read_file(&refused[i].file, NULL, 0, &config, &error) != DITHER_E_FORMAT)
            fail_msg("accepted: %s", refused[i].named);
        if (!strstr(error.text, refused[i].named))
            fail_msg("%s is not named in: %s", refused[i].named, error.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(architectures_are_read),
        cmocka_unit_test(llama3_scaling_is_found_in_its_factors),
        cmocka_unit_test(what_changes_the_result_is_refused_by_name),
    };
    return cmocka_run_group_tests(tests, temporary_setup, temporary_teardown);
}
