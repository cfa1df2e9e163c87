/* dither bench gemm: how fast one product is. */
#include <stdlib.h>

#include "cmd_bench.h"
#include "output.h"

typedef struct gemm_options {
    int types, layout, out;
    uint64_t m, n, k, threads;
    bool verify, json;
} gemm_options;

static const char *operand_name(int type)
{
    return type <= DITHER_BENCH_F32 ? dither_bench_type_name(type) : NULL;
}

#define AT(member) offsetof(gemm_options, member)
static const dither_argument arguments[] = {
    {.group = "Product", .name = "types", .value = "T", .type = ARGUMENT_WORD, .offset = AT(types),
     .word = operand_name, .help = "elements of both operands: s8, bf16 or f32"},
    {.name = "m", .value = "M", .type = ARGUMENT_U64, .offset = AT(m), .absent = "none", .min = 1, .max = 268435456,
     .help = "rows of C"},
    {.name = "n", .value = "N", .type = ARGUMENT_U64, .offset = AT(n), .absent = "none", .min = 1, .max = 268435456,
     .help = "columns of C"},
    {.name = "k", .value = "K", .type = ARGUMENT_U64, .offset = AT(k), .absent = "none", .min = 1, .max = 268435456,
     .help = "products in each element of C"},
    {.name = "layout", .value = "L", .type = ARGUMENT_WORD, .offset = AT(layout), .word = dither_bench_layout_name,
     .help = "nt: A[m][k] B[n][k], nn: A[m][k] B[k][n], tn: A[k][m] B[k][n]"},
    {.name = "out", .value = "T", .type = ARGUMENT_WORD, .offset = AT(out), .word = dither_bench_type_name,
     .absent = "s32 of s8, else f32", .help = "elements of C: s32, f32 or bf16"},
    {.group = "Run", .name = "threads", .value = "N", .type = ARGUMENT_U64, .offset = AT(threads), .max = 1024,
     .absent = "all cores", .help = "threads; the result does not depend on it"},
    {.name = "verify", .type = ARGUMENT_FLAG, .offset = AT(verify),
     .help = "compare C with exact sums, or a sample of it where it is large"},
    {.name = "json", .type = ARGUMENT_FLAG, .offset = AT(json), .help = "print one JSON object"},
};
#undef AT

static const char *const examples[] = {
    "dither bench gemm --types s8 --m 1024 --n 3072 --k 768",
    "y = x W^T of 1024 tokens, in integers",
    "dither bench gemm --types bf16 --layout tn --m 1536 --n 576 --k 1024 --out f32 --verify",
    "dW = dy^T x in bf16; are the numbers right?",
    "DITHER_CPU=avx2 dither bench gemm --types s8 --m 1024 --n 576 --k 1536 --threads 1 --json",
    "on the kernel of a machine without AVX-512",
    NULL,
};

static void defaults(void *options)
{
    *(gemm_options *)options = (gemm_options){.types = DITHER_BENCH_S8, .out = -1};
}

static void notes(void)
{
    printf("C is [m][n] and k is reduced. Operands are packed beforehand; pack_s is what that takes, for both.\n"
           "f32 products are the BLAS library's. The fraction is of the unit's peak, with as many threads.\n");
}

static void print_json(const dither_bench_gemm_request *q, const dither_bench_gemm_result *r)
{
    dither_bench_json_begin();
    dither_bench_json_text("types", dither_bench_type_name((int)q->types));
    dither_bench_json_text("out", dither_bench_type_name((int)q->out));
    dither_bench_json_text("layout", dither_bench_layout_name((int)q->layout));
    dither_bench_json("m", (double)q->m);
    dither_bench_json("n", (double)q->n);
    dither_bench_json("k", (double)q->k);
    dither_bench_json_text("isa", r->isa);
    dither_bench_json("threads", r->threads);
    dither_bench_json("seconds", r->seconds);
    dither_bench_json("gops", r->gops);
    dither_bench_json("best_gops", r->best_gops);
    dither_bench_json("peak_gops", r->peak_gops);
    dither_bench_json("fraction", r->fraction);
    dither_bench_json("pack_s", r->pack_s);
    if (q->verify) {
        dither_bench_json("verified", (double)r->verified);
        dither_bench_json("error", r->error);
    }
    printf("}\n");
}

static void print_text(const dither_bench_gemm_request *q, const dither_bench_gemm_result *r)
{
    printf("%s, %s, %d thread%s: %.1f GOP/s, %.0f %% of the peak of %.1f; best %.1f; %.3g ms, packing %.3g ms\n",
           dither_bench_type_name((int)q->types), r->isa, r->threads, r->threads == 1 ? "" : "s", r->gops,
           1e2 * r->fraction, r->peak_gops, r->best_gops, 1e3 * r->seconds, 1e3 * r->pack_s);
    if (!q->verify)
        return;
    char count[32];
    dither_output_count(r->verified, count);
    if (q->out == DITHER_BENCH_S32)
        printf("verified: %s elements are exact\n", count);
    else
        printf("verified: %s elements, the largest error is %.2g of its bound\n", count, r->error);
}

static int run(int count, char **words)
{
    static const char *const needed[] = {"types", "m", "n", "k", NULL};
    gemm_options o;
    dither_parsed parsed;
    dither_bench_gemm_result result;
    dither_error error = {.status = DITHER_OK};
    defaults(&o);
    const dither_parse_result parse = dither_arguments_parse(&dither_command_bench_gemm, count, words, &o, &parsed);
    if (parse != PARSE_OK)
        return parse == PARSE_HELP ? EXIT_SUCCESS : EXIT_USAGE;
    if (!dither_bench_has_all(&dither_command_bench_gemm, &parsed, needed))
        return EXIT_USAGE;
    const dither_bench_type usual = o.types == DITHER_BENCH_S8 ? DITHER_BENCH_S32 : DITHER_BENCH_F32;
    const dither_bench_gemm_request request = {
        .types = (dither_bench_type)o.types,
        .out = o.out < 0 ? usual : (dither_bench_type)o.out,
        .layout = (dither_bench_layout)o.layout,
        .m = (size_t)o.m,
        .n = (size_t)o.n,
        .k = (size_t)o.k,
        .threads = (int)o.threads,
        .verify = o.verify,
    };
    const dither_status status = dither_bench_gemm(&request, &result, &error);
    if (status)
        return dither_output_error(&error);
    if (o.json)
        print_json(&request, &result);
    else
        print_text(&request, &result);
    return EXIT_SUCCESS;
}

const dither_command dither_command_bench_gemm = {
    .name = "bench gemm",
    .summary = "the rate of one product",
    .usage = "--types T --m M --n N --k K [OPTION]...",
    .arguments = arguments,
    .count = sizeof arguments / sizeof arguments[0],
    .size = sizeof(gemm_options),
    .defaults = defaults,
    .notes = notes,
    .examples = examples,
    .run = run,
};
