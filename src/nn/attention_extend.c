#include <assert.h>

#include "base/parallel.h"
#include "kernel/bf16.h"
#include "kernel/gemm_f32.h"
#include "nn/attention_scores.h"

/*
 * A row is a query: those of the heads that share a key/value head lie side by side, token after token, and read its
 * keys together. A block of rows goes over the keys block by block, as in attention.c. Where all rows are one block
 * there are no more pieces of work than key/value heads: then the keys are cut into stretches, each with a softmax of
 * its own, which are joined in the end:
 *
 *     max = max_c max[c],  w[c] = exp(max[c] - max),  o = sum_c w[c] o[c] / sum_c w[c] sum[c]
 */
enum {
    ROWS = DITHER_ATTENTION_BLOCK,
    SCORES = ROWS * DITHER_ATTENTION_BLOCK,
    KEYS_MOST = SCORES / 8, /* of a block: few rows take more keys at a time */
    STRETCH = KEYS_MOST,    /* keys; longer ones where there would be more than STRETCHES */
    STRETCHES = 16,
    FEW = 6                 /* rows that BLAS multiplies faster one by one: for a vector it packs nothing */
};

typedef struct extend_job {
    dither_attention shape;
    const dither_rows *loops;
    float scale;
    size_t position, count;
    const uint32_t *first;
    const float *qkv, *cache_k, *cache_v;
    float *o;
    size_t group, width, stride; /* of a row of qkv, of a row of the cache */
    size_t rows, row_blocks;     /* of a block, at most; of a key/value head */
    size_t keys;                 /* of a block */
    size_t stretch, stretches;   /* keys of one; 1: o is written at once */
    float *threads, *parts;
    size_t thread_floats, part_floats; /* of a thread; of a stretch of a key/value head */
} extend_job;

static size_t aligned_floats(size_t rows, size_t cols)
{
    return dither_align_up(dither_multiply(dither_multiply(rows, cols), sizeof(float))) / sizeof(float);
}

/* A block of rows: what a thread works on, or what is left of a stretch. */
typedef struct extend_state {
    size_t kv_head, row, rows;
    float *o;         /* [rows][head_dim] */
    float *max, *sum; /* [ROWS] */
    float *scores;    /* [rows][keys] */
    float *q;         /* [rows][head_dim] */
} extend_state;

static size_t part_floats(const extend_job *job)
{
    return aligned_floats(job->rows, job->shape.head_dim) + 2 * ROWS;
}

static size_t thread_floats(const extend_job *job)
{
    return part_floats(job) + SCORES + aligned_floats(job->rows, job->shape.head_dim);
}

static extend_state part_of(const extend_job *job, float *base)
{
    float *max = base + aligned_floats(job->rows, job->shape.head_dim);
    return (extend_state){.o = base, .max = max, .sum = max + ROWS};
}

static extend_state state_of(const extend_job *job, int thread)
{
    extend_state state = part_of(job, job->threads + (size_t)thread * job->thread_floats);
    state.scores = state.sum + ROWS;
    state.q = state.scores + SCORES;
    return state;
}

/* As the products take it; to may be from. */
static void copy_row(const extend_job *job, size_t n, const float *from, float *to)
{
    for (size_t i = 0; i < n; i++)
        to[i] = job->shape.bf16 ? dither_bf16_round(from[i]) : from[i];
}

static size_t first_of(const extend_job *job, size_t token)
{
    return job->first ? job->first[token] : 0;
}

/* c = alpha a b + beta c, as gemm_f32.h has it, for rows of scores and of o. */
static void multiply(dither_gemm_layout layout, size_t rows, size_t n, size_t k, float alpha, const float *a,
                     size_t a_stride, const float *b, size_t b_stride, float beta, float *c, size_t c_stride)
{
    const size_t together = rows <= FEW ? 1 : rows;
    for (size_t i = 0; i < rows; i += together)
        dither_gemm_f32_block(layout, together, n, k, alpha, a + i * a_stride, a_stride, b, b_stride, beta,
                              c + i * c_stride, c_stride);
}

