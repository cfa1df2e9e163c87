/* One product of random operands: its rate, and whether its numbers are right. */
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "base/arena.h"
#include "base/fail.h"
#include "base/parallel.h"
#include "base/text.h"
#include "bench/machine.h"
#include "kernel/bf16.h"
#include "kernel/gemm.h"
#include "kernel/gemm_f32_kernel.h"
#include "train/memory.h"

enum {
    PIECE_ROWS = 256,         /* of a matrix: packed and filled in pieces of so many rows */
    CHECKS_PIECE = 64,        /* elements of C that one piece of a check compares */
    CHECKS_LEAST = 4096,
    CHECK_PRODUCTS = 1 << 27, /* half a second: a larger C is sampled */
    SIZE_MOST = 1 << 28,
    SUM_PART = 1 << 13        /* no sum of s8 products runs over a shorter part before it is rounded */
};

const char *dither_bench_type_name(int type)
{
    static const char *const names[] = {"s8", "bf16", "f32", "s32"};
    return type >= 0 && type < 4 ? names[type] : NULL;
}

const char *dither_bench_layout_name(int layout)
{
    static const char *const names[] = {"nt", "nn", "tn"};
    return layout >= 0 && layout < 3 ? names[layout] : NULL;
}

/* A or B: [rows][k] or its transpose, in the elements' type, and packed. */
typedef struct bench_matrix {
    dither_bench_type type;
    size_t rows, k;
    dither_axis axis; /* ROWS: stored as [k][rows] */
    uint64_t seed;
    void *stored;
    dither_operand operand;
} bench_matrix;

typedef struct gemm_bench {
    const dither_bench_gemm_request *request;
    int threads;
    const dither_gemm_kernel *kernel; /* NULL: f32 */
    bench_matrix a, b;
    void *c;
    float *row_a, *row_b; /* check: a row of each, a thread */
} gemm_bench;

static size_t type_bytes(dither_bench_type type)
{
    return type == DITHER_BENCH_S8 ? 1 : type == DITHER_BENCH_BF16 ? 2 : 4;
}

/* ---- operands --------------------------------------------------------------------------------------------- */

/* Element (row, k), wherever it is stored: codes in -127..127, or values in -1..1. */
static float value_of(const bench_matrix *matrix, size_t row, size_t k)
{
    const uint64_t index = (uint64_t)row * matrix->k + k;
    if (matrix->type == DITHER_BENCH_S8)
        return (float)((int)(dither_bench_random(matrix->seed, index) % 255) - 127);
    const float x = dither_bench_uniform(matrix->seed, index);
    return matrix->type == DITHER_BENCH_BF16 ? dither_bf16_round(x) : x;
}

static float scale_of(const bench_matrix *matrix, size_t row)
{
    return matrix->type == DITHER_BENCH_F32 ? 1 : 0.01f * (2 + dither_bench_uniform(matrix->seed + 2, row));
}

static void store(const bench_matrix *matrix, size_t at, float value)
{
    if (matrix->type == DITHER_BENCH_S8) {
        ((int8_t *)matrix->stored)[at] = (int8_t)value;
    } else if (matrix->type == DITHER_BENCH_BF16) {
        uint32_t bits;
        memcpy(&bits, &value, sizeof bits);
        ((uint16_t *)matrix->stored)[at] = (uint16_t)(bits >> 16);
    } else {
        ((float *)matrix->stored)[at] = value;
    }
}

static size_t stored_rows(const bench_matrix *matrix)
{
    return matrix->axis == DITHER_AXIS_COLS ? matrix->rows : matrix->k;
}

static size_t stored_cols(const bench_matrix *matrix)
{
    return matrix->axis == DITHER_AXIS_COLS ? matrix->k : matrix->rows;
}

static size_t pieces_of(const bench_matrix *matrix)
{
    return (stored_rows(matrix) + PIECE_ROWS - 1) / PIECE_ROWS;
}

