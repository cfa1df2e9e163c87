#include "nn/attention.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/parallel.h"
#include "kernel/gemm_f32.h"
#include "kernel/lanes.h"
#include "nn/attention_scores.h"
#include "nn/attention_packed.h"

enum { BLOCK = DITHER_ATTENTION_BLOCK };

typedef struct attention_job {
    dither_attention shape;
    const dither_rows *loops;
    size_t width; /* of a row of qkv */
    float scale;
    const float *qkv, *dout;
    float *o, *dqkv;
    float *lse_out;
    const float *o_in, *lse_in;
    float *scratch;
    size_t thread_floats; /* scratch of one thread */
    size_t blocks;        /* of queries, in a sequence */
} attention_job;

/* A matrix inside another. */
typedef struct view {
    const float *at;
    size_t stride;
} view;

double dither_attention_pairs(const dither_attention *shape)
{
    const double seq = (double)shape->seq;
    double pairs = (double)shape->batch * seq * (seq + 1) / 2;
    for (size_t t = 0; shape->first && t < shape->batch * shape->seq; t++)
        pairs -= (double)shape->first[t];
    return pairs;
}

static attention_job job_of(const dither_attention *shape)
{
    assert(shape->kv_heads > 0 && shape->heads % shape->kv_heads == 0);
    return (attention_job){
        .shape = *shape,
        .loops = dither_rows_active(),
        .width = (shape->heads + 2 * shape->kv_heads) * shape->head_dim,
        .scale = dither_attention_scale(shape),
        .blocks = (shape->seq + BLOCK - 1) / BLOCK,
    };
}

/* Scratch for `floats` a thread; the caller marks and rewinds. */
static void take_scratch(const dither_context *context, attention_job *job, size_t floats)
{
    job->thread_floats = floats;
    const size_t bytes = dither_multiply(floats, sizeof(float));
    job->scratch = dither_arena_take(context->scratch, (size_t)context->threads, bytes);
}

/* first[] of the sequence whose first row is `begin`; NULL: it sees all. */
static const uint32_t *first_of(const dither_attention *shape, size_t begin)
{
    return shape->first ? shape->first + begin : NULL;
}

/* The block of keys that the first of the queries from `query` on sees first. */
static size_t first_block(const uint32_t *first, size_t query)
{
    return first ? first[query] / BLOCK * BLOCK : 0;
}

/* The keys from..to-1 of the `keys` from `key` on that a query not before `key` sees: from = to where it sees none. */
typedef struct sight {
    size_t from, to;
} sight;

static sight sight_of(const uint32_t *first, size_t query, size_t key, size_t keys)
{
    const size_t hidden = first && first[query] > key ? first[query] - key : 0;
    return (sight){dither_smaller(hidden, keys), dither_smaller(query + 1 - key, keys)};
}

/* ---- forward: an online softmax ------------------------------------------------------------------------------ */

/* A block of queries of one head, and what a thread gathers for it. */
typedef struct forward_block {
    const uint32_t *first; /* of the sequence */
    size_t query, rows;
    view q;
    float *scores;    /* [BLOCK][BLOCK] */
    float *max, *sum; /* [BLOCK] */
    float *o;
    size_t o_stride;
} forward_block;

enum { FORWARD_FLOATS = BLOCK * BLOCK + 2 * BLOCK };

/* Gather the keys from `key` on into o. begins: nothing is there yet. */
static void attend(const attention_job *job, const forward_block *block, size_t key, view k, view v, bool begins)
{
    const size_t dim = job->shape.head_dim, rows = block->rows, keys = dither_smaller(BLOCK, job->shape.seq - key);
    dither_gemm_f32_block(DITHER_GEMM_NT, rows, keys, dim, job->scale, block->q.at, block->q.stride, k.at, k.stride, 0,
                          block->scores, BLOCK);
    for (size_t i = 0; i < rows; i++) {
        const sight seen = sight_of(block->first, block->query + i, key, keys);
        const float shrink = dither_softmax_row(job->loops, keys, seen.from, seen.to, block->scores + i * BLOCK,
                                                block->max + i, block->sum + i);
        if (!begins)
            dither_scale_row(dim, shrink, block->o + i * block->o_stride);
    }
    dither_gemm_f32_block(DITHER_GEMM_NN, rows, dim, keys, 1, block->scores, BLOCK, v.at, v.stride, begins ? 0 : 1,
                          block->o, block->o_stride);
}

