/* Results of a measurement of noise: their memory, and what follows from them. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "study/gradient_sums.h"
#include "study/noise_result.h"
#include "study/scheme_part.h"

dither_noise *dither_noise_new(const dither_model_config *config, size_t batch_count)
{
    dither_noise *noise = calloc(1, sizeof *noise);
    if (!noise)
        return NULL;
    const size_t places = dither_gradient_place_count(config), parts = batch_count * DITHER_NOISE_PARTS;
    *noise = (dither_noise){.config = *config, .batch_count = batch_count, .place_count = places};
    noise->batches = calloc(batch_count, sizeof *noise->batches);
    noise->norm2 = calloc(batch_count * places, sizeof *noise->norm2);
    noise->sampling = calloc(places, sizeof *noise->sampling);
    noise->cells = calloc(parts * places, sizeof *noise->cells);
    noise->counts = calloc(parts, sizeof *noise->counts);
    if (!noise->batches || !noise->norm2 || !noise->sampling || !noise->cells || !noise->counts) {
        dither_noise_free(noise);
        return NULL;
    }
    const dither_interval none = {NAN, NAN, NAN};
    for (size_t i = 0; i < parts * places; i++)
        noise->cells[i] = (dither_noise_cell){none, none, none, none, NAN};
    for (size_t i = 0; i < places; i++)
        noise->sampling[i] = none;
    return noise;
}

void dither_noise_free(dither_noise *noise)
{
    if (!noise)
        return;
    free(noise->batches);
    free(noise->norm2);
    free(noise->sampling);
    free(noise->cells);
    free(noise->counts);
    free(noise);
}

static size_t cell_index(const dither_noise *noise, size_t batch, size_t part, size_t place)
{
    return (batch * DITHER_NOISE_PARTS + part) * noise->place_count + place;
}

dither_noise_cell *dither_noise_cell_of(dither_noise *noise, size_t batch, size_t part, size_t place)
{
    return &noise->cells[cell_index(noise, batch, part, place)];
}

const dither_noise_cell *dither_noise_at(const dither_noise *noise, size_t batch, size_t part, size_t place)
{
    return &noise->cells[cell_index(noise, batch, part, place)];
}

void dither_noise_place(const dither_noise *noise, size_t place, char *text)
{
    dither_gradient_place_name(&noise->config, place, text);
}

const char *dither_noise_part(size_t part)
{
    return part ? dither_role_name((dither_role)(part - 1)) : "scheme";
}

dither_interval dither_noise_relative_error(const dither_noise *noise, size_t batch, size_t part, size_t place)
{
    const dither_interval error2 = dither_noise_at(noise, batch, part, place)->error2;
    const double norm2 = noise->norm2[batch * noise->place_count + place];
    return (dither_interval){sqrt(error2.value / norm2), sqrt(fmax(error2.low, 0) / norm2), sqrt(error2.high / norm2)};
}

dither_interval dither_noise_per_sample(const dither_noise *noise, size_t part, size_t place)
{
    const size_t last = noise->batch_count - 1;
    const dither_interval variance = dither_noise_at(noise, last, part, place)->variance;
    const double b = (double)noise->batches[last].sequences;
    return (dither_interval){b * variance.value, b * variance.low, b * variance.high};
}

double dither_noise_batch_factor(const dither_noise *noise)
{
    const double s2 = noise->sampling[0].value, q2 = dither_noise_per_sample(noise, 0, 0).value;
    return (s2 + 4 * q2) / (s2 + q2);
}
