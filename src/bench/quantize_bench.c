/* One pass that quantizes a matrix twice and packs it for two products, as backward does with dy. */
#include "base/arena.h"
#include "base/fail.h"
#include "base/parallel.h"
#include "base/text.h"
#include "bench/machine.h"
#include "kernel/quantize_pack.h"
#include "train/memory.h"

enum { TARGETS = DITHER_PACK_TARGETS, SIZE_MOST = 1 << 28, PIECE_ROWS = 64 };

typedef struct quantize_bench {
    const dither_bench_quantize_request *request;
    int threads;
    dither_quantizer quantizer[TARGETS];
    dither_draw draw[TARGETS];
    dither_operand operand[TARGETS];
    dither_pack_target target[TARGETS];
    dither_element element[TARGETS];
    float *x;
    void *scratch;
    double written; /* bytes of both operands */
    dither_status status;
} quantize_bench;

static dither_axis axis_of(int target)
{
    return target == 0 ? DITHER_AXIS_COLS : DITHER_AXIS_ROWS;
}

static dither_status choose(quantize_bench *bench, int target, const char *spec, dither_error *error)
{
    dither_quantizer *quantizer = &bench->quantizer[target];
    const dither_status status = dither_quantizer_parse(spec, quantizer, error);
    if (status)
        return status;
    const dither_axis axis = axis_of(target);
    for (int element = DITHER_ELEMENT_S8; element <= DITHER_ELEMENT_BF16; element++)
        if (dither_pack_fits(quantizer, axis, axis, false, (dither_element)element)) {
            bench->element[target] = (dither_element)element;
            return DITHER_OK;
        }
    return dither_fail(error, DITHER_E_USAGE, "--spec", "%.80s: its values with their scales are exact in neither s8 "
                       "nor bf16, so no low-bit product takes them", spec);
}

/* In a dry arena: what all of it takes. */
static void lay_out(quantize_bench *bench, dither_arena *arena)
{
    const size_t rows = bench->request->rows, cols = bench->request->cols;
    bench->x = dither_arena_take(arena, dither_multiply(rows, cols), sizeof(float));
    bench->written = 0;
    for (int i = 0; i < TARGETS; i++) {
        const dither_axis axis = axis_of(i);
        const size_t group = dither_pack_group(&bench->quantizer[i], axis, axis, false, bench->element[i]);
        const dither_gemm_kernel *kernel =
            dither_gemm_select(bench->element[i], dither_cpu_active()->features, group);
        const size_t m = i == 0 ? rows : cols, k = i == 0 ? cols : rows;
        const size_t bytes = dither_operand_bytes(kernel, DITHER_SIDE_A, m, k, group);
        dither_operand_init(&bench->operand[i], kernel, DITHER_SIDE_A, m, k, group, dither_arena_take(arena, bytes, 1));
        bench->written += (double)bytes;
        const dither_role role = i == 0 ? DITHER_ROLE_GOACT : DITHER_ROLE_GOWEIGHT;
        bench->draw[i] = (dither_draw){.seed = 1, .tensor = 1, .role = (uint32_t)role};
        bench->target[i] = (dither_pack_target){
            .quantizer = &bench->quantizer[i],
            .axis = axis,
            .draw = &bench->draw[i],
            .operand = {&bench->operand[i]},
            .operand_axis = {axis},
        };
    }
    const size_t scratch = dither_quantize_pack_bytes(bench->target, TARGETS, rows, cols, bench->threads);
    bench->scratch = dither_arena_take(arena, scratch, 1);
}

static dither_status take_memory(quantize_bench *bench, dither_arena *arena, dither_error *error)
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
    return dither_fail(error, DITHER_E_MEMORY, "", "matrix and operands take %s, the machine has %s", needed,
                       available);
}

static void fill_piece(void *context, size_t index, int thread)
{
    (void)thread;
    const quantize_bench *bench = context;
    const size_t cols = bench->request->cols, end = (index + 1) * PIECE_ROWS;
    const size_t last = end < bench->request->rows ? end : bench->request->rows;
    for (size_t i = index * PIECE_ROWS * cols; i < last * cols; i++)
        bench->x[i] = dither_bench_uniform(3, i);
}

static void quantize(void *context)
{
    quantize_bench *bench = context;
    const dither_bench_quantize_request *r = bench->request;
    const dither_status status = dither_quantize_pack(bench->x, r->rows, r->cols, bench->target, TARGETS,
                                                      bench->scratch, NULL, bench->threads);
    bench->status = status ? status : bench->status;
}

static dither_status measure(quantize_bench *bench, dither_bench_quantize_result *result, dither_error *error)
{
    const dither_bench_quantize_request *r = bench->request;
    const double elements = (double)r->rows * (double)r->cols;
    dither_peak read, copy;
    dither_parallel_for(bench->threads, (r->rows + PIECE_ROWS - 1) / PIECE_ROWS, fill_piece, bench);
    const dither_timing timing = dither_bench_repeat(0.5, quantize, bench);
    if (bench->status)
        return dither_fail(error, bench->status, "", "the quantizer failed on random numbers");
    result->threads = bench->threads;
    for (int i = 0; i < TARGETS; i++) {
        result->element[i] = bench->element[i] == DITHER_ELEMENT_S8 ? "s8" : "bf16";
        result->isa[i] = bench->operand[i].kernel->isa;
    }
    result->seconds = timing.median;
    result->gelem_s = 1e-9 * elements / timing.median;
    result->gb_s = 1e-9 * (elements * sizeof(float) + bench->written) / timing.median;
    const dither_status status = dither_memory_peaks(bench->threads, &read, &copy, error);
    if (status)
        return status;
    result->read_gb_s = 1e-9 * read.all;
    result->fraction = result->gb_s / result->read_gb_s;
    return DITHER_OK;
}

dither_status dither_bench_quantize(const dither_bench_quantize_request *request, dither_bench_quantize_result *result,
                                    dither_error *error)
{
    *result = (dither_bench_quantize_result){0};
    quantize_bench bench = {.request = request};
    const size_t sizes[] = {request->rows, request->cols};
    for (int i = 0; i < 2; i++)
        if (sizes[i] < 1 || sizes[i] > SIZE_MOST)
            return dither_fail(error, DITHER_E_USAGE, i ? "--cols" : "--rows", "%zu; it must be 1 to %d", sizes[i],
                               SIZE_MOST);
    dither_status status = dither_bench_threads(request->threads, &bench.threads, error);
    for (int i = 0; i < TARGETS && !status; i++)
        status = choose(&bench, i, request->spec[i] ? request->spec[i] : request->spec[0], error);
    dither_arena arena;
    if (!status)
        status = take_memory(&bench, &arena, error);
    if (status)
        return status;
    status = measure(&bench, result, error);
    dither_arena_close(&arena);
    return status;
}
