#include "file/config_gguf.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "base/text.h"
#include "file/architectures.h"
#include "file/json.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { KEY = 128 };
static const uint64_t SIZE_LIMIT = UINT64_C(1) << 31;

typedef struct reader {
    const dither_gguf *file;
    const char *architecture; /* the front of its keys */
    dither_model_config *config;
    dither_error *error;
} reader;

static dither_status fail(const reader *r, const char *key, const char *text)
{
    return dither_fail(r->error, DITHER_E_FORMAT, dither_gguf_path(r->file), "%s.%s %s", r->architecture, key, text);
}

/* @param found  NULL: the key must be there */
static dither_status read_size(const reader *r, const char *key, size_t *size, bool *found)
{
    char full[KEY];
    uint64_t value = *size;
    (void)snprintf(full, sizeof full, "%s.%s", r->architecture, key);
    const dither_status status = dither_gguf_u64(r->file, full, 0, SIZE_LIMIT, &value, found, r->error);
    *size = (size_t)value;
    return status;
}

/* What somebody wrote and f32 has rounded: of the numbers that round to x, the one of the fewest digits. */
static double as_written(double x)
{
    char text[32];
    double back = x;
    if ((double)(float)x != x)
        return x;
    for (int digits = 1; digits <= 9; digits++) {
        dither_text_print_f64(x, digits, text, sizeof text);
        if (dither_text_f64(text, &back) && (float)back == (float)x)
            break;
    }
    return back;
}

static dither_status read_real(const reader *r, const char *key, double *value, bool *found)
{
    char full[KEY];
    (void)snprintf(full, sizeof full, "%s.%s", r->architecture, key);
    const dither_status status = dither_gguf_f64(r->file, full, value, found, r->error);
    *value = as_written(*value);
    return status;
}

static bool has_tensor(const reader *r, const char *name)
{
    return dither_gguf_find(r->file, name) != NULL;
}

/* ---- which keys may be there --------------------------------------------------------------------------------- */

static const char *const known[] = {
    "attention.head_count",
    "attention.head_count_kv",
    "attention.key_length",
    "attention.layer_norm_epsilon",
    "attention.layer_norm_rms_epsilon",
    "attention.sliding_window",
    "attention.sliding_window_pattern",
    "attention.value_length",
    "block_count",
    "context_length",
    "embedding_length",
    "feed_forward_length",
    "rope.dimension_count",
    "rope.freq_base",
    "rope.freq_base_swa",
    "rope.scale_linear",
    "rope.scaling.factor",
    "rope.scaling.finetuned",
    "rope.scaling.original_context_length",
    "rope.scaling.type",
    "tensor_data_layout",
    "vocab_size",
};

/* Numbers that change the result, and what they are where they do not. */
static const struct {
    const char *key;
    double off;
} held[] = {
    {"attention.causal", 1},         {"attn_logit_softcapping", 0}, {"expert_count", 0},
    {"expert_used_count", 0},        {"final_logit_softcapping", 0}, {"logit_scale", 1},
    {"use_parallel_residual", 0},
};

static dither_status check_held(const reader *r, const char *full, const char *key, double off, uint32_t type)
{
    double value = 0;
    bool flag = false;
    const dither_status status = type == DITHER_GGUF_BOOL ? dither_gguf_bool(r->file, full, &flag, NULL, r->error)
                                                          : dither_gguf_f64(r->file, full, &value, NULL, r->error);
    if (status)
        return status;
    if (type == DITHER_GGUF_BOOL)
        value = flag;
    return value == off ? DITHER_OK : fail(r, key, "changes the model in a way this version does not support");
}

static dither_status check_key(const reader *r, const dither_gguf_value *value)
{
    char full[KEY];
    const size_t front = strlen(r->architecture);
    if (value->key_length <= front || memcmp(value->key, r->architecture, front) || value->key[front] != '.')
        return DITHER_OK; /* about the file, or the tokenizer's */
    (void)snprintf(full, sizeof full, "%.*s", (int)(value->key_length < KEY ? value->key_length : KEY), value->key);
    const char *key = full + front + 1;
    for (size_t i = 0; i < COUNT(known); i++)
        if (!strcmp(known[i], key))
            return DITHER_OK;
    for (size_t i = 0; i < COUNT(held); i++)
        if (!strcmp(held[i].key, key))
            return check_held(r, full, key, held[i].off, value->type);
    return fail(r, key, "is not a key that this version knows, and may change what the model computes");
}

/* ---- rotary positions ---------------------------------------------------------------------------------------- */

void dither_config_rope_factors(const dither_model_config *c, float *factors)
{
    for (size_t i = 0; i < c->head_dim / 2; i++) {
        const double turn = 2 * 3.14159265358979323846 * pow(c->rope_base, 2.0 * (double)i / (double)c->head_dim);
        const double turns = (double)c->rope_original / turn; /* in the first context */
        double share = (turns - c->rope_low) / (c->rope_high - c->rope_low);
        share = share < 0 ? 0 : share > 1 ? 1 : share;
        factors[i] = (float)(1 / ((1 - share) / c->rope_factor + share));
    }
}

