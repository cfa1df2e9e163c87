#include <string.h>

#include "base/parallel.h"
#include "nn/attention_packed.h"

/*
 * Work goes in strips: the queries of one head from `begin` to `end` against one block of keys. A strip's exp(s - lse)
 * and ds, packed as they come, are the A of dv and dk, whose sums run over all its queries at once; its dq is added
 * block by block. Strips are added to dk and dv head by head, and in a head front to back.
 */
enum {
    QUERIES = 64, /* of a block, at most */
    KEYS = 64,
    STRIP = 512 /* queries of a strip, at most: 64 KiB each of exp(s - lse) and ds */
};

/* A pair of blocks costs five products; done twice, for dq and for dk and dv, seven. */
static const double cost_joined = 5, cost_split = 7.5;

/* Where a key/value head's packed operands lie, in bytes; those of each of its query heads behind them. */
typedef struct operands_layout {
    size_t v, k_down;                       /* behind k at 0 */
    size_t heads;                           /* the first of them */
    size_t dout, q_down, dout_down, lse, d; /* behind q at 0, in a head's bytes */
    size_t head_bytes, bytes;
} operands_layout;

typedef struct backward_job {
    dither_packed packed;
    dither_attention_values qkv, o;
    const float *lse, *dout;
    float *dqkv;
    bool split;                  /* dq, and dk and dv, in pieces of their own */
    size_t queries, keys, strip; /* of a block and a strip */
    size_t strips, key_blocks;   /* of a sequence */
    operands_layout at;
    unsigned char *operands; /* split: of every key/value head; else of every thread */
    unsigned char *threads;
    size_t thread_bytes;
    size_t ds_at, p_down_at, ds_down_at, ds_across_at, dq_at, sums_at; /* in a thread's bytes, behind p at 0 */
} backward_job;

/* ---- operands --------------------------------------------------------------------------------------------------- */

static void lay_out_operands(backward_job *job, size_t heads)
{
    const dither_packed *packed = &job->packed;
    const dither_gemm_kernel *kernel = packed->kernel;
    const size_t seq = packed->shape.seq, down = packed->dim_n * packed->seq_k;
    const size_t across_a = dither_round_up(seq, kernel->m) * packed->dim_k;
    const size_t across_b = dither_round_up(seq, kernel->n) * packed->dim_k;
    operands_layout *at = &job->at;
    size_t used = 0;
    (void)dither_packed_reserve(&used, across_b, sizeof(uint16_t));
    at->v = dither_packed_reserve(&used, across_b, sizeof(uint16_t));
    at->k_down = dither_packed_reserve(&used, down, sizeof(uint16_t));
    at->heads = used;
    used = 0;
    (void)dither_packed_reserve(&used, across_a, sizeof(uint16_t));
    at->dout = dither_packed_reserve(&used, across_a, sizeof(uint16_t));
    at->q_down = dither_packed_reserve(&used, down, sizeof(uint16_t));
    at->dout_down = dither_packed_reserve(&used, down, sizeof(uint16_t));
    at->lse = dither_packed_reserve(&used, seq, sizeof(float));
    at->d = dither_packed_reserve(&used, seq, sizeof(float));
    at->head_bytes = used;
    at->bytes = at->heads + dither_multiply(heads, used);
}

/* The operands of a key/value head of a sequence, and those of one of its query heads. */
typedef struct head_operands {
    dither_panels k, v, k_down;      /* B: rows are keys, keys, and columns of k */
    dither_panels q, dout;           /* A: rows are queries */
    dither_panels q_down, dout_down; /* B: rows are columns */
    float *lse, *d;                  /* [seq] */
} head_operands;

