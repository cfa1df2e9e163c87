#include "model/plan.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

void dither_plan_init(dither_plan *plan, dither_arena *arena)
{
    *plan = (dither_plan){.arena = arena};
}

void dither_plan_free(dither_plan *plan)
{
    free(plan->rows);
    *plan = (dither_plan){0};
}

void dither_plan_note(dither_plan *plan, dither_plan_kind kind, dither_lifetime lifetime, const char *name,
                      const char *format, size_t rows, size_t cols, size_t bytes)
{
    if (plan->count == plan->capacity) {
        const size_t capacity = plan->capacity ? 2 * plan->capacity : 64;
        dither_plan_row *grown = realloc(plan->rows, capacity * sizeof *grown);
        if (!grown) {
            plan->failed = true;
            return;
        }
        plan->rows = grown;
        plan->capacity = capacity;
    }
    dither_plan_row *row = &plan->rows[plan->count++];
    *row = (dither_plan_row){.kind = kind, .lifetime = lifetime, .rows = rows, .cols = cols, .bytes = bytes};
    (void)snprintf(row->name, sizeof row->name, "%s", name);
    (void)snprintf(row->format, sizeof row->format, "%s", format);
}

void *dither_plan_bytes(dither_plan *plan, dither_plan_kind kind, dither_lifetime lifetime, const char *name,
                        const char *format, size_t rows, size_t cols, size_t bytes)
{
    dither_plan_note(plan, kind, lifetime, name, format, rows, cols, bytes);
    return dither_arena_take(plan->arena, bytes, 1);
}

float *dither_plan_f32(dither_plan *plan, dither_plan_kind kind, dither_lifetime lifetime, const char *name,
                       size_t rows, size_t cols)
{
    const size_t bytes = dither_multiply(dither_multiply(rows, cols), sizeof(float));
    return dither_plan_bytes(plan, kind, lifetime, name, "f32", rows, cols, bytes);
}

uint32_t *dither_plan_u32(dither_plan *plan, dither_plan_kind kind, dither_lifetime lifetime, const char *name,
                          size_t rows, size_t cols)
{
    const size_t bytes = dither_multiply(dither_multiply(rows, cols), sizeof(uint32_t));
    return dither_plan_bytes(plan, kind, lifetime, name, "u32", rows, cols, bytes);
}

const char *dither_plan_kind_name(dither_plan_kind kind)
{
    static const char *const names[DITHER_PLAN_KINDS] = {"parameters",   "gradients", "optimizer", "weight codes",
                                                         "activations", "batch",     "workspace"};
    assert(kind < DITHER_PLAN_KINDS);
    return names[kind];
}

const char *dither_lifetime_name(dither_lifetime lifetime)
{
    static const char *const names[] = {"run", "step", "micro-batch", "operation"};
    return names[lifetime];
}
