#include "file/config.h"

#include <float.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "base/text.h"
#include "file/atomic.h"
#include "file/json.h"

enum { FILE_LIMIT = 1 << 20, TEXT_LIMIT = 4096 };
static const uint64_t SIZE_LIMIT = UINT64_C(1) << 31;

static dither_status config_path(const char *folder, char path[static PATH_MAX], dither_error *error)
{
    if ((size_t)snprintf(path, PATH_MAX, "%s/config.json", folder) >= PATH_MAX)
        return dither_fail(error, DITHER_E_IO, folder, "the path is too long");
    return DITHER_OK;
}

/* ---- reading ------------------------------------------------------------------------------------------------- */

/* A key that changes what the model computes, and the value that this version computes. Absent and null are fine. */
typedef enum kind { KIND_NULL, KIND_FALSE, KIND_NUMBER, KIND_TEXT } kind;

static const struct rule {
    const char *key;
    kind kind;
    double number;
    const char *text;
} rules[] = {
    {.key = "hidden_act", .kind = KIND_TEXT, .text = "silu"},
    {.key = "attention_bias", .kind = KIND_FALSE},
    {.key = "mlp_bias", .kind = KIND_FALSE},
    {.key = "bias", .kind = KIND_FALSE},
    {.key = "qk_norm", .kind = KIND_FALSE},
    {.key = "use_qk_norm", .kind = KIND_FALSE},
    {.key = "rope_interleaved", .kind = KIND_FALSE},
    {.key = "use_sliding_window", .kind = KIND_FALSE},
    {.key = "is_encoder_decoder", .kind = KIND_FALSE},
    {.key = "add_cross_attention", .kind = KIND_FALSE},
    {.key = "sliding_window", .kind = KIND_NULL},
    {.key = "quantization_config", .kind = KIND_NULL},
    {.key = "attn_logit_softcapping", .kind = KIND_NULL},
    {.key = "final_logit_softcapping", .kind = KIND_NULL},
    {.key = "pretraining_tp", .kind = KIND_NUMBER, .number = 1},
    {.key = "partial_rotary_factor", .kind = KIND_NUMBER, .number = 1},
};

static bool follows(const struct rule *rule, const cJSON *item)
{
    switch (rule->kind) {
    case KIND_NULL: return false;
    case KIND_FALSE: return cJSON_IsFalse(item);
    case KIND_NUMBER: return cJSON_IsNumber(item) && item->valuedouble == rule->number;
    case KIND_TEXT: return cJSON_IsString(item) && strcmp(item->valuestring, rule->text) == 0;
    }
    return false;
}

static dither_status check_rules(const cJSON *root, const char *path, dither_error *error)
{
    for (const struct rule *rule = rules; rule < rules + sizeof rules / sizeof *rules; rule++) {
        const cJSON *item = cJSON_GetObjectItemCaseSensitive(root, rule->key);
        if (item == NULL || cJSON_IsNull(item) || follows(rule, item))
            continue;
        char number[32];
        snprintf(number, sizeof number, "%g", rule->number);
        const char *expected = rule->kind == KIND_NULL    ? "null"
                               : rule->kind == KIND_FALSE ? "false"
                               : rule->kind == KIND_TEXT  ? rule->text
                                                          : number;
        return dither_fail(error, DITHER_E_FORMAT, path, "\"%s\" changes the model in a way this version does not "
                           "support; it must be %s or absent", rule->key, expected);
    }
    return DITHER_OK;
}

/* RoPE lies in two keys: rope_theta with rope_scaling, or rope_parameters that hold both. */
static dither_status read_rope(const cJSON *root, const char *path, double *base, dither_error *error)
{
    bool found;
    dither_status status = dither_json_f64(root, "rope_theta", base, &found, path, error);
    static const char *const keys[] = {"rope_scaling", "rope_parameters"};
    for (size_t i = 0; i < 2 && status == DITHER_OK; i++) {
        const cJSON *item = cJSON_GetObjectItemCaseSensitive(root, keys[i]);
        if (item == NULL || cJSON_IsNull(item))
            continue;
        const char *type = "default";
        status = dither_json_text(item, "type", &type, &found, path, error);
        if (status == DITHER_OK)
            status = dither_json_text(item, "rope_type", &type, &found, path, error);
        if (status == DITHER_OK)
            status = dither_json_f64(item, "rope_theta", base, &found, path, error);
        double factor = 1;
        if (status == DITHER_OK)
            status = dither_json_f64(item, "partial_rotary_factor", &factor, &found, path, error);
        if (status == DITHER_OK && (strcmp(type, "default") != 0 || factor != 1))
            status = dither_fail(error, DITHER_E_FORMAT, path,
                                 "\"%s\" scales the rotary positions, which this version does not support", keys[i]);
    }
    if (status == DITHER_OK && !(*base > 0))
        status = dither_fail(error, DITHER_E_FORMAT, path, "\"rope_theta\" must be above 0");
    return status;
}

