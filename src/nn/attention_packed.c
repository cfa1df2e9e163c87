#include "nn/attention_packed.h"

#include <assert.h>
#include <math.h>

#include "base/parallel.h"

enum {
    QUERIES = 64,   /* of a block */
    KEYS = 128,     /* of a block at most: 32 KiB of scores */
    PACK_KEYS = 256 /* that one piece of work packs */
};

/* ---- shared with backward --------------------------------------------------------------------------------------- */

void dither_packed_begin(dither_packed *packed, const dither_attention *shape)
{
    assert(shape->kv_heads > 0 && shape->heads % shape->kv_heads == 0);
    const uint32_t features = dither_cpu_active()->features;
    *packed = (dither_packed){
        .shape = *shape,
        .kernel = dither_gemm_select(DITHER_ELEMENT_BF16, features, 0),
        .loops = dither_softmax_select(features),
        .group = shape->heads / shape->kv_heads,
        .width = (shape->heads + 2 * shape->kv_heads) * shape->head_dim,
        .out = shape->heads * shape->head_dim,
    };
    packed->dim_k = dither_round_up(shape->head_dim, packed->kernel->k_step);
    packed->dim_n = dither_round_up(shape->head_dim, packed->kernel->n);
    packed->seq_k = dither_round_up(shape->seq, packed->kernel->k_step);
    for (size_t i = 0; i < DITHER_TILE_N; i++)
        packed->ones[i] = 1;
    for (size_t i = 0; i < DITHER_TILE_M; i++) {
        packed->unit[i] = 1;
        packed->scale[i] = dither_attention_scale(shape);
    }
}

size_t dither_packed_block(size_t most, size_t a, size_t b)
{
    size_t common = a;
    while (common % b != 0)
        common += a;
    return common < most ? most / common * common : common;
}

size_t dither_packed_reserve(size_t *used, size_t count, size_t size)
{
    const size_t at = *used;
    *used += dither_align_up(dither_multiply(count, size));
    return at;
}

dither_pack_source dither_packed_source(dither_attention_values values, size_t row, size_t stride, size_t column)
{
    const size_t at = row * stride + column;
    return (dither_pack_source){.f32 = values.f32 != NULL ? values.f32 + at : NULL,
                                .bf16 = values.f32 != NULL ? NULL : values.bf16 + at,
                                .stride = stride};
}

/* ---- forward ---------------------------------------------------------------------------------------------------- */

/*
 * Scores are computed transposed, s[u][t] = k[u].q[t]: the softmax of 16 queries then runs down 16 columns, and pairs
 * of keys lie one below the other, which is how exp(s) enters the product with v.
 */
typedef struct forward_job {
    dither_packed packed;
    dither_attention_values qkv;
    float *o, *lse;
    uint16_t *kept;
    size_t blocks;                 /* of queries, in a sequence */
    size_t keys;                   /* of a block */
    size_t query_rows, query_cols; /* of a block: whole panels of A and of B */
    size_t pack_keys, pack_pieces; /* keys of a piece that packs, and pieces of a sequence */
    unsigned char *shared, *threads;
    size_t shared_bytes, thread_bytes;        /* of a key/value head of a sequence; of a thread */
    size_t v_at;                              /* in shared bytes, behind k at 0 */
    size_t scores_at, p_at, sums_at, rows_at; /* in a thread's bytes, behind q at 0 */
} forward_job;

static void lay_out_forward(forward_job *job)
{
    const dither_packed *packed = &job->packed;
    const dither_gemm_kernel *kernel = packed->kernel;
    const size_t seq = packed->shape.seq;
    job->blocks = (seq + QUERIES - 1) / QUERIES;
    job->query_rows = dither_round_up(QUERIES, kernel->m);
    job->query_cols = dither_round_up(QUERIES, dither_packed_block(1, kernel->n, DITHER_SOFTMAX_LANES));
    const size_t most = dither_packed_block(KEYS, kernel->m, kernel->k_step);
    job->keys = dither_smaller(most, dither_round_up(seq, dither_packed_block(1, kernel->m, kernel->k_step)));
    job->pack_keys = dither_packed_block(PACK_KEYS, kernel->m, kernel->k_step);
    job->pack_pieces = (seq + job->pack_keys - 1) / job->pack_keys;
    job->shared_bytes = 0;
    (void)dither_packed_reserve(&job->shared_bytes, dither_round_up(seq, kernel->m) * packed->dim_k, sizeof(uint16_t));
    job->v_at = dither_packed_reserve(&job->shared_bytes, packed->dim_n * packed->seq_k, sizeof(uint16_t));
    size_t used = 0;
    (void)dither_packed_reserve(&used, job->query_cols * packed->dim_k, sizeof(uint16_t));
    job->scores_at = dither_packed_reserve(&used, (job->keys + DITHER_SOFTMAX_ROWS) * job->query_cols, sizeof(float));
    job->p_at = dither_packed_reserve(&used, job->query_rows * job->keys, sizeof(uint16_t));
    job->sums_at = dither_packed_reserve(&used, job->query_rows * packed->dim_n, sizeof(float));
    job->rows_at = dither_packed_reserve(&used, 3 * job->query_cols, sizeof(float));
    job->thread_bytes = used;
}