static size_t piece_end(const bench_matrix *matrix, size_t index)
{
    const size_t end = (index + 1) * PIECE_ROWS, rows = stored_rows(matrix);
    return end < rows ? end : rows;
}

static void fill_piece(void *context, size_t index, int thread)
{
    (void)thread;
    const bench_matrix *matrix = context;
    const size_t cols = stored_cols(matrix);
    for (size_t i = index * PIECE_ROWS; i < piece_end(matrix, index); i++)
        for (size_t j = 0; j < cols; j++)
            store(matrix, i * cols + j,
                  matrix->axis == DITHER_AXIS_COLS ? value_of(matrix, i, j) : value_of(matrix, j, i));
}

static void pack_piece(void *context, size_t index, int thread)
{
    (void)thread;
    bench_matrix *matrix = context;
    const size_t row0 = index * PIECE_ROWS, cols = stored_cols(matrix);
    const unsigned char *from = (const unsigned char *)matrix->stored + row0 * cols * type_bytes(matrix->type);
    dither_operand_write(&matrix->operand, matrix->axis, row0, 0, piece_end(matrix, index) - row0, cols, from, cols);
}

static void pack(void *context)
{
    gemm_bench *bench = context;
    dither_parallel_for(bench->threads, pieces_of(&bench->a), pack_piece, &bench->a);
    dither_parallel_for(bench->threads, pieces_of(&bench->b), pack_piece, &bench->b);
}

/* In a dry arena: what all of it takes. */
static void lay_out_matrix(const gemm_bench *bench, bench_matrix *matrix, dither_side side, dither_arena *arena)
{
    const size_t elements = dither_multiply(matrix->rows, matrix->k);
    matrix->stored = dither_arena_take(arena, elements, type_bytes(matrix->type));
    if (!bench->kernel)
        return;
    void *memory =
        dither_arena_take(arena, dither_operand_bytes(bench->kernel, side, matrix->rows, matrix->k, 0), 1);
    dither_operand_init(&matrix->operand, bench->kernel, side, matrix->rows, matrix->k, 0, memory);
}

static void lay_out(gemm_bench *bench, dither_arena *arena)
{
    const dither_bench_gemm_request *r = bench->request;
    lay_out_matrix(bench, &bench->a, DITHER_SIDE_A, arena);
    lay_out_matrix(bench, &bench->b, DITHER_SIDE_B, arena);
    bench->c = dither_arena_take(arena, dither_multiply(r->m, r->n), type_bytes(r->out));
    if (!r->verify)
        return;
    bench->row_a = dither_arena_take(arena, dither_multiply(r->k, (size_t)bench->threads), sizeof(float));
    bench->row_b = dither_arena_take(arena, dither_multiply(r->k, (size_t)bench->threads), sizeof(float));
}

static void fill(gemm_bench *bench)
{
    bench_matrix *const matrices[] = {&bench->a, &bench->b};
    for (int i = 0; i < 2; i++) {
        bench_matrix *matrix = matrices[i];
        dither_parallel_for(bench->threads, pieces_of(matrix), fill_piece, matrix);
        if (!bench->kernel)
            continue;
        dither_operand_fill_scale(&matrix->operand, 1);
        for (size_t row = 0; row < matrix->rows; row++)
            matrix->operand.scale[row] = scale_of(matrix, row);
    }
}

static void multiply(void *context)
{
    const gemm_bench *bench = context;
    const dither_bench_gemm_request *r = bench->request;
    static const dither_gemm_layout layouts[] = {DITHER_GEMM_NT, DITHER_GEMM_NN, DITHER_GEMM_TN};
    static const dither_gemm_type types[] = {
        [DITHER_BENCH_BF16] = DITHER_GEMM_BF16,
        [DITHER_BENCH_F32] = DITHER_GEMM_F32,
        [DITHER_BENCH_S32] = DITHER_GEMM_S32,
    };
    if (!bench->kernel) {
        dither_gemm_f32(layouts[r->layout], r->m, r->n, r->k, bench->a.stored, bench->b.stored, bench->c, false,
                        bench->threads);
        return;
    }
    const dither_gemm_out out = {.type = types[r->out], .c = bench->c, .stride = r->n};
    dither_gemm(&bench->a.operand, &bench->b.operand, &out, bench->threads);
}