static dither_status read_sizes(const cJSON *root, const char *path, dither_model_config *config, dither_error *error)
{
    const struct {
        const char *key;
        size_t *size;
        bool optional;
    } sizes[] = {
        {"num_hidden_layers", &config->layers, false},
        {"num_attention_heads", &config->heads, false},
        {"num_key_value_heads", &config->kv_heads, true},
        {"head_dim", &config->head_dim, true},
        {"hidden_size", &config->dim, false},
        {"intermediate_size", &config->ffn, false},
        {"vocab_size", &config->vocab, false},
        {"max_position_embeddings", &config->ctx, false},
    };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        uint64_t value = 0; /* stays so where an optional key is absent */
        bool found;
        dither_status status = dither_json_u64(root, sizes[i].key, 1, SIZE_LIMIT, &value,
                                               sizes[i].optional ? &found : NULL, path, error);
        if (status != DITHER_OK)
            return status;
        *sizes[i].size = (size_t)value;
    }
    if (config->kv_heads == 0)
        config->kv_heads = config->heads;
    if (config->head_dim == 0 && config->dim % config->heads != 0)
        return dither_fail(error, DITHER_E_FORMAT, path, "\"hidden_size\" %zu is not a multiple of "
                           "\"num_attention_heads\" %zu, and there is no \"head_dim\"", config->dim, config->heads);
    if (config->head_dim == 0)
        config->head_dim = config->dim / config->heads;
    return DITHER_OK;
}

static dither_status read_model(const cJSON *root, const char *path, dither_model_config *config, dither_error *error)
{
    const char *type = NULL;
    bool found;
    dither_status status = dither_json_text(root, "model_type", &type, NULL, path, error);
    if (status == DITHER_OK && strcmp(type, "llama") != 0)
        return dither_fail(error, DITHER_E_FORMAT, path, "\"model_type\" is \"%.100s\"; this version knows \"llama\"",
                           dither_json_printable(type) ? type : "(unprintable)");
    if (status == DITHER_OK)
        status = check_rules(root, path, error);
    /* What transformers takes where a key is absent. */
    *config = (dither_model_config){.rope_base = 10000, .norm_eps = 1e-6, .tied = false};
    if (status == DITHER_OK)
        status = read_sizes(root, path, config, error);
    if (status == DITHER_OK)
        status = read_rope(root, path, &config->rope_base, error);
    if (status == DITHER_OK)
        status = dither_json_f64(root, "rms_norm_eps", &config->norm_eps, &found, path, error);
    if (status == DITHER_OK && !(config->norm_eps >= 0))
        return dither_fail(error, DITHER_E_FORMAT, path, "\"rms_norm_eps\" must not be negative");
    if (status == DITHER_OK)
        status = dither_json_bool(root, "tie_word_embeddings", &config->tied, &found, path, error);
    return status;
}

dither_status dither_config_read(const char *folder, dither_model_config *config, dither_error *error)
{
    char path[PATH_MAX];
    cJSON *root = NULL;
    dither_status status = config_path(folder, path, error);
    if (status == DITHER_OK)
        status = dither_json_file(path, FILE_LIMIT, &root, error);
    if (status == DITHER_OK)
        status = read_model(root, path, config, error);
    cJSON_Delete(root);
    return status;
}

/* ---- writing ------------------------------------------------------------------------------------------------- */

/* As few digits, from 6 on, as read back as the same number. */
static void print_number(char text[static 32], double value)
{
    double back;
    for (int digits = 6; digits <= DBL_DECIMAL_DIG; digits++) {
        dither_text_print_f64(value, digits, text, 32);
        if (dither_text_f64(text, &back) && back == value)
            break;
    }
    if (strpbrk(text, ".e") == NULL)
        strcat(text, ".0"); /* a float stays one in Python */
}

dither_status dither_config_write(const char *folder, const dither_model_config *config, bool bf16,
                                  dither_error *error)
{
    char path[PATH_MAX], text[TEXT_LIMIT], norm_eps[32], rope_base[32];
    dither_status status = config_path(folder, path, error);
    if (status != DITHER_OK)
        return status;
    print_number(norm_eps, config->norm_eps);
    print_number(rope_base, config->rope_base);
    int length = snprintf(text, sizeof text,
                          "{\n"
                          "  \"architectures\": [\"LlamaForCausalLM\"],\n"
                          "  \"model_type\": \"llama\",\n"
                          "  \"hidden_size\": %zu,\n"
                          "  \"intermediate_size\": %zu,\n"
                          "  \"num_hidden_layers\": %zu,\n"
                          "  \"num_attention_heads\": %zu,\n"
                          "  \"num_key_value_heads\": %zu,\n"
                          "  \"head_dim\": %zu,\n"
                          "  \"vocab_size\": %zu,\n"
                          "  \"max_position_embeddings\": %zu,\n"
                          "  \"rms_norm_eps\": %s,\n"
                          "  \"rope_theta\": %s,\n"
                          "  \"tie_word_embeddings\": %s,\n"
                          "  \"hidden_act\": \"silu\",\n"
                          "  \"attention_bias\": false,\n"
                          "  \"mlp_bias\": false,\n"
                          "  \"attention_dropout\": 0.0,\n"
                          "  \"initializer_range\": 0.02,\n"
                          "  \"bos_token_id\": null,\n"
                          "  \"eos_token_id\": null,\n"
                          "  \"torch_dtype\": \"%s\"\n"
                          "}\n",
                          config->dim, config->ffn, config->layers, config->heads, config->kv_heads, config->head_dim,
                          config->vocab, config->ctx, norm_eps, rope_base, config->tied ? "true" : "false",
                          bf16 ? "bfloat16" : "float32");
    return dither_atomic_file(path, text, (size_t)length, error);
}
