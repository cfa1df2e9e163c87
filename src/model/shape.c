/* The shape of a model: read from text, checked, counted. */
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/fail.h"
#include "base/text.h"
#include "dither/model.h"
#include "model/table.h"

static dither_status bad(dither_error *error, const char *text)
{
    return dither_fail(error, DITHER_E_USAGE, "model shape", "%s", text);
}

dither_status dither_model_config_check(const dither_model_config *c, dither_error *error)
{
    const size_t limit = (size_t)1 << 28; /* stacked matrices and byte counts stay far inside int and size_t */
    const struct {
        const char *name;
        size_t value;
    } sizes[] = {{"layers", c->layers}, {"heads", c->heads}, {"kv_heads", c->kv_heads}, {"head_dim", c->head_dim},
                 {"dim", c->dim},       {"ffn", c->ffn},     {"vocab", c->vocab},       {"ctx", c->ctx}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        if (sizes[i].value == 0 || sizes[i].value > limit)
            return dither_fail(error, DITHER_E_USAGE, "model shape", "%s is %zu; it must be 1 to %zu", sizes[i].name,
                               sizes[i].value, limit);
    if (dither_multiply(c->heads + 2 * c->kv_heads, c->head_dim) > INT_MAX)
        return bad(error, "heads times head_dim is too large");
    if (c->layers > 4096)
        return bad(error, "more than 4096 layers");
    if (c->heads % c->kv_heads)
        return dither_fail(error, DITHER_E_USAGE, "model shape",
                           "%zu heads cannot share %zu kv_heads; heads must be a multiple of kv_heads", c->heads,
                           c->kv_heads);
    if (c->head_dim % 2)
        return dither_fail(error, DITHER_E_USAGE, "model shape", "head_dim is %zu; rotary positions need an even one",
                           c->head_dim);
    if (!(c->rope_base > 0) || !isfinite(c->rope_base))
        return bad(error, "rope_base must be a positive number");
    if (!(c->norm_eps >= 0) || !isfinite(c->norm_eps))
        return bad(error, "norm_eps must not be negative");
    if (dither_model_parameters(c) == UINT64_MAX)
        return bad(error, "more parameters than can be counted");
    return DITHER_OK;
}

uint64_t dither_model_parameters(const dither_model_config *config)
{
    size_t per_layer = 0, outside = 0;
    dither_model_config one = *config;
    one.layers = 1; /* every layer is alike */
    for (size_t i = 0; i < dither_table_count(&one); i++) {
        const dither_parameter row = dither_table_at(&one, i);
        const size_t size = dither_multiply(row.rows, row.cols);
        size_t *sum = row.layer == DITHER_LAYER_NONE ? &outside : &per_layer;
        if (size > SIZE_MAX / 64 || *sum > SIZE_MAX / 64)
            return UINT64_MAX;
        *sum += size;
    }
    const size_t layers = dither_multiply(per_layer, config->layers);
    return layers > SIZE_MAX / 64 ? UINT64_MAX : layers + outside;
}

typedef struct shape_key {
    const char *name;
    size_t offset;
    enum { SIZE, REAL, FLAG } type;
} shape_key;

#define KEY(name, type) {#name, offsetof(dither_model_config, name), type}
static const shape_key keys[] = {
    KEY(layers, SIZE), KEY(heads, SIZE), KEY(kv_heads, SIZE), KEY(head_dim, SIZE),  KEY(dim, SIZE),     KEY(ffn, SIZE),
    KEY(vocab, SIZE),  KEY(ctx, SIZE),   KEY(tied, FLAG),     KEY(rope_base, REAL), KEY(norm_eps, REAL),
};
#undef KEY
enum { KEYS = sizeof keys / sizeof keys[0] };

static const shape_key *find_key(const char *name, dither_error *error)
{
    const char *names[KEYS];
    for (size_t i = 0; i < KEYS; i++) {
        if (!strcmp(keys[i].name, name))
            return &keys[i];
        names[i] = keys[i].name;
    }
    const char *near = dither_text_nearest(name, names, KEYS);
    (void)dither_fail(error, DITHER_E_USAGE, "model shape", "no key \"%s\"%s%s%s", name, near ? "; did you mean " : "",
                      near ? near : "; keys are layers, heads, kv_heads, head_dim, dim, ffn, vocab, ctx, tied, ...",
                      near ? "?" : "");
    return NULL;
}

static dither_status set_key(const shape_key *key, const char *value, dither_model_config *config, dither_error *error)
{
    unsigned char *field = (unsigned char *)config + key->offset;
    uint64_t whole = 0;
    double real = 0;
    if (key->type == SIZE && dither_text_u64(value, (uint64_t)1 << 31, &whole)) {
        const size_t size = (size_t)whole;
        memcpy(field, &size, sizeof size);
    } else if (key->type == FLAG && dither_text_u64(value, 1, &whole)) {
        const bool flag = whole;
        memcpy(field, &flag, sizeof flag);
    } else if (key->type == REAL && dither_text_f64(value, &real)) {
        memcpy(field, &real, sizeof real);
    } else {
        return dither_fail(error, DITHER_E_USAGE, "model shape", "%s=%s: not a %s", key->name, value,
                           key->type == FLAG   ? "0 or 1"
                           : key->type == SIZE ? "whole number"
                                               : "number");
    }
    return DITHER_OK;
}

/* Shapes with a name, which may stand first and be changed by what follows. */
static const struct {
    const char *name;
    dither_model_config config;
} presets[] = {
    {"smollm2-135m",
     {.layers = 30, .heads = 9, .kv_heads = 3, .head_dim = 64, .dim = 576, .ffn = 1536, .vocab = 49152, .ctx = 8192,
      .tied = true, .rope_base = 1e5, .norm_eps = 1e-5}},
    {"gpt2-124m", /* its sizes on our block: SwiGLU with as many weights, no biases, rotary positions */
     {.layers = 12, .heads = 12, .kv_heads = 12, .head_dim = 64, .dim = 768, .ffn = 2048, .vocab = 50257, .ctx = 1024,
      .tied = true, .rope_base = 1e4, .norm_eps = 1e-5}},
};
enum { PRESETS = sizeof presets / sizeof presets[0] };

static dither_status take_preset(const char *name, dither_model_config *config, dither_error *error)
{
    const char *names[PRESETS];
    for (size_t i = 0; i < PRESETS; i++) {
        if (!strcmp(presets[i].name, name)) {
            *config = presets[i].config;
            return DITHER_OK;
        }
        names[i] = presets[i].name;
    }
    const char *near = dither_text_nearest(name, names, PRESETS);
    return dither_fail(error, DITHER_E_USAGE, "model shape", "\"%s\" is not KEY=VALUE%s%s%s", name,
                       near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
}

static dither_status read_pairs(char *text, dither_model_config *config, dither_error *error)
{
    unsigned seen = 0;
    for (char *pair, *rest = text; (pair = strsep(&rest, ","));) {
        char *equals = strchr(pair, '=');
        if (!equals && pair == text) {
            const dither_status status = take_preset(pair, config, error);
            if (status)
                return status;
            continue;
        }
        if (!equals)
            return dither_fail(error, DITHER_E_USAGE, "model shape", "\"%s\" is not KEY=VALUE", pair);
        *equals = 0;
        const shape_key *key = find_key(pair, error);
        if (!key)
            return DITHER_E_USAGE;
        const unsigned bit = 1u << (key - keys);
        if (seen & bit)
            return dither_fail(error, DITHER_E_USAGE, "model shape", "%s is given twice", key->name);
        seen |= bit;
        const dither_status status = set_key(key, equals + 1, config, error);
        if (status)
            return status;
    }
    return DITHER_OK;
}

static dither_status fill_defaults(dither_model_config *c, dither_error *error)
{
    const struct {
        const char *name;
        size_t value;
    } needed[] = {{"layers", c->layers}, {"heads", c->heads}, {"dim", c->dim}, {"ctx", c->ctx}};
    for (size_t i = 0; i < sizeof needed / sizeof needed[0]; i++)
        if (!needed[i].value)
            return dither_fail(error, DITHER_E_USAGE, "model shape",
                               "%s is missing or 0; for example layers=4,heads=4,dim=128,ctx=64", needed[i].name);
    if (!c->kv_heads)
        c->kv_heads = c->heads;
    if (!c->ffn)
        c->ffn = (c->dim * 8 / 3 + 31) / 32 * 32;
    if (!c->head_dim) {
        if (c->dim % c->heads)
            return dither_fail(error, DITHER_E_USAGE, "model shape",
                               "dim %zu is not divisible by heads %zu; change one, or give head_dim", c->dim, c->heads);
        c->head_dim = c->dim / c->heads;
    }
    return DITHER_OK;
}

void dither_shape_print(const dither_model_config *c, char *text)
{
    char base[40], eps[40];
    dither_text_print_f64(c->rope_base, 17, base, sizeof base);
    dither_text_print_f64(c->norm_eps, 17, eps, sizeof eps);
    (void)snprintf(
        text, DITHER_SHAPE_TEXT,
        "layers=%zu,heads=%zu,kv_heads=%zu,head_dim=%zu,dim=%zu,ffn=%zu,vocab=%zu,ctx=%zu,tied=%d,rope_base=%s,"
        "norm_eps=%s",
        c->layers, c->heads, c->kv_heads, c->head_dim, c->dim, c->ffn, c->vocab, c->ctx, c->tied, base, eps);
}

dither_status dither_model_config_parse(const char *text, size_t vocab, dither_model_config *config,
                                        dither_error *error)
{
    *config = (dither_model_config){.vocab = vocab, .rope_base = 10000, .norm_eps = 1e-5, .tied = true};
    char *copy = strdup(text);
    if (!copy)
        return dither_fail(error, DITHER_E_MEMORY, "model shape", "no memory");
    dither_status status = read_pairs(copy, config, error);
    free(copy);
    if (!status)
        status = fill_defaults(config, error);
    if (!status && config->vocab < vocab)
        status = dither_fail(error, DITHER_E_USAGE, "model shape", "vocab %zu is smaller than the tokenizer's %zu",
                             config->vocab, vocab);
    return status ? status : dither_model_config_check(config, error);
}
