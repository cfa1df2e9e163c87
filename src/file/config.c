#include "file/config.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "base/text.h"
#include "file/architectures.h"
#include "file/config_keys.h"
#include "file/json.h"

enum { FILE_LIMIT = 1 << 20 };
static const uint64_t SIZE_LIMIT = UINT64_C(1) << 31, LAYERS_LIMIT = 4096; /* of layers there are lists */

static dither_status config_path(const char *folder, char path[static PATH_MAX], dither_error *error)
{
    if ((size_t)snprintf(path, PATH_MAX, "%s/config.json", folder) >= PATH_MAX)
        return dither_fail(error, DITHER_E_IO, folder, "the path is too long");
    return DITHER_OK;
}

/* ---- reading ------------------------------------------------------------------------------------------------- */

/* What transformers takes where a key is absent. A size of 0: the key must be there. */
static const dither_model_config absent[] = {
    [DITHER_ARCHITECTURE_LLAMA] = {.rope_base = 1e4, .norm_eps = 1e-6},
    [DITHER_ARCHITECTURE_MISTRAL] = {.kv_heads = 8, .rope_base = 1e4, .norm_eps = 1e-6, .window = 4096},
    [DITHER_ARCHITECTURE_QWEN2] = {.kv_heads = 32, .rope_base = 1e4, .norm_eps = 1e-6, .window = 4096,
                                   .window_from = 28},
    [DITHER_ARCHITECTURE_QWEN3] = {.kv_heads = 32, .head_dim = 128, .rope_base = 1e4, .norm_eps = 1e-6, .window = 4096,
                                   .window_from = 28},
    [DITHER_ARCHITECTURE_GEMMA3] = {.layers = 26, .heads = 8, .kv_heads = 4, .head_dim = 256, .dim = 2304, .ffn = 9216,
                                    .vocab = 262208, .ctx = 131072, .rope_base = 1e6, .rope_local_base = 1e4,
                                    .norm_eps = 1e-6, .tied = true, .window = 4096, .window_period = 6,
                                    .attention_scalar = 256},
    [DITHER_ARCHITECTURE_GPT2] = {.norm_eps = 1e-5, .tied = true},
};

typedef struct reader {
    const cJSON *root;
    const char *path;
    dither_model_config *config;
    const dither_model_config *absent;
    dither_error *error;
} reader;

static bool has(const reader *r, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(r->root, key);
    return item && !cJSON_IsNull(item);
}

/* @param otherwise  where the key is absent; 0: it must be there */
static dither_status read_size_to(const reader *r, const char *key, uint64_t most, size_t otherwise, size_t *size)
{
    uint64_t value = otherwise;
    bool found;
    const dither_status status =
        dither_json_u64(r->root, key, 1, most, &value, otherwise ? &found : NULL, r->path, r->error);
    *size = (size_t)value;
    return status;
}

static dither_status read_size(const reader *r, const char *key, size_t otherwise, size_t *size)
{
    return read_size_to(r, key, SIZE_LIMIT, otherwise, size);
}

static dither_status read_flag(const reader *r, const char *key, bool *flag)
{
    bool found;
    return dither_json_bool(r->root, key, flag, &found, r->path, r->error);
}

static dither_status read_eps(const reader *r, const char *key)
{
    bool found;
    const dither_status status = dither_json_f64(r->root, key, &r->config->norm_eps, &found, r->path, r->error);
    if (!status && !(r->config->norm_eps >= 0))
        return dither_fail(r->error, DITHER_E_FORMAT, r->path, "\"%s\" must not be negative", key);
    return status;
}

/* ---- rotary positions ---- */

static dither_status check_rope_keys(const reader *r, const cJSON *item, const char *key)
{
    static const char *const known[] = {"type", "rope_type", "rope_theta", "factor", "low_freq_factor",
                                        "high_freq_factor", "original_max_position_embeddings",
                                        "partial_rotary_factor"};
    if (!cJSON_IsObject(item))
        return dither_fail(r->error, DITHER_E_FORMAT, r->path, "\"%s\" must be an object", key);
    for (const cJSON *part = item->child; part; part = part->next) {
        size_t i = 0;
        while (i < sizeof known / sizeof *known && strcmp(known[i], part->string) != 0)
            i++;
        if (i == sizeof known / sizeof *known && !cJSON_IsNull(part))
            return dither_fail(r->error, DITHER_E_FORMAT, r->path,
                               "\"%s\" has a key \"%.100s\", which this version does not know", key,
                               dither_json_printable(part->string) ? part->string : "(unprintable)");
    }
    return DITHER_OK;
}