static void forward_piece(void *context, size_t index, int thread)
{
    const attention_job *job = context;
    const dither_attention *shape = &job->shape;
    const size_t dim = shape->head_dim, width = job->width, units = shape->batch * shape->heads;
    /* The last queries see the most keys: begin with them. */
    const size_t query = (job->blocks - 1 - index / units) * BLOCK, unit = index % units;
    const size_t head = unit % shape->heads, kv_head = head / (shape->heads / shape->kv_heads);
    const size_t begin = unit / shape->heads * shape->seq, row = begin + query;
    const float *k = job->qkv + begin * width + (shape->heads + kv_head) * dim, *v = k + shape->kv_heads * dim;
    float *scores = job->scratch + (size_t)thread * job->thread_floats;
    const forward_block block = {
        .first = first_of(shape, begin),
        .query = query,
        .rows = dither_smaller(BLOCK, shape->seq - query),
        .q = {job->qkv + row * width + head * dim, width},
        .scores = scores,
        .max = scores + BLOCK * BLOCK,
        .sum = scores + BLOCK * BLOCK + BLOCK,
        .o = job->o + (row * shape->heads + head) * dim,
        .o_stride = shape->heads * dim,
    };
    dither_softmax_begin(block.rows, block.max, block.sum);
    const size_t begins = first_block(block.first, query);
    for (size_t key = begins; key <= query; key += BLOCK)
        attend(job, &block, key, (view){k + key * width, width}, (view){v + key * width, width}, key == begins);
    for (size_t i = 0; i < block.rows; i++) {
        dither_scale_row(dim, 1.0f / block.sum[i], block.o + i * block.o_stride);
        if (job->lse_out)
            job->lse_out[(row + i) * shape->heads + head] = block.max[i] + logf(block.sum[i]);
    }
}

static void forward_f32(const dither_context *context, const dither_attention *shape, const float *qkv, float *o,
                        float *lse)
{
    const size_t mark = dither_arena_mark(context->scratch);
    attention_job job = job_of(shape);
    take_scratch(context, &job, FORWARD_FLOATS);
    if (!context->dry) {
        job.qkv = qkv;
        job.o = o;
        job.lse_out = lse;
        dither_parallel_for(context->threads, shape->batch * shape->heads * job.blocks, forward_piece, &job);
    }
    dither_arena_rewind(context->scratch, mark);
}

void dither_attention_forward_kept(const dither_context *context, const dither_attention *shape,
                                   dither_attention_values qkv, float *o, uint16_t *kept, float *lse)
{
    assert(shape->bf16 || (qkv.bf16 == NULL && kept == NULL));
    if (shape->bf16)
        dither_packed_forward(context, shape, qkv, o, kept, lse);
    else
        forward_f32(context, shape, qkv.f32, o, lse);
}

void dither_attention_forward(const dither_context *context, const dither_attention *shape, const float *qkv, float *o,
                              float *lse)
{
    dither_attention_forward_kept(context, shape, (dither_attention_values){.f32 = qkv}, o, NULL, lse);
}

/* ---- backward ------------------------------------------------------------------------------------------------- */

/* What one thread of the backward pass works on. */
typedef struct gradient_state {
    float *p, *ds; /* [BLOCK][BLOCK] */
    float *d;      /* [group][seq] do.o */
} gradient_state;

static size_t backward_floats(const dither_attention *shape)
{
    const size_t floats = dither_multiply(shape->heads / shape->kv_heads, shape->seq);
    return 2 * BLOCK * BLOCK + dither_align_up(floats * sizeof(float)) / sizeof(float);
}

