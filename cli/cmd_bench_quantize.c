/* dither bench quantize: how fast a matrix is quantized and packed. */
#include <stdlib.h>

#include "cmd_bench.h"
#include "output.h"

typedef struct quantize_options {
    dither_argument_list specs;
    uint64_t rows, cols, threads;
    bool json;
} quantize_options;

#define AT(member) offsetof(quantize_options, member)
static const dither_argument arguments[] = {
    {.group = "Matrix", .name = "spec", .value = "Q", .type = ARGUMENT_LIST, .offset = AT(specs),
     .help = "quantizer, FORMAT[/SCALE][:ROUNDING]; twice: along the columns,\n"
             "                          then along the rows; once: the same for both, drawn twice"},
    {.name = "rows", .value = "R", .type = ARGUMENT_U64, .offset = AT(rows), .absent = "none", .min = 1,
     .max = 268435456, .help = "rows: tokens"},
    {.name = "cols", .value = "C", .type = ARGUMENT_U64, .offset = AT(cols), .absent = "none", .min = 1,
     .max = 268435456, .help = "columns: features"},
    {.group = "Run", .name = "threads", .value = "N", .type = ARGUMENT_U64, .offset = AT(threads), .max = 1024,
     .absent = "all cores", .help = "threads; the result does not depend on it"},
    {.name = "json", .type = ARGUMENT_FLAG, .offset = AT(json), .help = "print one JSON object"},
};
#undef AT

static const char *const examples[] = {
    "dither bench quantize --spec int8/row:sr --rows 1024 --cols 576",
    "as backward does with dy in 8 bits",
    "dither bench quantize --spec int8/row:sr --spec int8/g128:sr --rows 1024 --cols 1536 --json",
    "another quantizer for each of the two products",
    "dither bench quantize --spec e2m1/g32e8m0:sr --rows 1024 --cols 576 --threads 1",
    "4-bit floats on one core",
    NULL,
};

static void defaults(void *options)
{
    *(quantize_options *)options = (quantize_options){.json = false};
}

static void notes(void)
{
    printf("One pass reads the f32 matrix and quantizes it twice, with independent draws: for a product along its\n"
           "columns (dx = dy W) and for one along its rows (dW = dy^T x), each packed as that product reads it.\n"
           "gelem_s counts the elements of the matrix, gb_s the matrix and both packed operands, and the fraction is\n"
           "of the bandwidth that reads memory.\n");
}

static void print_json(const dither_bench_quantize_request *q, const dither_bench_quantize_result *r)
{
    dither_bench_json_begin();
    printf(",\"spec\":[");
    for (int i = 0; i < 2; i++) {
        const char *const spec = q->spec[i] ? q->spec[i] : q->spec[0];
        printf("%s{\"spec\":\"%s\",\"element\":\"%s\",\"isa\":\"%s\"}", i ? "," : "", spec, r->element[i], r->isa[i]);
    }
    putchar(']');
    dither_bench_json("rows", (double)q->rows);
    dither_bench_json("cols", (double)q->cols);
    dither_bench_json("threads", r->threads);
    dither_bench_json("seconds", r->seconds);
    dither_bench_json("gelem_s", r->gelem_s);
    dither_bench_json("gb_s", r->gb_s);
    dither_bench_json("read_gb_s", r->read_gb_s);
    dither_bench_json("fraction", r->fraction);
    printf("}\n");
}

static void print_text(const dither_bench_quantize_result *r)
{
    printf("%s and %s operands for %s, %d thread%s: %.3f Gelem/s, %.1f GB/s, %.0f %% of the %.1f GB/s that reading "
           "reaches; %.3g ms\n",
           r->element[0], r->element[1], r->isa[0], r->threads, r->threads == 1 ? "" : "s", r->gelem_s, r->gb_s,
           1e2 * r->fraction, r->read_gb_s, 1e3 * r->seconds);
}

static int measure(const quantize_options *o)
{
    if (o->specs.count > 2)
        return dither_output_fail(DITHER_E_USAGE, "--spec", "at most two: for the columns, and for the rows");
    const dither_bench_quantize_request request = {
        .spec = {o->specs.items[0], o->specs.count > 1 ? o->specs.items[1] : NULL},
        .rows = (size_t)o->rows,
        .cols = (size_t)o->cols,
        .threads = (int)o->threads,
    };
    dither_bench_quantize_result result;
    dither_error error = {.status = DITHER_OK};
    if (dither_bench_quantize(&request, &result, &error))
        return dither_output_error(&error);
    if (o->json)
        print_json(&request, &result);
    else
        print_text(&result);
    return EXIT_SUCCESS;
}

static int run(int count, char **words)
{
    static const char *const needed[] = {"spec", "rows", "cols", NULL};
    quantize_options options;
    dither_parsed parsed;
    defaults(&options);
    const dither_parse_result result =
        dither_arguments_parse(&dither_command_bench_quantize, count, words, &options, &parsed);
    int code = result == PARSE_ERROR ? EXIT_USAGE : EXIT_SUCCESS;
    if (result == PARSE_OK)
        code = dither_bench_has_all(&dither_command_bench_quantize, &parsed, needed) ? measure(&options) : EXIT_USAGE;
    free(options.specs.items);
    return code;
}

const dither_command dither_command_bench_quantize = {
    .name = "bench quantize",
    .summary = "the rate of quantizing and packing a matrix",
    .usage = "--spec Q --rows R --cols C [OPTION]...",
    .arguments = arguments,
    .count = sizeof arguments / sizeof arguments[0],
    .size = sizeof(quantize_options),
    .defaults = defaults,
    .notes = notes,
    .examples = examples,
    .run = run,
};