static dither_status read_llama3(const reader *r, const cJSON *item)
{
    uint64_t original = 0;
    dither_status status = dither_json_f64(item, "low_freq_factor", &r->config->rope_low, NULL, r->path, r->error);
    if (status == DITHER_OK)
        status = dither_json_f64(item, "high_freq_factor", &r->config->rope_high, NULL, r->path, r->error);
    if (status == DITHER_OK)
        status = dither_json_u64(item, "original_max_position_embeddings", 1, SIZE_LIMIT, &original, NULL, r->path,
                                 r->error);
    r->config->rope_original = (size_t)original;
    return status;
}

/* One object that says base and scaling. */
static dither_status read_rope_object(const reader *r, const cJSON *item, const char *key)
{
    const char *type = "default";
    double part = 1;
    bool found;
    dither_status status = check_rope_keys(r, item, key);
    if (status == DITHER_OK)
        status = dither_json_text(item, "type", &type, &found, r->path, r->error);
    if (status == DITHER_OK)
        status = dither_json_text(item, "rope_type", &type, &found, r->path, r->error);
    if (status == DITHER_OK)
        status = dither_json_f64(item, "rope_theta", &r->config->rope_base, &found, r->path, r->error);
    if (status == DITHER_OK)
        status = dither_json_f64(item, "partial_rotary_factor", &part, &found, r->path, r->error);
    if (status != DITHER_OK)
        return status;
    if (part != 1)
        return dither_fail(r->error, DITHER_E_FORMAT, r->path,
                           "\"%s\": \"partial_rotary_factor\" must be 1 or absent", key);
    if (strcmp(type, "default") == 0)
        return DITHER_OK;
    const bool llama3 = strcmp(type, "llama3") == 0;
    if (!llama3 && strcmp(type, "linear") != 0)
        return dither_fail(r->error, DITHER_E_FORMAT, r->path, "\"%s\" scales the rotary positions as \"%.40s\" does; "
                           "this version knows \"linear\" and \"llama3\"", key,
                           dither_json_printable(type) ? type : "(unprintable)");
    r->config->rope_scaling = llama3 ? DITHER_ROPE_SCALING_LLAMA3 : DITHER_ROPE_SCALING_LINEAR;
    status = dither_json_f64(item, "factor", &r->config->rope_factor, NULL, r->path, r->error);
    return status == DITHER_OK && llama3 ? read_llama3(r, item) : status;
}

/* Of layers with a window: a base, never scaled. */
static dither_status read_local_rope(const reader *r, const cJSON *item)
{
    dither_model_config local = {.rope_base = r->config->rope_local_base};
    reader part = *r;
    part.config = &local;
    const dither_status status = read_rope_object(&part, item, "sliding_attention");
    if (status == DITHER_OK && local.rope_scaling != DITHER_ROPE_SCALING_NONE)
        return dither_fail(r->error, DITHER_E_FORMAT, r->path,
                           "\"rope_parameters\": \"sliding_attention\" must not be scaled");
    r->config->rope_local_base = local.rope_base;
    return status;
}

/* One object for both kinds of layers, or one for each. */
static dither_status read_rope_parameters(const reader *r, const cJSON *item)
{
    const cJSON *full = cJSON_GetObjectItemCaseSensitive(item, "full_attention");
    const cJSON *local = cJSON_GetObjectItemCaseSensitive(item, "sliding_attention");
    if (r->config->rope_local_base == 0 || (!full && !local))
        return read_rope_object(r, item, "rope_parameters");
    for (const cJSON *part = item->child; part; part = part->next)
        if (part != full && part != local && !cJSON_IsNull(part))
            return dither_fail(r->error, DITHER_E_FORMAT, r->path, "\"rope_parameters\" must hold "
                               "\"full_attention\" and \"sliding_attention\" alone");
    dither_status status = DITHER_OK;
    if (full && !cJSON_IsNull(full))
        status = read_rope_object(r, full, "full_attention");
    return status == DITHER_OK && local && !cJSON_IsNull(local) ? read_local_rope(r, local) : status;
}

