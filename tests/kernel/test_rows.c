/*
 * The rows of every instruction set against portable C, bit for bit: each length, each buffer against a page that must
 * not be touched. What portable C itself computes is held to definitions here and in the tests of the layers.
 */
#include "kernel/rows.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "dither/cpu.h"
#include "layer_check.h"

enum { BUFFERS = 6, LONGEST = 6 * 5000 };

/* One call of a row: `floats[i]` and so on say how many times n elements a buffer holds, to the last one. */
typedef struct row_case {
    const char *name;
    size_t floats[BUFFERS];
    size_t halves, doubles;
    double (*run)(const dither_rows *rows, size_t n, float *const *f, uint16_t *u, double *d);
} row_case;

#define CASE(name) static double name(const dither_rows *rows, size_t n, float *const *f, uint16_t *u, double *d)
#define UNUSED(a, b) ((void)(a), (void)(b))

CASE(run_to_bf16)
{
    (void)d;
    rows->to_bf16(n, f[0], u);
    return 0;
}

CASE(run_from_bf16)
{
    (void)d;
    rows->to_bf16(n, f[0], u);
    rows->from_bf16(n, u, f[1]);
    return 0;
}

CASE(run_add)
{
    UNUSED(u, d);
    rows->add(n, f[0], f[1]);
    return 0;
}

CASE(run_scale)
{
    UNUSED(u, d);
    rows->scale(n, 1.0f / 3, f[0]);
    return 0;
}

CASE(run_absmax)
{
    UNUSED(u, d);
    return (double)rows->absmax(n, f[0]);
}

CASE(run_square_sum)
{
    UNUSED(u, d);
    return rows->square_sum(n, f[0]);
}

CASE(run_columns) /* two rows, the second one behind a gap */
{
    (void)u;
    rows->columns(2, n, 2 * n, f[0], d);
    return 0;
}

CASE(run_norm)
{
    UNUSED(u, d);
    rows->norm(n, 1e-5f, f[0], f[1], f[2]);
    rows->norm(n, 1e-5f, f[0], f[1], f[0]);
    return 0;
}

CASE(run_norm_back)
{
    UNUSED(u, d);
    rows->norm_back(n, 1e-5f, f[0], f[1], f[2], f[3], f[4]);
    return 0;
}

CASE(run_norm_back_bf16)
{
    (void)d;
    rows->to_bf16(n, f[0], u);
    rows->norm_back_bf16(n, 1e-5f, u, f[1], f[2], f[3], f[4]);
    return 0;
}

CASE(run_layer_norm)
{
    UNUSED(u, d);
    rows->layer_norm(n, 1e-5f, f[0], f[1], f[2], f[3]);
    rows->layer_norm(n, 1e-5f, f[0], f[1], f[2], f[0]);
    return 0;
}

CASE(run_layer_norm_back)
{
    UNUSED(u, d);
    rows->layer_norm_back(n, 1e-5f, f[0], f[1], f[2], f[3], f[4], f[5]);
    return 0;
}

CASE(run_layer_norm_back_bf16)
{
    (void)d;
    rows->to_bf16(n, f[0], u);
    rows->layer_norm_back_bf16(n, 1e-5f, u, f[1], f[2], f[3], f[4], f[5]);
    return 0;
}

CASE(run_geglu)
{
    UNUSED(u, d);
    rows->geglu(n, f[0], f[1]);
    return 0;
}

CASE(run_geglu_back)
{
    UNUSED(u, d);
    rows->geglu_back(n, f[0], f[1], f[2]);
    return 0;
}

CASE(run_geglu_back_bf16)
{
    (void)d;
    rows->to_bf16(2 * n, f[0], u);
    rows->geglu_back_bf16(n, u, f[1], f[2]);
    return 0;
}

CASE(run_gelu)
{
    UNUSED(u, d);
    rows->gelu(n, f[0], f[1]);
    return 0;
}

CASE(run_gelu_back)
{
    UNUSED(u, d);
    rows->gelu_back(n, f[0], f[1], f[2]);
    return 0;
}

CASE(run_gelu_back_bf16)
{
    (void)d;
    rows->to_bf16(n, f[0], u);
    rows->gelu_back_bf16(n, u, f[1], f[2]);
    return 0;
}

CASE(run_swiglu)
{
    UNUSED(u, d);
    rows->scale(2 * n, 30, f[0]);
    rows->swiglu(n, f[0], f[1]);
    return 0;
}

