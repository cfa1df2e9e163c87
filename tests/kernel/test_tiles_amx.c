/*
 * The AMX kernels against plain loops, byte for byte: their sources compiled against a model of the tile instructions,
 * on every processor, and the library's own where there are tiles.
 */
#define DITHER_TILE_MODEL "kernel/tile_model.h"
#define dither_gemm_s8_amx model_gemm_s8_amx
#define dither_gemm_bf16_amx model_gemm_bf16_amx
#include "kernel/gemm_bf16_amx.c"
#include "kernel/gemm_s8_amx.c"
#undef dither_gemm_s8_amx
#undef dither_gemm_bf16_amx

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { K_MAX = 257 + 64, GAP_BYTE = 0x5a };

/* What the operands hold. EXACT: every bf16 sum is a whole number that f32 has, in whatever order it is added. */
typedef enum fill { FILL_EXACT, FILL_EXTREME, FILL_SIGNS, FILL_ANY, FILLS } fill;

typedef struct operands {
    int32_t a[BLOCK_M][K_MAX], b[BLOCK_N][K_MAX]; /* codes, or bf16 bits */
    float a_scale[BLOCK_M], b_scale[BLOCK_N];
} operands;

static uint32_t next(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/* Some bytes that end where a page begins that nobody may touch. */
typedef struct guarded {
    void *at, *map;
    size_t mapped;
} guarded;

static guarded guarded_alloc(size_t bytes)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), whole = (bytes + page - 1) / page * page;
    uint8_t *map = mmap(NULL, whole + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(map != MAP_FAILED);
    assert_int_equal(mprotect(map + whole, page, PROT_NONE), 0);
    return (guarded){map + whole - bytes, map, whole + page};
}

static void guarded_free(guarded memory)
{
    assert_int_equal(munmap(memory.map, memory.mapped), 0);
}

/* ---- values ---------------------------------------------------------------------------------------------------- */

static uint16_t bf16_bits(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (uint16_t)(bits >> 16);
}

/* As the instruction takes it: denormals are zeros. */
static float bf16_value(int32_t half)
{
    const uint32_t bits = (uint32_t)half << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return isnormal(x) ? x : copysignf(0, x);
}

static int32_t s8_code(fill what, uint32_t *seed)
{
    const uint32_t draw = next(seed);
    return what == FILL_EXACT ? (int32_t)(draw % 3) - 1
           : what == FILL_EXTREME ? 127
           : what == FILL_SIGNS ? (draw & 1 ? 127 : -127)
                                : (int32_t)(draw % 255) - 127;
}

/* EXTREME: magnitudes down to the denormals, so that products vanish; ANY: 8 binary orders, both signs. */
static int32_t bf16_code(fill what, uint32_t *seed)
{
    const uint32_t draw = next(seed);
    const float fraction = (float)(int32_t)(draw % 511) - 255;
    return what == FILL_EXACT ? bf16_bits((float)(int32_t)(draw % 129) - 64)
           : what == FILL_EXTREME ? bf16_bits(ldexpf(fraction, -(int32_t)(next(seed) % 144)))
           : what == FILL_SIGNS ? bf16_bits(draw & 1 ? 0x1.fep10f : -0x1.fep10f)
                                : bf16_bits(ldexpf(fraction, (int32_t)(next(seed) % 8)));
}

static void fill_operands(operands *x, dither_element element, fill what, size_t k)
{
    uint32_t seed = (uint32_t)(what * 1000 + k);
    int32_t (*code)(fill, uint32_t *) = element == DITHER_ELEMENT_S8 ? s8_code : bf16_code;
    for (size_t i = 0; i < BLOCK_M; i++) {
        x->a_scale[i] = 0.1f + (float)(next(&seed) % 100) / 7;
        for (size_t l = 0; l < k; l++)
            x->a[i][l] = code(what, &seed);
    }
    for (size_t j = 0; j < BLOCK_N; j++) {
        x->b_scale[j] = 0.3f + (float)(next(&seed) % 100) / 11;
        for (size_t l = 0; l < k; l++)
            x->b[j][l] = code(what, &seed);
    }
}