/* RoPE lies in two keys, rope_theta with rope_scaling, or in rope_parameters, which holds both. */
static dither_status read_rope(const reader *r)
{
    bool found;
    dither_model_config *c = r->config;
    dither_status status = dither_json_f64(r->root, "rope_theta", &c->rope_base, &found, r->path, r->error);
    if (status == DITHER_OK && c->rope_local_base > 0)
        status = dither_json_f64(r->root, "rope_local_base_freq", &c->rope_local_base, &found, r->path, r->error);
    if (status == DITHER_OK && has(r, "rope_scaling"))
        status = read_rope_object(r, cJSON_GetObjectItemCaseSensitive(r->root, "rope_scaling"), "rope_scaling");
    if (status == DITHER_OK && has(r, "rope_parameters"))
        status = read_rope_parameters(r, cJSON_GetObjectItemCaseSensitive(r->root, "rope_parameters"));
    if (status == DITHER_OK && !(c->rope_base > 0))
        status = dither_fail(r->error, DITHER_E_FORMAT, r->path, "\"rope_theta\" must be above 0");
    if (status == DITHER_OK && r->absent->rope_local_base > 0 && !(c->rope_local_base > 0))
        status = dither_fail(r->error, DITHER_E_FORMAT, r->path, "\"rope_local_base_freq\" must be above 0");
    return status;
}

/* ---- windows ---- */

/* The pattern that a list of layers follows. */
static dither_status read_layer_types(const reader *r)
{
    dither_model_config *c = r->config;
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(r->root, "layer_types");
    size_t count = 0, full = SIZE_MAX, sliding = SIZE_MAX;
    if (!cJSON_IsArray(list))
        return dither_fail(r->error, DITHER_E_FORMAT, r->path, "\"layer_types\" must be a list");
    for (const cJSON *item = list->child; item; item = item->next, count++) {
        const bool is_full = cJSON_IsString(item) && strcmp(item->valuestring, "full_attention") == 0;
        if (!is_full && (!cJSON_IsString(item) || strcmp(item->valuestring, "sliding_attention") != 0))
            return dither_fail(r->error, DITHER_E_FORMAT, r->path, "\"layer_types\": item %zu is neither "
                               "\"full_attention\" nor \"sliding_attention\"", count);
        size_t *place = is_full ? &full : &sliding;
        *place = *place == SIZE_MAX ? count : *place;
    }
    if (count != c->layers)
        return dither_fail(r->error, DITHER_E_FORMAT, r->path, "\"layer_types\" has %zu items, for %zu layers", count,
                           c->layers);
    if (sliding == SIZE_MAX) {
        c->window = c->window_from = c->window_period = 0;
        return DITHER_OK;
    }
    if (!c->window)
        return dither_fail(r->error, DITHER_E_FORMAT, r->path, "\"layer_types\" has windows, and there is no "
                           "\"sliding_window\"");
    /* The first layer with a window is the first of all, and each n-th has none; or all from that layer on have one. */
    c->window_from = sliding;
    c->window_period = sliding == 0 && full != SIZE_MAX ? full + 1 : 0;
    size_t layer = 0;
    for (const cJSON *item = list->child; item; item = item->next, layer++)
        if (dither_model_windowed(c, layer) != (strcmp(item->valuestring, "sliding_attention") == 0))
            return dither_fail(r->error, DITHER_E_FORMAT, r->path, "\"layer_types\" follows no pattern that this "
                               "version knows: each n-th layer full, or windows from a layer on");
    return DITHER_OK;
}

