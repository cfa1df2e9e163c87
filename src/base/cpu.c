#include "dither/cpu.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "base/text.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "files are read and written as they lie in memory");

/*
 * A level needs all of `needs`; what it brings goes when a lower one is asked for. Fastest first; a processor may lack
 * a level and have the one above (AVX-512 without AVX-VNNI).
 */
typedef struct cpu_level {
    const char *name;
    uint32_t needs, brings;
} cpu_level;

static const char *const feature_names[] = {
    "avx2",        "fma",      "f16c",     "avx_vnni", "avx512",  "avx512_vnni", "avx512_bf16",
    "amx_int8",    "amx_bf16", "neon",     "dotprod",  "i8mm",    "bf16",
};

#if defined(__x86_64__)

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    NEEDS_AVX2 = DITHER_CPU_AVX2 | DITHER_CPU_FMA | DITHER_CPU_F16C,
    NEEDS_AVX512 = NEEDS_AVX2 | DITHER_CPU_AVX512,
    NEEDS_AMX = NEEDS_AVX512 | DITHER_CPU_AMX_INT8
};

static const cpu_level levels[] = {
    {"amx", NEEDS_AMX, DITHER_CPU_AMX_INT8 | DITHER_CPU_AMX_BF16},
    {"avx512", NEEDS_AVX512, DITHER_CPU_AVX512 | DITHER_CPU_AVX512_VNNI | DITHER_CPU_AVX512_BF16},
    {"avxvnni", NEEDS_AVX2 | DITHER_CPU_AVX_VNNI, DITHER_CPU_AVX_VNNI},
    {"avx2", NEEDS_AVX2, NEEDS_AVX2},
    {"ref", 0, 0},
};

/* Register state that the operating system saves (XCR0). */
enum {
    STATE_AVX = 0x6,                   /* XMM and the upper halves of YMM */
    STATE_AVX512 = STATE_AVX | 0xE0,   /* masks, upper halves of ZMM, ZMM16-31 */
    STATE_TILES = STATE_AVX512 | 0x60000
};

typedef struct cpuid_leaf {
    uint32_t eax, ebx, ecx, edx;
} cpuid_leaf;

static cpuid_leaf cpuid(uint32_t leaf, uint32_t subleaf)
{
    cpuid_leaf at = {0};
    __get_cpuid_count(leaf, subleaf, &at.eax, &at.ebx, &at.ecx, &at.edx);
    return at;
}

static uint32_t saved_state(void)
{
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

/* Linux gives a process the large tile state only when asked: Documentation/arch/x86/xstate.rst. */
static bool tiles_permitted(void)
{
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18 };
    return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0;
}

static uint32_t feature_if(uint32_t reg, int bit, uint32_t feature)
{
    return (reg >> bit & 1u) != 0 ? feature : 0;
}

/* Bits as in Intel's Software Developer's Manual, volume 2A, CPUID. */
static uint32_t machine_features(uint32_t hidden)
{
    const cpuid_leaf one = cpuid(1, 0), seven = cpuid(7, 0);
    const cpuid_leaf seven_one = seven.eax >= 1 ? cpuid(7, 1) : (cpuid_leaf){0};
    const bool osxsave = (one.ecx >> 27 & 1u) != 0;
    const uint32_t state = osxsave ? saved_state() : 0;
    uint32_t features = 0;
    if ((state & STATE_AVX) != STATE_AVX)
        return 0;
    features |= feature_if(seven.ebx, 5, DITHER_CPU_AVX2);
    features |= feature_if(one.ecx, 12, DITHER_CPU_FMA);
    features |= feature_if(one.ecx, 29, DITHER_CPU_F16C);
    features |= feature_if(seven_one.eax, 4, DITHER_CPU_AVX_VNNI);

    if ((features & NEEDS_AVX2) != NEEDS_AVX2) /* the kernels above are built on all of it */
        return features;
    const uint32_t f_dq_cd_bw_vl = 1u << 16 | 1u << 17 | 1u << 28 | 1u << 30 | 1u << 31;
    if ((state & STATE_AVX512) != STATE_AVX512 || (seven.ebx & f_dq_cd_bw_vl) != f_dq_cd_bw_vl)
        return features;
    features |= DITHER_CPU_AVX512;
    features |= feature_if(seven.ecx, 11, DITHER_CPU_AVX512_VNNI);
    features |= feature_if(seven_one.eax, 5, DITHER_CPU_AVX512_BF16);

    /* A process that is not to use the tiles does not ask for them either. */
    const bool tiles = (seven.edx >> 24 & 1u) != 0 && (hidden & DITHER_CPU_AMX_INT8) == 0;
    if (tiles && (state & STATE_TILES) == STATE_TILES && tiles_permitted()) {
        features |= feature_if(seven.edx, 22, DITHER_CPU_AMX_BF16);
        features |= feature_if(seven.edx, 25, DITHER_CPU_AMX_INT8);
    }
    return features;
}

