/*
 * The self-test passes what is sound and catches what is not: row kernels with one fault each, under every one of
 * twenty seeds; a product kernel and a generator with one. Faults are put around the portable kernels, of which
 * test_quantize_pack.c says that all others equal them.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/philox.h"
#include "dither/cpu.h"
#include "kernel/gemm_kernels.h"
#include "study/selftest_expect.h"
#include "study/selftest_products.h"

enum { SEEDS = 20, LINES = 128, LANE = 5 };

/* ---- what a run says ---------------------------------------------------------------------------------------- */

typedef struct record {
    char name[64];
    double deviation, limit;
    uint64_t wrong;
    bool ok;
} record;

typedef struct report {
    record line[LINES];
    size_t count;
} report;

static void keep(void *context, const dither_selftest_line *line)
{
    report *l = context;
    assert_true(l->count < LINES && line->name[0] && line->compared[0] && line->statistic[0]);
    assert_true(line->ok == (line->wrong == 0 && line->deviation <= line->limit));
    record *r = &l->line[l->count++];
    *r = (record){.deviation = line->deviation, .limit = line->limit, .wrong = line->wrong, .ok = line->ok};
    assert_true(strlen(line->name) < sizeof r->name);
    strcpy(r->name, line->name);
}

static const record *find(const report *l, const char *name)
{
    for (size_t i = 0; i < l->count; i++)
        if (!strcmp(l->line[i].name, name))
            return &l->line[i];
    fail_msg("no line '%s'", name);
    return NULL;
}

static bool starts(const char *text, const char *with)
{
    return !strncmp(text, with, strlen(with));
}

static dither_selftest_run run_of(const dither_selftest_subject *subject, uint64_t seed, report *l)
{
    *l = (report){.count = 0};
    return (dither_selftest_run){
        .subject = subject, .options = {.seed = seed, .threads = 1}, .report = keep, .context = l};
}

/* ---- faults ------------------------------------------------------------------------------------------------- */

/* The block by the portable kernel, its numbers replaced by `change` of each quotient. */
static void with_changed(dither_quantize_block *block, double (*change)(const dither_quantize_block *, size_t, double))
{
    float x[DITHER_PIECE_ROWS * DITHER_PIECE_COLS];
    dither_quantize_block changed = *block;
    const dither_quantize_source *from = &block->source;
    for (size_t i = 0; i < from->rows; i++)
        for (size_t j = 0; j < from->cols; j++) {
            const double s = (double)block->scale[i * block->scale_step + (j >> block->shift)];
            const double value = (double)from->x[i * from->stride + j];
            x[i * DITHER_PIECE_COLS + j] = (float)(s > 0.0 ? change(block, j, value / s) * s : value);
        }
    changed.source.x = x;
    changed.source.stride = DITHER_PIECE_COLS;
    dither_quantize_rows_ref.quantize(&changed);
    block->clipped = changed.clipped;
    block->bad = changed.bad;
}

/* f cut to N bits where it should be rounded to them: half a random bit too little in the mean. */
static double cut(const dither_quantize_block *block, size_t j, double y)
{
    (void)j;
    const double unit = ldexp(dither_expect_step(&block->plan->quantizer->format, y),
                              -block->plan->quantizer->rounding.bits);
    return trunc(y / unit) * unit;
}

static void half_a_bit(dither_quantize_block *block)
{
    with_changed(block, cut);
}

/* One lane of sixteen always draws 0: what is not on the grid goes up. */
static double lane_up(const dither_quantize_block *block, size_t j, double y)
{
    const double step = dither_expect_step(&block->plan->quantizer->format, y);
    return (block->col0 + j) % 16 == LANE ? copysign(ceil(fabs(y) / step) * step, y) : y;
}

static void stuck_lane(dither_quantize_block *block)
{
    with_changed(block, lane_up);
}

static void with_draw(dither_quantize_block *block, const dither_draw *draw, size_t columns)
{
    dither_quantize_plan plan = *block->plan;
    dither_quantize_block changed = *block;
    plan.draw = draw;
    changed.plan = &plan;
    changed.col0 += columns;
    dither_quantize_rows_ref.quantize(&changed);
    block->clipped = changed.clipped;
    block->bad = changed.bad;
}

/* The role is left out of the address: dy's two copies have one draw. */
static void shared_draw(dither_quantize_block *block)
{
    dither_draw draw = *block->plan->draw;
    draw.role = DITHER_ROLE_GOACT;
    with_draw(block, &draw, 0);
}

static void next_counter(dither_quantize_block *block)
{
    with_draw(block, block->plan->draw, 1);
}