static dither_status read_window(const reader *r)
{
    dither_model_config *c = r->config;
    const bool qwen = c->architecture == DITHER_ARCHITECTURE_QWEN2 || c->architecture == DITHER_ARCHITECTURE_QWEN3;
    const cJSON *given = cJSON_GetObjectItemCaseSensitive(r->root, "sliding_window");
    bool used = !qwen, found;
    uint64_t from = r->absent->window_from, period = r->absent->window_period;
    dither_status status = qwen ? read_flag(r, "use_sliding_window", &used) : DITHER_OK;
    if (status == DITHER_OK && used && !(given && cJSON_IsNull(given)))
        status = read_size(r, "sliding_window", r->absent->window, &c->window);
    if (status == DITHER_OK && qwen)
        status = dither_json_u64(r->root, "max_window_layers", 0, SIZE_LIMIT, &from, &found, r->path, r->error);
    static const char *const patterns[] = {"sliding_window_pattern", "_sliding_window_pattern"};
    for (size_t i = 0; i < 2 && status == DITHER_OK && c->architecture == DITHER_ARCHITECTURE_GEMMA3; i++)
        status = dither_json_u64(r->root, patterns[i], 1, SIZE_LIMIT, &period, &found, r->path, r->error);
    if (period == 1)
        c->window = 0;
    c->window_from = c->window ? (size_t)from : 0;
    c->window_period = c->window ? (size_t)period : 0;
    if (status == DITHER_OK && c->architecture != DITHER_ARCHITECTURE_MISTRAL && has(r, "layer_types"))
        status = read_layer_types(r);
    if (c->window_from >= c->layers) /* no layer looks through it */
        c->window = c->window_from = c->window_period = 0;
    return status;
}

/* ---- the whole ---- */

static dither_status read_turned_sizes(const reader *r)
{
    dither_model_config *c = r->config;
    const struct {
        const char *key;
        size_t *size, otherwise;
    } sizes[] = {
        {"num_attention_heads", &c->heads, r->absent->heads},
        {"hidden_size", &c->dim, r->absent->dim},
        {"intermediate_size", &c->ffn, r->absent->ffn},
        {"vocab_size", &c->vocab, r->absent->vocab},
        {"max_position_embeddings", &c->ctx, r->absent->ctx},
    };
    dither_status status = read_size_to(r, "num_hidden_layers", LAYERS_LIMIT, r->absent->layers, &c->layers);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes && status == DITHER_OK; i++)
        status = read_size(r, sizes[i].key, sizes[i].otherwise, sizes[i].size);
    if (status != DITHER_OK)
        return status;
    /* A null is as many as there are heads, whatever an absent key is. */
    const bool null_kv = cJSON_GetObjectItemCaseSensitive(r->root, "num_key_value_heads") || !r->absent->kv_heads;
    status = read_size(r, "num_key_value_heads", null_kv ? c->heads : r->absent->kv_heads, &c->kv_heads);
    const bool null_dim = cJSON_GetObjectItemCaseSensitive(r->root, "head_dim") || !r->absent->head_dim;
    if (status == DITHER_OK && null_dim && !has(r, "head_dim") && c->dim % c->heads != 0)
        return dither_fail(r->error, DITHER_E_FORMAT, r->path, "\"hidden_size\" %zu is not a multiple of "
                           "\"num_attention_heads\" %zu, and there is no \"head_dim\"", c->dim, c->heads);
    const size_t head_dim = null_dim ? c->dim / c->heads : r->absent->head_dim;
    if (status == DITHER_OK && head_dim == 0 && !has(r, "head_dim"))
        return dither_fail(r->error, DITHER_E_FORMAT, r->path, "\"num_attention_heads\" must be at most "
                           "\"hidden_size\"");
    return status == DITHER_OK ? read_size(r, "head_dim", head_dim, &c->head_dim) : status;
}

static dither_status read_turned(const reader *r)
{
    dither_model_config *c = r->config;
    const dither_architecture_row *row = dither_architecture_row_of(c->architecture);
    dither_status status = read_turned_sizes(r);
    if (status == DITHER_OK)
        status = read_rope(r);
    if (status == DITHER_OK)
        status = read_eps(r, "rms_norm_eps");
    if (status == DITHER_OK && row->attention_bias) {
        status = read_flag(r, "attention_bias", &c->qkv_bias);
        c->o_bias = c->qkv_bias;
    }
    if (status == DITHER_OK && row->mlp_bias)
        status = read_flag(r, "mlp_bias", &c->mlp_bias);
    if (status == DITHER_OK && c->architecture != DITHER_ARCHITECTURE_LLAMA)
        status = read_window(r);
    if (status == DITHER_OK && c->architecture == DITHER_ARCHITECTURE_GEMMA3) {
        bool found;
        status = dither_json_f64(r->root, "query_pre_attn_scalar", &c->attention_scalar, &found, r->path, r->error);
        if (status == DITHER_OK && !(c->attention_scalar > 0))
            status = dither_fail(r->error, DITHER_E_FORMAT, r->path, "\"query_pre_attn_scalar\" must be above 0");
    }
    if (c->attention_scalar == (double)c->head_dim)
        c->attention_scalar = 0;
    return status;
}

