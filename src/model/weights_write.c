/* A network's weights as the weights of a model folder. */
#include <stdint.h>
#include <stdlib.h>

#include "base/fail.h"
#include "model/export_rows.h"
#include "model/export_shards.h"
#include "model/weights.h"

static dither_status put(void *context, const void *bytes, size_t size, uint64_t values, dither_error *error)
{
    (void)values;
    return dither_export_shards_data(context, bytes, size, error);
}

static dither_status write_tensors(const dither_export_plan *plan, const char *folder, dither_error *error)
{
    dither_export_shards shards;
    dither_status status = dither_export_shards_open(&shards, plan, folder, UINT64_MAX, error);
    const dither_export_sink sink = {put, &shards};
    for (size_t i = 0; i < plan->tensors && status == DITHER_OK; i++)
        status = dither_export_rows(plan, i, NULL, 1, &sink, error);
    if (status == DITHER_OK)
        status = dither_export_shards_commit(&shards, error);
    dither_export_shards_abandon(&shards);
    return status;
}

dither_status dither_weights_write(const dither_network *network, const char *folder, bool bf16, dither_error *error)
{
    const size_t count = network->table_count;
    dither_export_plan plan = {.type = bf16 ? DITHER_BLOCK_BF16 : DITHER_BLOCK_F32, .config = network->config,
                               .count = count, .table = network->table};
    plan.stored = calloc(count, sizeof *plan.stored);
    dither_status status = DITHER_OK;
    if (plan.stored == NULL)
        return dither_fail(error, DITHER_E_MEMORY, folder, "no memory for %zu tensors", count);
    for (size_t i = 0; i < count; i++) {
        const dither_parameter *row = &network->table[i];
        /* A vector is a column: see dither_source_find. */
        plan.stored[i] = dither_stored_f32(network->parameters + row->offset, row->vector ? row->cols : row->rows,
                                           row->vector ? 1 : row->cols);
    }
    status = dither_export_plan_make(&plan, error);
    if (status == DITHER_OK)
        status = write_tensors(&plan, folder, error);
    plan.table = NULL; /* the network's */
    dither_export_plan_free(&plan);
    return status;
}
