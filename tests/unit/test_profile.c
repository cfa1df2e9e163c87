/* The profile of a step: what is added where, and what is made of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/profile.h"
#include "dither/train.h"

static void off_is_off(void **state)
{
    (void)state;
    assert_int_equal(dither_profile_begin(NULL), 0);
    dither_profile_end(NULL, DITHER_OP_NORM, 0, dither_work_pass(1));
    dither_profile_place(NULL, DITHER_PLACE_HEAD);
    dither_profile_phase(NULL, DITHER_PHASE_FORWARD);
}

static void work_goes_to_its_row(void **state)
{
    (void)state;
    dither_profile profile = {0};
    dither_profile_add(&profile, DITHER_OP_GEMM_Y, 5, dither_work_product(DITHER_UNIT_S8, 3, 5, 7, 11));
    dither_profile_add(&profile, DITHER_OP_GEMM_Y, 6, dither_work_product(DITHER_UNIT_BF16, 1, 2, 3, 13));
    dither_profile_place(&profile, DITHER_PLACE_HEAD);
    dither_profile_add(&profile, DITHER_OP_GEMM_Y, 7, dither_work_pass(17));
    const dither_profile_row *row = &profile.row[DITHER_PLACE_LAYERS][DITHER_OP_GEMM_Y];
    assert_int_equal(row->calls, 2);
    assert_int_equal(row->ns, 11);
    assert_true(row->ops[DITHER_UNIT_S8] == 210 && row->ops[DITHER_UNIT_BF16] == 12 && row->ops[DITHER_UNIT_F32] == 0);
    assert_true(row->bytes == 24);
    row = &profile.row[DITHER_PLACE_HEAD][DITHER_OP_GEMM_Y];
    assert_int_equal(row->calls, 1);
    assert_true(row->ns == 7 && row->bytes == 17);
}

static void spans_are_timed(void **state)
{
    (void)state;
    dither_profile profile = {0};
    const int64_t before = dither_profile_now(), begun = dither_profile_begin(&profile);
    while (dither_profile_now() - begun < 2000000)
        continue;
    dither_profile_end(&profile, DITHER_OP_ADD, begun, dither_work_pass(0));
    const int64_t whole = dither_profile_now() - before, ns = profile.row[DITHER_PLACE_LAYERS][DITHER_OP_ADD].ns;
    assert_true(ns >= 2000000 && ns <= whole);
}

/* Phases follow each other without a gap: together they are the time from the first to the last switch. */
static void phases_fill_the_time(void **state)
{
    (void)state;
    dither_profile profile = {0};
    dither_profile_phase(&profile, DITHER_PHASE_FORWARD);
    const int64_t begun = profile.phase_begun;
    dither_profile_phase(&profile, DITHER_PHASE_FORWARD);
    assert_int_equal(profile.phase_begun, begun);
    dither_profile_phase(&profile, DITHER_PHASE_BACKWARD);
    dither_profile_phase(&profile, DITHER_PHASE_FORWARD);
    dither_profile_phase(&profile, DITHER_PHASE_OPTIMIZER);
    dither_profile_phase(&profile, DITHER_PHASE_NONE);
    int64_t sum = 0;
    for (int phase = DITHER_PHASE_FORWARD; phase < DITHER_PHASES; phase++)
        sum += profile.phase_ns[phase];
    assert_int_equal(sum, profile.phase_begun - begun);
}

static void names_are_all_there(void **state)
{
    (void)state;
    for (int i = 0; i < DITHER_PLACES * DITHER_OPS; i++) {
        const dither_place place = (dither_place)(i / DITHER_OPS);
        const dither_op op = (dither_op)(i % DITHER_OPS);
        const char *name = dither_profile_name(place, op);
        assert_non_null(name);
        for (int k = 0; k < i; k++) {
            const dither_op other = (dither_op)(k % DITHER_OPS);
            if (other != op) /* cross entropy is the head's alone, and has one name */
                assert_string_not_equal(name, dither_profile_name((dither_place)(k / DITHER_OPS), other));
        }
    }
    assert_string_equal(dither_profile_name(DITHER_PLACE_HEAD, DITHER_OP_GEMM_DW), "head_gemm_dw");
}