static head_operands operands_of(const backward_job *job, unsigned char *base, size_t head)
{
    const dither_gemm_kernel *kernel = job->packed.kernel;
    const operands_layout *at = &job->at;
    const size_t a = kernel->m * job->packed.dim_k, b = kernel->n * job->packed.dim_k;
    const size_t down = kernel->n * job->packed.seq_k;
    unsigned char *own = base + at->heads + head * at->head_bytes;
    void *k = base, *v = base + at->v, *k_down = base + at->k_down;
    void *q = own, *dout = own + at->dout, *q_down = own + at->q_down, *dout_down = own + at->dout_down;
    void *lse = own + at->lse, *d = own + at->d;
    return (head_operands){.k = {k, b},
                           .v = {v, b},
                           .k_down = {k_down, down},
                           .q = {q, a},
                           .dout = {dout, a},
                           .q_down = {q_down, down},
                           .dout_down = {dout_down, down},
                           .lse = lse,
                           .d = d};
}

/* x [seq][head_dim]: its rows as the rows of an operand. */
static void pack_across(const dither_packed *packed, const dither_packing *packing, const dither_pack_source *x,
                        const dither_panels *to)
{
    const size_t seq = packed->shape.seq;
    packed->loops->pack_rows(&(dither_pack_place){.packing = packing,
                                                  .data = to->at,
                                                  .panel_stride = to->stride,
                                                  .padded_rows = dither_round_up(seq, packing->panel),
                                                  .padded_k = packed->dim_k},
                             seq, packed->shape.head_dim, x);
}

/* x [seq][head_dim]: its columns as the rows of a B. */
static void pack_down(const dither_packed *packed, const dither_pack_source *x, const dither_panels *to)
{
    packed->loops->pack_columns(&(dither_pack_place){.packing = &packed->kernel->b,
                                                     .data = to->at,
                                                     .panel_stride = to->stride,
                                                     .padded_rows = packed->dim_n,
                                                     .padded_k = packed->seq_k},
                                packed->shape.head_dim, packed->shape.seq, x);
}

static void pack_keys(const backward_job *job, size_t unit, const head_operands *to)
{
    const dither_packed *packed = &job->packed;
    const dither_attention *shape = &packed->shape;
    const size_t row = unit / shape->kv_heads * shape->seq;
    const size_t column = (shape->heads + unit % shape->kv_heads) * shape->head_dim;
    const dither_pack_source k = dither_packed_source(job->qkv, row, packed->width, column);
    const dither_pack_source v =
        dither_packed_source(job->qkv, row, packed->width, column + shape->kv_heads * shape->head_dim);
    pack_across(packed, &packed->kernel->b, &k, &to->k);
    pack_across(packed, &packed->kernel->b, &v, &to->v);
    pack_down(packed, &k, &to->k_down);
}

/* The operands of one query head, and d[t] = do[t].o[t] = sum over u of p[t][u] dp[t][u]. */
static void pack_head(const backward_job *job, size_t unit, size_t head_in_group, const head_operands *to)
{
    const dither_packed *packed = &job->packed;
    const dither_attention *shape = &packed->shape;
    const size_t row = unit / shape->kv_heads * shape->seq;
    const size_t head = unit % shape->kv_heads * packed->group + head_in_group, column = head * shape->head_dim;
    const dither_attention_values dout = {.f32 = job->dout};
    const dither_pack_source q = dither_packed_source(job->qkv, row, packed->width, column);
    const dither_pack_source from = dither_packed_source(dout, row, packed->out, column);
    const dither_pack_source o = dither_packed_source(job->o, row, packed->out, column);
    pack_across(packed, &packed->kernel->a, &q, &to->q);
    pack_down(packed, &q, &to->q_down);
    pack_across(packed, &packed->kernel->a, &from, &to->dout);
    pack_down(packed, &from, &to->dout_down);
    packed->loops->dots(shape->seq, shape->head_dim, from.f32, packed->out, &o, to->d);
    for (size_t t = 0; t < shape->seq; t++)
        to->lse[t] = job->lse[(row + t) * shape->heads + head];
}

/* ---- strips ----------------------------------------------------------------------------------------------------- */

/* What one thread works on. */
typedef struct strip_memory {
    float *p, *ds;                 /* [queries][keys]: scores, then p; dp, then ds */
    dither_panels p_down, ds_down; /* A: rows are keys, k's the queries of a strip */
    dither_panels ds_across;       /* A: rows are queries of a block */
    float *dq;                     /* [strip][dim_n] */
    float *sums;                   /* [keys][dim_n] of dk or dv */
} strip_memory;

