/*
 * Quantize-and-pack against the definition: what stands in the operands are the codes and scales of dither_quantize,
 * bit for bit, for every variant of the row kernels that runs here. x, the operands and the scratch end at a page that
 * must not be touched.
 */
#include "pack_fixture.h"

static bool runs_here(const dither_quantize_rows *rows)
{
    return (rows->needs & dither_cpu_detect(NULL).features) == rows->needs;
}

/* Quantize and pack by every variant, two operands at once: along columns and along rows; scales or bare. */
static void check_example(const example *e, size_t kernel_index)
{
    const dither_quantizer q = parse(e->quantizer);
    float *x = guarded_last(x_room, e->rows * e->cols * sizeof *x);
    if (e->borders)
        make_borders(e, &q, x);
    else
        make_x(e, x);
    const float *row_factor = make_factor(factor_room[0], e->row_factor, e->rows, 7);
    const float *col_factor = make_factor(factor_room[1], e->col_factor, e->cols, 11);
    expectation want;
    assert_int_equal(expect(e, &q, x, row_factor, col_factor, &want), DITHER_OK);
    for (size_t v = 0; dither_quantize_rows_at(v) != NULL; v++) {
        const dither_quantize_rows *variant = dither_quantize_rows_at(v);
        if (!runs_here(variant))
            continue;
        dither_operand operands[2];
        dither_pack_target target = {
            .quantizer = &q, .axis = e->axis, .row_factor = row_factor, .col_factor = col_factor, .draw = &draw};
        const bool bare = kernel_index % 3 == 2;
        size_t count = 0;
        for (size_t o = 0; o < 2; o++)
            count += add_operand(&q, &target, count, e, o == 0 ? DITHER_AXIS_COLS : DITHER_AXIS_ROWS, bare,
                                 kernel_index + o, &operands[count], operand_room[count]);
        if (count == 0)
            continue;
        const size_t bytes = dither_quantize_pack_bytes(&target, 1, e->rows, e->cols, 3);
        dither_clips clips = {0}, own = {0};
        target.clips = &own;
        const dither_status status =
            dither_quantize_pack_with(variant, x, e->rows, e->cols, &target, 1, guarded_last(scratch_room, bytes),
                                      &clips, 1 + (int)(kernel_index % 3));
        assert_int_equal(status, DITHER_OK);
        for (size_t o = 0; o < count; o++) {
            char what[256];
            snprintf(what, sizeof what, "%s %s axis %d, %zux%zu, factors %d%d, magnitude %g, %s %s operand axis %d%s",
                     variant->isa, e->quantizer, (int)e->axis, e->rows, e->cols, e->row_factor, e->col_factor,
                     (double)e->magnitude, operands[o].kernel->element == DITHER_ELEMENT_S8 ? "s8" : "bf16",
                     operands[o].kernel->isa, (int)target.operand_axis[o], bare ? " bare" : "");
            check_operand(&want, &operands[o], target.operand_axis[o], bare, what);
        }
        if (clips.elements != want.clips.elements || clips.clipped != want.clips.clipped)
            fail_msg("%s %s: %zu clips, not %zu", variant->isa, e->quantizer, (size_t)clips.clipped,
                     (size_t)want.clips.clipped);
        if (own.elements != want.clips.elements || own.clipped != want.clips.clipped ||
            own.variance != want.clips.variance || own.square != want.clips.square)
            fail_msg("%s %s: variance %a of %a, not %a of %a", variant->isa, e->quantizer, own.variance, own.square,
                     want.clips.variance, want.clips.square);
    }
}

/* ---- the tests --------------------------------------------------------------------------------------------- */

static const char *const roundings[] = {"", ":sr", ":sr8", ":sr16", ":sr3", ":sr11", ":sr24", ":sr31", ":up", ":zero"};
/* Every format with every scale; roundings, shapes, axes and kernels in turn. */
static void equals_the_definition(void **state)
{
    (void)state;
    size_t n = 0;
    for (size_t f = 0; f < COUNT(formats); f++)
        for (size_t s = 0; s < COUNT(scales); s++)
            for (size_t round = 0; round < 6; round++, n++) {
                char text[DITHER_QUANTIZER_TEXT];
                const size_t *shape = shapes[(n * 5 + n / 8) % COUNT(shapes)];
                snprintf(text, sizeof text, "%s%s%s", formats[f], scales[s], roundings[(n * 3 + s) % COUNT(roundings)]);
                const example e = {.quantizer = text,
                                   .axis = n % 2 == 0 ? DITHER_AXIS_COLS : DITHER_AXIS_ROWS,
                                   .rows = shape[0],
                                   .cols = shape[1],
                                   .row_factor = n / 2 % 3 == 1,
                                   .col_factor = n / 2 % 5 == 1 || n / 2 % 3 == 2,
                                   .magnitude = 1.0f};
                check_example(&e, n / 7);
            }
}