/* Packed k (as A) and v (transposed, as B) of a key/value head of a sequence. */
static dither_panels keys_of(const forward_job *job, size_t unit)
{
    void *at = job->shared + unit * job->shared_bytes;
    return (dither_panels){at, job->packed.kernel->m * job->packed.dim_k};
}

static dither_panels values_of(const forward_job *job, size_t unit)
{
    void *at = job->shared + unit * job->shared_bytes + job->v_at;
    return (dither_panels){at, job->packed.kernel->n * job->packed.seq_k};
}

static void pack_piece(void *context, size_t index, int thread)
{
    (void)thread;
    const forward_job *job = context;
    const dither_packed *packed = &job->packed;
    const dither_attention *shape = &packed->shape;
    const dither_gemm_kernel *kernel = packed->kernel;
    const size_t unit = index / job->pack_pieces, key = index % job->pack_pieces * job->pack_keys;
    const size_t keys = dither_smaller(job->pack_keys, shape->seq - key);
    const size_t row = unit / shape->kv_heads * shape->seq + key;
    const size_t column = (shape->heads + unit % shape->kv_heads) * shape->head_dim;
    const dither_panels k = keys_of(job, unit), v = values_of(job, unit);
    const dither_pack_source from_k = dither_packed_source(job->qkv, row, packed->width, column);
    const dither_pack_source from_v =
        dither_packed_source(job->qkv, row, packed->width, column + shape->kv_heads * shape->head_dim);
    packed->loops->pack_rows(&(dither_pack_place){.packing = &kernel->a,
                                                  .data = k.at + key / kernel->m * k.stride,
                                                  .panel_stride = k.stride,
                                                  .padded_rows = dither_round_up(keys, kernel->m),
                                                  .padded_k = packed->dim_k},
                             keys, shape->head_dim, &from_k);
    packed->loops->pack_columns(&(dither_pack_place){.packing = &kernel->b,
                                                     .data = v.at + key * kernel->n,
                                                     .panel_stride = v.stride,
                                                     .padded_rows = packed->dim_n,
                                                     .padded_k = dither_round_up(keys, kernel->k_step)},
                                shape->head_dim, keys, &from_v);
}

/* A block of queries of one head: where it is, and what a thread gathers for it. */
typedef struct forward_block {
    size_t unit, head;     /* (sequence, key/value head), query head */
    const uint32_t *first; /* of the sequence */
    size_t query, rows;    /* in the sequence */
    size_t begin;          /* the first key of all blocks */
    dither_panels q, p;
    float *scores; /* [keys][query_cols] */
    float *sums;   /* [query_rows][sums_stride] sum over u of exp(s - max) v[u]; in o itself where whole tiles fit */
    size_t sums_stride;
    float *max, *sum, *shrink; /* [query_cols] */
} forward_block;

/* s[u][t] of the keys from `key` on, for t that see any of a tile's keys. */
static void score_tiles(const forward_job *job, const forward_block *block, size_t key, size_t keys)
{
    const dither_packed *packed = &job->packed;
    const size_t m = packed->kernel->m, n = packed->kernel->n;
    dither_panels k = keys_of(job, block->unit);
    k.at += key / m * k.stride;
    for (size_t j = 0; j < block->rows; j += n)
        for (size_t i = 0; i < keys && key + i <= block->query + j + n - 1; i += m)
            if (dither_packed_begin_of(block->first, block->query + j) < key + i + m)
                dither_packed_tile(packed, &k, &block->q, i, j, 0, packed->dim_k, packed->scale, block->scores,
                                   job->query_cols, false);
}

/* For each panel of queries the keys from the first that any of them sees to the last. */
static void value_tiles(const forward_job *job, const forward_block *block, size_t key, size_t keys)
{
    const dither_packed *packed = &job->packed;
    const size_t m = packed->kernel->m, n = packed->kernel->n, step = packed->kernel->k_step;
    dither_panels v = values_of(job, block->unit);
    v.at += key * n;
    for (size_t j = 0; j < packed->dim_n; j += n)
        for (size_t i = 0; i < block->rows; i += m) {
            const size_t end = block->query + i + m; /* of the keys that the last of these queries sees */
            const size_t seen = dither_smaller(keys, end > key ? end - key : 0);
            const size_t first = dither_packed_begin_of(block->first, block->query + i);
            const size_t hidden = first > key ? first - key : 0;
            if (hidden < seen)
                dither_packed_tile(packed, &block->p, &v, i, j, hidden / step * step, dither_round_up(seen, step),
                                   packed->unit, block->sums, block->sums_stride, key > first);
        }
}