/* Nothing reaches the largest code. */
static void clipped_extreme(dither_quantize_block *block)
{
    dither_quantize_rows_ref.quantize(block);
    const int largest = (int)block->plan->quantizer->format.max;
    if (block->plan->element != DITHER_ELEMENT_S8)
        return;
    for (size_t i = 0; i < block->source.rows; i++)
        for (size_t j = 0; j < block->source.cols; j++) {
            int8_t *code = (int8_t *)block->values + i * DITHER_PIECE_COLS + j;
            *code = (int8_t)(*code == largest ? largest - 1 : *code == -largest ? 1 - largest : *code);
        }
}

/* Scales a little too small: the largest of each region is beyond. */
static bool small_scales(const dither_scale_job *job, const uint32_t *amax, size_t count, float *scale, float *inside)
{
    if (!dither_quantize_rows_ref.scales(job, amax, count, scale, inside))
        return false;
    for (size_t i = 0; i < count; i++)
        scale[i] *= 0.875f;
    return true;
}

static const struct {
    const char *isa;
    void (*quantize)(dither_quantize_block *block);
    bool biased; /* in many elements */
} faults[] = {
    {"half a random bit", half_a_bit, true},
    {"shared draw", shared_draw, false},
    {"off-by-one counter", next_counter, false},
    {"clipped extreme", clipped_extreme, false},
    {"stuck lane", stuck_lane, true},
};

enum { FAULTS = sizeof faults / sizeof faults[0] };

static dither_quantize_rows broken(size_t fault)
{
    dither_quantize_rows rows = dither_quantize_rows_ref;
    rows.isa = faults[fault].isa;
    rows.quantize = faults[fault].quantize;
    return rows;
}

/* The lines of what is broken fail, and no other does. Returns how many failed. */
static unsigned assert_caught(const report *l, const char *isa, const char *what)
{
    char name[64];
    unsigned failed = 0;
    snprintf(name, sizeof name, "%s %s", what, isa);
    for (size_t i = 0; i < l->count; i++) {
        if (!l->line[i].ok && !starts(l->line[i].name, name) && !starts(l->line[i].name, "clips"))
            fail_msg("'%s' fails where only %s is broken", l->line[i].name, isa);
        failed += !l->line[i].ok;
    }
    return failed;
}

static void faults_of_rounding(void **state)
{
    (void)state;
    static const char *const formats[] = {"int8", NULL};
    static report l;
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        for (size_t fault = 0; fault < FAULTS; fault++) {
            const dither_quantize_rows rows = broken(fault);
            const dither_selftest_subject subject = {.rows = {&rows}, .formats = formats};
            dither_selftest_run run = run_of(&subject, seed, &l);
            assert_int_equal(dither_selftest_rounding(&run), DITHER_OK);
            const unsigned failed = assert_caught(&l, rows.isa, "rounding");
            if (failed == 0 || run.failures != failed)
                fail_msg("%s, seed %d: %u lines fail", rows.isa, (int)seed, failed);
            /* What moves means is seen in them alone too, without comparing codes. */
            char name[64];
            snprintf(name, sizeof name, "rounding %s sr3", rows.isa);
            const record *line = find(&l, name);
            if (faults[fault].biased && !(line->deviation > line->limit))
                fail_msg("%s, seed %d: %g sigma", rows.isa, (int)seed, line->deviation);
        }
}

static void faults_of_draws(void **state)
{
    (void)state;
    static report l;
    for (uint64_t seed = 1; seed <= 5; seed++)
        for (size_t fault = 1; fault < FAULTS && (fault == 1 || seed == 1); fault++) {
            const dither_quantize_rows rows = broken(fault);
            const dither_selftest_subject subject = {.rows = {&rows}};
            dither_selftest_run run = run_of(&subject, seed, &l);
            assert_int_equal(dither_selftest_draws(&run), DITHER_OK);
            assert_true(assert_caught(&l, rows.isa, "draws") > 0);
            const record *by = NULL;
            if (faults[fault].quantize == shared_draw)
                by = find(&l, "draws shared draw roles");
            else if (faults[fault].quantize == stuck_lane)
                by = find(&l, "draws stuck lane columns");
            if (by != NULL && !(by->deviation > by->limit))
                fail_msg("%s, seed %d: %g sigma", by->name, (int)seed, by->deviation);
        }
}

static void scales_that_clip(void **state)
{
    (void)state;
    static const char *const formats[] = {"int8", "e4m3", NULL};
    static report l;
    dither_quantize_rows rows = dither_quantize_rows_ref;
    rows.isa = "small scales";
    rows.scales = small_scales;
    const dither_selftest_subject subject = {.rows = {&rows}, .formats = formats};
    for (uint64_t seed = 1; seed <= 4; seed++) {
        dither_selftest_run run = run_of(&subject, seed, &l);
        assert_int_equal(dither_selftest_rounding(&run), DITHER_OK);
        assert_false(find(&l, "clips small scales")->ok);
        assert_false(find(&l, "rounding small scales sr8")->ok);
        assert_true(find(&l, "clips src")->ok);
    }
}

