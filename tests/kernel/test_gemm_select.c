/*
 * The choice of a microkernel: for every set of features and every group, and the promises of gemm_kernel.h that hold
 * for all rows of the table.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "kernel/gemm_kernel.h"

enum { FEATURES = 13, GROUP_MAX = 4 * DITHER_K_STEP };

static const dither_element elements[] = {DITHER_ELEMENT_S8, DITHER_ELEMENT_BF16};

static size_t index_of(const dither_gemm_kernel *kernel)
{
    for (size_t at = 0; dither_gemm_kernel_at(at) != NULL; at++)
        if (dither_gemm_kernel_at(at) == kernel)
            return at;
    fail_msg("a kernel that is not in the table");
    return 0;
}

static bool serves(const dither_gemm_kernel *kernel, dither_element element, uint32_t features, size_t group)
{
    return kernel->element == element && (kernel->needs & ~features) == 0 && group % kernel->k_step == 0;
}

/* ---- the table ------------------------------------------------------------------------------------------------- */

static void check_packing(const dither_gemm_kernel *kernel, const dither_packing *packing, size_t panel)
{
    assert_int_equal(packing->panel, panel);
    assert_true(packing->unit > 0);
    assert_int_equal(kernel->k_step % packing->unit, 0);
    assert_true(packing->flip == 0 || packing->flip == 0x80);
}

static void test_rows(void **state)
{
    (void)state;
    size_t at = 0;
    for (; dither_gemm_kernel_at(at) != NULL; at++) {
        const dither_gemm_kernel *kernel = dither_gemm_kernel_at(at);
        const bool s8 = kernel->element == DITHER_ELEMENT_S8;
        assert_true(s8 || kernel->element == DITHER_ELEMENT_BF16);
        assert_true(kernel->m > 0 && kernel->m <= DITHER_TILE_M);
        assert_true(kernel->n > 0 && kernel->n <= DITHER_TILE_N);
        assert_true(kernel->k_step > 0 && DITHER_K_STEP % kernel->k_step == 0);
        check_packing(kernel, &kernel->a, kernel->m);
        check_packing(kernel, &kernel->b, kernel->n);
        /* A stored as unsigned needs B's sums; B is never stored so. */
        assert_true(kernel->sums || kernel->a.flip == 0);
        assert_int_equal(kernel->b.flip, 0);
        assert_int_equal(kernel->sum != NULL, kernel->sums);
        assert_true(s8 || !kernel->sums);
        assert_non_null(kernel->f32);
        assert_int_equal(kernel->s32 != NULL, s8);
        assert_int_equal(kernel->needs >> FEATURES, 0);
        for (size_t other = 0; other < at; other++)
            assert_true(dither_gemm_kernel_at(other)->element != kernel->element ||
                        strcmp(dither_gemm_kernel_at(other)->isa, kernel->isa) != 0);
    }
    assert_null(dither_gemm_kernel_at(at + 1));
    assert_null(dither_gemm_kernel_at(SIZE_MAX));
}

/* There is a processor and a group for every row. Portable C is the last of its element and alone runs everywhere. */
static void test_every_row_is_reached(void **state)
{
    (void)state;
    for (size_t e = 0; e < sizeof elements / sizeof elements[0]; e++) {
        const dither_gemm_kernel *last = NULL;
        int portable = 0;
        for (size_t at = 0; dither_gemm_kernel_at(at) != NULL; at++) {
            const dither_gemm_kernel *kernel = dither_gemm_kernel_at(at);
            if (kernel->element != elements[e])
                continue;
            const dither_gemm_kernel *chosen = dither_gemm_select(elements[e], kernel->needs, kernel->k_step);
            if (chosen != kernel)
                fail_msg("row %zu, %s, is hidden by %s", at, kernel->isa, chosen->isa);
            portable += kernel->needs == 0;
            last = kernel;
        }
        assert_int_equal(portable, 1);
        assert_non_null(last);
        assert_string_equal(last->isa, "ref");
        assert_int_equal(last->needs, 0);
        assert_int_equal(last->k_step, 1);
    }
}

/* ---- the choice ------------------------------------------------------------------------------------------------ */

/* The first row that serves; so a feature more, or a group twice as long, never gives a later one. */
static void check_choice(dither_element element, uint32_t features, size_t group)
{
    const dither_gemm_kernel *chosen = dither_gemm_select(element, features, group);
    assert_non_null(chosen);
    const size_t at = index_of(chosen);
    if (!serves(chosen, element, features, group))
        fail_msg("features %x, group %zu: %s does not run", features, group, chosen->isa);
    for (size_t before = 0; before < at; before++)
        if (serves(dither_gemm_kernel_at(before), element, features, group))
            fail_msg("features %x, group %zu: %s, but row %zu comes before it", features, group, chosen->isa, before);
}

static void test_every_mask(void **state)
{
    (void)state;
    /* 0: one scale for all of k. */
    static const size_t groups[] = {0, 1, 2, 3, 4, 8, 16, 32, 64, 96, 100, 128, 1000, DITHER_S8_K_MAX};
    for (uint32_t features = 0; features < 1u << FEATURES; features++)
        for (size_t e = 0; e < sizeof elements / sizeof elements[0]; e++)
            for (size_t g = 0; g < sizeof groups / sizeof groups[0]; g++)
                check_choice(elements[e], features, groups[g]);
    for (size_t group = 0; group <= GROUP_MAX; group++)
        for (size_t e = 0; e < sizeof elements / sizeof elements[0]; e++)
            check_choice(elements[e], ~0u, group);
}