/* What training uses, on every shape and rounding. */
static void hot_quantizers(void **state)
{
    (void)state;
    static const char *const hot[] = {"int8/row",     "int8/g128", "int8/g32",     "int4/g128", "int8/tensor", "bf16",
                                      "e4m3/g32e8m0", "e4m3/row",  "e2m1/g16e4m3", "e5m2/row",  "e2m1/g32e8m0"};
    size_t n = 0;
    for (size_t h = 0; h < COUNT(hot); h++)
        for (size_t r = 0; r < 8; r++)
            for (size_t s = 0; s < COUNT(shapes); s++, n++) {
                char text[DITHER_QUANTIZER_TEXT];
                snprintf(text, sizeof text, "%s%s", hot[h], roundings[r]);
                const example e = {.quantizer = text,
                                   .axis = (n + s) % 2 == 0 ? DITHER_AXIS_COLS : DITHER_AXIS_ROWS,
                                   .rows = shapes[s][0],
                                   .cols = shapes[s][1],
                                   .col_factor = n % 3 == 1,
                                   .magnitude = 3e-5f};
                check_example(&e, n);
            }
}

/* Scales beyond the fast kernels' bounds. */
static void extreme_magnitudes(void **state)
{
    (void)state;
    static const float magnitudes[] = {0x1p-149f, 0x1p-130f, 0x1p-75f, 0x1p-62f, 0x1p66f, 0x1p120f, 0x1.fffffep122f};
    static const char *const some[] = {"int8/g32:sr8",     "int8/row:sr",       "int4/g128",       "e4m3/g32e8m0:sr8",
                                       "e2m1/row",         "e2m1/g16e4m3:sr16", "ternary/rowe8m0", "bf16:sr16",
                                       "int8/tensor:sr16", "int8/row:sr8",      "int4/tensor"};
    for (size_t m = 0; m < COUNT(magnitudes); m++)
        for (size_t s = 0; s < COUNT(some); s++) {
            const example e = {.quantizer = some[s],
                               .axis = (m + s) % 2 == 0 ? DITHER_AXIS_COLS : DITHER_AXIS_ROWS,
                               .rows = 66,
                               .cols = 140,
                               .magnitude = magnitudes[m]};
            for (size_t kernel = 0; kernel < 2; kernel++)
                check_example(&e, kernel);
        }
}

/* A draw that equals F stays, one below it goes; ties go to even codes: what random values hardly ever meet. */
static void where_roundings_turn(void **state)
{
    (void)state;
    static const char *const some[] = {"int8/tensor", "int4/row", "e4m3/row",    "bf16",
                                       "e2m1/row",    "e3m0/row", "e4m1/tensor", "e5m2/rowe8m0"};
    static const int bits[] = {0, 1, 3, 8, 9, 13, 16, 17, 20, 24, 32};
    for (size_t s = 0; s < COUNT(some); s++)
        for (size_t b = 0; b < COUNT(bits); b++) {
            char text[DITHER_QUANTIZER_TEXT];
            if (bits[b] == 0)
                snprintf(text, sizeof text, "%s", some[s]);
            else
                snprintf(text, sizeof text, "%s:sr%d", some[s], bits[b]);
            const example e = {.quantizer = text, .axis = DITHER_AXIS_COLS, .rows = 9, .cols = 520, .borders = true};
            for (size_t kernel = 0; kernel < 2; kernel++)
                check_example(&e, kernel);
        }
}