/* ---- the check -------------------------------------------------------------------------------------------- */

typedef struct check_job {
    const gemm_bench *bench;
    uint64_t count;  /* elements to compare; all of them: m n */
    double *worst;   /* [pieces] the largest error / bound */
    uint64_t *where; /* [pieces] the element with it */
} check_job;

/* Which element of C the index-th check looks at: every one, or a sample with the last one of C in it. */
static uint64_t checked_element(const check_job *job, uint64_t index)
{
    const uint64_t all = (uint64_t)job->bench->request->m * job->bench->request->n;
    if (job->count == all)
        return index;
    return index + 1 == job->count ? all - 1 : dither_bench_random(7, index) % all;
}

static double stored_result(const gemm_bench *bench, uint64_t element)
{
    if (bench->request->out == DITHER_BENCH_S32)
        return ((const int32_t *)bench->c)[element];
    if (bench->request->out == DITHER_BENCH_F32)
        return (double)((const float *)bench->c)[element];
    const uint32_t bits = (uint32_t)((const uint16_t *)bench->c)[element] << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return (double)value;
}

/*
 * |c - exact| / bound, with u = 2^-24 and S = sum |a b|, scales included:
 *
 *     s32        exact: less than a half
 *     s8         every part of the sum is exact; (parts + 3) u S for its rounding, two scales, the sum of parts
 *     bf16, f32  any order of k products: (k + 4) u S (Higham 2002, section 3.1; the 4: scales and their product)
 *     out bf16   and half a unit of its 8 bits: 2^-8 of what is rounded
 */
static double error_of(const gemm_bench *bench, uint64_t element, double exact, double size)
{
    const dither_bench_gemm_request *r = bench->request;
    const double found = stored_result(bench, element);
    if (r->out == DITHER_BENCH_S32)
        return 2 * fabs(found - exact);
    const double terms = r->types == DITHER_BENCH_S8 ? (double)(r->k / SUM_PART + 1) + 3 : (double)r->k + 4;
    double bound = terms * 0x1p-24 * size;
    if (r->out == DITHER_BENCH_BF16)
        bound += 0x1p-8 * (fabs(exact) + bound);
    const double error = fabs(found - exact);
    return error == 0 ? 0 : isfinite(found) ? error / bound : INFINITY;
}

static void exact_of(const gemm_bench *bench, uint64_t element, const float *a, const float *b, double *exact,
                     double *size)
{
    const dither_bench_gemm_request *r = bench->request;
    double sum = 0, absolute = 0;
    for (size_t k = 0; k < r->k; k++) {
        const double product = (double)a[k] * (double)b[k];
        sum += product;
        absolute += fabs(product);
    }
    const double scale = r->out == DITHER_BENCH_S32
                             ? 1
                             : (double)scale_of(&bench->a, (size_t)(element / r->n)) *
                                   (double)scale_of(&bench->b, (size_t)(element % r->n));
    *exact = sum * scale;
    *size = absolute * scale;
}

static void read_row(const bench_matrix *matrix, size_t row, float *values)
{
    for (size_t k = 0; k < matrix->k; k++)
        values[k] = value_of(matrix, row, k);
}

static void check_piece(void *context, size_t index, int thread)
{
    const check_job *job = context;
    const gemm_bench *bench = job->bench;
    const size_t n = bench->request->n;
    float *const a = bench->row_a + (size_t)thread * bench->request->k;
    float *const b = bench->row_b + (size_t)thread * bench->request->k;
    uint64_t row = UINT64_MAX;
    job->worst[index] = 0;
    job->where[index] = 0;
    for (uint64_t i = index * CHECKS_PIECE; i < job->count && i < (index + 1) * CHECKS_PIECE; i++) {
        const uint64_t element = checked_element(job, i);
        double exact, size;
        if (element / n != row)
            read_row(&bench->a, (size_t)(row = element / n), a);
        read_row(&bench->b, (size_t)(element % n), b);
        exact_of(bench, element, a, b, &exact, &size);
        const double error = error_of(bench, element, exact, size);
        if (error > job->worst[index]) {
            job->worst[index] = error;
            job->where[index] = element;
        }
    }
}

