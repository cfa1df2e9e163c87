#include "study/draw_figures.h"

#include <math.h>

double dither_draw_cosine(const dither_draw_products *products)
{
    const dither_draw_products *p = products;
    return (p->tt + p->et) / sqrt(p->tt * (p->tt + 2 * p->et + p->ee));
}

void dither_draw_figures_add(dither_draw_figures *figures, const dither_draw_products *products)
{
    dither_draw_figures *f = figures;
    const dither_draw_products *p = products;
    const double before = (double)f->draws;
    f->draws++;
    dither_running_mean_add(&f->error2, p->ee);
    dither_running_mean_add(&f->cosine, dither_draw_cosine(p));
    if (before == 0)
        return;
    dither_running_mean_add(&f->variance, before / (before + 1) * (p->ee - 2 * p->em + p->mm));
    /* The mean and its squares with weights: West 1979. */
    const double from = p->em - f->bias2;
    f->weight += before;
    f->bias2 += from * before / f->weight;
    f->square += before * from * (p->em - f->bias2);
}

dither_interval dither_draw_figures_bias2(const dither_draw_figures *figures)
{
    const dither_draw_figures *f = figures;
    if (f->draws < 2)
        return (dither_interval){NAN, NAN, NAN};
    if (f->draws < 3)
        return (dither_interval){f->bias2, -INFINITY, INFINITY};
    const double n = (double)f->draws, steps = n - 1;
    const double trace = f->variance.square / (steps - 1) / 2; /* tr C^2 */
    /* E square / weight = b'C b (n - 2) / n + tr C^2 2 (n - 2) / (n (n - 1)), the weights being r - 1 */
    const double along = fmax(f->square / f->weight * n / (n - 2) - trace * 2 / (n - 1), 0);
    const double half = dither_student_t(f->draws - 2) * sqrt(4 * along / n + 2 * trace / (n * (n - 1)));
    return (dither_interval){f->bias2, f->bias2 - half, f->bias2 + half};
}
