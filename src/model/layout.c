/* Where everything of a network lies, and the weights it starts from. */
#include <assert.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/philox.h"
#include "model/network.h"
#include "nn/activation.h"
#include "nn/rope.h"

static const dither_parameter *find_parameter(const dither_network *net, dither_parameter_role role, long layer)
{
    for (size_t i = 0; i < net->table_count; i++)
        if (net->table[i].role == role && net->table[i].layer == layer)
            return &net->table[i];
    assert(false);
    return NULL;
}

/* NULL in a dry run, where nothing has an address, and where a file has the matrix. */
static float *weights_of(const dither_network *net, dither_parameter_role role, long layer)
{
    const dither_parameter *row = find_parameter(net, role, layer);
    return net->parameters && row->offset != DITHER_OFFSET_STORED ? net->parameters + row->offset : NULL;
}

static float *weights_if(const dither_network *net, bool present, dither_parameter_role role, long layer)
{
    return present ? weights_of(net, role, layer) : NULL;
}

static dither_norm norm_of(const dither_network *net, dither_parameter_role role, long layer)
{
    const bool layer_norm = net->config.norm == DITHER_NORM_LAYER;
    return (dither_norm){
        .layer = layer_norm,
        .dim = net->config.dim,
        .eps = (float)net->config.norm_eps,
        .w = weights_of(net, role, layer),
        .bias = weights_if(net, layer_norm, (dither_parameter_role)(role + 1), layer), /* so the roles are ordered */
    };
}

bool dither_network_keeps_f32(const dither_scheme *scheme)
{
    const dither_format *act = &scheme->role[DITHER_ROLE_ACT].format;
    return act->kind == DITHER_KIND_FLOAT && act->bits == 32;
}

/*
 * Whether dW's x is stored as wide as what it is computed from, and so is better computed again: the norms, the gate
 * and attention keep their own inputs or outputs anyway. Codes of 8 bits and below are saved.
 */
static bool recomputes(const dither_scheme *scheme)
{
    const dither_quantizer *bact = &scheme->role[DITHER_ROLE_BACT];
    const int width = dither_network_keeps_f32(scheme) ? 32 : 16;
    return !scheme->same_input && bact->format.bits >= 16 && bact->format.bits <= width &&
           bact->shape == DITHER_SCALE_NONE;
}

static dither_kept plan_kept(dither_network *net, const char *name, size_t layer, size_t rows, size_t cols)
{
    const bool bf16 = !dither_network_keeps_f32(&net->scheme);
    const size_t bytes = dither_multiply(dither_multiply(rows, cols), bf16 ? sizeof(uint16_t) : sizeof(float));
    char full[DITHER_PLAN_NAME];
    (void)snprintf(full, sizeof full, "layer %zu %s", layer, name);
    return (dither_kept){.at = dither_plan_bytes(&net->plan, DITHER_PLAN_ACTIVATION, DITHER_LIFETIME_MICROBATCH, full,
                                                 bf16 ? "bf16" : "f32", rows, cols, bytes),
                         .bf16 = bf16};
}

static dither_status plan_saved(dither_network *net, dither_linear_saved *saved, const char *name, size_t layer,
                                size_t in)
{
    const size_t tokens = net->batch * net->seq;
    char full[DITHER_PLAN_NAME], format[DITHER_QUANTIZER_TEXT];
    (void)snprintf(full, sizeof full, "layer %zu %s", layer, name);
    dither_quantizer_print(&net->scheme.role[net->scheme.same_input ? DITHER_ROLE_ACT : DITHER_ROLE_BACT], format);
    void *memory = dither_plan_bytes(&net->plan, DITHER_PLAN_ACTIVATION, DITHER_LIFETIME_MICROBATCH, full, format,
                                     tokens, in, dither_linear_saved_bytes(&net->linears, in, tokens));
    return dither_linear_saved_init(saved, &net->linears, in, tokens, memory);
}

/* Matrices that one product serves follow one another in the table. */
static void leave_stored(const dither_network *net, dither_linear *linear, const dither_parameter *first)
{
    const dither_stored *parts = net->stored + (first - net->table);
    size_t count = 0;
    for (size_t rows = 0; rows < linear->out; rows += parts[count++].rows)
        assert(parts[count].cols == linear->in);
    dither_linear_stored(linear, parts, count);
}

