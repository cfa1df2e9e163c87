#include "model/table.h"

#include <assert.h>
#include <stdio.h>

typedef struct row_kind {
    dither_parameter_role role;
    const char *name;
    bool vector, residual;
    bool follows; /* directly behind the row before */
} row_kind;

static const row_kind layer_rows[] = {
    {DITHER_PARAMETER_NORM1, "input_layernorm", true, false, false},
    {DITHER_PARAMETER_Q, "self_attn.q_proj", false, false, false},
    {DITHER_PARAMETER_K, "self_attn.k_proj", false, false, true},
    {DITHER_PARAMETER_V, "self_attn.v_proj", false, false, true},
    {DITHER_PARAMETER_O, "self_attn.o_proj", false, true, false},
    {DITHER_PARAMETER_NORM2, "post_attention_layernorm", true, false, false},
    {DITHER_PARAMETER_GATE, "mlp.gate_proj", false, false, false},
    {DITHER_PARAMETER_UP, "mlp.up_proj", false, false, true},
    {DITHER_PARAMETER_DOWN, "mlp.down_proj", false, true, false},
};
enum { LAYER_ROWS = sizeof layer_rows / sizeof layer_rows[0] };

static const row_kind embedding_row = {DITHER_PARAMETER_EMBEDDING, "model.embed_tokens", false, false, false};
static const row_kind norm_row = {DITHER_PARAMETER_NORM, "model.norm", true, false, false};
static const row_kind head_row = {DITHER_PARAMETER_HEAD, "lm_head", false, false, false};

size_t dither_table_count(const dither_model_config *config)
{
    return 2 + config->layers * LAYER_ROWS + (config->tied ? 0 : 1);
}

static const row_kind *kind_at(const dither_model_config *config, size_t index, long *layer)
{
    *layer = DITHER_LAYER_NONE;
    if (index == 0)
        return &embedding_row;
    if (index <= config->layers * LAYER_ROWS) {
        *layer = (long)((index - 1) / LAYER_ROWS);
        return &layer_rows[(index - 1) % LAYER_ROWS];
    }
    return index == config->layers * LAYER_ROWS + 1 ? &norm_row : &head_row;
}

static size_t row_count(const dither_model_config *c, dither_parameter_role role)
{
    switch (role) {
    case DITHER_PARAMETER_EMBEDDING:
    case DITHER_PARAMETER_HEAD: return c->vocab;
    case DITHER_PARAMETER_Q: return c->heads * c->head_dim;
    case DITHER_PARAMETER_K:
    case DITHER_PARAMETER_V: return c->kv_heads * c->head_dim;
    case DITHER_PARAMETER_GATE:
    case DITHER_PARAMETER_UP: return c->ffn;
    case DITHER_PARAMETER_O:
    case DITHER_PARAMETER_DOWN: return c->dim;
    case DITHER_PARAMETER_NORM1:
    case DITHER_PARAMETER_NORM2:
    case DITHER_PARAMETER_NORM: break;
    }
    return 1;
}

static size_t col_count(const dither_model_config *c, dither_parameter_role role)
{
    if (role == DITHER_PARAMETER_O)
        return c->heads * c->head_dim;
    return role == DITHER_PARAMETER_DOWN ? c->ffn : c->dim;
}

dither_parameter dither_table_at(const dither_model_config *config, size_t index)
{
    assert(index < dither_table_count(config));
    long layer;
    const row_kind *kind = kind_at(config, index, &layer);
    dither_parameter row = {
        .role = kind->role,
        .layer = layer,
        .rows = row_count(config, kind->role),
        .cols = col_count(config, kind->role),
        .vector = kind->vector,
        .residual = kind->residual,
    };
    if (layer == DITHER_LAYER_NONE)
        (void)snprintf(row.name, sizeof row.name, "%s.weight", kind->name);
    else
        (void)snprintf(row.name, sizeof row.name, "model.layers.%ld.%s.weight", layer, kind->name);
    return row;
}

size_t dither_table_fill(const dither_model_config *config, dither_parameter *table)
{
    const size_t alignment = 16; /* f32 elements in 64 bytes */
    const size_t count = dither_table_count(config);
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        long layer;
        table[i] = dither_table_at(config, i);
        if (!kind_at(config, i, &layer)->follows)
            used = (used + alignment - 1) / alignment * alignment;
        table[i].offset = used;
        used += table[i].rows * table[i].cols;
    }
    return used;
}
