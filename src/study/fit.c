#include "study/fit.h"

#include <math.h>

#include "study/running_mean.h"

bool dither_fit_powers(size_t n, const double *log2_u, const double *log2_v, const double *y, dither_fit *fit)
{
    double count = 0, mean_u = 0, mean_v = 0, mean_y = 0;
    for (size_t i = 0; i < n; i++) {
        if (!(y[i] > 0) || !isfinite(y[i]))
            continue;
        count++;
        mean_u += log2_u[i];
        mean_v += log2_v[i];
        mean_y += log2(y[i]);
    }
    if (count < 3)
        return false;
    mean_u /= count;
    mean_v /= count;
    mean_y /= count;
    double uu = 0, uv = 0, vv = 0, uy = 0, vy = 0;
    for (size_t i = 0; i < n; i++) {
        if (!(y[i] > 0) || !isfinite(y[i]))
            continue;
        const double u = log2_u[i] - mean_u, v = log2_v[i] - mean_v, up = log2(y[i]) - mean_y;
        uu += u * u;
        uv += u * v;
        vv += v * v;
        uy += u * up;
        vy += v * up;
    }
    const double determinant = uu * vv - uv * uv;
    if (!(determinant > 1e-12 * uu * vv))
        return false;
    fit->p = (uy * vv - vy * uv) / determinant;
    fit->r = (vy * uu - uy * uv) / determinant;
    fit->constant = mean_y - fit->p * mean_u - fit->r * mean_v;
    return true;
}

dither_interval dither_fit_p(const dither_fit *fits, size_t count)
{
    dither_running_mean mean = {0};
    for (size_t i = 0; i < count; i++)
        dither_running_mean_add(&mean, fits[i].p);
    return dither_running_mean_interval(&mean);
}

dither_interval dither_fit_r(const dither_fit *fits, size_t count)
{
    dither_running_mean mean = {0};
    for (size_t i = 0; i < count; i++)
        dither_running_mean_add(&mean, fits[i].r);
    return dither_running_mean_interval(&mean);
}

dither_interval dither_fit_trade(const dither_fit *fits, size_t count)
{
    dither_running_mean mean = {0};
    for (size_t i = 0; i < count; i++) {
        if (!(fits[i].r < 0))
            return (dither_interval){NAN, NAN, NAN};
        dither_running_mean_add(&mean, -fits[i].p / fits[i].r);
    }
    const dither_interval log2_factor = dither_running_mean_interval(&mean);
    return (dither_interval){exp2(log2_factor.value), exp2(log2_factor.low), exp2(log2_factor.high)};
}