static dither_status read_gpt2(const reader *r)
{
    dither_model_config *c = r->config;
    const struct {
        const char *key;
        size_t *size;
    } sizes[] = {
        {"n_head", &c->heads}, {"n_embd", &c->dim}, {"vocab_size", &c->vocab}, {"n_positions", &c->ctx}};
    dither_status status = read_size_to(r, "n_layer", LAYERS_LIMIT, 0, &c->layers);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes && status == DITHER_OK; i++)
        status = read_size(r, sizes[i].key, 0, sizes[i].size);
    if (status == DITHER_OK)
        status = read_size(r, "n_inner", 4 * c->dim, &c->ffn);
    if (status == DITHER_OK)
        status = read_eps(r, "layer_norm_epsilon");
    bool scaled = true;
    if (status == DITHER_OK)
        status = read_flag(r, "scale_attn_weights", &scaled);
    if (status != DITHER_OK)
        return status;
    if (c->dim % c->heads != 0)
        return dither_fail(r->error, DITHER_E_FORMAT, r->path, "\"n_embd\" %zu is not a multiple of \"n_head\" %zu",
                           c->dim, c->heads);
    c->kv_heads = c->heads;
    c->head_dim = c->dim / c->heads;
    c->attention_scalar = scaled ? 0 : 1;
    return DITHER_OK;
}

static dither_status read_text_model(const reader *outer, const dither_architecture_row *row)
{
    reader r = *outer;
    dither_model_config *c = r.config;
    r.absent = &absent[row->preset.architecture];
    *c = row->preset;
    c->rope_base = row->preset.learned_positions ? row->preset.rope_base : r.absent->rope_base;
    c->rope_local_base = r.absent->rope_local_base;
    c->norm_eps = r.absent->norm_eps;
    c->tied = r.absent->tied;
    c->attention_scalar = r.absent->attention_scalar;
    c->window = c->window_from = c->window_period = 0;
    dither_status status = dither_config_keys_check(r.root, c->architecture, r.path, r.error);
    if (status == DITHER_OK)
        status = c->learned_positions ? read_gpt2(&r) : read_turned(&r);
    return status == DITHER_OK ? read_flag(&r, "tie_word_embeddings", &c->tied) : status;
}

/* A model of texts and images: its texts are read. */
static dither_status read_text_config(const reader *outer)
{
    reader r = *outer;
    const dither_architecture_row *row = dither_architecture_row_of(DITHER_ARCHITECTURE_GEMMA3);
    const char *type = row->model_type;
    bool found;
    r.root = cJSON_GetObjectItemCaseSensitive(outer->root, "text_config");
    if (!cJSON_IsObject(r.root))
        return dither_fail(r.error, DITHER_E_FORMAT, r.path, "\"text_config\" must be an object");
    dither_status status = dither_config_keys_check_outer(outer->root, r.path, r.error);
    if (status == DITHER_OK)
        status = dither_json_text(r.root, "model_type", &type, &found, r.path, r.error);
    if (status == DITHER_OK && strcmp(type, row->model_type) != 0)
        return dither_fail(r.error, DITHER_E_FORMAT, r.path, "\"text_config\": \"model_type\" must be \"%s\"",
                           row->model_type);
    if (status == DITHER_OK)
        status = read_text_model(&r, row);
    return status == DITHER_OK ? read_flag(outer, "tie_word_embeddings", &outer->config->tied) : status;
}

static dither_status read_model(const cJSON *root, const char *path, dither_model_config *config, dither_error *error)
{
    const reader r = {.root = root, .path = path, .config = config, .error = error};
    const char *type = NULL;
    const dither_status status = dither_json_text(root, "model_type", &type, NULL, path, error);
    if (status != DITHER_OK)
        return status;
    if (strcmp(type, "gemma3") == 0)
        return read_text_config(&r);
    const dither_architecture_row *row = dither_architecture_of_type(type);
    if (!row)
        return dither_fail(error, DITHER_E_FORMAT, path, "\"model_type\" is \"%.100s\"; this version knows \"llama\", "
                           "\"mistral\", \"qwen2\", \"qwen3\", \"gemma3\", \"gemma3_text\" and \"gpt2\"",
                           dither_json_printable(type) ? type : "(unprintable)");
    return read_text_model(&r, row);
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