static dither_status verify(const gemm_bench *bench, dither_bench_gemm_result *result, dither_error *error)
{
    const dither_bench_gemm_request *r = bench->request;
    const uint64_t all = (uint64_t)r->m * r->n, fits = CHECK_PRODUCTS / r->k;
    check_job job = {.bench = bench, .count = fits > CHECKS_LEAST ? fits : CHECKS_LEAST};
    job.count = job.count < all ? job.count : all;
    const size_t pieces = (size_t)((job.count + CHECKS_PIECE - 1) / CHECKS_PIECE);
    dither_arena arena;
    if (dither_arena_open(&arena, 2 * dither_align_up(pieces * 8)))
        return dither_fail(error, DITHER_E_MEMORY, "", "no memory to verify with");
    job.worst = dither_arena_take(&arena, pieces, sizeof *job.worst);
    job.where = dither_arena_take(&arena, pieces, sizeof *job.where);
    dither_parallel_for(bench->threads, pieces, check_piece, &job);
    size_t worst = 0;
    for (size_t i = 1; i < pieces; i++)
        worst = job.worst[i] > job.worst[worst] ? i : worst;
    result->verified = job.count;
    result->error = job.worst[worst];
    const uint64_t element = job.where[worst];
    dither_arena_close(&arena);
    if (result->error <= 1)
        return DITHER_OK;
    return dither_fail(error, DITHER_E_NUMERIC, "", "c[%llu][%llu] = %.9g is wrong: %.3g times the bound of its error",
                       (unsigned long long)(element / r->n), (unsigned long long)(element % r->n),
                       stored_result(bench, element), result->error);
}

/* ---- the whole -------------------------------------------------------------------------------------------- */

static dither_status check_request(const dither_bench_gemm_request *r, dither_error *error)
{
    const size_t sizes[] = {r->m, r->n, r->k};
    static const char *const names[] = {"--m", "--n", "--k"};
    for (int i = 0; i < 3; i++)
        if (sizes[i] < 1 || sizes[i] > SIZE_MOST)
            return dither_fail(error, DITHER_E_USAGE, names[i], "%zu; it must be 1 to %d", sizes[i], SIZE_MOST);
    if (r->out == DITHER_BENCH_S32 && r->k > DITHER_S8_K_MAX)
        return dither_fail(error, DITHER_E_USAGE, "--k",
                           "%zu; sums of more than %d products of codes do not fit 32 bits: "
                           "--out f32 adds up parts",
                           r->k, DITHER_S8_K_MAX);
    if (r->types == DITHER_BENCH_S32)
        return dither_fail(error, DITHER_E_USAGE, "--types", "operands are s8, bf16 or f32; s32 is an --out");
    const bool fits = r->out == DITHER_BENCH_F32 || (r->out == DITHER_BENCH_S32 && r->types == DITHER_BENCH_S8) ||
                      (r->out == DITHER_BENCH_BF16 && r->types != DITHER_BENCH_F32);
    if (fits)
        return DITHER_OK;
    return dither_fail(error, DITHER_E_USAGE, "--out", "%s products give %s, not %s",
                       dither_bench_type_name((int)r->types),
                       r->types == DITHER_BENCH_S8     ? "s32, f32 or bf16"
                       : r->types == DITHER_BENCH_BF16 ? "f32 or bf16"
                                                       : "f32",
                       dither_bench_type_name((int)r->out));
}