CASE(run_swiglu_back)
{
    UNUSED(u, d);
    rows->scale(2 * n, 30, f[0]);
    rows->swiglu_back(n, f[0], f[1], f[2]);
    return 0;
}

CASE(run_swiglu_back_bf16)
{
    (void)d;
    rows->to_bf16(2 * n, f[0], u);
    rows->swiglu_back_bf16(n, u, f[1], f[2]);
    return 0;
}

CASE(run_rope) /* three heads, there and back */
{
    UNUSED(u, d);
    rows->rope(3, n, f[0], 1, f[1]);
    rows->rope(2, n, f[0], -1, f[1]);
    return 0;
}

CASE(run_largest)
{
    UNUSED(u, d);
    return (double)rows->largest(n, f[0]);
}

CASE(run_exp_sum)
{
    UNUSED(u, d);
    rows->scale(n, 60, f[0]);
    return (double)rows->exp_sum(n, 60, f[0]);
}

CASE(run_adamw)
{
    UNUSED(u, d);
    for (size_t i = 0; i < n; i++)
        f[2][i] = fabsf(f[2][i]);
    const dither_rows_adamw rates = {.scale = 0.7f, .beta1 = 0.9f, .rest1 = 0.1f, .beta2 = 0.99f, .rest2 = 0.01f,
                                     .decay = 0.999f, .rate = 0.02f, .correction = 1.7f, .eps = 1e-8f};
    rows->adamw(n, &rates, f[0], f[1], f[2], f[3]);
    return 0;
}

static const dither_rows_sgd sgd_rates = {.scale = 0.7f, .lr = 0.3f, .momentum = 0.9f, .decay = 0.01f};

CASE(run_sgd)
{
    UNUSED(u, d);
    rows->sgd(n, &sgd_rates, f[0], f[1]);
    return 0;
}

CASE(run_sgd_momentum)
{
    UNUSED(u, d);
    rows->sgd_momentum(n, &sgd_rates, f[0], f[1], f[2]);
    return 0;
}

static const row_case cases[] = {
    {"to_bf16", {1}, 1, 0, run_to_bf16},
    {"from_bf16", {1, 1}, 1, 0, run_from_bf16},
    {"add", {1, 1}, 0, 0, run_add},
    {"scale", {1}, 0, 0, run_scale},
    {"absmax", {1}, 0, 0, run_absmax},
    {"square_sum", {1}, 0, 0, run_square_sum},
    {"columns", {3}, 0, 1, run_columns},
    {"norm", {1, 1, 1}, 0, 0, run_norm},
    {"norm_back", {1, 1, 1, 1, 1}, 0, 0, run_norm_back},
    {"norm_back_bf16", {1, 1, 1, 1, 1}, 1, 0, run_norm_back_bf16},
    {"layer_norm", {1, 1, 1, 1}, 0, 0, run_layer_norm},
    {"layer_norm_back", {1, 1, 1, 1, 1, 1}, 0, 0, run_layer_norm_back},
    {"layer_norm_back_bf16", {1, 1, 1, 1, 1, 1}, 1, 0, run_layer_norm_back_bf16},
    {"geglu", {2, 1}, 0, 0, run_geglu},
    {"geglu_back", {2, 1, 2}, 0, 0, run_geglu_back},
    {"geglu_back_bf16", {2, 1, 2}, 2, 0, run_geglu_back_bf16},
    {"gelu", {1, 1}, 0, 0, run_gelu},
    {"gelu_back", {1, 1, 1}, 0, 0, run_gelu_back},
    {"gelu_back_bf16", {1, 1, 1}, 1, 0, run_gelu_back_bf16},
    {"swiglu", {2, 1}, 0, 0, run_swiglu},
    {"swiglu_back", {2, 1, 2}, 0, 0, run_swiglu_back},
    {"swiglu_back_bf16", {2, 1, 2}, 2, 0, run_swiglu_back_bf16},
    {"rope", {2, 6}, 0, 0, run_rope},
    {"largest", {1}, 0, 0, run_largest},
    {"exp_sum", {1}, 0, 0, run_exp_sum},
    {"adamw", {1, 1, 1, 1}, 0, 0, run_adamw},
    {"sgd", {1, 1}, 0, 0, run_sgd},
    {"sgd_momentum", {1, 1, 1}, 0, 0, run_sgd_momentum},
};
enum { CASES = sizeof cases / sizeof *cases };

/* Memory whose end is the end of what may be touched. */
typedef struct guarded {
    unsigned char *base;
    size_t size;
} guarded;