static strip_memory memory_of(const backward_job *job, int thread)
{
    const size_t m = job->packed.kernel->m;
    unsigned char *base = job->threads + (size_t)thread * job->thread_bytes;
    void *p = base, *ds = base + job->ds_at, *p_down = base + job->p_down_at, *ds_down = base + job->ds_down_at;
    void *ds_across = base + job->ds_across_at, *dq = base + job->dq_at, *sums = base + job->sums_at;
    return (strip_memory){.p = p,
                          .ds = ds,
                          .p_down = {p_down, m * job->strip},
                          .ds_down = {ds_down, m * job->strip},
                          .ds_across = {ds_across, m * job->keys},
                          .dq = dq,
                          .sums = sums};
}

/* Queries of one head against a block of keys. */
typedef struct strip {
    const head_operands *from;
    const uint32_t *first; /* of the sequence */
    strip_memory memory;
    size_t origin;     /* a strip's first query, where dq begins */
    size_t begin, end; /* queries: of origin's strip, those from the first block on that sees a key */
    size_t key, keys;
    float *dq; /* [end - origin][dq_stride]: a thread's, or dqkv itself where tiles fit it */
    size_t dq_stride;
    bool to_queries, to_keys; /* which gradients are wanted */
} strip;

/* Scores and dp of a block: tiles that the mask hides whole are left as they are. */
static void score_tiles(const backward_job *job, const strip *at, size_t query, size_t rows)
{
    const dither_packed *packed = &job->packed;
    const size_t m = packed->kernel->m, n = packed->kernel->n;
    const head_operands *from = at->from;
    for (size_t j = 0; j < at->keys; j += n)
        for (size_t i = 0; i < rows; i += m) {
            if (at->key + j > query + i + m - 1 || dither_packed_begin_of(at->first, query + i) >= at->key + j + n)
                continue;
            const dither_panels q = {from->q.at + query / m * from->q.stride, from->q.stride};
            const dither_panels dout = {from->dout.at + query / m * from->dout.stride, from->dout.stride};
            const dither_panels k = {from->k.at + at->key / n * from->k.stride, from->k.stride};
            const dither_panels v = {from->v.at + at->key / n * from->v.stride, from->v.stride};
            dither_packed_tile(packed, &q, &k, i, j, 0, packed->dim_k, packed->scale, at->memory.p, job->keys, false);
            dither_packed_tile(packed, &dout, &v, i, j, 0, packed->dim_k, packed->unit, at->memory.ds, job->keys,
                               false);
        }
}

/* dq of a block: for each panel of queries the keys from the first that any of them sees to the last. */
static void query_tiles(const backward_job *job, const strip *at, size_t query, size_t rows)
{
    const dither_packed *packed = &job->packed;
    const size_t m = packed->kernel->m, n = packed->kernel->n, step = packed->kernel->k_step;
    const dither_panels k_down = {at->from->k_down.at + at->key * n, at->from->k_down.stride};
    float *dq = at->dq + (query - at->origin) * at->dq_stride;
    for (size_t j = 0; j < packed->dim_n; j += n)
        for (size_t i = 0; i < rows; i += m) {
            const size_t last = query + i + m, first = dither_packed_begin_of(at->first, query + i);
            const size_t seen = dither_smaller(at->keys, last > at->key ? last - at->key : 0);
            const size_t hidden = first > at->key ? first - at->key : 0;
            if (hidden < seen)
                dither_packed_tile(packed, &at->memory.ds_across, &k_down, i, j, hidden / step * step,
                                   dither_round_up(seen, step), packed->scale, dq, at->dq_stride, at->key > first);
        }
}