/* Scales in bulk are those of dither_scale_store, at and around every multiple of max that decides. */
static void scales_in_bulk(void **state)
{
    (void)state;
    enum { AMAX = 4000 };
    static uint32_t amax[AMAX];
    static float got[AMAX], inside[AMAX];
    static const char *const some[] = {"int8", "int4", "ternary", "int2", "e4m3",
                                       "e2m1", "e5m2", "e3m0",    "e7m3", "bf16"};
    static const float tensors[] = {1.0f, 0x1.fep-20f, 0x1.02p-99f, 0x1p30f, 0x1p-120f, 0.0f};
    uint32_t random = 5;
    for (size_t f = 0; f < COUNT(some); f++)
        for (size_t c = 0; c < 2 + COUNT(tensors); c++) {
            const dither_quantizer q = parse(some[f]);
            const dither_scale_job job = {.type = c == 0   ? DITHER_SCALE_F32
                                                  : c == 1 ? DITHER_SCALE_E8M0
                                                           : DITHER_SCALE_E4M3,
                                          .max = q.format.max,
                                          .tensor = c < 2 ? 1.0f : tensors[c - 2]};
            for (size_t i = 0; i < AMAX; i++) {
                const uint32_t any = lcg(&random) % DITHER_F32_INF;
                const uint32_t scale = dither_f32_bits((float)q.format.max * job.tensor) + (lcg(&random) % 80 << 23) -
                                       (40u << 23) + (lcg(&random) % 16 << 20) + lcg(&random) % 3 - 1;
                const uint32_t subnormal = lcg(&random) % 0x01000000;
                amax[i] = i % 4 == 0 ? any : i % 4 == 1 ? subnormal : scale < DITHER_F32_INF ? scale : any;
            }
            amax[0] = 0;
            amax[1] = DITHER_F32_INF - 1;
            amax[2] = 0x00400000;
            amax[3] = 0x00400001;
            for (size_t v = 0; dither_quantize_rows_at(v) != NULL; v++) {
                const dither_quantize_rows *variant = dither_quantize_rows_at(v);
                if (!runs_here(variant) || !variant->scales(&job, amax, AMAX, got, inside))
                    continue;
                for (size_t i = 0; i < AMAX; i++) {
                    uint8_t stored[sizeof(float)];
                    dither_scale_store(job.type, dither_f32_from_bits(amax[i]), job.max, job.tensor, stored);
                    const float wanted = dither_scale_load(job.type, job.tensor, stored);
                    if (got[i] != wanted || (c >= 2 && inside[i] != dither_scale_load(job.type, 1.0f, stored)))
                        fail_msg("%s %s type %d tensor %a: amax %#x gives %a, not %a", variant->isa, some[f],
                                 (int)job.type, (double)job.tensor, amax[i], (double)got[i], (double)wanted);
                }
            }
        }
}

/* The packing of every kernel of the table. */
static void every_kernel(void **state)
{
    (void)state;
    for (size_t index = 0; dither_gemm_kernel_at(index) != NULL; index++) {
        const bool s8 = dither_gemm_kernel_at(index)->element == DITHER_ELEMENT_S8;
        for (size_t a = 0; a < 2; a++) {
            const example e = {.quantizer = s8 ? "int8/g64:sr8" : "e4m3/g32e8m0:sr8",
                               .axis = a == 0 ? DITHER_AXIS_COLS : DITHER_AXIS_ROWS,
                               .rows = 201,
                               .cols = 333,
                               .magnitude = 1.0f};
            check_example(&e, index);
        }
    }
}

static void large_matrix(void **state)
{
    (void)state;
    const example e = {
        .quantizer = "int8/g128:sr8", .axis = DITHER_AXIS_ROWS, .rows = 300, .cols = 1000, .magnitude = 1};
    const example f = {
        .quantizer = "int8/row:sr16", .axis = DITHER_AXIS_COLS, .rows = 300, .cols = 1000, .magnitude = 1};
    const example g = {.quantizer = "int8/row:sr", .axis = DITHER_AXIS_ROWS, .rows = 700, .cols = 130, .magnitude = 1};
    check_example(&e, 0);
    check_example(&f, 1);
    check_example(&g, 0);
}

