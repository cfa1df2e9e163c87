/* Detection agrees with the compiler's own, and masks hide exactly what is above them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "dither/cpu.h"

static void test_unmasked(void **state)
{
    (void)state;
    const dither_cpu cpu = dither_cpu_detect(NULL);
    assert_non_null(cpu.level);
    assert_true(cpu.model[0] != '\0');
    assert_non_null(memchr(cpu.model, '\0', sizeof cpu.model));
    /* A variable that is set to nothing hides nothing. */
    const dither_cpu unset = dither_cpu_detect("");
    assert_string_equal(unset.level, cpu.level);
    assert_int_equal(unset.features, cpu.features);
    /* A mask that names the level found hides nothing. */
    const dither_cpu same = dither_cpu_detect(cpu.level);
    assert_string_equal(same.level, cpu.level);
    assert_int_equal(same.features, cpu.features);
}

static void test_ref_hides_everything(void **state)
{
    (void)state;
    const dither_cpu cpu = dither_cpu_detect("ref");
    assert_string_equal(cpu.level, "ref");
    assert_int_equal(cpu.features, 0);
}

static void test_unknown_mask(void **state)
{
    (void)state;
    static const char *const unknown[] = {" ", "sse9", "AVX2", "avx", "avx5122"};
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++)
        assert_null(dither_cpu_detect(unknown[i]).level);
}

static void test_feature_names(void **state)
{
    (void)state;
    int count = 0;
    for (; dither_cpu_feature_name(count) != NULL; count++)
        for (int other = 0; other < count; other++)
            assert_string_not_equal(dither_cpu_feature_name(other), dither_cpu_feature_name(count));
    assert_true(1u << (count - 1) == DITHER_CPU_BF16);
    assert_null(dither_cpu_feature_name(-1));
    assert_string_equal(dither_cpu_feature_name(0), "avx2");
    assert_string_equal(dither_cpu_feature_name(9), "neon");
}

#if defined(__x86_64__)
/* Whether this process may use AMX tiles; only a kernel that knows them says so. */
static bool tiles_permitted(void)
{
    enum { ARCH_GET_XCOMP_PERM = 0x1022, XFEATURE_XTILEDATA = 18 };
    uint64_t permitted = 0;
    return syscall(SYS_arch_prctl, ARCH_GET_XCOMP_PERM, &permitted) == 0 && (permitted >> XFEATURE_XTILEDATA & 1) != 0;
}

/* The first test: a permission, once given, stays. */
static void test_masked_tiles_are_not_asked_for(void **state)
{
    (void)state;
    (void)dither_cpu_detect("avx512");
    (void)dither_cpu_detect("ref");
    assert_false(tiles_permitted());
    assert_int_equal((dither_cpu_detect(NULL).features & DITHER_CPU_AMX_INT8) != 0, tiles_permitted());
}

static bool has(const dither_cpu *cpu, uint32_t features)
{
    return (cpu->features & features) == features;
}

/* The compiler's run-time checks XCR0 too: an independent reading of the same registers. */
static void test_agrees_with_the_compiler(void **state)
{
    (void)state;
    __builtin_cpu_init();
    const dither_cpu cpu = dither_cpu_detect(NULL);
    assert_int_equal(has(&cpu, DITHER_CPU_AVX2), __builtin_cpu_supports("avx2") != 0);
    assert_int_equal(has(&cpu, DITHER_CPU_FMA), __builtin_cpu_supports("fma") != 0);
    const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                        __builtin_cpu_supports("avx512cd");
    assert_int_equal(has(&cpu, DITHER_CPU_AVX512), avx512);
    assert_int_equal(has(&cpu, DITHER_CPU_AVX512_VNNI), avx512 && __builtin_cpu_supports("avx512vnni"));
    assert_int_equal(has(&cpu, DITHER_CPU_AVX512_BF16), avx512 && __builtin_cpu_supports("avx512bf16"));
}

static void test_masks_hide_what_is_above(void **state)
{
    (void)state;
    const uint32_t amx = DITHER_CPU_AMX_INT8 | DITHER_CPU_AMX_BF16;
    const uint32_t avx512 = DITHER_CPU_AVX512 | DITHER_CPU_AVX512_VNNI | DITHER_CPU_AVX512_BF16;
    const uint32_t all = dither_cpu_detect(NULL).features;
    assert_int_equal(dither_cpu_detect("amx").features, all);
    assert_int_equal(dither_cpu_detect("avx512").features, all & ~amx);
    const dither_cpu vnni = dither_cpu_detect("avxvnni");
    assert_int_equal(vnni.features, all & ~(amx | avx512));
    const dither_cpu avx2 = dither_cpu_detect("avx2");
    assert_int_equal(avx2.features, all & ~(amx | avx512 | DITHER_CPU_AVX_VNNI));
    assert_string_equal(vnni.level, has(&vnni, DITHER_CPU_AVX_VNNI) ? "avxvnni" : avx2.level);
    assert_string_equal(avx2.level, has(&avx2, DITHER_CPU_AVX2 | DITHER_CPU_FMA | DITHER_CPU_F16C) ? "avx2" : "ref");
    assert_null(dither_cpu_detect("neon").level);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
#if defined(__x86_64__)
        cmocka_unit_test(test_masked_tiles_are_not_asked_for),
#endif
        cmocka_unit_test(test_unmasked),
        cmocka_unit_test(test_ref_hides_everything),
        cmocka_unit_test(test_unknown_mask),
        cmocka_unit_test(test_feature_names),
#if defined(__x86_64__)
        cmocka_unit_test(test_agrees_with_the_compiler),
        cmocka_unit_test(test_masks_hide_what_is_above),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
