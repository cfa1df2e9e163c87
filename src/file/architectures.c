#include "file/architectures.h"

#include <assert.h>
#include <string.h>

/* A new model's values, beside the switches: dither_model_config_parse says which of them a text may change. */
#define COMMON .rope_base = 1e4, .norm_eps = 1e-5, .tied = true

static const dither_architecture_row rows[] = {
    [DITHER_ARCHITECTURE_LLAMA] = {
        .name = "llama", .gguf = "llama", .model_type = "llama", .class_name = "LlamaForCausalLM",
        .permuted = true, .attention_bias = true, .mlp_bias = true,
        .preset = {COMMON, .architecture = DITHER_ARCHITECTURE_LLAMA}},
    [DITHER_ARCHITECTURE_MISTRAL] = {
        .name = "mistral", .gguf = "llama", .model_type = "mistral", .class_name = "MistralForCausalLM",
        .permuted = true,
        .preset = {COMMON, .architecture = DITHER_ARCHITECTURE_MISTRAL}},
    [DITHER_ARCHITECTURE_QWEN2] = {
        .name = "qwen2", .gguf = "qwen2", .model_type = "qwen2", .class_name = "Qwen2ForCausalLM",
        .preset = {COMMON, .architecture = DITHER_ARCHITECTURE_QWEN2, .qkv_bias = true}},
    [DITHER_ARCHITECTURE_QWEN3] = {
        .name = "qwen3", .gguf = "qwen3", .model_type = "qwen3", .class_name = "Qwen3ForCausalLM",
        .attention_bias = true,
        .preset = {COMMON, .architecture = DITHER_ARCHITECTURE_QWEN3, .qk_norm = true}},
    [DITHER_ARCHITECTURE_GEMMA3] = {
        .name = "gemma3", .gguf = "gemma3", .model_type = "gemma3_text", .class_name = "Gemma3ForCausalLM",
        .plus_one = true, .attention_bias = true,
        .preset = {.architecture = DITHER_ARCHITECTURE_GEMMA3, .rope_base = 1e6, .norm_eps = 1e-6, .tied = true,
                   .activation = DITHER_ACTIVATION_GELU_GATE, .post_norms = true, .qk_norm = true,
                   .scaled_embedding = true, .window = 512, .window_period = 6, .rope_local_base = 1e4}},
    [DITHER_ARCHITECTURE_GPT2] = {
        .name = "gpt2", .gguf = "gpt2", .model_type = "gpt2", .class_name = "GPT2LMHeadModel",
        .preset = {COMMON, .architecture = DITHER_ARCHITECTURE_GPT2, .norm = DITHER_NORM_LAYER,
                   .activation = DITHER_ACTIVATION_GELU, .learned_positions = true, .qkv_bias = true, .o_bias = true,
                   .mlp_bias = true}},
};
static_assert(sizeof rows / sizeof rows[0] == DITHER_ARCHITECTURES, "a row for each");

const dither_architecture_row *dither_architecture_row_of(dither_architecture architecture)
{
    assert(architecture < DITHER_ARCHITECTURES);
    return &rows[architecture];
}

const dither_architecture_row *dither_architecture_find(const char *name)
{
    for (size_t i = 0; i < DITHER_ARCHITECTURES; i++)
        if (!strcmp(rows[i].name, name))
            return &rows[i];
    return NULL;
}

const dither_architecture_row *dither_architecture_of_type(const char *model_type)
{
    for (size_t i = 0; i < DITHER_ARCHITECTURES; i++)
        if (!strcmp(rows[i].model_type, model_type))
            return &rows[i];
    return NULL;
}

const char *dither_architecture_name(dither_architecture architecture)
{
    return dither_architecture_row_of(architecture)->name;
}

bool dither_model_windowed(const dither_model_config *config, size_t layer)
{
    return config->window && layer >= config->window_from &&
           !(config->window_period && (layer + 1) % config->window_period == 0);
}