/* @param first, layer  the matrix, or the first of those that are stacked in it */
static dither_status plan_linear(dither_network *net, const dither_linear_plan *products, dither_linear *linear,
                                 const char *name, size_t in, size_t out, uint32_t tensor, dither_parameter_role first,
                                 long layer, const float *bias)
{
    char format[DITHER_QUANTIZER_TEXT];
    dither_quantizer_print(&products->scheme.role[DITHER_ROLE_WEIGHT], format);
    const size_t bytes = dither_linear_weight_bytes(products, in, out);
    void *memory = NULL;
    if (bytes)
        memory =
            dither_plan_bytes(&net->plan, DITHER_PLAN_WEIGHT_CODES, DITHER_LIFETIME_STEP, name, format, out, in, bytes);
    const dither_status status =
        dither_linear_init(linear, products, in, out, tensor, weights_of(net, first, layer), bias, memory);
    if (!status && net->stored)
        leave_stored(net, linear, find_parameter(net, first, layer));
    return status;
}

static dither_status plan_layer_linears(dither_network *net, size_t index)
{
    const dither_model_config *c = &net->config;
    dither_layer *layer = &net->layers[index];
    const size_t q = c->heads * c->head_dim, kv = c->kv_heads * c->head_dim;
    const bool gated = c->activation != DITHER_ACTIVATION_GELU;
    const struct {
        dither_linear *linear;
        const char *name;
        size_t in, out;
        dither_parameter_role first; /* of the matrices stacked in it */
        bool biased;
        dither_parameter_role bias;
    } linears[] = {
        {&layer->qkv, "qkv", c->dim, q + 2 * kv, DITHER_PARAMETER_Q, c->qkv_bias, DITHER_PARAMETER_Q_BIAS},
        {&layer->o, "o", q, c->dim, DITHER_PARAMETER_O, c->o_bias, DITHER_PARAMETER_O_BIAS},
        {&layer->gate_up, "gate_up", c->dim, (gated ? 2 : 1) * c->ffn,
         gated ? DITHER_PARAMETER_GATE : DITHER_PARAMETER_UP, c->mlp_bias,
         gated ? DITHER_PARAMETER_GATE_BIAS : DITHER_PARAMETER_UP_BIAS},
        {&layer->down, "down", c->ffn, c->dim, DITHER_PARAMETER_DOWN, c->mlp_bias, DITHER_PARAMETER_DOWN_BIAS},
    };
    for (size_t i = 0; i < 4; i++) {
        char name[DITHER_PLAN_NAME];
        (void)snprintf(name, sizeof name, "layer %zu %s", index, linears[i].name);
        const dither_status status =
            plan_linear(net, &net->linears, linears[i].linear, name, linears[i].in, linears[i].out,
                        (uint32_t)(index * 4 + i), linears[i].first, (long)index,
                        weights_if(net, linears[i].biased, linears[i].bias, (long)index));
        if (status)
            return status;
    }
    return DITHER_OK;
}

static void place_norms(dither_network *net, size_t index)
{
    const dither_model_config *c = &net->config;
    dither_layer *layer = &net->layers[index];
    layer->norm1 = norm_of(net, DITHER_PARAMETER_NORM1, (long)index);
    layer->norm2 = norm_of(net, DITHER_PARAMETER_NORM2, (long)index);
    if (c->post_norms) {
        layer->post1 = norm_of(net, DITHER_PARAMETER_POST_NORM1, (long)index);
        layer->post2 = norm_of(net, DITHER_PARAMETER_POST_NORM2, (long)index);
    }
    layer->head_norm = (dither_head_norm){
        .heads = c->heads,
        .kv_heads = c->kv_heads,
        .head_dim = c->head_dim,
        .stride = (c->heads + 2 * c->kv_heads) * c->head_dim,
        .eps = (float)c->norm_eps,
        .q = weights_if(net, c->qk_norm, DITHER_PARAMETER_Q_NORM, (long)index),
        .k = weights_if(net, c->qk_norm, DITHER_PARAMETER_K_NORM, (long)index),
    };
}

