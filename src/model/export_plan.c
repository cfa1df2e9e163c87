#include "model/export_plan.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "file/config_gguf.h"

const dither_parameter_place *dither_export_place(const dither_export_plan *plan, size_t index)
{
    return plan->gguf ? &plan->table[index].gguf : &plan->table[index].hf;
}

uint64_t dither_export_tensor_values(const dither_export_tensor *tensor)
{
    return (uint64_t)tensor->rows * tensor->cols;
}

uint64_t dither_export_tensor_bytes(const dither_export_tensor *tensor)
{
    return (uint64_t)dither_block_row_bytes(tensor->type, tensor->cols) * tensor->rows;
}

/* The matrix that gives the logits: there an error shows most. */
static bool is_head(const dither_export_plan *plan, dither_parameter_role role)
{
    return role == DITHER_PARAMETER_HEAD || (role == DITHER_PARAMETER_EMBEDDING && plan->config.tied);
}

static bool has_four_bits(dither_block_type type)
{
    return type == DITHER_BLOCK_Q4_0 || type == DITHER_BLOCK_Q4_1;
}

static dither_block_type folder_type(const dither_export_plan *plan, const dither_stored *stored)
{
    const dither_block_type type = plan->as_stored ? stored->type : plan->type;
    return dither_block_info_of(type)->values > 1 ? DITHER_BLOCK_F32 : type;
}

/* As llama.cpp's own quantizer has it, but for the head, which there gets six bits a value where its rows allow. */
static dither_block_type gguf_type(dither_export_plan *plan, size_t index)
{
    const dither_parameter *row = &plan->table[index];
    dither_block_type type = plan->as_stored ? plan->stored[index].type : plan->type;
    if (row->vector || row->role == DITHER_PARAMETER_POSITIONS)
        return DITHER_BLOCK_F32;
    if (!plan->as_stored && has_four_bits(type) && is_head(plan, row->role)) {
        type = DITHER_BLOCK_Q8_0;
        plan->head_apart = true;
    }
    if (row->cols % dither_block_info_of(type)->values != 0) {
        if (plan->odd++ == 0)
            plan->first_odd = row->gguf.name;
        type = DITHER_BLOCK_F16;
    }
    return type;
}

static void begin_tensor(dither_export_plan *plan, size_t index)
{
    const dither_parameter *row = &plan->table[index];
    const dither_parameter_place *place = dither_export_place(plan, index);
    dither_export_tensor *tensor = &plan->tensor[plan->tensors++];
    *tensor = (dither_export_tensor){.vector = row->vector, .transposed = place->transposed, .parts = 1};
    tensor->part[0] = index;
    memcpy(tensor->name, place->name, sizeof tensor->name);
    tensor->type = plan->gguf ? gguf_type(plan, index) : folder_type(plan, &plan->stored[index]);
    tensor->rows = place->transposed ? row->cols : place->stacked;
    tensor->cols = row->vector ? 1 : place->transposed ? place->stacked : row->cols;
}

static dither_export_tensor *find_tensor(dither_export_plan *plan, const char *name)
{
    /* What lies in one tensor is of one layer: it was begun not long ago. */
    for (size_t i = plan->tensors; i > 0 && plan->tensors - i < 16; i--)
        if (strcmp(plan->tensor[i - 1].name, name) == 0)
            return &plan->tensor[i - 1];
    return NULL;
}

/* Llama 3's stretched positions, which llama.cpp reads as a tensor. */
static bool make_rope_factors(dither_export_plan *plan)
{
    const size_t pairs = plan->config.head_dim / 2;
    plan->rope_factors = malloc(pairs * sizeof *plan->rope_factors);
    if (plan->rope_factors == NULL)
        return false;
    dither_config_rope_factors(&plan->config, plan->rope_factors);
    dither_export_tensor *tensor = &plan->tensor[plan->tensors++];
    *tensor = (dither_export_tensor){.name = "rope_freqs.weight", .type = DITHER_BLOCK_F32, .vector = true,
                                     .rows = pairs, .cols = 1, .made = plan->rope_factors};
    return true;
}

dither_status dither_export_plan_make(dither_export_plan *plan, dither_error *error)
{
    plan->tensor = calloc(plan->count + 1, sizeof *plan->tensor);
    bool all = plan->tensor != NULL;
    for (size_t i = 0; i < plan->count && all; i++) {
        const dither_parameter_place *place = dither_export_place(plan, i);
        const size_t length = plan->table[i].vector ? plan->table[i].cols : plan->table[i].rows;
        dither_export_tensor *tensor = place->stacked > length ? find_tensor(plan, place->name) : NULL;
        if (tensor == NULL) {
            begin_tensor(plan, i);
        } else {
            assert(tensor->parts < DITHER_EXPORT_PARTS);
            tensor->part[tensor->parts++] = i;
        }
    }
    if (all && plan->gguf && plan->config.rope_scaling == DITHER_ROPE_SCALING_LLAMA3)
        all = make_rope_factors(plan);
    if (!all)
        return dither_fail(error, DITHER_E_MEMORY, "", "no memory for the names of %zu tensors", plan->count);
    return DITHER_OK;
}

void dither_export_plan_free(dither_export_plan *plan)
{
    free(plan->table);
    free(plan->stored);
    free(plan->tensor);
    free(plan->rope_factors);
}
