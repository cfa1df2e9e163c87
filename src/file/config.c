#include "file/config.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "file/json.h"

enum { FILE_LIMIT = 1 << 20 };
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
