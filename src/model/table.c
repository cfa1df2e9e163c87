#include "model/table.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "file/architectures.h"

enum {
    BIAS = 1,    /* ".bias" in files, else ".weight" */
    NORM = 2,    /* the weight of a norm */
    RESIDUAL = 4,
    FOLLOWS = 8, /* directly behind the row before */
    MATRIX = 16  /* of a linear layer inside the layers: gpt2's files of Hugging Face hold it transposed */
};

typedef struct row_kind {
    dither_parameter_role role;
    const char *name;   /* ours, and that of Hugging Face files but for */
    const char *gemma3; /* NULL: as ours */
    const char *gpt2;   /* NULL: it has none */
    const char *gguf;
    int flags;
} row_kind;

static const row_kind layer_rows[] = {
    {DITHER_PARAMETER_NORM1, "input_layernorm", NULL, "ln_1", "attn_norm", NORM},
    {DITHER_PARAMETER_NORM1_BIAS, "input_layernorm", NULL, "ln_1", "attn_norm", BIAS},
    {DITHER_PARAMETER_Q, "self_attn.q_proj", NULL, "attn.c_attn", "attn_q", MATRIX},
    {DITHER_PARAMETER_K, "self_attn.k_proj", NULL, "attn.c_attn", "attn_k", MATRIX | FOLLOWS},
    {DITHER_PARAMETER_V, "self_attn.v_proj", NULL, "attn.c_attn", "attn_v", MATRIX | FOLLOWS},
    {DITHER_PARAMETER_Q_BIAS, "self_attn.q_proj", NULL, "attn.c_attn", "attn_q", BIAS},
    {DITHER_PARAMETER_K_BIAS, "self_attn.k_proj", NULL, "attn.c_attn", "attn_k", BIAS | FOLLOWS},
    {DITHER_PARAMETER_V_BIAS, "self_attn.v_proj", NULL, "attn.c_attn", "attn_v", BIAS | FOLLOWS},
    {DITHER_PARAMETER_Q_NORM, "self_attn.q_norm", NULL, NULL, "attn_q_norm", NORM},
    {DITHER_PARAMETER_K_NORM, "self_attn.k_norm", NULL, NULL, "attn_k_norm", NORM},
    {DITHER_PARAMETER_O, "self_attn.o_proj", NULL, "attn.c_proj", "attn_output", MATRIX | RESIDUAL},
    {DITHER_PARAMETER_O_BIAS, "self_attn.o_proj", NULL, "attn.c_proj", "attn_output", BIAS},
    {DITHER_PARAMETER_POST_NORM1, "self_attn.post_norm", "post_attention_layernorm", NULL, "post_attention_norm", NORM},
    {DITHER_PARAMETER_NORM2, "post_attention_layernorm", "pre_feedforward_layernorm", "ln_2", "ffn_norm", NORM},
    {DITHER_PARAMETER_NORM2_BIAS, "post_attention_layernorm", NULL, "ln_2", "ffn_norm", BIAS},
    {DITHER_PARAMETER_GATE, "mlp.gate_proj", NULL, NULL, "ffn_gate", MATRIX},
    {DITHER_PARAMETER_UP, "mlp.up_proj", NULL, "mlp.c_fc", "ffn_up", MATRIX | FOLLOWS},
    {DITHER_PARAMETER_GATE_BIAS, "mlp.gate_proj", NULL, NULL, "ffn_gate", BIAS},
    {DITHER_PARAMETER_UP_BIAS, "mlp.up_proj", NULL, "mlp.c_fc", "ffn_up", BIAS | FOLLOWS},
    {DITHER_PARAMETER_DOWN, "mlp.down_proj", NULL, "mlp.c_proj", "ffn_down", MATRIX | RESIDUAL},
    {DITHER_PARAMETER_DOWN_BIAS, "mlp.down_proj", NULL, "mlp.c_proj", "ffn_down", BIAS},
    {DITHER_PARAMETER_POST_NORM2, "mlp.post_norm", "post_feedforward_layernorm", NULL, "post_ffw_norm", NORM},
};

