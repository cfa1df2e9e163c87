#include "study/limits.h"

#include <math.h>

double dither_limit(void)
{
    return sqrt(2.0 * log(2.0 * DITHER_LIMIT_TESTS / DITHER_LIMIT_ALARMS));
}

/* q ln(q / (1/2)), which tends to 0 with q. */
static double divergence_term(double q)
{
    return q > 0.0 ? q * log(2.0 * q) : 0.0;
}

double dither_score_even(uint64_t successes, uint64_t n)
{
    if (n == 0)
        return 0.0;
    const double q = (double)successes / (double)n;
    const double exponent = (double)n * (divergence_term(q) + divergence_term(1.0 - q));
    return sqrt(2.0 * fmax(exponent, 0.0));
}

double dither_score_sum(double sum, double variance, double most)
{
    const double t = fabs(sum), spread = variance + most * t / 3.0;
    return spread > 0.0 ? t / sqrt(spread) : 0.0;
}