/* ---- products and the generator ----------------------------------------------------------------------------- */

static void lost_element(const dither_tile *tile)
{
    dither_gemm_s8_ref.f32(tile);
    ((float *)tile->c)[dither_gemm_s8_ref.n - 1] = 0.0f;
}

static void fault_of_products(void **state)
{
    (void)state;
    void *memory = aligned_alloc(DITHER_ALIGN, dither_align_up(dither_selftest_kernel_bytes()));
    assert_non_null(memory);
    dither_gemm_kernel kernel = dither_gemm_s8_ref;
    kernel.f32 = lost_element;
    for (uint64_t seed = 1; seed <= 2; seed++) { /* nothing here is drawn but the codes */
        assert_true(dither_selftest_kernel(&kernel, memory, seed).wrong > 0);
        assert_int_equal(dither_selftest_kernel(&dither_gemm_s8_ref, memory, seed).wrong, 0);
        assert_int_equal(dither_selftest_kernel(&dither_gemm_bf16_ref, memory, seed).wrong, 0);
    }
    free(memory);
}

static void nine_rounds(const uint32_t key[2], const uint32_t counter[4], uint32_t out[4])
{
    dither_philox(key, counter, out);
    out[0] ^= key[0] == 0;
}

static void fault_of_philox(void **state)
{
    (void)state;
    static report l;
    const dither_selftest_subject subject = {.philox = nine_rounds};
    dither_selftest_run run = run_of(&subject, 1, &l);
    dither_selftest_philox(&run);
    assert_int_equal(run.failures, 1);
    assert_int_equal(l.line[0].wrong, 1);
}

/* ---- what is sound ------------------------------------------------------------------------------------------ */

static void sound_kernels_pass(void **state)
{
    (void)state;
    static const char *const formats[] = {"int8", "ternary", "bf16", "e2m1", "e8m2", "fx3", NULL};
    static report l;
    const char *const levels[] = {NULL, "ref"};
    for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++) {
        const dither_cpu cpu = dither_cpu_detect(levels[i]);
        if (cpu.level == NULL)
            continue; /* of another architecture */
        dither_selftest_subject subject = dither_selftest_subject_of(cpu.features);
        subject.formats = formats;
        l = (report){.count = 0};
        const dither_selftest_options options = {.seed = 40 + i, .threads = 1 + (int)i};
        unsigned failures = 1;
        dither_error error;
        assert_int_equal(dither_selftest_of(&subject, &options, keep, &l, &failures, &error), DITHER_OK);
        for (size_t j = 0; j < l.count; j++)
            if (!l.line[j].ok)
                fail_msg("%s: %g sigma, %d wrong", l.line[j].name, l.line[j].deviation, (int)l.line[j].wrong);
        assert_int_equal(failures, 0);
        assert_true(l.count > 30);
    }
}

/* No line depends on the number of threads. */
static void threads_do_not_show(void **state)
{
    (void)state;
    static const char *const formats[] = {"int8", "e4m3", "int4", NULL};
    static report one, three;
    const dither_selftest_subject subject = {.rows = {&dither_quantize_rows_ref}, .formats = formats};
    dither_selftest_run run = run_of(&subject, 3, &one);
    assert_int_equal(dither_selftest_rounding(&run), DITHER_OK);
    run = run_of(&subject, 3, &three);
    run.options.threads = 3;
    assert_int_equal(dither_selftest_rounding(&run), DITHER_OK);
    assert_int_equal(one.count, three.count);
    for (size_t i = 0; i < one.count; i++)
        assert_true(one.line[i].deviation == three.line[i].deviation && one.line[i].wrong == three.line[i].wrong);
}

static void wrong_threads(void **state)
{
    (void)state;
    static report l;
    unsigned failures = 0;
    dither_error error = {.text = ""};
    const dither_selftest_options options = {.seed = 1, .threads = -1};
    assert_int_equal(dither_selftest(&options, keep, &l, &failures, &error), DITHER_E_USAGE);
    assert_non_null(strstr(error.text, "-1"));
    assert_int_equal(l.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(faults_of_rounding),  cmocka_unit_test(faults_of_draws), cmocka_unit_test(scales_that_clip),
        cmocka_unit_test(fault_of_products),   cmocka_unit_test(fault_of_philox), cmocka_unit_test(sound_kernels_pass),
        cmocka_unit_test(threads_do_not_show), cmocka_unit_test(wrong_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
