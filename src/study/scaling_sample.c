/* Which elements are looked at, and the sums over them. */
#include <math.h>
#include <stdlib.h>

#include "study/scaling.h"

/* Spread over 64 bits (splitmix64). */
static uint64_t mix(uint64_t x)
{
    x += 0x9E3779B97F4A7C15u;
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 27) * 0x94D049BB133111EBu;
    return x ^ x >> 31;
}

/* Elements of a piece: one of each `stride`, at a place of its own, so that no column is taken alone. */
static size_t take_piece(const dither_gradient_piece *piece, size_t stride, size_t *element)
{
    size_t taken = 0;
    for (size_t at = 0; at < piece->count; at += stride) {
        const size_t offset = (size_t)(mix(piece->first + at) % stride);
        if (at + offset >= piece->count)
            continue;
        if (element)
            element[taken] = piece->first + at + offset;
        taken++;
    }
    return taken;
}

dither_status dither_scaling_sample_init(dither_scaling_sample *sample, const dither_gradient_places *places,
                                         size_t elements, size_t most)
{
    const size_t stride = elements > most ? (elements + most - 1) / most : 1;
    *sample = (dither_scaling_sample){.factor = (double)stride};
    for (size_t i = 0; i < places->piece_count; i++)
        sample->count += take_piece(&places->pieces[i], stride, NULL);
    sample->element = calloc(sample->count + 1, sizeof *sample->element);
    sample->first = calloc(places->count + 1, sizeof *sample->first);
    if (!sample->element || !sample->first)
        return DITHER_E_MEMORY;
    size_t at = 0;
    for (size_t place = 0; place < places->count; place++) {
        sample->first[place] = at;
        for (size_t i = 0; i < places->piece_count; i++)
            if (places->pieces[i].place == place)
                at += take_piece(&places->pieces[i], stride, sample->element + at);
    }
    sample->first[places->count] = at;
    return DITHER_OK;
}

void dither_scaling_sample_free(dither_scaling_sample *sample)
{
    free(sample->element);
    free(sample->first);
    *sample = (dither_scaling_sample){0};
}

typedef struct scaling_sums {
    double level[DITHER_SCALING_LEVELS];     /* of |sum of a batch|^2 over the batches */
    double each[DITHER_SCALING_SEQUENCES];   /* |x_k|^2 */
    double whole[DITHER_SCALING_SEQUENCES];  /* x_k . sum x */
} scaling_sums;

static void add_element(const float *x, size_t levels, scaling_sums *sums)
{
    const size_t n = (size_t)1 << (levels - 1);
    double v[DITHER_SCALING_SEQUENCES];
    for (size_t k = 0; k < n; k++) {
        v[k] = (double)x[k];
        sums->each[k] += v[k] * v[k];
    }
    for (size_t level = 0; level < levels; level++) {
        const size_t batches = n >> level;
        for (size_t i = 0; i < batches; i++) {
            if (level)
                v[i] = v[2 * i] + v[2 * i + 1];
            sums->level[level] += v[i] * v[i];
        }
    }
    for (size_t k = 0; k < n; k++)
        sums->whole[k] += v[0] * (double)x[k];
}

/* The floor, and its jackknife: the spread of the floors with one sequence left out. */
static void find_floor(const scaling_sums *sums, size_t levels, double factor, dither_scaling_figures *figures)
{
    const double n = (double)((size_t)1 << (levels - 1)), all = sums->level[levels - 1], each = sums->level[0];
    double mean = 0, square = 0;
    figures->floor = factor * (all - each) / (n * (n - 1));
    for (size_t k = 0; k < (size_t)n; k++) {
        const double q = sums->each[k], left = all - 2 * sums->whole[k] + q;
        const double floor_k = factor * (left - (each - q)) / ((n - 1) * (n - 2));
        const double from = floor_k - mean;
        mean += from / (double)(k + 1);
        square += from * (floor_k - mean);
    }
    figures->spread = sqrt((n - 1) / n * square);
}

static void find_figures(const scaling_sums *sums, size_t levels, double factor, dither_scaling_figures *figures)
{
    const double n = (double)((size_t)1 << (levels - 1));
    for (size_t level = 0; level < levels; level++)
        figures->batches[level] = factor * sums->level[level] / (n * (double)((size_t)1 << level));
    find_floor(sums, levels, factor, figures);
}

static void add_sums(scaling_sums *to, const scaling_sums *from)
{
    for (size_t i = 0; i < DITHER_SCALING_LEVELS; i++)
        to->level[i] += from->level[i];
    for (size_t i = 0; i < DITHER_SCALING_SEQUENCES; i++) {
        to->each[i] += from->each[i];
        to->whole[i] += from->whole[i];
    }
}

void dither_scaling_sum(const dither_scaling_sample *sample, size_t places, const float *x, size_t levels,
                        dither_scaling_figures *figures)
{
    const size_t n = (size_t)1 << (levels - 1);
    scaling_sums whole = {.level = {0}};
    for (size_t place = 1; place < places; place++) {
        scaling_sums sums = {.level = {0}};
        for (size_t i = sample->first[place]; i < sample->first[place + 1]; i++)
            add_element(x + i * n, levels, &sums);
        find_figures(&sums, levels, sample->factor, &figures[place]);
        add_sums(&whole, &sums);
    }
    find_figures(&whole, levels, sample->factor, &figures[0]);
}