static dither_status plan_layer_kept(dither_network *net, size_t index)
{
    const dither_model_config *c = &net->config;
    dither_layer *layer = &net->layers[index];
    const size_t tokens = net->batch * net->seq;
    const size_t q = c->heads * c->head_dim, kv = c->kv_heads * c->head_dim;
    const struct {
        dither_linear_saved *saved;
        const char *name;
        size_t in;
    } inputs[] = {{&layer->qkv_in, "qkv input", c->dim},
                  {&layer->o_in, "o input", q},
                  {&layer->gate_up_in, "gate_up input", c->dim},
                  {&layer->down_in, "down input", c->ffn}};
    const struct {
        dither_kept *place;
        const char *name;
        size_t cols; /* 0: the model has none */
    } kept[] = {{&layer->x1, "residual 1", c->dim},
                {&layer->x2, "residual 2", c->dim},
                {&layer->qkv_out, "qkv", q + 2 * kv},
                {&layer->att_out, "attention", q},
                {&layer->gate_up_out, "gate_up", dither_activation_inputs(c->activation) * c->ffn},
                {&layer->qk_out, "query and key", c->qk_norm ? q + kv : 0},
                {&layer->o_out, "attention's sum", c->post_norms ? c->dim : 0},
                {&layer->down_out, "feed-forward's sum", c->post_norms ? c->dim : 0}};
    dither_status status = DITHER_OK;
    for (size_t i = 0; i < sizeof inputs / sizeof inputs[0] && !status && !net->recompute; i++)
        status = plan_saved(net, inputs[i].saved, inputs[i].name, index, inputs[i].in);
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++)
        if (kept[i].cols)
            *kept[i].place = plan_kept(net, kept[i].name, index, tokens, kept[i].cols);
    char name[DITHER_PLAN_NAME];
    (void)snprintf(name, sizeof name, "layer %zu softmax", index);
    layer->lse =
        dither_plan_f32(&net->plan, DITHER_PLAN_ACTIVATION, DITHER_LIFETIME_MICROBATCH, name, tokens, c->heads);
    return status;
}

float *dither_network_block(dither_network *network, dither_plan_kind kind, const char *prefix)
{
    /* Taken whole: fused matrices lie without a gap. */
    float *block = dither_arena_take(network->plan.arena, network->elements, sizeof(float));
    for (size_t i = 0; i < network->table_count; i++) {
        const dither_parameter *row = &network->table[i];
        if (row->offset == DITHER_OFFSET_STORED)
            continue;
        char name[DITHER_PLAN_NAME];
        (void)snprintf(name, sizeof name, "%s%s", prefix, row->name);
        dither_plan_note(&network->plan, kind, DITHER_LIFETIME_RUN, name, "f32", row->rows, row->cols,
                         row->rows * row->cols * sizeof(float));
    }
    return block;
}

static float *plan_rope_table(dither_network *net, const char *name, const dither_rope *rope)
{
    float *table = dither_plan_f32(&net->plan, DITHER_PLAN_WORKSPACE, DITHER_LIFETIME_RUN, name, net->config.ctx,
                                   rope->head_dim);
    if (table)
        dither_rope_table(rope, net->config.ctx, table);
    return table;
}

static void plan_rope(dither_network *net)
{
    static const dither_rope_kind kinds[] = {[DITHER_ROPE_SCALING_NONE] = DITHER_ROPE_NONE,
                                             [DITHER_ROPE_SCALING_LINEAR] = DITHER_ROPE_LINEAR,
                                             [DITHER_ROPE_SCALING_LLAMA3] = DITHER_ROPE_LLAMA3};
    const dither_model_config *c = &net->config;
    const dither_rope rope = {.base = c->rope_base,
                              .head_dim = c->head_dim,
                              .kind = kinds[c->rope_scaling],
                              .factor = c->rope_factor,
                              .low_freq_factor = c->rope_low,
                              .high_freq_factor = c->rope_high,
                              .original_ctx = c->rope_original};
    net->rope[0] = net->rope[1] = plan_rope_table(net, "rotary table", &rope);
    if (c->window && c->rope_local_base > 0) {
        const dither_rope local = {.base = c->rope_local_base, .head_dim = c->head_dim};
        net->rope[1] = plan_rope_table(net, "rotary table of windows", &local);
    }
}

static dither_status layout_parts(dither_network *net)
{
    const dither_model_config *c = &net->config;
    net->parameters = dither_network_block(net, DITHER_PLAN_PARAMETER, "");
    if (net->train)
        net->gradients = dither_network_block(net, DITHER_PLAN_GRADIENT, "");
    dither_status status = DITHER_OK;
    for (size_t i = 0; i < c->layers && !status; i++) {
        place_norms(net, i);
        status = plan_layer_linears(net, i);
        if (!status && net->train)
            status = plan_layer_kept(net, i);
    }
    if (status)
        return status;
    net->norm = norm_of(net, DITHER_PARAMETER_NORM, DITHER_LAYER_NONE);
    net->positions = weights_if(net, c->learned_positions, DITHER_PARAMETER_POSITIONS, DITHER_LAYER_NONE);
    const dither_parameter_role head = c->tied ? DITHER_PARAMETER_EMBEDDING : DITHER_PARAMETER_HEAD;
    status = plan_linear(net, &net->head_linear, &net->head, "head", c->dim, c->vocab, (uint32_t)(c->layers * 4), head,
                         DITHER_LAYER_NONE, NULL);
    if (!c->learned_positions)
        plan_rope(net);
    if (net->batch)
        net->losses = dither_plan_f32(&net->plan, DITHER_PLAN_WORKSPACE, DITHER_LIFETIME_MICROBATCH, "losses",
                                      net->batch * net->seq, 1);
    return status ? status : net->plan.failed ? DITHER_E_MEMORY : DITHER_OK;
}