static const row_kind front_rows[] = {
    {DITHER_PARAMETER_EMBEDDING, "model.embed_tokens", NULL, "wte", "token_embd", 0},
    {DITHER_PARAMETER_POSITIONS, "model.embed_positions", NULL, "wpe", "position_embd", 0},
};

static const row_kind back_rows[] = {
    {DITHER_PARAMETER_NORM, "model.norm", NULL, "ln_f", "output_norm", NORM},
    {DITHER_PARAMETER_NORM_BIAS, "model.norm", NULL, "ln_f", "output_norm", BIAS},
    {DITHER_PARAMETER_HEAD, "lm_head", NULL, NULL, "output", 0},
};

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

static bool present(const dither_model_config *c, dither_parameter_role role)
{
    switch (role) {
    case DITHER_PARAMETER_POSITIONS: return c->learned_positions;
    case DITHER_PARAMETER_NORM1_BIAS:
    case DITHER_PARAMETER_NORM2_BIAS:
    case DITHER_PARAMETER_NORM_BIAS: return c->norm == DITHER_NORM_LAYER;
    case DITHER_PARAMETER_Q_BIAS:
    case DITHER_PARAMETER_K_BIAS:
    case DITHER_PARAMETER_V_BIAS: return c->qkv_bias;
    case DITHER_PARAMETER_Q_NORM:
    case DITHER_PARAMETER_K_NORM: return c->qk_norm;
    case DITHER_PARAMETER_O_BIAS: return c->o_bias;
    case DITHER_PARAMETER_POST_NORM1:
    case DITHER_PARAMETER_POST_NORM2: return c->post_norms;
    case DITHER_PARAMETER_GATE: return c->activation != DITHER_ACTIVATION_GELU;
    case DITHER_PARAMETER_GATE_BIAS: return c->activation != DITHER_ACTIVATION_GELU && c->mlp_bias;
    case DITHER_PARAMETER_UP_BIAS:
    case DITHER_PARAMETER_DOWN_BIAS: return c->mlp_bias;
    case DITHER_PARAMETER_HEAD: return !c->tied;
    default: return true;
    }
}

/* Those of `rows` that the config has; the one with number `index`, where there are so many, into *found. */
static size_t count_rows(const dither_model_config *config, const row_kind *rows, size_t count, size_t index,
                         const row_kind **found)
{
    size_t present_rows = 0;
    for (size_t i = 0; i < count; i++)
        if (present(config, rows[i].role) && present_rows++ == index)
            *found = &rows[i];
    return present_rows;
}

static const row_kind *kind_at(const dither_model_config *config, size_t index, long *layer)
{
    const row_kind *found = NULL;
    *layer = DITHER_LAYER_NONE;
    const size_t front = count_rows(config, front_rows, COUNT(front_rows), index, &found);
    if (index < front)
        return found;
    index -= front;
    const size_t per_layer = count_rows(config, layer_rows, COUNT(layer_rows), index, &found);
    if (index < config->layers * per_layer) {
        *layer = (long)(index / per_layer);
        (void)count_rows(config, layer_rows, COUNT(layer_rows), index % per_layer, &found);
        return found;
    }
    (void)count_rows(config, back_rows, COUNT(back_rows), index - config->layers * per_layer, &found);
    return found;
}

size_t dither_table_count(const dither_model_config *config)
{
    const row_kind *unused = NULL;
    return count_rows(config, front_rows, COUNT(front_rows), 0, &unused) +
           config->layers * count_rows(config, layer_rows, COUNT(layer_rows), 0, &unused) +
           count_rows(config, back_rows, COUNT(back_rows), 0, &unused);
}