static void strip_block(const backward_job *job, const strip *at, size_t query)
{
    const dither_packed *packed = &job->packed;
    const dither_gemm_kernel *kernel = packed->kernel;
    const dither_softmax *loops = packed->loops;
    const size_t rows = dither_smaller(job->queries, at->end - query), offset = (query - at->begin) * kernel->m;
    const strip_memory *memory = &at->memory;
    dither_pack_place to_p = {.packing = &kernel->a,
                              .data = memory->p_down.at + offset,
                              .panel_stride = memory->p_down.stride,
                              .padded_rows = dither_round_up(at->keys, kernel->m),
                              .padded_k = dither_round_up(rows, kernel->k_step)};
    dither_pack_place to_ds = to_p;
    to_ds.data = memory->ds_down.at + offset;
    const dither_sight sight = dither_packed_sight(at->first, query, rows, at->key);
    score_tiles(job, at, query, rows);
    loops->gradient(rows, at->keys, &sight, at->from->lse + query, at->from->d + query, memory->p, memory->ds,
                    job->keys, at->to_keys ? &to_p : NULL, at->to_keys ? &to_ds : NULL);
    if (at->to_queries) {
        loops->pack_rows(&(dither_pack_place){.packing = &kernel->a,
                                              .data = memory->ds_across.at,
                                              .panel_stride = memory->ds_across.stride,
                                              .padded_rows = dither_round_up(rows, kernel->m),
                                              .padded_k = dither_round_up(at->keys, kernel->k_step)},
                         rows, at->keys, &(dither_pack_source){.f32 = memory->ds, .stride = job->keys});
        query_tiles(job, at, query, rows);
    }
}

/* to[i][j] = or += from[i][j] */
static void store_rows(size_t rows, size_t cols, const float *restrict from, size_t from_stride, float *restrict to,
                       size_t stride, bool add)
{
    for (size_t i = 0; i < rows; i++, from += from_stride, to += stride) {
        if (!add)
            memcpy(to, from, cols * sizeof *to);
        else
            for (size_t j = 0; j < cols; j++)
                to[j] += from[j];
    }
}

/* How many of a sequence's queries begin with a key before `key`: those behind them see none of the keys in front. */
static size_t begun_before(const uint32_t *first, size_t seq, size_t key)
{
    size_t low = 0, high = seq;
    while (first != NULL && low < high) {
        const size_t middle = low + (high - low) / 2;
        if (first[middle] < key)
            low = middle + 1;
        else
            high = middle;
    }
    return high;
}

/* dv or dk of a strip: for each panel of keys the queries from the first that sees one to the last. */
static void key_tiles(const backward_job *job, const strip *at, const dither_panels *down, const dither_panels *values,
                      const float *scale, float *to, bool add)
{
    const dither_packed *packed = &job->packed;
    const size_t m = packed->kernel->m, n = packed->kernel->n, step = packed->kernel->k_step;
    const dither_panels b = {values->at + at->begin * n, values->stride};
    const bool fits =
        at->keys % m == 0 && packed->dim_n == packed->shape.head_dim && at->key + at->keys <= at->end;
    float *c = fits ? to : at->memory.sums;
    const size_t stride = fits ? packed->width : packed->dim_n;
    for (size_t j = 0; j < packed->dim_n; j += n)
        for (size_t i = 0; i < at->keys; i += m) {
            const size_t key = at->key + i, hidden = key > at->begin ? key - at->begin : 0;
            const size_t last = begun_before(at->first, at->end, key + m);
            const size_t seen = last > at->begin ? dither_round_up(last - at->begin, step) : 0;
            if (hidden < seen)
                dither_packed_tile(packed, down, &b, i, j, hidden / step * step, seen, scale, c, stride, fits && add);
            else if (!fits) /* also a block of keys that goes on behind the strip */
                for (size_t row = i; row < i + m; row++)
                    memset(at->memory.sums + row * packed->dim_n + j, 0, n * sizeof(float));
        }
    if (!fits)
        store_rows(at->keys, packed->shape.head_dim, at->memory.sums, packed->dim_n, to, packed->width, add);
}

/*
 * Strip number `index` of the sequence against the block of keys from `key` on: of its queries the blocks from the
 * first to the last that sees a key. adds: dk and dv are added to, not written.
 */