static bool factors_fit(const dither_model_config *c, const float *stored, float *factors)
{
    dither_config_rope_factors(c, factors);
    for (size_t i = 0; i < c->head_dim / 2; i++)
        if (!(fabsf(stored[i] - factors[i]) <= 1e-4f * factors[i]))
            return false;
    return true;
}

/* The numbers behind the factors: of Llama's files low is 1 and high is 4; the first context is a power of 2. */
static bool find_llama3(dither_model_config *c, const float *stored, float *factors)
{
    const size_t half = c->head_dim / 2;
    c->rope_scaling = DITHER_ROPE_SCALING_LLAMA3;
    c->rope_factor = (double)stored[half - 1];
    c->rope_low = 1;
    c->rope_high = 4;
    for (c->rope_original = 8192; c->rope_original >= 16; c->rope_original /= 2)
        if (factors_fit(c, stored, factors))
            return true;
    for (c->rope_original = 16384; c->rope_original <= (size_t)1 << 20; c->rope_original *= 2)
        if (factors_fit(c, stored, factors))
            return true;
    return false;
}

static dither_status read_rope_factors(const reader *r)
{
    static const char name[] = "rope_freqs.weight";
    const dither_gguf_tensor *tensor = dither_gguf_find(r->file, name);
    const size_t half = r->config->head_dim / 2;
    if (!tensor)
        return DITHER_OK;
    if (tensor->type != DITHER_BLOCK_F32 || tensor->dims != 1 || tensor->shape[0] != half || half == 0)
        return dither_fail(r->error, DITHER_E_FORMAT, dither_gguf_path(r->file), "%s must be %zu values of F32", name,
                           half);
    float *stored = calloc(half, 2 * sizeof *stored);
    if (!stored)
        return dither_fail(r->error, DITHER_E_MEMORY, dither_gguf_path(r->file), "no memory");
    memcpy(stored, tensor->data, half * sizeof *stored);
    const bool turned = r->config->rope_base > 0 && isfinite(r->config->rope_base);
    const bool fits = turned && r->config->rope_scaling == DITHER_ROPE_SCALING_NONE &&
                      find_llama3(r->config, stored, stored + half);
    free(stored);
    if (!fits)
        return dither_fail(r->error, DITHER_E_FORMAT, dither_gguf_path(r->file),
                           "%s scales the rotary positions in a way this version does not know; it knows Llama 3's",
                           name);
    if (r->config->rope_factor == 1)
        r->config->rope_scaling = DITHER_ROPE_SCALING_NONE;
    return DITHER_OK;
}

static dither_status read_rope_scaling(const reader *r)
{
    char full[KEY];
    char *type = NULL;
    bool found, given = false;
    double factor = 1;
    (void)snprintf(full, sizeof full, "%s.rope.scaling.type", r->architecture);
    dither_status status = dither_gguf_text(r->file, full, &type, &found, r->error);
    if (!status)
        status = read_real(r, "rope.scale_linear", &factor, &found);
    if (!status)
        status = read_real(r, "rope.scaling.factor", &factor, &given);
    const bool linear = type ? !strcmp(type, "linear") : found && factor != 1;
    if (!status && type && !linear && strcmp(type, "none"))
        status = fail(r, "rope.scaling.type", "is neither \"none\" nor \"linear\"");
    if (!status && linear && !(factor > 0))
        status = fail(r, "rope.scaling.factor", "must be above 0");
    if (!status && linear && factor != 1) {
        r->config->rope_scaling = DITHER_ROPE_SCALING_LINEAR;
        r->config->rope_factor = factor;
    }
    free(type);
    return status;
}

static dither_status read_rope(const reader *r)
{
    dither_model_config *c = r->config;
    size_t turned = c->head_dim;
    bool found;
    dither_status status = read_size(r, "rope.dimension_count", &turned, &found);
    if (!status && turned != c->head_dim)
        return fail(r, "rope.dimension_count", "is not the length of a head: a part of it is turned, or none");
    c->rope_base = 1e4; /* llama.cpp's */
    if (!status)
        status = read_real(r, "rope.freq_base", &c->rope_base, &found);
    const bool local = c->rope_local_base > 0;
    if (!status && local)
        status = read_real(r, "rope.freq_base_swa", &c->rope_local_base, &found);
    if (!status && local && !(c->rope_local_base > 0))
        return fail(r, "rope.freq_base_swa", "must be above 0");
    if (!status)
        status = read_rope_scaling(r);
    return status ? status : read_rope_factors(r);
}

/* ---- the whole ----------------------------------------------------------------------------------------------- */