static void machine_model(char *model, size_t size)
{
    char brand[3 * sizeof(cpuid_leaf) + 1] = {0};
    if (cpuid(0x80000000u, 0).eax >= 0x80000004u) {
        for (uint32_t i = 0; i < 3; i++) {
            const cpuid_leaf part = cpuid(0x80000002u + i, 0);
            memcpy(brand + i * sizeof part, &part, sizeof part);
        }
    }
    size_t start = strspn(brand, " "), length = strlen(brand);
    while (length > start && brand[length - 1] == ' ')
        length--;
    snprintf(model, size, "%.*s", (int)(length - start), brand + start);
}

#elif defined(__aarch64__)

#include <sys/auxv.h>

enum {
    NEEDS_NEON = DITHER_CPU_NEON,
    NEEDS_DOTPROD = NEEDS_NEON | DITHER_CPU_DOTPROD,
    NEEDS_I8MM = NEEDS_DOTPROD | DITHER_CPU_I8MM
};

static const cpu_level levels[] = {
    {"i8mm", NEEDS_I8MM, DITHER_CPU_I8MM | DITHER_CPU_BF16},
    {"dotprod", NEEDS_DOTPROD, DITHER_CPU_DOTPROD},
    {"neon", NEEDS_NEON, DITHER_CPU_NEON},
    {"ref", 0, 0},
};

/* Bits of Documentation/arch/arm64/elf_hwcaps.rst, here because older C libraries lack the newer names. */
static uint32_t machine_features(uint32_t hidden)
{
    (void)hidden;
    const unsigned long first = getauxval(AT_HWCAP), second = getauxval(AT_HWCAP2);
    uint32_t features = 0;
    features |= (first >> 1 & 1u) != 0 ? DITHER_CPU_NEON : 0;
    features |= (first >> 20 & 1u) != 0 ? DITHER_CPU_DOTPROD : 0;
    features |= (second >> 13 & 1u) != 0 ? DITHER_CPU_I8MM : 0;
    features |= (second >> 14 & 1u) != 0 ? DITHER_CPU_BF16 : 0;
    return features;
}

/* Arm cores have no name of their own; the board has. */
static void machine_model(char *model, size_t size)
{
    FILE *file = fopen("/sys/firmware/devicetree/base/model", "rb");
    if (file == NULL)
        return;
    const size_t length = fread(model, 1, size - 1, file);
    model[length] = '\0';
    fclose(file);
}

#else

static const cpu_level levels[] = {{"ref", 0, 0}};

static uint32_t machine_features(uint32_t hidden)
{
    (void)hidden;
    return 0;
}

static void machine_model(char *model, size_t size)
{
    model[size - 1] = '\0';
}

#endif

enum { LEVELS = sizeof levels / sizeof levels[0] };

dither_cpu dither_cpu_detect(const char *mask)
{
    size_t first = 0;
    uint32_t hidden = 0;
    if (mask != NULL && mask[0] != '\0')
        for (; first < LEVELS && strcmp(levels[first].name, mask) != 0; first++)
            hidden |= levels[first].brings;
    dither_cpu cpu = {.features = machine_features(hidden) & ~hidden};
    machine_model(cpu.model, sizeof cpu.model);
    if (cpu.model[0] == '\0')
        snprintf(cpu.model, sizeof cpu.model, "unknown processor");
    if (first == LEVELS)
        return cpu;
    while ((cpu.features & levels[first].needs) != levels[first].needs)
        first++;
    cpu.level = levels[first].name;
    return cpu;
}

const char *dither_cpu_level_at(const dither_cpu *cpu, size_t index, bool *has)
{
    if (index >= LEVELS)
        return NULL;
    if (has != NULL)
        *has = (cpu->features & levels[index].needs) == levels[index].needs;
    return levels[index].name;
}

dither_status dither_cpu_check(dither_error *error)
{
    const char *const mask = getenv("DITHER_CPU");
    if (mask == NULL || mask[0] == '\0')
        return DITHER_OK;
    const char *names[LEVELS];
    for (size_t i = 0; i < LEVELS; i++) {
        names[i] = levels[i].name;
        if (strcmp(names[i], mask) == 0)
            return DITHER_OK;
    }
    char all[128] = "", here[128] = "";
    const dither_cpu cpu = dither_cpu_detect(NULL);
    for (size_t i = 0; i < LEVELS; i++) {
        bool has;
        const char *const name = dither_cpu_level_at(&cpu, i, &has);
        (void)snprintf(all + strlen(all), sizeof all - strlen(all), "%s%s", i > 0 ? ", " : "", name);
        if (has)
            (void)snprintf(here + strlen(here), sizeof here - strlen(here), "%s%s", here[0] != '\0' ? ", " : "", name);
    }
    const char *const near = dither_text_nearest(mask, names, LEVELS);
    return dither_fail(error, DITHER_E_USAGE, "DITHER_CPU", "no such level as \"%.40s\"%s%s%s; the levels are %s, "
                       "of which this machine has %s", mask, near != NULL ? "; did you mean " : "",
                       near != NULL ? near : "", near != NULL ? "?" : "", all, here);
}

static dither_cpu active;

static void detect_active(void)
{
    active = dither_cpu_detect(getenv("DITHER_CPU"));
}

const dither_cpu *dither_cpu_active(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, detect_active);
    return &active;
}

const char *dither_cpu_feature_name(int bit)
{
    const int count = sizeof feature_names / sizeof feature_names[0];
    return bit >= 0 && bit < count ? feature_names[bit] : NULL;
}