/* One panel, as gemm_kernel.h lays it out. */
static guarded pack(const dither_gemm_kernel *kernel, const dither_packing *packing, const int32_t (*codes)[K_MAX],
                    size_t k)
{
    const size_t element = kernel->element == DITHER_ELEMENT_S8 ? 1 : 2;
    const guarded memory = guarded_alloc(packing->panel * k * element);
    uint8_t *bytes = memory.at;
    for (size_t row = 0; row < packing->panel; row++)
        for (size_t l = 0; l < k; l++) {
            const size_t unit = packing->unit;
            uint8_t *at = bytes + element * (l / unit * packing->panel * unit + row * unit + l % unit);
            at[0] = (uint8_t)codes[row][l];
            if (element == 2)
                at[1] = (uint8_t)(codes[row][l] >> 8);
        }
    return memory;
}

/* ---- plain loops ----------------------------------------------------------------------------------------------- */

static int32_t plain_s8(const operands *x, size_t i, size_t j, size_t k)
{
    int32_t sum = 0;
    for (size_t l = 0; l < k; l++)
        sum += x->a[i][l] * x->b[j][l];
    return sum;
}

static float flushed(float x)
{
    return x == 0 || isnormal(x) ? x : copysignf(0, x);
}

/* In the order that gemm_bf16_amx.c promises. */
static float plain_bf16(const operands *x, size_t i, size_t j, size_t k)
{
    float sum = 0;
    for (size_t step = 0; step < k; step += 32) {
        float even = 0, odd = 0;
        for (size_t l = step; l < step + 32; l += 2) {
            even = flushed(fmaf(bf16_value(x->a[i][l]), bf16_value(x->b[j][l]), even));
            odd = flushed(fmaf(bf16_value(x->a[i][l + 1]), bf16_value(x->b[j][l + 1]), odd));
        }
        sum = flushed(sum + flushed(even + odd));
    }
    return sum;
}

/*
 * The bound of gemm_bf16_amx.c, for its sum and for any other order of it: at most k + 1 roundings of 2^-24 each and as
 * many flushes of 2^-126 where a processor sums otherwise than its manual says.
 */
static void check_bound(const operands *x, size_t i, size_t j, size_t k, float sum, bool promised)
{
    double exact = 0, magnitude = 0;
    for (size_t l = 0; l < k; l++) {
        const double term = (double)bf16_value(x->a[i][l]) * (double)bf16_value(x->b[j][l]);
        exact += term;
        magnitude += fabs(term);
    }
    const double roundings = promised ? 17 + (double)k / 32 : (double)k + 1, u = 0x1p-24;
    const double flushes = (double)k + 2 * (double)k / 32;
    /* The double sum itself errs by less than k 2^-53 of the magnitude. */
    const double bound = (roundings * u / (1 - roundings * u) + (double)k * 0x1p-53) * magnitude + flushes * 0x1p-126;
    if (!(fabs((double)sum - exact) <= bound))
        fail_msg("k %zu: sum[%zu][%zu] = %.9g, not %.9g", k, i, j, (double)sum, exact);
}

/* ---- one kernel ------------------------------------------------------------------------------------------------ */

typedef struct wanted {
    int32_t s32[BLOCK_M][BLOCK_N];
    float f32[BLOCK_M][BLOCK_N]; /* the sums in f32, before scales */
} wanted;

static float before_f32(size_t i, size_t j)
{
    return (float)(i * 3 + j) / 7 - 5;
}

static int32_t before_s32(size_t i, size_t j)
{
    return (int32_t)(i * 70001 + j * 13) - 1000000;
}

/* C with a row's end at a forbidden page and other bytes between the rows: all of it is compared. */
static void check_call(const dither_gemm_kernel *kernel, dither_tile *tile, const wanted *sums, bool f32)
{
    const size_t bytes = (tile->stride * (BLOCK_M - 1) + BLOCK_N) * 4;
    const guarded memory = guarded_alloc(bytes);
    uint8_t *expected = malloc(bytes);
    assert_non_null(expected);
    memset(memory.at, GAP_BYTE, bytes);
    memset(expected, GAP_BYTE, bytes);
    for (size_t i = 0; i < BLOCK_M; i++)
        for (size_t j = 0; j < BLOCK_N; j++) {
            const size_t at = (i * tile->stride + j) * 4;
            const int32_t old_s32 = before_s32(i, j), s32 = (tile->accumulate ? old_s32 : 0) + sums->s32[i][j];
            const float old = before_f32(i, j), product = sums->f32[i][j] * (tile->a_scale[i] * tile->b_scale[j]);
            const float result = tile->accumulate ? old + product : product;
            if (tile->accumulate) /* otherwise it is only written */
                memcpy((uint8_t *)memory.at + at, f32 ? (const void *)&old : &old_s32, 4);
            memcpy(expected + at, f32 ? (const void *)&result : &s32, 4);
        }
    tile->c = memory.at;
    (f32 ? kernel->f32 : kernel->s32)(tile);
    assert_memory_equal(memory.at, expected, bytes);
    free(expected);
    guarded_free(memory);
}