static dither_status read_sizes(const reader *r)
{
    dither_model_config *c = r->config;
    const struct {
        const char *key;
        size_t *size;
    } sizes[] = {
        {"block_count", &c->layers},      {"attention.head_count", &c->heads}, {"embedding_length", &c->dim},
        {"feed_forward_length", &c->ffn}, {"context_length", &c->ctx},
    };
    dither_status status = DITHER_OK;
    for (size_t i = 0; i < COUNT(sizes) && !status; i++)
        status = read_size(r, sizes[i].key, sizes[i].size, NULL);
    if (status)
        return status;
    bool found, length_found;
    c->kv_heads = c->heads;
    status = read_size(r, "attention.head_count_kv", &c->kv_heads, &found);
    if (!status && c->heads == 0)
        return fail(r, "attention.head_count", "is 0");
    size_t value_length = 0;
    c->head_dim = c->heads ? c->dim / c->heads : 0;
    if (!status)
        status = read_size(r, "attention.key_length", &c->head_dim, &length_found);
    if (!status && !length_found && c->dim % c->heads)
        return fail(r, "embedding_length", "is not a multiple of attention.head_count, and there is no key_length");
    value_length = c->head_dim;
    if (!status)
        status = read_size(r, "attention.value_length", &value_length, &found);
    if (!status && value_length != c->head_dim)
        return fail(r, "attention.value_length", "is not attention.key_length");
    const dither_gguf_tensor *embedding = dither_gguf_find(r->file, "token_embd.weight");
    if (!status && (!embedding || embedding->dims != 2))
        return dither_fail(r->error, DITHER_E_FORMAT, dither_gguf_path(r->file), "no matrix token_embd.weight");
    if (!status)
        c->vocab = (size_t)embedding->shape[1];
    return status;
}

/* The window of llama's files makes them mistral's; elsewhere one that hides nothing may be named. */
static dither_status read_window(const reader *r)
{
    dither_model_config *c = r->config;
    size_t window = 0, period = c->window_period;
    bool found, pattern_found;
    c->window = 0;
    dither_status status = read_size(r, "attention.sliding_window", &window, &found);
    if (!status)
        status = read_size(r, "attention.sliding_window_pattern", &period, &pattern_found);
    const bool gemma = c->architecture == DITHER_ARCHITECTURE_GEMMA3;
    if (!status && pattern_found && !gemma)
        return fail(r, "attention.sliding_window_pattern", "is not known of this architecture");
    if (!status && gemma && !found)
        return fail(r, "attention.sliding_window", "is missing");
    if (!status && period == 1)
        return fail(r, "attention.sliding_window_pattern", "is 1");
    if (!status && c->architecture == DITHER_ARCHITECTURE_LLAMA && window) {
        c->architecture = DITHER_ARCHITECTURE_MISTRAL;
        c->window = window;
    } else if (!status && gemma) {
        c->window = window;
        c->window_period = period;
    } else if (!status && window && window < c->ctx) {
        return fail(r, "attention.sliding_window", "is not known of this architecture");
    }
    return status;
}

static void read_biases(const reader *r)
{
    dither_model_config *c = r->config;
    const dither_architecture_row *row = dither_architecture_row_of(c->architecture);
    if (row->attention_bias) {
        c->qkv_bias = has_tensor(r, "blk.0.attn_q.bias");
        c->o_bias = has_tensor(r, "blk.0.attn_output.bias");
    }
    if (row->mlp_bias)
        c->mlp_bias = has_tensor(r, "blk.0.ffn_up.bias");
}

static dither_status read_model(const reader *r)
{
    dither_model_config *c = r->config;
    const bool layer_norm = c->norm == DITHER_NORM_LAYER;
    const char *eps = layer_norm ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon";
    dither_status status = DITHER_OK;
    for (size_t i = 0; i < dither_gguf_metadata(r->file) && !status; i++)
        status = check_key(r, dither_gguf_metadata_at(r->file, i));
    if (!status)
        status = read_sizes(r);
    if (!status)
        status = read_real(r, eps, &c->norm_eps, NULL);
    if (!status && !(c->norm_eps >= 0))
        status = fail(r, eps, "must not be negative");
    if (!status && !c->learned_positions)
        status = read_rope(r);
    if (!status && !c->learned_positions)
        status = read_window(r);
    c->tied = !has_tensor(r, "output.weight");
    if (!status)
        read_biases(r);
    /* llama.cpp knows the scale of scores by the size: of gemma3, that of 62 layers has one of its own. */
    if (!status && c->architecture == DITHER_ARCHITECTURE_GEMMA3 && c->layers == 62 && c->dim / c->heads != c->head_dim)
        c->attention_scalar = (double)(c->dim / c->heads);
    return status;
}

dither_status dither_config_from_gguf(const dither_gguf *file, dither_model_config *config, dither_error *error)
{
    char *name = NULL;
    dither_status status = dither_gguf_text(file, "general.architecture", &name, NULL, error);
    if (status)
        return status;
    const dither_architecture_row *row = NULL;
    for (int i = 0; i < DITHER_ARCHITECTURES && !row; i++)
        if (!strcmp(dither_architecture_row_of((dither_architecture)i)->gguf, name))
            row = dither_architecture_row_of((dither_architecture)i);
    if (row) {
        const reader r = {.file = file, .architecture = name, .config = config, .error = error};
        *config = row->preset;
        status = read_model(&r);
    } else {
        status = dither_fail(error, DITHER_E_FORMAT, dither_gguf_path(file), "general.architecture is \"%.40s\"; this "
                             "version knows llama, qwen2, qwen3, gemma3 and gpt2",
                             dither_json_printable(name) ? name : "(unprintable)");
    }
    free(name);
    return status;
}
