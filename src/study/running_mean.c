#include "study/running_mean.h"

#include <assert.h>
#include <math.h>

void dither_running_mean_add(dither_running_mean *running, double x)
{
    const double from = x - running->mean;
    running->count++;
    running->mean += from / (double)running->count;
    running->square += from * (x - running->mean);
}

/* Few degrees from a table, many by the expansion around the normal quantile (Abramowitz & Stegun 26.7.5). */
double dither_student_t(uint64_t degrees)
{
    static const double few[] = {12.706205, 4.302653, 3.182446, 2.776445, 2.570582, 2.446912, 2.364624, 2.306004,
                                 2.262157,  2.228139, 2.200985, 2.178813, 2.160369, 2.144787, 2.131450, 2.119905,
                                 2.109816,  2.100922, 2.093024, 2.085963};
    assert(degrees > 0);
    if (degrees <= sizeof few / sizeof few[0])
        return few[degrees - 1];
    const double z = 1.959963985, n = (double)degrees, z2 = z * z;
    return z + z * (z2 + 1) / (4 * n) + z * ((5 * z2 + 16) * z2 + 3) / (96 * n * n) +
           z * (((3 * z2 + 19) * z2 + 17) * z2 - 15) / (384 * n * n * n);
}

dither_interval dither_running_mean_interval(const dither_running_mean *running)
{
    if (!running->count)
        return (dither_interval){NAN, NAN, NAN};
    double half = INFINITY;
    if (running->count > 1) {
        const double n = (double)running->count;
        half = dither_student_t(running->count - 1) * sqrt(running->square / ((n - 1) * n));
    }
    return (dither_interval){running->mean, running->mean - half, running->mean + half};
}