/* Two targets of one matrix, as of dy: their draws and their scales their own, in one call and on any threads. */
static void two_targets(void **state)
{
    (void)state;
    const example e[2] = {
        {.quantizer = "int8/row:sr8", .axis = DITHER_AXIS_COLS, .rows = 260, .cols = 580, .magnitude = 1e-4f},
        {.quantizer = "int8/g128:sr16", .axis = DITHER_AXIS_ROWS, .rows = 260, .cols = 580, .magnitude = 1e-4f}};
    float *x = guarded_last(x_room, e[0].rows * e[0].cols * sizeof *x);
    make_x(&e[0], x);
    const float *col_factor = make_factor(factor_room[1], true, e[0].cols, 3);
    for (int threads = 1; threads <= 3; threads++) {
        dither_quantizer q[2];
        dither_pack_target targets[2];
        dither_operand operands[2];
        for (size_t t = 0; t < 2; t++) {
            q[t] = parse(e[t].quantizer);
            targets[t] = (dither_pack_target){.quantizer = &q[t], .axis = e[t].axis, .draw = &draw};
            targets[t].col_factor = t == 0 ? col_factor : NULL;
            assert_true(add_operand(&q[t], &targets[t], 0, &e[t], e[t].axis, false, t, &operands[t], operand_room[t]));
        }
        const size_t bytes = dither_quantize_pack_bytes(targets, 2, e[0].rows, e[0].cols, threads);
        dither_clips clips = {0};
        assert_int_equal(dither_quantize_pack(x, e[0].rows, e[0].cols, targets, 2, guarded_last(scratch_room, bytes),
                                              &clips, threads),
                         DITHER_OK);
        assert_int_equal(clips.elements, 2 * e[0].rows * e[0].cols);
        for (size_t t = 0; t < 2; t++) {
            expectation want;
            assert_int_equal(expect(&e[t], &q[t], x, NULL, targets[t].col_factor, &want), DITHER_OK);
            check_operand(&want, &operands[t], e[t].axis, false, e[t].quantizer);
        }
    }
}

/* One set of codes in two operands of different elements, as W's with act=bf16. */
static void one_target_two_elements(void **state)
{
    (void)state;
    const example e = {.quantizer = "int8/row:sr", .axis = DITHER_AXIS_COLS, .rows = 97, .cols = 330, .magnitude = 1};
    const dither_quantizer q = parse(e.quantizer);
    float *x = guarded_last(x_room, e.rows * e.cols * sizeof *x);
    make_x(&e, x);
    expectation want;
    assert_int_equal(expect(&e, &q, x, NULL, NULL, &want), DITHER_OK);
    dither_pack_target target = {.quantizer = &q, .axis = e.axis, .draw = &draw};
    static const dither_element elements[2] = {DITHER_ELEMENT_BF16, DITHER_ELEMENT_S8};
    dither_operand operands[2];
    for (size_t o = 0; o < 2; o++) {
        const dither_gemm_kernel *kernel = dither_gemm_select(elements[o], 0, 0);
        const dither_axis axis = o == 0 ? DITHER_AXIS_COLS : DITHER_AXIS_ROWS;
        const size_t rows = o == 0 ? e.rows : e.cols, k = o == 0 ? e.cols : e.rows;
        dither_operand_init(&operands[o], kernel, DITHER_SIDE_B, rows, k, 0,
                            guarded_last(operand_room[o], dither_operand_bytes(kernel, DITHER_SIDE_B, rows, k, 0)));
        target.operand[o] = &operands[o];
        target.operand_axis[o] = axis;
        target.bare[o] = o == 1;
    }
    const size_t bytes = dither_quantize_pack_bytes(&target, 1, e.rows, e.cols, 2);
    assert_int_equal(dither_quantize_pack(x, e.rows, e.cols, &target, 1, guarded_last(scratch_room, bytes), NULL, 2),
                     DITHER_OK);
    for (size_t o = 0; o < 2; o++) {
        check_operand(&want, &operands[o], target.operand_axis[o], target.bare[o], o == 0 ? "bf16" : "s8");
        dither_codes_pack(&want.codes, target.operand_axis[o], target.bare[o], &operands[o], 2);
        check_operand(&want, &operands[o], target.operand_axis[o], target.bare[o], "from codes");
    }
}