static void attend(const forward_job *job, const forward_block *block, size_t key)
{
    const dither_packed *packed = &job->packed;
    const dither_gemm_kernel *kernel = packed->kernel;
    const size_t keys = dither_smaller(job->keys, block->query + block->rows - key);
    const size_t padded = dither_round_up(keys, kernel->k_step);
    const dither_sight sight = dither_packed_sight(block->first, block->query, block->rows, key);
    score_tiles(job, block, key, keys);
    const dither_pack_place to = {.packing = &kernel->a,
                                  .data = block->p.at,
                                  .panel_stride = block->p.stride,
                                  .padded_rows = dither_round_up(block->rows, kernel->m),
                                  .padded_k = padded};
    packed->loops->columns(keys, block->rows, &sight, key == block->begin, block->scores, job->query_cols, block->max,
                           block->sum, block->shrink, &to);
    if (key > block->begin)
        packed->loops->scale(block->rows, packed->shape.head_dim, block->shrink, block->sums, block->sums_stride);
    value_tiles(job, block, key, keys);
}

static forward_block block_of(const forward_job *job, size_t index, int thread)
{
    const dither_packed *packed = &job->packed;
    unsigned char *base = job->threads + (size_t)thread * job->thread_bytes;
    const size_t each = packed->group * job->blocks, rest = index % each;
    void *q = base, *scores = base + job->scores_at, *p = base + job->p_at;
    void *sums = base + job->sums_at, *rows = base + job->rows_at;
    forward_block block = {
        .unit = index / each, .scores = scores, .sums = sums, .sums_stride = packed->dim_n, .max = rows};
    block.sum = block.max + job->query_cols;
    block.shrink = block.sum + job->query_cols;
    block.q = (dither_panels){q, packed->kernel->n * packed->dim_k};
    block.p = (dither_panels){p, packed->kernel->m * job->keys};
    /* The heads of a group side by side: they read the same keys. The last queries see the most: begin with them. */
    block.head = block.unit % packed->shape.kv_heads * packed->group + rest % packed->group;
    block.query = (job->blocks - 1 - rest / packed->group) * QUERIES;
    block.rows = dither_smaller(QUERIES, packed->shape.seq - block.query);
    block.first = dither_packed_first(packed, block.unit / packed->shape.kv_heads);
    block.begin = dither_packed_begin_of(block.first, block.query) / job->keys * job->keys;
    return block;
}

static void forward_piece(void *context, size_t index, int thread)
{
    const forward_job *job = context;
    const dither_packed *packed = &job->packed;
    const dither_attention *shape = &packed->shape;
    forward_block block = block_of(job, index, thread);
    const size_t row = block.unit / shape->kv_heads * shape->seq + block.query, column = block.head * shape->head_dim;
    const size_t at = row * packed->out + column;
    if (block.rows % packed->kernel->m == 0 && packed->dim_n == shape->head_dim) {
        block.sums = job->o + at;
        block.sums_stride = packed->out;
    }
    const dither_pack_source from = dither_packed_source(job->qkv, row, packed->width, column);
    packed->loops->pack_rows(&(dither_pack_place){.packing = &packed->kernel->b,
                                                  .data = block.q.at,
                                                  .panel_stride = block.q.stride,
                                                  .padded_rows = job->query_cols,
                                                  .padded_k = packed->dim_k},
                             block.rows, shape->head_dim, &from);
    for (size_t key = block.begin; key < block.query + block.rows; key += job->keys)
        attend(job, &block, key);
    packed->loops->finish(block.rows, shape->head_dim, block.sums, block.sums_stride, block.sum, job->o + at,
                          job->kept != NULL ? job->kept + at : NULL, packed->out);
    if (job->lse != NULL)
        for (size_t i = 0; i < block.rows; i++)
            job->lse[(row + i) * shape->heads + block.head] = block.max[i] + logf(block.sum[i]);
}

void dither_packed_forward(const dither_context *context, const dither_attention *shape, dither_attention_values qkv,
                           float *o, uint16_t *kept, float *lse)
{
    const size_t mark = dither_arena_mark(context->scratch), units = shape->batch * shape->kv_heads;
    forward_job job = {.qkv = qkv, .o = o, .kept = kept, .lse = lse};
    dither_packed_begin(&job.packed, shape);
    lay_out_forward(&job);
    job.shared = dither_arena_take(context->scratch, units, job.shared_bytes);
    job.threads = dither_arena_take(context->scratch, (size_t)context->threads, job.thread_bytes);
    if (!context->dry) {
        dither_parallel_for(context->threads, units * job.pack_pieces, pack_piece, &job);
        dither_parallel_for(context->threads, units * job.packed.group * job.blocks, forward_piece, &job);
    }
    dither_arena_rewind(context->scratch, mark);
}