/* Outputs of a linear layer, or rows of another matrix; of a vector, its elements. */
static size_t length_of(const dither_model_config *c, dither_parameter_role role)
{
    switch (role) {
    case DITHER_PARAMETER_EMBEDDING:
    case DITHER_PARAMETER_HEAD: return c->vocab;
    case DITHER_PARAMETER_POSITIONS: return c->ctx;
    case DITHER_PARAMETER_Q:
    case DITHER_PARAMETER_Q_BIAS: return c->heads * c->head_dim;
    case DITHER_PARAMETER_K:
    case DITHER_PARAMETER_V:
    case DITHER_PARAMETER_K_BIAS:
    case DITHER_PARAMETER_V_BIAS: return c->kv_heads * c->head_dim;
    case DITHER_PARAMETER_Q_NORM:
    case DITHER_PARAMETER_K_NORM: return c->head_dim;
    case DITHER_PARAMETER_GATE:
    case DITHER_PARAMETER_UP:
    case DITHER_PARAMETER_GATE_BIAS:
    case DITHER_PARAMETER_UP_BIAS: return c->ffn;
    default: return c->dim;
    }
}

static size_t col_count(const dither_model_config *c, dither_parameter_role role)
{
    if (role == DITHER_PARAMETER_O)
        return c->heads * c->head_dim;
    return role == DITHER_PARAMETER_DOWN ? c->ffn : c->dim;
}

/* ---- where it lies in files --------------------------------------------------------------------------------- */

/* gpt2 keeps query, key and value in one tensor. */
static void place_stacked(const dither_model_config *c, dither_parameter_role role, dither_parameter_place *place)
{
    const size_t q = c->heads * c->head_dim, kv = c->kv_heads * c->head_dim;
    const bool is_k = role == DITHER_PARAMETER_K || role == DITHER_PARAMETER_K_BIAS;
    const bool is_v = role == DITHER_PARAMETER_V || role == DITHER_PARAMETER_V_BIAS;
    place->stacked = q + 2 * kv;
    place->from = is_v ? q + kv : is_k ? q : 0;
}

static bool of_qkv(dither_parameter_role role)
{
    return role >= DITHER_PARAMETER_Q && role <= DITHER_PARAMETER_V_BIAS;
}

static dither_parameter_place hf_place(const dither_model_config *c, const row_kind *kind, long layer)
{
    const bool gpt2 = c->architecture == DITHER_ARCHITECTURE_GPT2;
    const char *const suffix = kind->flags & BIAS ? "bias" : "weight";
    const char *name = c->architecture == DITHER_ARCHITECTURE_GEMMA3 && kind->gemma3 ? kind->gemma3 : kind->name;
    dither_parameter_place place = {
        .stacked = length_of(c, kind->role),
        .transposed = gpt2 && kind->flags & MATRIX,
        .plus_one = dither_architecture_row_of(c->architecture)->plus_one && kind->flags & NORM,
    };
    const char *front = layer == DITHER_LAYER_NONE ? "" : "model.layers.";
    if (gpt2 && kind->gpt2) {
        name = kind->gpt2;
        front = layer == DITHER_LAYER_NONE ? "transformer." : "transformer.h.";
    }
    if (layer == DITHER_LAYER_NONE)
        (void)snprintf(place.name, sizeof place.name, "%s%s.%s", front, name, suffix);
    else
        (void)snprintf(place.name, sizeof place.name, "%s%ld.%s.%s", front, layer, name, suffix);
    if (gpt2 && of_qkv(kind->role))
        place_stacked(c, kind->role, &place);
    return place;
}

static dither_parameter_place gguf_place(const dither_model_config *c, const row_kind *kind, long layer)
{
    const bool stacked = c->architecture == DITHER_ARCHITECTURE_GPT2 && of_qkv(kind->role);
    const char *const suffix = kind->flags & BIAS ? "bias" : "weight", *const name = stacked ? "attn_qkv" : kind->gguf;
    const bool is_q = kind->role == DITHER_PARAMETER_Q || kind->role == DITHER_PARAMETER_Q_BIAS;
    const bool is_k = kind->role == DITHER_PARAMETER_K || kind->role == DITHER_PARAMETER_K_BIAS;
    dither_parameter_place place = {.stacked = length_of(c, kind->role)};
    if (dither_architecture_row_of(c->architecture)->permuted)
        place.heads = is_q ? c->heads : is_k ? c->kv_heads : 0;
    if (stacked)
        place_stacked(c, kind->role, &place);
    if (layer == DITHER_LAYER_NONE)
        (void)snprintf(place.name, sizeof place.name, "%s.%s", name, suffix);
    else
        (void)snprintf(place.name, sizeof place.name, "blk.%ld.%s.%s", layer, name, suffix);
    return place;
}

