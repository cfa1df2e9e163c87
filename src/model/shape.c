/* The shape of a model: read from text, checked, counted. */
#include <assert.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/fail.h"
#include "base/text.h"
#include "file/architectures.h"
#include "model/table.h"

static dither_status bad(dither_error *error, const char *text)
{
    return dither_fail(error, DITHER_E_USAGE, "model shape", "%s", text);
}

/* Everything that is no size: numbers that could not be computed with, and switches that no architecture has. */
static dither_status check_switches(const dither_model_config *c, dither_error *error)
{
    const dither_architecture_row *row = dither_architecture_row_of(c->architecture);
    const dither_model_config *p = &row->preset;
    if (c->norm != p->norm || c->activation != p->activation || c->post_norms != p->post_norms ||
        c->qk_norm != p->qk_norm || c->scaled_embedding != p->scaled_embedding ||
        c->learned_positions != p->learned_positions)
        return dither_fail(error, DITHER_E_USAGE, "model shape", "%s has other switches than this", row->name);
    if (!row->attention_bias && (c->qkv_bias != p->qkv_bias || c->o_bias != p->o_bias))
        return dither_fail(error, DITHER_E_USAGE, "model shape", "%s has other biases of attention", row->name);
    if (!row->mlp_bias && c->mlp_bias != p->mlp_bias)
        return dither_fail(error, DITHER_E_USAGE, "model shape", "%s has other biases of the feed-forward block",
                           row->name);
    if (c->learned_positions && (c->kv_heads != c->heads || c->head_dim * c->heads != c->dim))
        return dither_fail(error, DITHER_E_USAGE, "model shape",
                           "%s has as many kv_heads as heads, and heads times head_dim is dim", row->name);
    if (!(c->attention_scalar >= 0) || !isfinite(c->attention_scalar))
        return bad(error, "attention_scalar must not be negative");
    return DITHER_OK;
}

static dither_status check_positions(const dither_model_config *c, dither_error *error)
{
    if (c->head_dim % 2)
        return dither_fail(error, DITHER_E_USAGE, "model shape", "head_dim is %zu; rotary positions need an even one",
                           c->head_dim);
    if (!(c->rope_base > 0) || !isfinite(c->rope_base))
        return bad(error, "rope_base must be a positive number");
    if (!(c->rope_local_base >= 0) || !isfinite(c->rope_local_base))
        return bad(error, "rope_local_base must not be negative");
    if (c->learned_positions && (c->rope_scaling != DITHER_ROPE_SCALING_NONE || c->window))
        return bad(error, "learned positions are neither scaled nor seen through a window");
    if (c->rope_scaling > DITHER_ROPE_SCALING_LLAMA3)
        return bad(error, "no such rope_scaling");
    if (c->rope_scaling != DITHER_ROPE_SCALING_NONE && (!(c->rope_factor > 0) || !isfinite(c->rope_factor)))
        return bad(error, "rope_factor must be a positive number");
    if (c->rope_scaling == DITHER_ROPE_SCALING_LLAMA3 &&
        (!(c->rope_low > 0) || !(c->rope_high > c->rope_low) || !isfinite(c->rope_high) || !c->rope_original))
        return bad(error, "rope_scaling=llama3 needs 0 < rope_low < rope_high, and rope_original");
    if (c->window_period == 1)
        return bad(error, "window_period is 1, which leaves no layer with a window; window=0 says so");
    return DITHER_OK;
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
    if (!(c->norm_eps >= 0) || !isfinite(c->norm_eps))
        return bad(error, "norm_eps must not be negative");
    if (c->architecture >= DITHER_ARCHITECTURES)
        return bad(error, "no such architecture");
    dither_status status = check_switches(c, error);
    if (!status)
        status = check_positions(c, error);
    if (status)
        return status;
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
    enum { SIZE, REAL, FLAG, SCALING } type;
    bool always; /* printed, whatever it is */
} shape_key;

#define KEY(name, type, always) {#name, offsetof(dither_model_config, name), type, always}
static const shape_key keys[] = {
    KEY(layers, SIZE, true),
    KEY(heads, SIZE, true),
    KEY(kv_heads, SIZE, true),
    KEY(head_dim, SIZE, true),
    KEY(dim, SIZE, true),
    KEY(ffn, SIZE, true),
    KEY(vocab, SIZE, true),
    KEY(ctx, SIZE, true),
    KEY(tied, FLAG, true),
    KEY(rope_base, REAL, true),
    KEY(norm_eps, REAL, true),
    KEY(qkv_bias, FLAG, false),
    KEY(o_bias, FLAG, false),
    KEY(mlp_bias, FLAG, false),
    KEY(attention_scalar, REAL, false),
    KEY(rope_scaling, SCALING, false),
    KEY(rope_factor, REAL, false),
    KEY(rope_low, REAL, false),
    KEY(rope_high, REAL, false),
    KEY(rope_original, SIZE, false),
    KEY(rope_local_base, REAL, false),
    KEY(window, SIZE, false),
    KEY(window_from, SIZE, false),
    KEY(window_period, SIZE, false),
};
#undef KEY
enum { KEYS = sizeof keys / sizeof keys[0] };

