#include "train/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "kernel/gemm_f32.h"

uint64_t dither_memory_resident(void)
{
    unsigned long long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file)
        return 0;
    if (fscanf(file, "%*u %llu", &pages) != 1)
        pages = 0;
    (void)fclose(file);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* getrusage(2) knows it too, but counts what the process was before it became this program: a large parent's memory. */
uint64_t dither_memory_peak(void)
{
    char line[128];
    unsigned long long kilobytes = 0;
    struct rusage usage;
    FILE *file = fopen("/proc/self/status", "r");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "VmHWM: %llu", &kilobytes) == 1)
            break;
    if (file)
        (void)fclose(file);
    if (!kilobytes && !getrusage(RUSAGE_SELF, &usage))
        kilobytes = (unsigned long long)usage.ru_maxrss;
    return (uint64_t)kilobytes * 1024;
}

void dither_memory_forget_peak(void)
{
    /* proc(5): the high-water mark starts again from what is resident now. Where it cannot, the peak stays. */
    FILE *file = fopen("/proc/self/clear_refs", "w");
    if (file && fputs("5", file) == EOF)
        clearerr(file);
    if (file)
        (void)fclose(file);
}

static uint64_t first_number(const char *path)
{
    unsigned long long value = 0;
    FILE *file = fopen(path, "r");
    if (!file)
        return UINT64_MAX;
    if (fscanf(file, "%llu", &value) != 1)
        value = UINT64_MAX; /* "max": no limit */
    (void)fclose(file);
    return value;
}

static uint64_t free_memory(void)
{
    char line[128];
    unsigned long long kilobytes = 0;
    FILE *file = fopen("/proc/meminfo", "r");
    if (!file)
        return UINT64_MAX;
    while (fgets(line, sizeof line, file))
        if (sscanf(line, "MemAvailable: %llu", &kilobytes) == 1)
            break;
    (void)fclose(file);
    return kilobytes ? kilobytes * 1024 : UINT64_MAX;
}

uint64_t dither_memory_available(void)
{
    const uint64_t free_bytes = free_memory();
    uint64_t limit = first_number("/sys/fs/cgroup/memory.max");
    const uint64_t old_limit = first_number("/sys/fs/cgroup/memory/memory.limit_in_bytes");
    if (old_limit < limit)
        limit = old_limit;
    const uint64_t all = free_bytes == UINT64_MAX ? free_bytes : free_bytes + dither_memory_resident();
    return all < limit ? all : limit;
}

void dither_memory_warm(int threads)
{
    const size_t n = 512;
    float *block = calloc(3 * n * n, sizeof *block);
    if (block)
        dither_gemm_f32(DITHER_GEMM_NT, n, n, n, block, block + n * n, block + 2 * n * n, false, threads);
    free(block);
}