static bool starts(const char *text, const char *front)
{
    return !strncmp(text, front, strlen(front));
}

static bool ends(const char *text, const char *back)
{
    const size_t length = strlen(text), tail = strlen(back);
    return length >= tail && !strcmp(text + length - tail, back);
}

static const char *renamed(char *text, const char *front, const char *rest)
{
    (void)snprintf(text, DITHER_PARAMETER_NAME, "%s%s", front, rest);
    return text;
}

const char *dither_table_hf_name(const dither_model_config *config, const char *name, char *text)
{
    static const char *const others[] = {"vision_tower.", "multi_modal_projector.", "model.vision_tower.",
                                         "model.multi_modal_projector."};
    const char *found = name;
    if (config->architecture == DITHER_ARCHITECTURE_GEMMA3) {
        for (size_t i = 0; i < COUNT(others); i++)
            if (starts(name, others[i]))
                return NULL;
        if (starts(name, "language_model."))
            found = name + strlen("language_model.");
        else if (starts(name, "model.language_model."))
            found = renamed(text, "model.", name + strlen("model.language_model."));
    } else if (config->architecture == DITHER_ARCHITECTURE_GPT2) {
        if (ends(name, ".attn.bias") || ends(name, ".attn.masked_bias"))
            return NULL;
        if (!starts(name, "transformer.") && !starts(name, "lm_head."))
            found = renamed(text, "transformer.", name);
    }
    if (ends(found, ".rotary_emb.inv_freq") || (config->tied && !strcmp(found, "lm_head.weight")))
        return NULL;
    return found;
}

bool dither_table_gguf_ignored(const char *name)
{
    return !strcmp(name, "rope_freqs.weight");
}

/* ---- the table ---------------------------------------------------------------------------------------------- */

dither_parameter dither_table_at(const dither_model_config *config, size_t index)
{
    assert(index < dither_table_count(config));
    long layer;
    const row_kind *kind = kind_at(config, index, &layer);
    const size_t length = length_of(config, kind->role);
    const bool vector = kind->flags & (BIAS | NORM);
    dither_parameter row = {
        .role = kind->role,
        .layer = layer,
        .rows = vector ? 1 : length,
        .cols = vector ? length : col_count(config, kind->role),
        .vector = vector,
        .residual = kind->flags & RESIDUAL,
        .initial = kind->flags & NORM ? 1.0f : 0.0f,
        .hf = hf_place(config, kind, layer),
        .gguf = gguf_place(config, kind, layer),
    };
    const char *const suffix = kind->flags & BIAS ? "bias" : "weight";
    if (layer == DITHER_LAYER_NONE)
        (void)snprintf(row.name, sizeof row.name, "%s.%s", kind->name, suffix);
    else
        (void)snprintf(row.name, sizeof row.name, "model.layers.%ld.%s.%s", layer, kind->name, suffix);
    return row;
}

size_t dither_table_fill(const dither_model_config *config, dither_parameter *table)
{
    const size_t alignment = 16; /* f32 elements in 64 bytes */
    const size_t count = dither_table_count(config);
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        long layer;
        const row_kind *kind = kind_at(config, i, &layer);
        table[i] = dither_table_at(config, i);
        /* The first of a group may be absent: up alone, where there is no gate. */
        if (!(kind->flags & FOLLOWS) || table[i - 1].role + 1 != kind->role)
            used = (used + alignment - 1) / alignment * alignment;
        table[i].offset = used;
        used += table[i].rows * table[i].cols;
    }
    return used;
}
