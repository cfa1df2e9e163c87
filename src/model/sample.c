#include "model/sample.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "kernel/rows.h"

enum { STRETCH = 4096 }; /* weights that are summed in f32 */

dither_status dither_sampling_check(const dither_sampling *s, dither_error *error)
{
    const struct {
        const char *name;
        double value, most;
    } ranges[] = {{"temperature", s->temperature, DBL_MAX}, {"top_p", s->top_p, 1}, {"min_p", s->min_p, 1},
                  {"repeat_penalty", s->repeat_penalty, DBL_MAX}};
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++)
        if (!(ranges[i].value >= 0 && ranges[i].value <= ranges[i].most))
            return dither_fail(error, DITHER_E_USAGE, ranges[i].name, "%g; it must be at least 0 and %s",
                               ranges[i].value, ranges[i].most > 1 ? "finite" : "at most 1");
    return DITHER_OK;
}

dither_status dither_sample_open(dither_sample *sample, size_t vocab, dither_error *error)
{
    *sample = (dither_sample){.vocab = vocab};
    sample->scores = calloc(vocab, sizeof *sample->scores);
    sample->weights = calloc(vocab, sizeof *sample->weights);
    sample->candidates = calloc(vocab, sizeof *sample->candidates);
    if (sample->scores && sample->weights && sample->candidates)
        return DITHER_OK;
    dither_sample_close(sample);
    return dither_fail(error, DITHER_E_MEMORY, "", "no memory for a vocabulary of %zu", vocab);
}

void dither_sample_close(dither_sample *sample)
{
    free(sample->scores);
    free(sample->weights);
    free(sample->candidates);
    *sample = (dither_sample){0};
}

uint32_t dither_sample_largest(size_t vocab, const float *scores)
{
    const float largest = dither_rows_active()->largest(vocab, scores);
    size_t i = 0;
    while (i + 1 < vocab && !(scores[i] >= largest))
        i++;
    return (uint32_t)i;
}

/* weights = exp((scores - largest) / temperature). @return their sum */
static double weigh(size_t vocab, const float *scores, double temperature, float *weights)
{
    const dither_rows *rows = dither_rows_active();
    const float largest = rows->largest(vocab, scores), rate = (float)fmin(1 / temperature, (double)FLT_MAX);
    double sum = 0;
    for (size_t first = 0; first < vocab; first += STRETCH) {
        const size_t count = vocab - first < STRETCH ? vocab - first : STRETCH;
        float *w = weights + first;
        for (size_t i = 0; i < count; i++)
            w[i] = (scores[first + i] - largest) * rate;
        sum += (double)rows->exp_sum(count, 0, w);
    }
    return sum;
}

double dither_sample_log_sum(size_t vocab, const float *logits)
{
    const float largest = dither_rows_active()->largest(vocab, logits);
    double sum = 0;
    for (size_t i = 0; i < vocab; i++)
        sum += exp((double)logits[i] - (double)largest);
    return log(sum) + (double)largest;
}

/* Keskar et al. 2019 (arXiv 1909.05858), once for each token that came before, however often it did. */
static void penalize(float *scores, const float *logits, double penalty, const uint32_t *recent, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const uint32_t id = recent[i];
        if (logits[id] > 0)
            scores[id] = (float)((double)logits[id] / penalty);
        else
            scores[id] = (float)((double)logits[id] * penalty);
    }
}

/* Likeliest first; of equal weights, which may come of different scores, the higher score, then the lower id. */
static int by_weight(const void *a, const void *b, void *context)
{
    const dither_candidate *x = a, *y = b;
    const float *scores = context;
    if (x->weight != y->weight)
        return x->weight < y->weight ? 1 : -1;
    if (scores[x->id] != scores[y->id])
        return scores[x->id] < scores[y->id] ? 1 : -1;
    return x->id < y->id ? -1 : x->id > y->id;
}

/* Those at least so heavy, in the order of their ids. @return their sum */
static double gather(dither_sample *sample, double least)
{
    double sum = 0;
    sample->count = 0;
    for (size_t i = 0; i < sample->vocab; i++) {
        if ((double)sample->weights[i] >= least) {
            sample->candidates[sample->count++] = (dither_candidate){sample->weights[i], (uint32_t)i};
            sum += (double)sample->weights[i];
        }
    }
    return sum;
}

static bool by_count(const dither_sample *sample, const dither_sampling *sampling)
{
    return sampling->top_k && sampling->top_k < sample->vocab;
}

static bool by_share(const dither_sampling *sampling)
{
    return sampling->top_p > 0 && sampling->top_p < 1;
}

/* Ever lighter ones, until there are as many as top_k or top_p wants. */
static void gather_enough(dither_sample *sample, const dither_sampling *sampling, double all)
{
    const double factor = 1.0 / 32;
    double least = factor;
    for (;;) {
        const double sum = gather(sample, least);
        const bool enough =
            by_count(sample, sampling) ? sample->count >= sampling->top_k : sum >= sampling->top_p * all;
        if (enough || least <= (double)FLT_TRUE_MIN)
            return;
        least = least * factor > (double)FLT_TRUE_MIN ? least * factor : (double)FLT_TRUE_MIN;
    }
}

/* What the heaviest candidates weigh together, in their order. */
static double sum_of(const dither_sample *sample, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += (double)sample->candidates[i].weight;
    return sum;
}

static void cut(dither_sample *sample, const dither_sampling *sampling, double all)
{
    if (by_count(sample, sampling) && sampling->top_k < sample->count)
        sample->count = sampling->top_k;
    if (by_share(sampling)) {
        const double wanted = sampling->top_p * (by_count(sample, sampling) ? sum_of(sample, sample->count) : all);
        double sum = 0;
        size_t kept = 0;
        while (kept < sample->count && (kept == 0 || sum < wanted))
            sum += (double)sample->candidates[kept++].weight;
        sample->count = kept;
    }
    while (sample->count > 1 && (double)sample->candidates[sample->count - 1].weight < sampling->min_p)
        sample->count--;
}

void dither_sample_candidates(dither_sample *sample, const dither_sampling *sampling, const float *logits,
                              const uint32_t *recent, size_t recent_count)
{
    memcpy(sample->scores, logits, sample->vocab * sizeof *logits);
    if (sampling->repeat_penalty > 0 && sampling->repeat_penalty != 1)
        penalize(sample->scores, logits, sampling->repeat_penalty, recent, recent_count);
    if (sampling->temperature <= 0) {
        sample->candidates[0] = (dither_candidate){1, dither_sample_largest(sample->vocab, sample->scores)};
        sample->count = 1;
        sample->sum = 1;
        return;
    }
    const double all = weigh(sample->vocab, sample->scores, sampling->temperature, sample->weights);
    if (!by_count(sample, sampling) && !by_share(sampling)) {
        sample->sum = gather(sample, fmax(sampling->min_p, (double)FLT_TRUE_MIN)); /* in any order */
        return;
    }
    gather_enough(sample, sampling, all);
    qsort_r(sample->candidates, sample->count, sizeof *sample->candidates, by_weight, sample->scores);
    cut(sample, sampling, all);
    sample->sum = sum_of(sample, sample->count);
}

uint32_t dither_sample_choose(const dither_sample *sample, double u)
{
    const double aimed = u * sample->sum;
    double sum = 0;
    for (size_t i = 0; i + 1 < sample->count; i++) {
        sum += (double)sample->candidates[i].weight;
        if (aimed < sum)
            return sample->candidates[i].id;
    }
    return sample->candidates[sample->count - 1].id;
}