static void check_fill(const dither_gemm_kernel *kernel, bool model, fill what, size_t k)
{
    static operands x;
    static wanted sums;
    const bool s8 = kernel->element == DITHER_ELEMENT_S8;
    fill_operands(&x, kernel->element, what, k);
    const guarded a = pack(kernel, &kernel->a, (const int32_t(*)[K_MAX])x.a, k);
    const guarded b = pack(kernel, &kernel->b, (const int32_t(*)[K_MAX])x.b, k);
    float ones[BLOCK_M > BLOCK_N ? BLOCK_M : BLOCK_N];
    for (size_t i = 0; i < sizeof ones / sizeof ones[0]; i++)
        ones[i] = 1;
    dither_tile tile = {.k = k, .a = a.at, .b = b.at, .a_scale = ones, .b_scale = ones, .stride = BLOCK_N};
    if (!s8) {
        tile.c = sums.f32;
        kernel->f32(&tile);
    }
    for (size_t i = 0; i < BLOCK_M; i++)
        for (size_t j = 0; j < BLOCK_N; j++)
            if (s8) {
                sums.s32[i][j] = plain_s8(&x, i, j, k);
                sums.f32[i][j] = (float)sums.s32[i][j];
            } else {
                check_bound(&x, i, j, k, sums.f32[i][j], model);
                if (model || what == FILL_EXACT)
                    sums.f32[i][j] = plain_bf16(&x, i, j, k);
            }
    tile.a_scale = x.a_scale;
    tile.b_scale = x.b_scale;
    static const size_t strides[] = {BLOCK_N, BLOCK_N + 1, 77};
    for (size_t s = 0; s < sizeof strides / sizeof strides[0]; s++)
        for (int accumulate = 0; accumulate < 2; accumulate++) {
            tile.stride = strides[s];
            tile.accumulate = accumulate != 0;
            check_call(kernel, &tile, &sums, true);
            if (s8)
                check_call(kernel, &tile, &sums, false);
        }
    guarded_free(a);
    guarded_free(b);
}

static void check_kernel(const dither_gemm_kernel *kernel, bool model)
{
    for (size_t k = kernel->k_step; k <= K_MAX; k += kernel->k_step)
        for (fill what = 0; what < FILLS; what++)
            check_fill(kernel, model, what, k);
}

static void test_s8_model(void **state)
{
    (void)state;
    check_kernel(&model_gemm_s8_amx, true);
}

static void test_bf16_model(void **state)
{
    (void)state;
    check_kernel(&model_gemm_bf16_amx, true);
}

static void test_processor(void **state)
{
    (void)state;
    int run = 0;
    for (size_t at = 0; dither_gemm_kernel_at(at) != NULL; at++) {
        const dither_gemm_kernel *kernel = dither_gemm_kernel_at(at);
        if (strcmp(kernel->isa, "amx") != 0 || (kernel->needs & dither_cpu_active()->features) != kernel->needs)
            continue;
        check_kernel(kernel, false);
        run++;
    }
    if (run == 0) {
        print_message("skipped: no AMX here; run against the model of the tile instructions\n");
        skip();
    }
}

/* ---- what is configured ---------------------------------------------------------------------------------------- */

static void test_configured_when_needed(void **state)
{
    (void)state;
    const tile_config none = {0};
    const tile_config small = {.palette = 1, .row_bytes = {8, 8, 8, 8, 8, 8, 8, 8}, .rows = {2, 2, 2, 2, 2, 2, 2, 2}};
    tile_config whole = {.palette = 1};
    for (int i = 0; i < MODEL_TILES; i++) {
        whole.row_bytes[i] = MODEL_ROW_BYTES;
        whole.rows[i] = MODEL_ROWS;
    }
    tile_config others[] = {none, small, whole, whole, whole, whole};
    others[2].rows[5] = 15;
    others[3].row_bytes[6] = 60;
    others[4].row_bytes[1] = 60;
    others[5].start_row = 1; /* as an interrupted load leaves it */
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        tile_config_load(&others[i]); /* somebody else on this thread */
        tile_model.configurations = 0;
        check_fill(&model_gemm_s8_amx, true, FILL_ANY, 64);
        assert_int_equal(tile_model.configurations, 1);
        check_fill(&model_gemm_bf16_amx, true, FILL_ANY, 32);
        assert_int_equal(tile_model.configurations, 1); /* both kernels want the same */
    }
}