static gradient_state gradient_state_of(const attention_job *job, int thread)
{
    float *base = job->scratch + (size_t)thread * job->thread_floats;
    return (gradient_state){.p = base, .ds = base + BLOCK * BLOCK, .d = base + 2 * BLOCK * BLOCK};
}

/* p = exp(s - lse),  ds = p (dp - d),  0 where masked;  s comes in p, dp in ds */
static void gradient_row(const dither_rows *loops, size_t keys, sight seen, float lse, float d, float *restrict p,
                         float *restrict ds)
{
    (void)loops->exp_sum(seen.to - seen.from, lse, p + seen.from);
    for (size_t j = seen.from; j < seen.to; j++)
        ds[j] = p[j] * (ds[j] - d);
    memset(p, 0, seen.from * sizeof *p);
    memset(ds, 0, seen.from * sizeof *ds);
    memset(p + seen.to, 0, (keys - seen.to) * sizeof *p);
    memset(ds + seen.to, 0, (keys - seen.to) * sizeof *ds);
}

/* A block of queries of one head against a block of keys. */
typedef struct gradient_block {
    const uint32_t *first; /* of the sequence */
    size_t row, head;      /* of the first query, in the whole batch */
    size_t query, rows;    /* in the sequence */
    size_t key, keys;
    const float *d; /* of the first query */
    view q, k, v, dout;
    float *dq, *dk, *dv;
    bool first_keys, first_queries; /* dq, and dk and dv, are written, not added to */
} gradient_block;

static void gradient_products(const attention_job *job, const gradient_state *state, const gradient_block *block)
{
    const dither_attention *shape = &job->shape;
    const size_t dim = shape->head_dim, rows = block->rows, keys = block->keys;
    const view q = block->q, k = block->k, v = block->v, dout = block->dout;
    dither_gemm_f32_block(DITHER_GEMM_NT, rows, keys, dim, job->scale, q.at, q.stride, k.at, k.stride, 0, state->p,
                          BLOCK);
    dither_gemm_f32_block(DITHER_GEMM_NT, rows, keys, dim, 1, dout.at, dout.stride, v.at, v.stride, 0, state->ds,
                          BLOCK);
    for (size_t i = 0; i < rows; i++) {
        const sight seen = sight_of(block->first, block->query + i, block->key, keys);
        gradient_row(job->loops, keys, seen, job->lse_in[(block->row + i) * shape->heads + block->head], block->d[i],
                     state->p + i * BLOCK, state->ds + i * BLOCK);
    }
    const float onto_queries = block->first_keys ? 0 : 1, onto_keys = block->first_queries ? 0 : 1;
    dither_gemm_f32_block(DITHER_GEMM_TN, keys, dim, rows, 1, state->p, BLOCK, dout.at, dout.stride, onto_keys,
                          block->dv, job->width);
    dither_gemm_f32_block(DITHER_GEMM_TN, keys, dim, rows, job->scale, state->ds, BLOCK, q.at, q.stride, onto_keys,
                          block->dk, job->width);
    dither_gemm_f32_block(DITHER_GEMM_NN, rows, dim, keys, job->scale, state->ds, BLOCK, k.at, k.stride, onto_queries,
                          block->dq, job->width);
}

/* d[t] = do[t].o[t] = sum over u of p[t][u] dp[t][u] */
static void row_sums(const attention_job *job, const gradient_state *state, size_t begin, size_t first_head)
{
    const dither_attention *shape = &job->shape;
    const size_t dim = shape->head_dim, stride = shape->heads * dim, group = shape->heads / shape->kv_heads;
    for (size_t g = 0; g < group; g++) {
        for (size_t t = 0; t < shape->seq; t++) {
            const size_t at = (begin + t) * stride + (first_head + g) * dim;
            state->d[g * shape->seq + t] = dither_lanes_dot(dim, job->dout + at, job->o_in + at);
        }
    }
}

