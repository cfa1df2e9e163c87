#include "study/advice_rows.h"

#include <math.h>

#include "train/train_options.h"

static double factor(double ratio, double a, double c)
{
    return isinf(ratio) ? a / c : (1 + a * ratio) / (1 + c * ratio);
}

dither_interval dither_advice_factor(dither_interval s2, dither_interval q2, double a, double c)
{
    const double least = fmax(q2.low, 0) / s2.high, most = q2.high / fmax(s2.low, 0);
    return (dither_interval){factor(q2.value / s2.value, a, c), factor(least, a, c), factor(most, a, c)};
}

void dither_advice_row_noise(dither_advice_row *row, dither_interval s2, double batch, double lr, double momentum)
{
    const dither_interval q2 = row->q2;
    const double each = lr / (4 * (1 - momentum) * batch);
    if (q2.high == 0) { /* no draws: exactly nothing, however well s2 is known */
        row->noise = (dither_interval){0, 0, 0};
        row->factor = row->bit_factor = (dither_interval){1, 1, 1};
        row->sgd_lr = INFINITY;
        row->sgd_excess = 0;
        return;
    }
    row->noise = (dither_interval){q2.value / s2.value, fmax(q2.low, 0) / s2.high, q2.high / fmax(s2.low, 0)};
    row->factor = dither_advice_factor(s2, q2, 1, 0);
    row->bit_factor = dither_advice_factor(s2, q2, 4, 1);
    row->sgd_excess = each * q2.value;
    row->sgd_lr = DITHER_ADVICE_NATS * 4 * (1 - momentum) * batch / q2.value;
}

void dither_advice_row_shape(dither_advice_row *row, double sequences, uint64_t most)
{
    const double largest = (double)most * DITHER_ACCUMULATE_MAX;
    const uint64_t wanted = (uint64_t)round(fmin(fmax(sequences, 1), largest));
    row->accumulate = (wanted + most - 1) / most;
    row->batch = (wanted + row->accumulate - 1) / row->accumulate;
}

void dither_advice_row_time(dither_advice_row *row, uint64_t batch, uint64_t steps, double hours)
{
    /* By the factor itself, so that rounding to whole sequences favours none. */
    const double wanted = row->factor.value * (double)batch, taken = (double)(row->batch * row->accumulate);
    row->seconds = (double)steps * row->step_s * wanted / taken;
    row->steps = hours > 0 ? (uint64_t)fmin(floor(hours * 3600 / row->step_s), UINT32_MAX) : steps;
}

size_t dither_advice_best(const dither_advice_row *rows, size_t count)
{
    size_t best = count;
    for (size_t i = 0; i < count; i++) {
        const bool may = rows[i].fits && !(rows[i].bias.low > DITHER_ADVICE_BIAS);
        if (may && (best == count || rows[i].seconds < rows[best].seconds))
            best = i;
    }
    return best;
}
