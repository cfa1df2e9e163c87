#include "study/gradient_sums.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/parallel.h"

enum { PIECE = 16384, LANES = 4 };

size_t dither_gradient_place_count(const dither_model_config *config)
{
    return config->layers + 3;
}

void dither_gradient_place_name(const dither_model_config *config, size_t place, char *text)
{
    static const char *const ends[] = {"whole", "embedding"};
    if (place < 2)
        (void)snprintf(text, DITHER_GRADIENT_PLACE_NAME, "%s", ends[place]);
    else if (place < config->layers + 2)
        (void)snprintf(text, DITHER_GRADIENT_PLACE_NAME, "layer %zu", place - 2);
    else
        (void)snprintf(text, DITHER_GRADIENT_PLACE_NAME, "output");
}

/* A tied matrix is in the place where the table has it: the embedding. */
static size_t place_of(const dither_model_config *config, const dither_parameter *row)
{
    if (row->layer != DITHER_LAYER_NONE)
        return (size_t)row->layer + 2;
    const bool front = row->role == DITHER_PARAMETER_EMBEDDING || row->role == DITHER_PARAMETER_POSITIONS;
    return front ? 1 : config->layers + 2;
}

dither_status dither_gradient_places_init(dither_gradient_places *places, const dither_network *network)
{
    *places = (dither_gradient_places){.count = dither_gradient_place_count(&network->config)};
    for (size_t i = 0; i < network->table_count; i++)
        places->piece_count += (network->table[i].rows * network->table[i].cols + PIECE - 1) / PIECE;
    places->pieces = calloc(places->piece_count, sizeof *places->pieces);
    places->partial = calloc(places->piece_count, sizeof *places->partial);
    if (!places->pieces || !places->partial)
        return DITHER_E_MEMORY;
    dither_gradient_piece *piece = places->pieces;
    for (size_t i = 0; i < network->table_count; i++) {
        const dither_parameter *row = &network->table[i];
        const size_t size = row->rows * row->cols;
        for (size_t first = 0; first < size; first += PIECE)
            *piece++ = (dither_gradient_piece){.first = row->offset + first,
                                               .count = size - first < PIECE ? size - first : PIECE,
                                               .place = place_of(&network->config, row)};
    }
    return DITHER_OK;
}

void dither_gradient_places_free(dither_gradient_places *places)
{
    free(places->pieces);
    free(places->partial);
    *places = (dither_gradient_places){0};
}

typedef struct sums_job {
    const dither_gradient_piece *pieces;
    dither_draw_products *partial;
    const float *t, *p;
    double weight;
    float *total;
    uint64_t draws;
} sums_job;

/* Of a few elements, in lanes that SIMD can follow. */
typedef struct sums_lanes {
    double tt[LANES], ee[LANES], et[LANES], em[LANES], mm[LANES];
} sums_lanes;

static double lanes_sum(const double *lanes)
{
    return (lanes[0] + lanes[2]) + (lanes[1] + lanes[3]);
}

/* The mean error is its sum times `factor`; 0: there is none yet. */
static void add_means(sums_lanes *s, size_t count, const double *e, float *total, double factor)
{
    for (size_t l = 0; l < count; l++) {
        const float before = factor > 0 ? total[l] : 0;
        const double m = (double)before * factor;
        s->em[l] += e[l] * m;
        s->mm[l] += m * m;
        total[l] = before + (float)e[l];
    }
}

static void sums_task(void *context, size_t index, int thread)
{
    (void)thread;
    const sums_job *job = context;
    const dither_gradient_piece piece = job->pieces[index];
    const float *const t = job->t + piece.first, *const p = job->p + piece.first;
    float *const total = job->total ? job->total + piece.first : NULL;
    const double factor = job->draws ? 1 / (double)job->draws : 0;
    sums_lanes s = {.tt = {0}};
    for (size_t i = 0; i < piece.count; i += LANES) {
        const size_t lanes = piece.count - i < LANES ? piece.count - i : LANES;
        double e[LANES];
        for (size_t l = 0; l < lanes; l++) {
            const double truth = (double)t[i + l];
            e[l] = job->weight * ((double)p[i + l] - truth);
            s.tt[l] += truth * truth;
            s.ee[l] += e[l] * e[l];
            s.et[l] += e[l] * truth;
        }
        if (total)
            add_means(&s, lanes, e, total + i, factor);
    }
    job->partial[index] =
        (dither_draw_products){lanes_sum(s.tt), lanes_sum(s.ee), lanes_sum(s.et), lanes_sum(s.em), lanes_sum(s.mm)};
}

static void add(dither_draw_products *sums, const dither_draw_products *part)
{
    sums->tt += part->tt;
    sums->ee += part->ee;
    sums->et += part->et;
    sums->em += part->em;
    sums->mm += part->mm;
}

void dither_gradient_sum(dither_gradient_places *places, const float *t, const float *p, double weight, float *total,
                         uint64_t draws, dither_draw_products *sums, int threads)
{
    sums_job job = {.pieces = places->pieces, .partial = places->partial, .t = t, .p = p, .weight = weight,
                    .total = total, .draws = draws};
    dither_parallel_for(threads, places->piece_count, sums_task, &job);
    for (size_t i = 0; i < places->count; i++)
        sums[i] = (dither_draw_products){0};
    for (size_t i = 0; i < places->piece_count; i++)
        add(&sums[places->pieces[i].place], &places->partial[i]);
    for (size_t i = 1; i < places->count; i++)
        add(&sums[0], &sums[i]);
}
