#include "file/config_keys.h"

#include <stdio.h>
#include <string.h>

#include "base/fail.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Sets of architectures. */
enum {
    LLAMA = 1 << DITHER_ARCHITECTURE_LLAMA,
    MISTRAL = 1 << DITHER_ARCHITECTURE_MISTRAL,
    QWEN = 1 << DITHER_ARCHITECTURE_QWEN2 | 1 << DITHER_ARCHITECTURE_QWEN3,
    QWEN3 = 1 << DITHER_ARCHITECTURE_QWEN3,
    GEMMA3 = 1 << DITHER_ARCHITECTURE_GEMMA3,
    GPT2 = 1 << DITHER_ARCHITECTURE_GPT2,
    TURNED = LLAMA | MISTRAL | QWEN | GEMMA3, /* by rotary positions */
    OUTER = 1 << DITHER_ARCHITECTURES,        /* what is around a text_config */
    ALL = TURNED | GPT2 | OUTER
};

static const struct {
    const char *key;
    int architectures;
} read_keys[] = {
    {"model_type", ALL},
    {"text_config", OUTER},
    {"tie_word_embeddings", ALL},
    {"vocab_size", ALL},
    {"num_hidden_layers", TURNED},
    {"num_attention_heads", TURNED},
    {"num_key_value_heads", TURNED},
    {"head_dim", TURNED},
    {"hidden_size", TURNED},
    {"intermediate_size", TURNED},
    {"max_position_embeddings", TURNED},
    {"rms_norm_eps", TURNED},
    {"rope_theta", TURNED},
    {"rope_scaling", TURNED},
    {"rope_parameters", TURNED},
    {"rope_local_base_freq", GEMMA3},
    {"attention_bias", LLAMA | QWEN3 | GEMMA3},
    {"mlp_bias", LLAMA},
    {"sliding_window", MISTRAL | QWEN | GEMMA3},
    {"use_sliding_window", QWEN},
    {"max_window_layers", QWEN},
    {"layer_types", QWEN | GEMMA3},
    {"sliding_window_pattern", GEMMA3},
    {"_sliding_window_pattern", GEMMA3},
    {"query_pre_attn_scalar", GEMMA3},
    {"n_layer", GPT2},
    {"n_head", GPT2},
    {"n_embd", GPT2},
    {"n_inner", GPT2},
    {"n_positions", GPT2},
    {"layer_norm_epsilon", GPT2},
    {"scale_attn_weights", GPT2},
};

/* A key that changes what the model computes, and the values that this version computes. */
typedef enum kind { KIND_FALSE, KIND_NUMBER, KIND_TEXT, KIND_NOTHING } kind;

static const struct rule {
    const char *key;
    int architectures;
    kind kind;
    double number;
    const char *texts[4];
} rules[] = {
    {"hidden_act", LLAMA | MISTRAL | QWEN, KIND_TEXT, 0, {"silu", "swish"}},
    {"hidden_activation", GEMMA3, KIND_TEXT, 0, {"gelu_pytorch_tanh"}},
    {"activation_function", GPT2, KIND_TEXT, 0, {"gelu_new", "gelu_pytorch_tanh", "gelu_fast"}},
    {"pretraining_tp", ALL, KIND_NUMBER, 1, {NULL}},
    {"partial_rotary_factor", ALL, KIND_NUMBER, 1, {NULL}},
    {"is_encoder_decoder", ALL, KIND_FALSE, 0, {NULL}},
    {"quantization_config", ALL, KIND_NOTHING, 0, {NULL}},
    {"pruned_heads", ALL, KIND_NOTHING, 0, {NULL}},
    {"auto_map", ALL, KIND_NOTHING, 0, {NULL}}, /* code of its own */
};

/* Generating, other heads on the same model, and how transformers goes about it. */
static const char *const harmless[] = {
    "_attn_implementation", "_attn_implementation_autoset", "_attn_implementation_internal", "attn_implementation",
    "chunk_size_feed_forward", "output_attentions", "output_hidden_states", "summary_activation", "vision_config",
};