static void run_strip(const backward_job *job, size_t unit, strip *at, size_t index, size_t key, bool adds)
{
    const dither_packed *packed = &job->packed;
    const dither_attention *shape = &packed->shape;
    at->origin = index * job->strip;
    at->begin = key > at->origin ? at->origin + (key - at->origin) / job->queries * job->queries : at->origin;
    at->end = dither_smaller(at->origin + job->strip, shape->seq);
    at->key = key;
    at->keys = dither_smaller(job->keys, shape->seq - key);
    at->first = dither_packed_first(packed, unit / shape->kv_heads);
    const size_t last = begun_before(at->first, at->end, key + at->keys);
    if (last <= at->begin)
        return;
    at->end = dither_smaller(at->end, at->begin + dither_round_up(last - at->begin, job->queries));
    for (size_t query = at->begin; query < at->end; query += job->queries)
        strip_block(job, at, query);
    if (!at->to_keys)
        return;
    const size_t row = unit / shape->kv_heads * shape->seq + key;
    const size_t column = (shape->heads + unit % shape->kv_heads) * shape->head_dim;
    float *dk = job->dqkv + row * packed->width + column, *dv = dk + shape->kv_heads * shape->head_dim;
    key_tiles(job, at, &at->memory.p_down, &at->from->dout_down, packed->unit, dv, adds);
    key_tiles(job, at, &at->memory.ds_down, &at->from->q_down, packed->scale, dk, adds);
}

/* ---- pieces ----------------------------------------------------------------------------------------------------- */

/* A strip of queries of one head against every block of keys it sees. */
static void strip_rows(const backward_job *job, size_t unit, size_t head_in_group, strip *at, size_t index)
{
    const dither_packed *packed = &job->packed;
    const dither_attention *shape = &packed->shape;
    const size_t begin = index * job->strip, end = dither_smaller(begin + job->strip, shape->seq);
    const size_t row = unit / shape->kv_heads * shape->seq + begin;
    const size_t head = unit % shape->kv_heads * packed->group + head_in_group;
    float *dq = job->dqkv + row * packed->width + head * shape->head_dim;
    const bool fits = (end - begin) % packed->kernel->m == 0 && packed->dim_n == shape->head_dim;
    at->dq = fits ? dq : at->memory.dq;
    at->dq_stride = fits ? packed->width : packed->dim_n;
    const uint32_t *first = dither_packed_first(packed, unit / shape->kv_heads);
    for (size_t key = dither_packed_begin_of(first, begin) / job->keys * job->keys; key < end; key += job->keys)
        run_strip(job, unit, at, index, key, head_in_group > 0 || key < begin);
    if (at->to_queries && !fits)
        store_rows(end - begin, shape->head_dim, at->dq, at->dq_stride, dq, packed->width, false);
}

/* A key/value head of a sequence, whole: nobody else adds to its dk and dv, nor to the dq of its group. */
static void joined_piece(void *context, size_t unit, int thread)
{
    const backward_job *job = context;
    const head_operands from = operands_of(job, job->operands + (size_t)thread * job->at.bytes, 0);
    strip at = {.from = &from, .memory = memory_of(job, thread), .to_queries = true, .to_keys = true};
    pack_keys(job, unit, &from);
    for (size_t head = 0; head < job->packed.group; head++) {
        pack_head(job, unit, head, &from);
        for (size_t index = 0; index < job->strips; index++)
            strip_rows(job, unit, head, &at, index);
    }
}

static void pack_piece(void *context, size_t index, int thread)
{
    (void)thread;
    const backward_job *job = context;
    const size_t unit = index / (job->packed.group + 1), part = index % (job->packed.group + 1);
    unsigned char *base = job->operands + unit * job->at.bytes;
    const head_operands to = operands_of(job, base, part > 0 ? part - 1 : 0);
    if (part == 0)
        pack_keys(job, unit, &to);
    else
        pack_head(job, unit, part - 1, &to);
}

/* dk and dv of a block of keys, from all heads of the group. */
static void keys_piece(const backward_job *job, size_t unit, size_t block, int thread)
{
    const size_t key = block * job->keys;
    for (size_t head = 0; head < job->packed.group; head++) {
        const head_operands from = operands_of(job, job->operands + unit * job->at.bytes, head);
        strip at = {.from = &from, .memory = memory_of(job, thread), .to_keys = true};
        for (size_t index = key / job->strip; index < job->strips; index++)
            run_strip(job, unit, &at, index, key, head > 0 || key < index * job->strip);
    }
}