/* One block of keys: scores, softmax, and what they add to o. begins: nothing is there yet. */
static void attend(const extend_job *job, const extend_state *state, size_t key, size_t keys, bool begins)
{
    const size_t dim = job->shape.head_dim, rows = state->rows, at = key * job->stride + state->kv_head * dim;
    multiply(DITHER_GEMM_NT, rows, keys, dim, job->scale, state->q, dim, job->cache_k + at, job->stride, 0,
             state->scores, job->keys);
    for (size_t i = 0; i < rows; i++) {
        const size_t token = (state->row + i) / job->group, end = job->position + token + 1;
        const size_t first = first_of(job, token), from = first > key ? dither_smaller(first - key, keys) : 0;
        const size_t to = end > key ? dither_smaller(end - key, keys) : 0;
        float *scores = state->scores + i * job->keys;
        const float shrink = dither_softmax_row(job->loops, keys, from, to, scores, state->max + i, state->sum + i);
        if (job->shape.bf16)
            copy_row(job, keys, scores, scores);
        if (!begins)
            dither_scale_row(dim, shrink, state->o + i * dim);
    }
    multiply(DITHER_GEMM_NN, rows, dim, keys, 1, state->scores, job->keys, job->cache_v + at, job->stride,
             begins ? 0 : 1, state->o, dim);
}

/* The query head of row number `row` of a key/value head. */
static size_t head_of(const extend_job *job, size_t kv_head, size_t row)
{
    return kv_head * job->group + row % job->group;
}

static void read_queries(const extend_job *job, const extend_state *state)
{
    const size_t dim = job->shape.head_dim;
    for (size_t i = 0; i < state->rows; i++) {
        const size_t token = (state->row + i) / job->group, head = head_of(job, state->kv_head, state->row + i);
        copy_row(job, dim, job->qkv + token * job->width + head * dim, state->q + i * dim);
    }
}

static void write_rows(const extend_job *job, const extend_state *state)
{
    const size_t dim = job->shape.head_dim;
    for (size_t i = 0; i < state->rows; i++) {
        const size_t token = (state->row + i) / job->group, head = head_of(job, state->kv_head, state->row + i);
        float *o = job->o + (token * job->shape.heads + head) * dim;
        memcpy(o, state->o + i * dim, dim * sizeof *o);
        dither_scale_row(dim, 1.0f / state->sum[i], o);
    }
}

static float *stretch_of(const extend_job *job, size_t kv_head, size_t index)
{
    return job->parts + (kv_head * STRETCHES + index) * job->part_floats;
}

/* A block of rows of a key/value head against a stretch of keys. */
static void extend_piece(void *context, size_t index, int thread)
{
    const extend_job *job = context;
    const size_t kv_heads = job->shape.kv_heads, part = index / kv_heads % job->stretches;
    extend_state state = state_of(job, thread);
    state.kv_head = index % kv_heads;
    /* The last rows see the most keys: begin with them. */
    state.row = (job->row_blocks - 1 - index / kv_heads / job->stretches) * ROWS;
    state.rows = dither_smaller(ROWS, job->count * job->group - state.row);
    size_t begin = first_of(job, state.row / job->group) / job->keys * job->keys;
    size_t end = job->position + (state.row + state.rows - 1) / job->group + 1;
    if (job->stretches > 1) {
        const extend_state left = part_of(job, stretch_of(job, state.kv_head, part));
        state.o = left.o;
        state.max = left.max;
        state.sum = left.sum;
        begin += part * job->stretch;
        end = dither_smaller(end, begin + job->stretch);
    }
    read_queries(job, &state);
    dither_softmax_begin(state.rows, state.max, state.sum);
    for (size_t key = begin; key < end; key += job->keys)
        attend(job, &state, key, dither_smaller(job->keys, end - key), key == begin);
    if (job->stretches == 1)
        write_rows(job, &state);
}