/* The same answer at any time: nothing is remembered from one call to the next. */
static void test_pure(void **state)
{
    (void)state;
    enum { MASKS = 1 << FEATURES };
    static const dither_gemm_kernel *first[2][MASKS];
    for (uint32_t features = 0; features < MASKS; features++)
        for (size_t e = 0; e < 2; e++)
            first[e][features] = dither_gemm_select(elements[e], features, DITHER_K_STEP);
    for (uint32_t features = MASKS; features-- > 0;)
        for (size_t e = 2; e-- > 0;) {
            (void)dither_gemm_select(elements[1 - e], ~features, 1);
            assert_ptr_equal(dither_gemm_select(elements[e], features, DITHER_K_STEP), first[e][features]);
        }
}

static void test_levels_of_this_processor(void **state)
{
    (void)state;
    static const char *const levels[] = {"", "amx", "avx512", "avxvnni", "avx2", "i8mm", "dotprod", "neon", "ref"};
    for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++) {
        const dither_cpu cpu = dither_cpu_detect(levels[i]);
        if (cpu.level == NULL)
            continue; /* of another architecture */
        for (size_t e = 0; e < sizeof elements / sizeof elements[0]; e++) {
            check_choice(elements[e], cpu.features, 2 * DITHER_K_STEP);
            const dither_gemm_kernel *chosen = dither_gemm_select(elements[e], cpu.features, 2 * DITHER_K_STEP);
            print_message("%-8s %-4s %s\n", levels[i], e == 0 ? "s8" : "bf16", chosen->isa);
            assert_true(strcmp(levels[i], "ref") != 0 || strcmp(chosen->isa, "ref") == 0);
        }
    }
}

/* ---- by name --------------------------------------------------------------------------------------------------- */

typedef struct processor {
    const char *what;
    uint32_t features;
    size_t group;
    const char *s8, *bf16;
} processor;

enum {
    AVX2 = DITHER_CPU_AVX2 | DITHER_CPU_FMA | DITHER_CPU_F16C,
    AVX512 = AVX2 | DITHER_CPU_AVX512,
    VNNI512 = AVX512 | DITHER_CPU_AVX512_VNNI,
    BF16_512 = VNNI512 | DITHER_CPU_AVX512_BF16,
    AMX = BF16_512 | DITHER_CPU_AVX_VNNI | DITHER_CPU_AMX_INT8 | DITHER_CPU_AMX_BF16,
    NEON = DITHER_CPU_NEON,
    DOTPROD = NEON | DITHER_CPU_DOTPROD,
    I8MM = DOTPROD | DITHER_CPU_I8MM
};

static const processor processors[] = {
    {"nothing", 0, 128, "ref", "ref"},
#if defined(__x86_64__)
    {"AVX2", AVX2, 128, "avx2", "avx2"},
    {"AVX2 without FMA", DITHER_CPU_AVX2, 128, "ref", "ref"},
    {"AVX-VNNI", AVX2 | DITHER_CPU_AVX_VNNI, 128, "avxvnni", "avx2"},
    {"AVX-512 without VNNI", AVX512, 128, "avx2", "avx512"},
    {"AVX-512 with the VNNI of AVX alone", AVX512 | DITHER_CPU_AVX_VNNI, 128, "avxvnni", "avx512"},
    {"VNNI without AVX-512", AVX2 | DITHER_CPU_AVX512_VNNI, 128, "avx2", "avx2"},
    {"AVX-512 VNNI", VNNI512, 128, "avx512vnni", "avx512"},
    {"AVX-512 VNNI and BF16", BF16_512, 128, "avx512vnni", "avx512bf16"},
    {"AMX", AMX, 128, "amx", "amx"},
    {"AMX int8 without AMX bf16", AMX & ~DITHER_CPU_AMX_BF16, 128, "amx", "avx512bf16"},
    {"AMX bf16 without AMX int8", AMX & ~DITHER_CPU_AMX_INT8, 128, "avx512vnni", "amx"},
    {"AMX, one scale for all of k", AMX, 0, "amx", "amx"},
    {"AMX, groups of 32", AMX, 32, "avx512vnni", "amx"},
    {"AMX, groups of 16", AMX, 16, "avx512vnni", "avx512bf16"},
    {"AMX, groups of 1", AMX, 1, "ref", "ref"},
    {"features of another architecture", DITHER_CPU_BF16 | I8MM, 128, "ref", "ref"},
#elif defined(__aarch64__)
    {"NEON", NEON, 128, "neon", "neon"},
    {"dot products", DOTPROD, 128, "dotprod", "neon"},
    {"i8mm", I8MM, 128, "i8mm", "neon"},
    {"i8mm and bf16", I8MM | DITHER_CPU_BF16, 128, "i8mm", "armbf16"},
    {"bf16 without i8mm", DOTPROD | DITHER_CPU_BF16, 128, "dotprod", "armbf16"},
    {"features of another architecture", AMX, 128, "ref", "ref"},
#endif
};

static void test_by_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof processors / sizeof processors[0]; i++) {
        const processor *p = &processors[i];
        const char *s8 = dither_gemm_select(DITHER_ELEMENT_S8, p->features, p->group)->isa;
        const char *bf16 = dither_gemm_select(DITHER_ELEMENT_BF16, p->features, p->group)->isa;
        if (strcmp(s8, p->s8) != 0 || strcmp(bf16, p->bf16) != 0)
            fail_msg("%s: s8 %s, not %s; bf16 %s, not %s", p->what, s8, p->s8, bf16, p->bf16);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),       cmocka_unit_test(test_every_row_is_reached),
        cmocka_unit_test(test_every_mask), cmocka_unit_test(test_pure),
        cmocka_unit_test(test_by_name),    cmocka_unit_test(test_levels_of_this_processor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