static guarded guarded_open(size_t bytes)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    guarded g = {.size = (bytes + page - 1) / page * page};
    g.base = mmap(NULL, g.size + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(g.base != MAP_FAILED);
    assert_int_equal(mprotect(g.base + g.size, page, PROT_NONE), 0);
    return g;
}

/* The buffers of one call, and what it returned. */
typedef struct world {
    guarded memory[BUFFERS + 2];
    double result;
} world;

static void world_open(world *w)
{
    for (size_t i = 0; i < BUFFERS + 2; i++)
        w->memory[i] = guarded_open(LONGEST * sizeof(double));
}

static void *world_buffer(const world *w, size_t index, size_t bytes)
{
    return w->memory[index].base + w->memory[index].size - bytes;
}

static size_t world_bytes(const row_case *c, size_t index, size_t n)
{
    if (index < BUFFERS)
        return c->floats[index] * n * sizeof(float);
    return index == BUFFERS ? c->halves * n * sizeof(uint16_t) : c->doubles * n * sizeof(double);
}

static void world_run(world *w, const row_case *c, const dither_rows *rows, size_t n)
{
    float *f[BUFFERS];
    for (size_t i = 0; i < BUFFERS; i++) {
        f[i] = world_buffer(w, i, world_bytes(c, i, n));
        for (size_t j = 0; j < c->floats[i] * n; j++)
            f[i][j] = 4 * layer_number(i + 1, j);
    }
    uint16_t *u = world_buffer(w, BUFFERS, world_bytes(c, BUFFERS, n));
    double *d = world_buffer(w, BUFFERS + 1, world_bytes(c, BUFFERS + 1, n));
    memset(u, 0x55, world_bytes(c, BUFFERS, n));
    for (size_t j = 0; j < c->doubles * n; j++)
        d[j] = (double)layer_number(9, j);
    w->result = c->run(rows, n, f, u, d);
}

static bool runs_here(const dither_rows *rows)
{
    const dither_cpu cpu = dither_cpu_detect(NULL);
    return (rows->needs & cpu.features) == rows->needs;
}

static const dither_rows *portable(void)
{
    size_t last = 0;
    while (dither_rows_at(last + 1))
        last++;
    return dither_rows_at(last);
}

static void equal_portable_c(world *w, const row_case *c, const dither_rows *rows, size_t n)
{
    world_run(&w[0], c, portable(), n);
    world_run(&w[1], c, rows, n);
    bool same = memcmp(&w[0].result, &w[1].result, sizeof(double)) == 0;
    for (size_t i = 0; i < BUFFERS + 2; i++) {
        const size_t bytes = world_bytes(c, i, n);
        same = same && memcmp(world_buffer(&w[0], i, bytes), world_buffer(&w[1], i, bytes), bytes) == 0;
    }
    if (!same)
        fail_msg("%s of %s at n = %zu differs from portable C", c->name, rows->isa, n);
}

static void every_variant_equals_portable_c(void **state)
{
    (void)state;
    static const size_t longer[] = {127, 128, 129, 255, 576, 1000, 4099};
    world w[2];
    world_open(&w[0]);
    world_open(&w[1]);
    for (size_t v = 0; dither_rows_at(v); v++) {
        const dither_rows *rows = dither_rows_at(v);
        if (!runs_here(rows)) {
            print_message("skipped: %s rows, this processor lacks them\n", rows->isa);
            continue;
        }
        for (size_t c = 0; c < CASES; c++) {
            for (size_t n = 0; n <= 70; n++)
                equal_portable_c(w, &cases[c], rows, n);
            for (size_t i = 0; i < sizeof longer / sizeof *longer; i++)
                equal_portable_c(w, &cases[c], rows, longer[i]);
        }
    }
}

/*
 * Every bf16 value, with what lies beside it and around the middle of its step, through every variant, in parts: one
 * exception in a row sends all of it another way.
 */