static const char *f32_isa(const dither_bench_gemm_request *r)
{
    static const dither_gemm_layout layouts[] = {DITHER_GEMM_NT, DITHER_GEMM_NN, DITHER_GEMM_TN};
    return dither_gemm_f32_select(dither_cpu_active()->features, layouts[r->layout], r->m, r->n, r->k)->isa;
}

static dither_status take_memory(gemm_bench *bench, dither_arena *arena, dither_error *error)
{
    dither_arena dry = dither_arena_dry();
    lay_out(bench, &dry);
    const uint64_t there = dither_memory_available();
    if (dry.used < there && !dither_arena_open(arena, dry.used)) {
        lay_out(bench, arena);
        return DITHER_OK;
    }
    char needed[16], available[16];
    dither_text_bytes(dry.used, needed);
    dither_text_bytes(there, available);
    return dither_fail(error, DITHER_E_MEMORY, "", "operands and result take %s, the machine has %s", needed,
                       available);
}

static void describe(gemm_bench *bench)
{
    const dither_bench_gemm_request *r = bench->request;
    const dither_axis rows = DITHER_AXIS_ROWS, cols = DITHER_AXIS_COLS;
    bench->a = (bench_matrix){
        .type = r->types, .rows = r->m, .k = r->k, .axis = r->layout == DITHER_BENCH_TN ? rows : cols, .seed = 1};
    bench->b = (bench_matrix){
        .type = r->types, .rows = r->n, .k = r->k, .axis = r->layout == DITHER_BENCH_NT ? cols : rows, .seed = 2};
    if (r->types != DITHER_BENCH_F32)
        bench->kernel = dither_gemm_select(r->types == DITHER_BENCH_S8 ? DITHER_ELEMENT_S8 : DITHER_ELEMENT_BF16,
                                           dither_cpu_active()->features, 0);
}

static dither_status measure(gemm_bench *bench, dither_bench_gemm_result *result, dither_error *error)
{
    const dither_bench_gemm_request *r = bench->request;
    static const dither_unit units[] = {
        [DITHER_BENCH_S8] = DITHER_UNIT_S8,
        [DITHER_BENCH_BF16] = DITHER_UNIT_BF16,
        [DITHER_BENCH_F32] = DITHER_UNIT_F32,
    };
    dither_peak before = {0}, after = {0};
    fill(bench);
    if (bench->kernel)
        result->pack_s = dither_bench_repeat(0.1, pack, bench).median;
    dither_status status = dither_unit_peak(units[r->types], bench->threads, &before, error);
    if (status)
        return status;
    const dither_timing timing = dither_bench_repeat(0.5, multiply, bench);
    status = dither_unit_peak(units[r->types], bench->threads, &after, error);
    const double ops = 2 * (double)r->m * (double)r->n * (double)r->k;
    result->seconds = timing.median;
    result->gops = 1e-9 * ops / timing.median;
    result->best_gops = 1e-9 * ops / timing.best;
    result->peak_gops = 1e-9 * (before.all > after.all ? before.all : after.all);
    result->fraction = result->gops / result->peak_gops;
    return status || !r->verify ? status : verify(bench, result, error);
}

dither_status dither_bench_gemm(const dither_bench_gemm_request *request, dither_bench_gemm_result *result,
                                dither_error *error)
{
    *result = (dither_bench_gemm_result){0};
    gemm_bench bench = {.request = request};
    dither_status status = check_request(request, error);
    if (!status)
        status = dither_bench_threads(request->threads, &bench.threads, error);
    if (status)
        return status;
    describe(&bench);
    result->threads = bench.threads;
    result->isa = bench.kernel ? bench.kernel->isa : f32_isa(request);
    if (!bench.kernel && !dither_gemm_f32_ready(bench.threads, 0))
        return dither_fail(error, DITHER_E_MEMORY, "", "no address space for %d threads, 200 MB each; fewer --threads",
                           bench.threads);
    dither_arena arena;
    status = take_memory(&bench, &arena, error);
    if (status)
        return status;
    status = measure(&bench, result, error);
    dither_arena_close(&arena);
    return status;
}