/* Group scales multiplied into one operand and left out of the other. */
static void one_target_bare_and_not(void **state)
{
    (void)state;
    const example e = {
        .quantizer = "e2m1/g16e4m3:sr8", .axis = DITHER_AXIS_COLS, .rows = 40, .cols = 90, .magnitude = 1};
    const dither_quantizer q = parse(e.quantizer);
    float *x = guarded_last(x_room, e.rows * e.cols * sizeof *x);
    make_x(&e, x);
    expectation want;
    assert_int_equal(expect(&e, &q, x, NULL, NULL, &want), DITHER_OK);
    dither_pack_target target = {.quantizer = &q, .axis = e.axis, .draw = &draw};
    dither_operand operands[2];
    for (size_t o = 0; o < 2; o++)
        assert_true(add_operand(&q, &target, o, &e, DITHER_AXIS_COLS, o == 1, 0, &operands[o], operand_room[o]));
    const size_t bytes = dither_quantize_pack_bytes(&target, 1, e.rows, e.cols, 2);
    dither_clips clips = {0};
    assert_int_equal(dither_quantize_pack(x, e.rows, e.cols, &target, 1, guarded_last(scratch_room, bytes), &clips, 2),
                     DITHER_OK);
    assert_int_equal(clips.elements, e.rows * e.cols);
    for (size_t o = 0; o < 2; o++)
        check_operand(&want, &operands[o], DITHER_AXIS_COLS, o == 1, o == 1 ? "bare" : "with scales");
}

static void refuses_nan_and_inf(void **state)
{
    (void)state;
    static const char *const some[] = {"int8/row:sr8", "int8/g128",       "int8", "int8/tensor", "bf16", "bf16:sr8",
                                       "e4m3/g32e8m0", "e2m1/g16e4m3:sr", "e4m3"};
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    for (size_t v = 0; dither_quantize_rows_at(v) != NULL; v++) {
        const dither_quantize_rows *variant = dither_quantize_rows_at(v);
        for (size_t s = 0; runs_here(variant) && s < COUNT(some); s++)
            for (size_t b = 0; b < COUNT(bad); b++) {
                const example e = {
                    .quantizer = some[s], .axis = (dither_axis)(s % 2), .rows = 70, .cols = 300, .magnitude = 1};
                const dither_quantizer q = parse(some[s]);
                float *x = guarded_last(x_room, e.rows * e.cols * sizeof *x);
                make_x(&e, x);
                dither_operand operand;
                dither_pack_target target = {.quantizer = &q, .axis = e.axis, .draw = &draw};
                assert_true(add_operand(&q, &target, 0, &e, e.axis, false, 0, &operand, operand_room[0]));
                void *scratch = guarded_last(scratch_room, dither_quantize_pack_bytes(&target, 1, e.rows, e.cols, 1));
                assert_int_equal(dither_quantize_pack_with(variant, x, e.rows, e.cols, &target, 1, scratch, NULL, 1),
                                 DITHER_OK);
                x[(67 * s + b) % e.rows * e.cols + (299 - 41 * b)] = bad[b];
                assert_int_equal(dither_quantize_pack_with(variant, x, e.rows, e.cols, &target, 1, scratch, NULL, 1),
                                 DITHER_E_NUMERIC);
            }
    }
}

/* Values beyond an unscaled format are counted, as the definition counts them. */
static void counts_clips(void **state)
{
    (void)state;
    static const char *const some[] = {"int4", "e2m1:sr8", "int8:sr", "bf16:sr8", "bf16"};
    for (size_t s = 0; s < COUNT(some); s++) {
        const example e = {.quantizer = some[s],
                           .axis = DITHER_AXIS_COLS,
                           .rows = 40,
                           .cols = 330,
                           .magnitude = some[s][0] == 'b' ? 0x1.fffp122f : 30.0f};
        check_example(&e, 0);
        example largest = e; /* bf16's largest value itself is none */
        largest.magnitude = 0x1.fep122f;
        if (some[s][0] == 'b')
            check_example(&largest, 0);
    }
}

static int open_and_say(void **state)
{
    for (size_t v = 0; dither_quantize_rows_at(v) != NULL; v++)
        if (!runs_here(dither_quantize_rows_at(v)))
            print_message("skipped: %s does not run on this processor\n", dither_quantize_rows_at(v)->isa);
    return open_rooms(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_the_definition),
        cmocka_unit_test(hot_quantizers),
        cmocka_unit_test(where_roundings_turn),
        cmocka_unit_test(extreme_magnitudes),
        cmocka_unit_test(scales_in_bulk),
        cmocka_unit_test(every_kernel),
        cmocka_unit_test(large_matrix),
        cmocka_unit_test(two_targets),
        cmocka_unit_test(one_target_two_elements),
        cmocka_unit_test(one_target_bare_and_not),
        cmocka_unit_test(refuses_nan_and_inf),
        cmocka_unit_test(counts_clips),
    };
    return cmocka_run_group_tests(tests, open_and_say, NULL);
}