static void bf16_is_as_codes_are(void **state)
{
    (void)state;
    static const uint32_t low[] = {0, 1, 0x7fff, 0x8000, 0x8001, 0xffff};
    enum { LOWS = sizeof low / sizeof *low, N = LOWS << 16, PART = 8 * LOWS };
    float *x = layer_new(N, sizeof *x), *finite = layer_new(N, sizeof *finite);
    for (uint32_t i = 0; i < N; i++) {
        const uint32_t bits = i / LOWS << 16 | low[i % LOWS];
        memcpy(x + i, &bits, sizeof bits);
        finite[i] = isfinite(x[i]) ? x[i] : 0;
    }
    dither_quantizer quantizer;
    assert_int_equal(dither_quantizer_parse("bf16", &quantizer, NULL), DITHER_OK);
    unsigned char *memory = layer_new(dither_codes_bytes(&quantizer, DITHER_AXIS_COLS, 1, N), 1);
    dither_codes codes;
    assert_int_equal(dither_codes_init(&codes, &quantizer, DITHER_AXIS_COLS, 1, N, memory), DITHER_OK);
    assert_int_equal(dither_quantize(&codes, finite, NULL, NULL, NULL, NULL, 1), DITHER_OK);
    uint16_t *y = layer_new(N, sizeof *y), *want = layer_new(N, sizeof *want);
    memcpy(want, codes.packed, N * sizeof *want);
    float *back = layer_new(N, sizeof *back);
    for (size_t v = 0; dither_rows_at(v); v++) {
        if (!runs_here(dither_rows_at(v)))
            continue;
        for (size_t i = 0; i < N; i += PART)
            dither_rows_at(v)->to_bf16(PART, x + i, y + i);
        dither_rows_at(v)->from_bf16(N, y, back);
        for (size_t i = 0; i < N; i++) {
            if (isfinite(x[i]))
                assert_true(y[i] == want[i] && isfinite(back[i]));
            else
                assert_true(isnan(x[i]) ? isnan(back[i]) : back[i] == x[i]);
            if (low[i % LOWS] == 0 && !isnan(x[i]))
                assert_memory_equal(back + i, x + i, sizeof *x);
        }
    }
    free(x);
    free(finite);
    free(memory);
    free(y);
    free(want);
    free(back);
}

/* Plain definitions of what no test of a layer looks at by itself. */
static void sums_and_maxima(void **state)
{
    (void)state;
    enum { N = 1003 };
    const dither_rows *rows = portable();
    float *x = layer_random(1, N, 3), *y = layer_random(2, N, 3), *sum = layer_random(1, N, 3);
    x[N - 1] = -3.5f; /* the maxima stand where no whole block reaches */
    x[N - 2] = 3.25f;
    sum[N - 1] = x[N - 1];
    sum[N - 2] = x[N - 2];
    double squares = 0, columns[N / 3] = {0};
    float largest = x[0], absmax = 0;
    for (size_t i = 0; i < N; i++) {
        squares += (double)x[i] * (double)x[i];
        largest = fmaxf(largest, x[i]);
        absmax = fmaxf(absmax, fabsf(x[i]));
    }
    assert_true(fabs(rows->square_sum(N, x) - squares) <= N * 0x1p-52 * squares);
    assert_true(largest == 3.25f && absmax == 3.5f);
    assert_true(rows->largest(N, x) == largest && rows->absmax(N, x) == absmax);
    assert_true(rows->largest(0, x) == -INFINITY && rows->absmax(0, x) == 0 && rows->square_sum(0, x) == 0);
    rows->columns(3, N / 3, N / 3, x, columns);
    for (size_t j = 0; j < N / 3; j++)
        assert_true(columns[j] == (double)x[j] + (double)x[j + N / 3] + (double)x[j + 2 * (N / 3)]);
    rows->add(N, sum, y);
    for (size_t i = 0; i < N; i++)
        assert_true(sum[i] == x[i] + y[i]);
    x[N / 2] = NAN;
    assert_true(rows->largest(N, x) == largest && isnan(rows->absmax(N, x)));
    rows->scale(N, 0.5f, y);
    assert_true(y[N - 1] == 0.5f * (3 * layer_number(2, N - 1)));
    free(x);
    free(y);
    free(sum);
}

static void choice_is_by_features(void **state)
{
    (void)state;
    assert_string_equal(dither_rows_select(0)->isa, "ref");
    assert_int_equal(portable()->needs, 0);
    assert_ptr_equal(dither_rows_active(), dither_rows_select(dither_cpu_active()->features));
    for (size_t v = 0; dither_rows_at(v); v++) {
        const dither_rows *rows = dither_rows_at(v);
        assert_string_equal(dither_rows_select(rows->needs)->isa, rows->isa);
        for (uint32_t bit = 1; bit != 0 && rows->needs; bit <<= 1)
            if (rows->needs & bit)
                assert_true(dither_rows_select(rows->needs & ~bit) != rows);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_variant_equals_portable_c),
        cmocka_unit_test(bf16_is_as_codes_are),
        cmocka_unit_test(sums_and_maxima),
        cmocka_unit_test(choice_is_by_features),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