/* All queries of one head of the group that see the block of keys. */
static void backward_queries(const attention_job *job, const gradient_state *state, gradient_block *block, size_t begin,
                             size_t head_in_group)
{
    const dither_attention *shape = &job->shape;
    const size_t dim = shape->head_dim, key = block->key, last = key + block->keys - 1;
    const uint32_t *first = block->first;
    for (size_t query = key; query < shape->seq && (!first || first[query] <= last); query += BLOCK) {
        block->row = begin + query;
        block->query = query;
        block->rows = dither_smaller(BLOCK, shape->seq - query);
        block->d = state->d + head_in_group * shape->seq + query;
        const size_t q_at = block->row * job->width + block->head * dim;
        block->q = (view){job->qkv + q_at, job->width};
        block->dout = (view){job->dout + (block->row * shape->heads + block->head) * dim, shape->heads * dim};
        block->dq = job->dqkv + q_at;
        block->first_keys = key == first_block(first, query);
        block->first_queries = head_in_group == 0 && query == key;
        gradient_products(job, state, block);
    }
}

/* One key/value head of one sequence: nobody else adds to its dk and dv, nor to the dq of its group. */
static void backward_piece(void *context, size_t index, int thread)
{
    const attention_job *job = context;
    const dither_attention *shape = &job->shape;
    const size_t dim = shape->head_dim, group = shape->heads / shape->kv_heads;
    const size_t kv_head = index % shape->kv_heads, begin = index / shape->kv_heads * shape->seq;
    const size_t k_column = (shape->heads + kv_head) * dim, v_column = k_column + shape->kv_heads * dim;
    const gradient_state state = gradient_state_of(job, thread);
    row_sums(job, &state, begin, kv_head * group);
    for (size_t key = 0; key < shape->seq; key += BLOCK) {
        const size_t row = (begin + key) * job->width;
        gradient_block block = {
            .first = first_of(shape, begin),
            .key = key,
            .keys = dither_smaller(BLOCK, shape->seq - key),
            .k = {job->qkv + row + k_column, job->width},
            .v = {job->qkv + row + v_column, job->width},
            .dk = job->dqkv + row + k_column,
            .dv = job->dqkv + row + v_column,
        };
        for (size_t g = 0; g < group; g++) {
            block.head = kv_head * group + g;
            backward_queries(job, &state, &block, begin, g);
        }
    }
}

static void backward_f32(const dither_context *context, const dither_attention *shape, const float *qkv, const float *o,
                         const float *lse, const float *dout, float *dqkv)
{
    const size_t mark = dither_arena_mark(context->scratch);
    attention_job job = job_of(shape);
    take_scratch(context, &job, backward_floats(shape));
    if (!context->dry) {
        job.qkv = qkv;
        job.o_in = o;
        job.lse_in = lse;
        job.dout = dout;
        job.dqkv = dqkv;
        dither_parallel_for(context->threads, shape->batch * shape->kv_heads, backward_piece, &job);
    }
    dither_arena_rewind(context->scratch, mark);
}

void dither_attention_backward_kept(const dither_context *context, const dither_attention *shape,
                                    dither_attention_values qkv, dither_attention_values o, const float *lse,
                                    const float *dout, float *dqkv)
{
    assert(shape->bf16 || (qkv.bf16 == NULL && o.bf16 == NULL));
    if (shape->bf16)
        dither_packed_backward(context, shape, qkv, o, lse, dout, dqkv);
    else
        backward_f32(context, shape, qkv.f32, o.f32, lse, dout, dqkv);
}

void dither_attention_backward(const dither_context *context, const dither_attention *shape, const float *qkv,
                               const float *o, const float *lse, const float *dout, float *dqkv)
{
    dither_attention_backward_kept(context, shape, (dither_attention_values){.f32 = qkv},
                                   (dither_attention_values){.f32 = o}, lse, dout, dqkv);
}