static void join_piece(void *context, size_t kv_head, int thread)
{
    const extend_job *job = context;
    const size_t dim = job->shape.head_dim;
    extend_state state = state_of(job, thread);
    state.kv_head = kv_head;
    state.row = 0;
    state.rows = job->rows;
    for (size_t i = 0; i < job->rows; i++) {
        float max = -INFINITY, *restrict o = state.o + i * dim;
        for (size_t c = 0; c < job->stretches; c++)
            max = fmaxf(max, part_of(job, stretch_of(job, kv_head, c)).max[i]);
        memset(o, 0, dim * sizeof *o);
        state.sum[i] = 0;
        for (size_t c = 0; c < job->stretches; c++) {
            const extend_state part = part_of(job, stretch_of(job, kv_head, c));
            const float weight = dither_expf(part.max[i] - max), *restrict from = part.o + i * dim;
            state.sum[i] += weight * part.sum[i];
            for (size_t j = 0; j < dim; j++)
                o[j] += weight * from[j];
        }
    }
    write_rows(job, &state);
}

/* Cut the keys where there is but one block of rows, into whole blocks of keys. */
static void cut_keys(extend_job *job)
{
    const size_t end = job->position + job->count;
    const size_t span = end - first_of(job, 0) / job->keys * job->keys, least = (span + STRETCHES - 1) / STRETCHES;
    job->stretch = least > STRETCH ? (least + job->keys - 1) / job->keys * job->keys : STRETCH;
    job->stretches = job->row_blocks == 1 ? (span + job->stretch - 1) / job->stretch : 1;
}

static void keep_rows(const extend_job *job, float *cache_k, float *cache_v)
{
    for (size_t t = 0; t < job->count; t++) {
        const float *k = job->qkv + t * job->width + job->shape.heads * job->shape.head_dim;
        copy_row(job, job->stride, k, cache_k + (job->position + t) * job->stride);
        copy_row(job, job->stride, k + job->stride, cache_v + (job->position + t) * job->stride);
    }
}

void dither_attention_extend(const dither_context *context, const dither_attention *shape, size_t position,
                             size_t count, const uint32_t *first, const float *qkv, float *cache_k, float *cache_v,
                             float *o)
{
    assert(shape->kv_heads > 0 && shape->heads % shape->kv_heads == 0 && count > 0);
    const size_t mark = dither_arena_mark(context->scratch), group = shape->heads / shape->kv_heads;
    extend_job job = {
        .shape = *shape,
        .loops = dither_rows_active(),
        .scale = dither_attention_scale(shape),
        .position = position,
        .count = count,
        .first = first,
        .qkv = qkv,
        .cache_k = cache_k,
        .cache_v = cache_v,
        .o = o,
        .group = group,
    };
    job.width = (shape->heads + 2 * shape->kv_heads) * shape->head_dim;
    job.stride = shape->kv_heads * shape->head_dim;
    job.rows = dither_smaller(ROWS, dither_multiply(count, group));
    job.row_blocks = (count * group + ROWS - 1) / ROWS;
    for (job.keys = KEYS_MOST; job.keys * job.rows > SCORES;)
        job.keys /= 2;
    job.thread_floats = thread_floats(&job);
    job.part_floats = part_floats(&job);
    job.threads = dither_arena_take(context->scratch, (size_t)context->threads,
                                    dither_multiply(job.thread_floats, sizeof(float)));
    job.parts = dither_arena_take(context->scratch, dither_multiply(shape->kv_heads, STRETCHES),
                                  dither_multiply(job.part_floats, sizeof(float)));
    if (!context->dry) {
        keep_rows(&job, cache_k, cache_v);
        cut_keys(&job);
        dither_parallel_for(context->threads, shape->kv_heads * job.row_blocks * job.stretches, extend_piece, &job);
        if (job.stretches > 1)
            dither_parallel_for(context->threads, shape->kv_heads, join_piece, &job);
    }
    dither_arena_rewind(context->scratch, mark);
}
