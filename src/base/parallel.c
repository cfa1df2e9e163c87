#include "base/parallel.h"

#include <omp.h>
#include <sched.h>

int dither_cores(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set))
        return 1;
    const int count = CPU_COUNT(&set);
    return count > 0 ? count : 1;
}

void dither_parallel_for(int threads, size_t count, void (*body)(void *context, size_t index, int thread), void *context)
{
    if (threads <= 1 || count <= 1 || omp_in_parallel()) {
        for (size_t i = 0; i < count; i++)
            body(context, i, 0);
        return;
    }
#pragma omp parallel for num_threads(threads) schedule(dynamic, 1)
    for (size_t i = 0; i < count; i++)
        body(context, i, omp_get_thread_num());
}