/* The first pieces are blocks of keys, the others strips of a head's queries. */
static void split_piece(void *context, size_t index, int thread)
{
    const backward_job *job = context;
    const size_t units = job->packed.shape.batch * job->packed.shape.kv_heads;
    if (index < units * job->key_blocks) {
        keys_piece(job, index % units, index / units, thread);
        return;
    }
    index -= units * job->key_blocks;
    const size_t unit = index % units, rest = index / units, head = rest % job->packed.group;
    const head_operands from = operands_of(job, job->operands + unit * job->at.bytes, head);
    strip at = {.from = &from, .memory = memory_of(job, thread), .to_queries = true};
    strip_rows(job, unit, head, &at, job->strips - 1 - rest / job->packed.group);
}

static void lay_out(backward_job *job, int threads)
{
    const dither_packed *packed = &job->packed;
    const dither_gemm_kernel *kernel = packed->kernel;
    const size_t seq = packed->shape.seq, step = kernel->k_step;
    job->queries = dither_packed_block(QUERIES, kernel->m, step);
    job->keys = dither_packed_block(KEYS, dither_packed_block(1, kernel->n, step), DITHER_SOFTMAX_LANES);
    job->strip = dither_smaller(STRIP / job->queries * job->queries, dither_round_up(seq, job->queries));
    job->strips = (seq + job->strip - 1) / job->strip;
    job->key_blocks = (seq + job->keys - 1) / job->keys;
    const size_t units = packed->shape.batch * packed->shape.kv_heads, most = (size_t)threads;
    job->split = cost_joined * (double)((units + most - 1) / most * most) > cost_split * (double)units;
    lay_out_operands(job, job->split ? packed->group : 1);
    const size_t key_rows = dither_round_up(job->keys, kernel->m);
    size_t used = 0;
    (void)dither_packed_reserve(&used, (job->queries + DITHER_SOFTMAX_ROWS) * job->keys, sizeof(float));
    job->ds_at = dither_packed_reserve(&used, (job->queries + DITHER_SOFTMAX_ROWS) * job->keys, sizeof(float));
    job->p_down_at = dither_packed_reserve(&used, key_rows * job->strip, sizeof(uint16_t));
    job->ds_down_at = dither_packed_reserve(&used, key_rows * job->strip, sizeof(uint16_t));
    job->ds_across_at = dither_packed_reserve(&used, job->queries * job->keys, sizeof(uint16_t));
    job->dq_at = dither_packed_reserve(&used, job->strip * packed->dim_n, sizeof(float));
    job->sums_at = dither_packed_reserve(&used, key_rows * packed->dim_n, sizeof(float));
    job->thread_bytes = used;
}

void dither_packed_backward(const dither_context *context, const dither_attention *shape, dither_attention_values qkv,
                            dither_attention_values o, const float *lse, const float *dout, float *dqkv)
{
    const size_t mark = dither_arena_mark(context->scratch), units = shape->batch * shape->kv_heads;
    backward_job job = {.qkv = qkv, .o = o, .lse = lse, .dout = dout, .dqkv = dqkv};
    dither_packed_begin(&job.packed, shape);
    lay_out(&job, context->threads);
    job.operands = dither_arena_take(context->scratch, job.split ? units : (size_t)context->threads, job.at.bytes);
    job.threads = dither_arena_take(context->scratch, (size_t)context->threads, job.thread_bytes);
    if (!context->dry && !job.split) {
        dither_parallel_for(context->threads, units, joined_piece, &job);
    } else if (!context->dry) {
        const size_t pieces = units * (job.key_blocks + job.packed.group * job.strips);
        dither_parallel_for(context->threads, units * (job.packed.group + 1), pack_piece, &job);
        dither_parallel_for(context->threads, pieces, split_piece, &job);
    }
    dither_arena_rewind(context->scratch, mark);
}
