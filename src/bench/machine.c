#include "bench/machine.h"

#include <stdlib.h>

#include "base/fail.h"
#include "base/parallel.h"

enum { THREADS_MOST = 1024, REPEATS_LEAST = 5, REPEATS_MOST = 400 };

dither_status dither_bench_threads(int asked, int *threads, dither_error *error)
{
    *threads = asked > 0 ? asked : dither_cores();
    if (*threads > THREADS_MOST)
        return dither_fail(error, DITHER_E_USAGE, "--threads", "%d; at most %d", asked, THREADS_MOST);
    if (!dither_cpu_active()->level)
        return dither_cpu_check(error);
    return DITHER_OK;
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

dither_timing dither_bench_repeat(double seconds, void (*body)(void *context), void *context)
{
    double took[REPEATS_MOST], sum = 0;
    size_t count = 0;
    body(context);
    while (count < REPEATS_MOST && (count < REPEATS_LEAST || sum < seconds)) {
        const int64_t begun = dither_profile_now();
        body(context);
        took[count] = 1e-9 * (double)(dither_profile_now() - begun);
        sum += took[count++];
    }
    qsort(took, count, sizeof took[0], by_size);
    const double median = count % 2 ? took[count / 2] : (took[count / 2 - 1] + took[count / 2]) / 2;
    return (dither_timing){.median = median, .best = took[0]};
}
