/*
 * Bias and variance of a vector, from independent draws that are seen one after another and not kept. With e_r the
 * error of draw r of R and m_r the mean error of the draws before it:
 *
 *     variance   mean over r > 1 of h_r = (r - 1) / r |e_r - m_r|^2            = (sum |e_r|^2 - R |m|^2) / (R - 1)
 *     bias2      sum (r - 1) y_r / sum (r - 1), y_r = e_r.m_r                  = |m|^2 - variance / R
 *     error2     mean of |e_r|^2                                               = bias2 + variance
 *
 * with m the mean of all R errors. h_r are Helmert's steps: of Gaussian draws they are independent of each other, so
 * the mean has Student's interval. bias2 is the mean of e_r.e_s over all pairs r > s, whose variance is
 *
 *     4 b'C b / R + 2 tr C^2 / (R (R - 1))          b = E e, C the covariance (Hoeffding 1948)
 *
 * tr C^2 is half the variance of h_r, and b'C b what the y_r vary by beyond tr C^2, at least 0.
 */
#ifndef DITHER_STUDY_DRAW_FIGURES_H
#define DITHER_STUDY_DRAW_FIGURES_H

#include "study/running_mean.h"

/* What there is to know of a draw: e its error, m the mean of the errors before it, t the truth. */
typedef struct dither_draw_products {
    double tt, ee, et, em, mm;
} dither_draw_products;

typedef struct dither_draw_figures {
    uint64_t draws;
    dither_running_mean variance, error2, cosine;
    double weight, bias2, square; /* of y_r: sum of r - 1, weighted mean, weighted squared distances from it */
} dither_draw_figures;

void dither_draw_figures_add(dither_draw_figures *figures, const dither_draw_products *products);

/** cos(t + e, t) */
double dither_draw_cosine(const dither_draw_products *products);

/** 95 %; infinite of fewer than three draws. */
dither_interval dither_draw_figures_bias2(const dither_draw_figures *figures);

#endif