/* Words of keys that change what a model computes. */
static const char *const words[] = {
    "act",      "adapter", "alibi",      "attention", "attn",     "bias",     "bidirectional", "block",
    "cap",      "causal",  "conv",       "embed",     "expert",   "head",     "hidden",        "kv",
    "latent",   "layer",   "logit",      "lora",      "mask",     "mla",      "mlp",           "moe",
    "mul",      "norm",    "parallel",   "position",  "qk",       "quant",    "residual",      "rope",
    "rotary",   "router",  "scal",       "share",     "skip",     "sliding",  "softmax",       "sparse",
    "window",   "yarn",
};

/* What training alone reads. */
static const char *const training[] = {"dropout", "pdrop"};

static const struct rule *find_rule(const char *key, int architectures)
{
    for (size_t i = 0; i < COUNT(rules); i++)
        if (rules[i].architectures & architectures && !strcmp(rules[i].key, key))
            return &rules[i];
    return NULL;
}

static bool is_read(const char *key, int architectures)
{
    for (size_t i = 0; i < COUNT(read_keys); i++)
        if (read_keys[i].architectures & architectures && !strcmp(read_keys[i].key, key))
            return true;
    return false;
}

static bool is_off(const cJSON *item)
{
    return cJSON_IsNull(item) || cJSON_IsFalse(item) || ((cJSON_IsArray(item) || cJSON_IsObject(item)) && !item->child);
}

static bool contains(const char *key, const char *const *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strstr(key, list[i]))
            return true;
    return false;
}

static bool is_harmless(const char *key)
{
    for (size_t i = 0; i < COUNT(harmless); i++)
        if (!strcmp(harmless[i], key))
            return true;
    return contains(key, training, COUNT(training)) || !contains(key, words, COUNT(words));
}

static bool follows(const struct rule *rule, const cJSON *item)
{
    switch (rule->kind) {
    case KIND_NOTHING: break;
    case KIND_FALSE: return cJSON_IsFalse(item);
    case KIND_NUMBER: return cJSON_IsNumber(item) && item->valuedouble == rule->number;
    case KIND_TEXT:
        for (size_t i = 0; i < COUNT(rule->texts) && rule->texts[i]; i++)
            if (cJSON_IsString(item) && !strcmp(item->valuestring, rule->texts[i]))
                return true;
        return false;
    }
    return is_off(item);
}

static dither_status check_rule(const struct rule *rule, const cJSON *item, const char *path, dither_error *error)
{
    if (cJSON_IsNull(item) || follows(rule, item))
        return DITHER_OK;
    char number[32];
    (void)snprintf(number, sizeof number, "%g or absent", rule->number);
    const char *expected = rule->kind == KIND_NOTHING  ? "absent"
                           : rule->kind == KIND_FALSE  ? "false or absent"
                           : rule->kind == KIND_NUMBER ? number
                                                       : rule->texts[0];
    return dither_fail(error, DITHER_E_FORMAT, path,
                       "\"%s\" changes the model in a way this version does not support; it must be %s", rule->key,
                       expected);
}

static dither_status check_keys(const cJSON *root, int architecture, const char *path, dither_error *error)
{
    for (const cJSON *item = root->child; item; item = item->next) {
        const char *key = item->string;
        const struct rule *rule = find_rule(key, architecture);
        dither_status status = DITHER_OK;
        if (rule)
            status = check_rule(rule, item, path, error);
        else if (!is_read(key, architecture) && !is_off(item) && !is_harmless(key))
            status = dither_fail(error, DITHER_E_FORMAT, path,
                                 "\"%.100s\" is not a key of such models that this version knows, and by its name it "
                                 "may change what they compute; it must be absent, null or false",
                                 dither_json_printable(key) ? key : "(unprintable)");
        if (status)
            return status;
    }
    return DITHER_OK;
}

dither_status dither_config_keys_check(const cJSON *root, dither_architecture architecture, const char *path,
                                       dither_error *error)
{
    return check_keys(root, 1 << architecture, path, error);
}

dither_status dither_config_keys_check_outer(const cJSON *root, const char *path, dither_error *error)
{
    return check_keys(root, OUTER, path, error);
}