static const dither_peaks peaks = {
    .threads = 1,
    .s8 = {.all = 400e9},
    .bf16 = {.all = 200e9},
    .f32 = {.all = 100e9},
    .read = {.all = 10e9},
    .copy = {.all = 20e9},
};

static void rates_and_shares(void **state)
{
    (void)state;
    dither_profile profile = {.phase_ns = {0, 1000000000, 2000000000, 500000000}};
    /* One second each: 0.25 s of s8 and 0.5 s of bf16 at the peaks; 0.75 s of memory; half of that. */
    dither_profile_row *row = profile.row[DITHER_PLACE_LAYERS];
    row[DITHER_OP_GEMM_DX] =
        (dither_profile_row){.calls = 3, .ns = 1000000000, .ops = {0, 100e9, 100e9}, .bytes = 14e9};
    row[DITHER_OP_ADAMW] = (dither_profile_row){.calls = 1, .ns = 2000000000, .bytes = 30e9};
    row[DITHER_OP_ROPE] = (dither_profile_row){.calls = 1, .ns = 500000000};
    dither_speed speed;
    dither_profile_report(&profile, &peaks, 7, 4, &speed);
    assert_int_equal(speed.steps, 7);
    assert_true(speed.seconds == 4 && speed.forward_s == 1 && speed.backward_s == 2 && speed.optimizer_s == 0.5);
    assert_int_equal(speed.count, 4);
    const dither_op_speed *op = speed.op;
    assert_string_equal(op[0].name, "adamw");
    assert_true(op[0].seconds == 2 && op[0].share == 0.5 && op[0].gflops == 0 && op[0].gb_s == 15);
    assert_true(op[0].fraction == 0.75);
    assert_string_equal(op[1].name, "gemm_dx");
    assert_int_equal(op[1].calls, 3);
    assert_true(op[1].share == 0.25 && op[1].gflops == 200 && op[1].gb_s == 14 && op[1].fraction == 0.75);
    assert_string_equal(op[2].name, "rope");
    assert_true(op[2].fraction == 0);
    assert_string_equal(op[3].name, "other");
    assert_true(op[3].seconds == 0.5 && op[3].share == 0.125);
    dither_profile_report(&profile, NULL, 7, 4, &speed);
    assert_true(speed.op[0].fraction == 0 && speed.op[0].gb_s == 15);
}

/* Every row there can be, with long numbers, fits an event's text. */
static void a_full_profile_fits_an_event(void **state)
{
    (void)state;
    dither_profile profile = {0};
    for (int place = 0; place < DITHER_PLACES; place++)
        for (int op = 0; op < DITHER_OPS; op++)
            profile.row[place][op] = (dither_profile_row){
                .calls = UINT64_MAX, .ns = 123456789012345678 + op, .ops = {1.23456789e-300}, .bytes = 9.87654321e200};
    dither_speed speed;
    dither_profile_report(&profile, &peaks, UINT64_MAX, 1.23456789e-300, &speed);
    assert_int_equal(speed.count, DITHER_PLACES * DITHER_OPS + 1);
    const dither_event event = {.kind = DITHER_EVENT_PROFILE, .step = UINT64_MAX, .steps = UINT64_MAX, .speed = &speed};
    char text[DITHER_EVENT_JSON];
    const size_t length = dither_event_json(&event, text, sizeof text);
    assert_true(length + 1 < sizeof text);
    assert_int_equal(length, strlen(text));
    assert_string_equal(text + length - 3, "}]}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(off_is_off),
        cmocka_unit_test(work_goes_to_its_row),
        cmocka_unit_test(spans_are_timed),
        cmocka_unit_test(phases_fill_the_time),
        cmocka_unit_test(names_are_all_there),
        cmocka_unit_test(rates_and_shares),
        cmocka_unit_test(a_full_profile_fits_an_event),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