static const char *const scalings[] = {
    [DITHER_ROPE_SCALING_NONE] = "none",
    [DITHER_ROPE_SCALING_LINEAR] = "linear",
    [DITHER_ROPE_SCALING_LLAMA3] = "llama3",
};
enum { SCALINGS = sizeof scalings / sizeof scalings[0] };

/* The scaling of that name, or SCALINGS. */
static size_t scaling_of(const char *name)
{
    size_t i = 0;
    while (i < SCALINGS && strcmp(scalings[i], name))
        i++;
    return i;
}

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
    } else if (key->type == SCALING && scaling_of(value) < SCALINGS) {
        const dither_rope_scaling scaling = (dither_rope_scaling)scaling_of(value);
        memcpy(field, &scaling, sizeof scaling);
    } else {
        return dither_fail(error, DITHER_E_USAGE, "model shape", "%s=%s: not a %s", key->name, value,
                           key->type == FLAG      ? "0 or 1"
                           : key->type == SIZE    ? "whole number"
                           : key->type == SCALING ? "scaling: none, linear or llama3"
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

static dither_status take_architecture(const char *name, size_t vocab, dither_model_config *config,
                                       dither_error *error)
{
    const dither_architecture_row *row = dither_architecture_find(name);
    if (!row) {
        const char *names[DITHER_ARCHITECTURES];
        for (size_t i = 0; i < DITHER_ARCHITECTURES; i++)
            names[i] = dither_architecture_name((dither_architecture)i);
        const char *near = dither_text_nearest(name, names, DITHER_ARCHITECTURES);
        return dither_fail(error, DITHER_E_USAGE, "model shape", "arch=%s: not an architecture; %s%s%s", name,
                           near ? "did you mean " : "llama, mistral, qwen2, qwen3, gemma3 and gpt2 are",
                           near ? near : "", near ? "?" : "");
    }
    *config = row->preset;
    config->vocab = vocab;
    return DITHER_OK;
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
        if (!strcmp(pair, "arch")) {
            const dither_status status =
                pair == text ? take_architecture(equals + 1, config->vocab, config, error)
                             : dither_fail(error, DITHER_E_USAGE, "model shape", "arch must stand first");
            if (status)
                return status;
            continue;
        }
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
        c->ffn = c->activation == DITHER_ACTIVATION_GELU ? 4 * c->dim : (c->dim * 8 / 3 + 31) / 32 * 32;
    if (!c->head_dim) {
        if (c->dim % c->heads)
            return dither_fail(error, DITHER_E_USAGE, "model shape",
                               "dim %zu is not divisible by heads %zu; change one, or give head_dim", c->dim, c->heads);
        c->head_dim = c->dim / c->heads;
    }
    return DITHER_OK;
}

static void print_key(const shape_key *key, const dither_model_config *config, char *text, size_t size)
{
    const unsigned char *field = (const unsigned char *)config + key->offset;
    char number[40];
    size_t whole;
    bool flag;
    double real;
    dither_rope_scaling scaling;
    switch (key->type) {
    case SIZE: memcpy(&whole, field, sizeof whole), (void)snprintf(number, sizeof number, "%zu", whole); break;
    case FLAG: memcpy(&flag, field, sizeof flag), (void)snprintf(number, sizeof number, "%d", flag); break;
    case REAL: memcpy(&real, field, sizeof real), dither_text_print_f64(real, 17, number, sizeof number); break;
    case SCALING:
        memcpy(&scaling, field, sizeof scaling);
        (void)snprintf(number, sizeof number, "%s", scalings[scaling]);
        break;
    }
    (void)snprintf(text, size, "%s=%s", key->name, number);
}

void dither_shape_print(const dither_model_config *config, char *text)
{
    const dither_model_config *preset = &dither_architecture_row_of(config->architecture)->preset;
    size_t used = 0;
    text[0] = 0;
    if (config->architecture != DITHER_ARCHITECTURE_LLAMA) /* what a text that names none means */
        used = (size_t)snprintf(text, DITHER_SHAPE_TEXT, "arch=%s", dither_architecture_name(config->architecture));
    for (size_t i = 0; i < KEYS; i++) {
        char here[80], there[80];
        print_key(&keys[i], config, here, sizeof here);
        print_key(&keys[i], preset, there, sizeof there);
        if (keys[i].always || strcmp(here, there))
            used += (size_t)snprintf(text + used, DITHER_SHAPE_TEXT - used, "%s%s", used ? "," : "", here);
    }
    assert(used < DITHER_SHAPE_TEXT);
}

dither_status dither_model_config_parse(const char *text, size_t vocab, dither_model_config *config,
                                        dither_error *error)
{
    *config = dither_architecture_row_of(DITHER_ARCHITECTURE_LLAMA)->preset;
    config->vocab = vocab;
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