/* Whether products and look-ups read the parameter from where its file has it. */
static bool stays(const dither_parameter *row)
{
    return !row->vector && row->role != DITHER_PARAMETER_POSITIONS;
}

/* What does not stay, closer together: gaps only where the whole block has some. @return elements */
static size_t place_rest(dither_network *net)
{
    const size_t alignment = DITHER_ALIGN / sizeof(float);
    size_t used = 0, end = 0; /* end of the row before, in the whole block */
    for (size_t i = 0; i < net->table_count; i++) {
        dither_parameter *row = &net->table[i];
        const size_t size = row->rows * row->cols;
        const bool follows = row->offset == end;
        end = row->offset + size;
        row->offset = DITHER_OFFSET_STORED;
        if (stays(row))
            continue;
        if (!follows || i == 0 || stays(row - 1))
            used = (used + alignment - 1) / alignment * alignment;
        row->offset = used;
        used += size;
    }
    return used;
}

/* What the caller has said of the network, laid out. */
static dither_status layout(dither_network *net, dither_arena *arena)
{
    const dither_model_config *config = &net->config;
    const dither_scheme head = dither_scheme_of_head(&net->scheme);
    net->recompute = net->train && recomputes(&net->scheme);
    net->linears = dither_linear_plan_make(&net->scheme, dither_cpu_active()->features);
    net->head_linear = dither_linear_plan_make(&head, dither_cpu_active()->features);
    if (!net->train) {
        dither_linear_plan_forward_only(&net->linears);
        dither_linear_plan_forward_only(&net->head_linear);
    } else {
        net->linears.packs_late = dither_linear_plan_late(&net->linears); /* the head's backward comes in chunks */
    }
    dither_plan_init(&net->plan, arena);
    net->table_count = dither_table_count(config);
    net->table = calloc(net->table_count, sizeof *net->table);
    net->layers = calloc(config->layers, sizeof *net->layers);
    if (!net->table || !net->layers)
        return DITHER_E_MEMORY;
    net->elements = dither_table_fill(config, net->table);
    if (net->stored)
        net->elements = place_rest(net);
    return layout_parts(net);
}

dither_status dither_network_layout(dither_network *network, const dither_model_config *config,
                                    const dither_scheme *scheme, bool train, size_t batch, size_t seq,
                                    dither_arena *arena)
{
    *network = (dither_network){.config = *config, .scheme = *scheme, .train = train, .batch = batch, .seq = seq};
    const size_t tokens = dither_multiply(batch, seq);
    if (!tokens || tokens > INT_MAX) /* BLAS counts in int */
        return DITHER_E_SHAPE;
    return layout(network, arena);
}

dither_status dither_network_layout_stored(dither_network *network, const dither_model_config *config,
                                           const dither_scheme *scheme, const dither_stored *stored,
                                           dither_arena *arena)
{
    *network = (dither_network){.config = *config, .scheme = *scheme, .stored = stored};
    return layout(network, arena);
}

void dither_network_resize(dither_network *network, size_t batch, size_t seq, float *losses)
{
    assert(!network->train && dither_multiply(batch, seq) <= INT_MAX);
    network->batch = batch;
    network->seq = seq;
    network->losses = losses;
}

void dither_network_free(dither_network *network)
{
    free(network->table);
    free(network->layers);
    dither_plan_free(&network->plan);
    *network = (dither_network){0};
}

/* Box-Muller (1958) on two addressed draws: element (row, col) of a tensor always starts from the same number. */
static float initial_value(const dither_draw *draw, size_t row, size_t col)
{
    const double u = ((double)dither_draw_u32(draw, row, 2 * col) + 0.5) / 4294967296.0;
    const double v = (double)dither_draw_u32(draw, row, 2 * col + 1) / 4294967296.0;
    return (float)(sqrt(-2 * log(u)) * cos(2 * 3.14159265358979323846 * v));
}

void dither_network_init(dither_network *network, uint64_t seed)
{
    const double residual = 0.02 / sqrt(2 * (double)network->config.layers);
    for (size_t p = 0; p < network->table_count; p++) {
        const dither_parameter *row = &network->table[p];
        float *w = network->parameters + row->offset;
        const dither_draw draw = {.seed = seed, .tensor = (uint32_t)p, .role = DITHER_FIELD_INIT};
        const float std = (float)(row->residual ? residual : 0.02);
        for (size_t i = 0; i < row->rows; i++)
            for (size_t j = 0; j < row->cols; j++)
                w[i * row->cols + j] = row->vector ? row->initial : std * initial_value(&draw, i, j);
    }
}