/* ---- the model itself: shapes that the kernels do not use, values by hand ---------------------------------------- */

static void test_model_shapes(void **state)
{
    (void)state;
    /* 2 x 3 sums of 8 bytes. */
    const tile_config config = {.palette = 1, .row_bytes = {12, 8, 12}, .rows = {2, 2, 2}};
    const int8_t a[2][8] = {{1, 2, 3, 4, 5, 6, 7, 8}, {-128, 0, 0, 0, 0, 0, 0, 127}};
    const int8_t b[2][16] = {{1, 1, 1, 1, 2, 0, 0, 0, -128, 0, 0, 1, 99, 99, 99, 99},
                             {1, 1, 1, 1, 0, 0, 0, 2, 0, 0, 0, -1, 99, 99, 99, 99}}; /* rows of 16 bytes, 12 used */
    int32_t c[2][4] = {{100, 0, 0, 7}, {0, 0, 0, 7}};
    tile_config_load(&config);
    tile_load(0, c, sizeof c[0]);
    tile_load(1, a, sizeof a[0]);
    tile_load(2, b, sizeof b[0]);
    tile_dot_s8(0, 1, 2);
    tile_store(0, c, sizeof c[0]);
    const int32_t expected[2][4] = {{100 + 36, 2 + 16, -128 + 4 - 8, 7}, {-1, -256 + 254, 128 * 128 - 127, 7}};
    assert_memory_equal(c, expected, sizeof c);
    tile_zero(0);
    tile_store(0, c, sizeof c[0]);
    assert_int_equal(c[0][0], 0);
    assert_int_equal(c[1][3], 7);
    tile_config back;
    tile_config_store(&back);
    assert_memory_equal(&back, &config, sizeof back);
}

/* One sum: rounding of the multiply-adds, of the pairs and of the total; denormals in and out. */
static float one_sum(float before, const float a[4], const float b[4])
{
    const tile_config config = {.palette = 1, .row_bytes = {4, 8, 4}, .rows = {1, 1, 2}};
    uint16_t x[4], y[4];
    for (int i = 0; i < 4; i++) {
        x[i] = bf16_bits(a[i]);
        y[i] = bf16_bits(b[i]);
    }
    tile_config_load(&config);
    tile_load(0, &before, sizeof before);
    tile_load(1, x, sizeof x);
    tile_load(2, y, 4);
    tile_dot_bf16(0, 1, 2);
    tile_store(0, &before, sizeof before);
    return before;
}

static void test_model_bf16(void **state)
{
    (void)state;
    const float ones[4] = {1, 1, 1, 1};
    assert_true(one_sum(10, (const float[4]){1, 2, 3, 4}, ones) == 20);
    /* 2^24 + 1 is lost among the even ones, -2^24 among the odd ones comes too late. */
    assert_true(one_sum(0, (const float[4]){0x1p24f, -0x1p24f, 1, 0}, ones) == 0);
    assert_true(one_sum(0, (const float[4]){0x1p24f, 1, -0x1p24f, 0}, ones) == 1);
    assert_true(one_sum(0x1p24f, (const float[4]){1, 1, 0, 0}, ones) == 0x1p24f + 2); /* the pair first */
    assert_true(one_sum(1, (const float[4]){0x1p-127f, 0, 0, 0}, (const float[4]){0x1p127f, 0, 0, 0}) == 1);
    assert_true(one_sum(0, (const float[4]){0x1p-100f, 0, 0, 0}, (const float[4]){0x1p-27f, 0, 0, 0}) == 0);
    assert_true(one_sum(0, (const float[4]){0x1p-100f, 0, 0, 0}, (const float[4]){0x1p-26f, 0, 0, 0}) == 0x1p-126f);
    assert_true(one_sum(0x1p-130f, (const float[4]){0}, ones) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_model_shapes), cmocka_unit_test(test_model_bf16),
        cmocka_unit_test(test_s8_model),     cmocka_unit_test(test_bf16_model),
        cmocka_unit_test(test_configured_when_needed), cmocka_unit_test(test_processor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
