#include "train/rounding_noise.h"

#include <math.h>

#include "base/fail.h"
#include "base/text.h"
#include "file/json.h"

enum { PROBES = 3, DOUBLINGS_MAX = 12, FACTOR_MAX = 1000 };

/* What a running mean keeps of what it was: about 4 probes, and 40 steps, count. */
static const double keep_probes = 0.6, keep_steps = 0.95;

/* noise / |g|^2 where |g| is sqrt(3) times the noise's root, and where it is twice that. */
static const double alarm_ratio = 1.0 / 3, calm_ratio = 1.0 / 4;

void dither_rounding_noise_add_step(dither_rounding_noise *noise, double norm)
{
    noise->square = keep_steps * noise->square + (1 - keep_steps) * norm * norm;
    noise->weight = keep_steps * noise->weight + (1 - keep_steps);
}

void dither_rounding_noise_add_probe(dither_rounding_noise *noise, double variance, uint64_t tokens)
{
    noise->latest = variance / (double)tokens;
    noise->variance = keep_probes * noise->variance + (1 - keep_probes) * variance;
    noise->tokens = keep_probes * noise->tokens + (1 - keep_probes) * (double)tokens;
}

double dither_rounding_noise_of(const dither_rounding_noise *noise, uint64_t trained)
{
    return noise->tokens > 0 ? noise->variance / noise->tokens / (double)trained : 0;
}

static double ratio_of(const dither_rounding_noise *noise, double added)
{
    if (!(added > 0) || !(noise->weight > 0))
        return 0;
    const double square = noise->square / noise->weight - added;
    return square > 0 ? added / square : INFINITY;
}

double dither_rounding_noise_ratio(const dither_rounding_noise *noise, uint64_t trained)
{
    return ratio_of(noise, dither_rounding_noise_of(noise, trained));
}

bool dither_rounding_noise_alarm(dither_rounding_noise *noise, uint64_t trained)
{
    const double ratio = dither_rounding_noise_ratio(noise, trained);
    const bool now = ratio_of(noise, noise->latest / (double)trained) > alarm_ratio;
    noise->below = now && ratio > alarm_ratio ? noise->below + 1 : 0;
    if (ratio < calm_ratio)
        noise->alarmed = false;
    if (noise->alarmed || noise->below < PROBES)
        return false;
    noise->alarmed = true;
    return true;
}

uint64_t dither_rounding_noise_factor(const dither_rounding_noise *noise, uint64_t trained)
{
    const double factor = ceil(dither_rounding_noise_ratio(noise, trained) / alarm_ratio);
    return factor < 2 ? 2 : factor < FACTOR_MAX ? (uint64_t)factor : FACTOR_MAX;
}

void dither_rounding_noise_double(dither_rounding_noise *noise)
{
    noise->doublings++;
    noise->square = noise->weight = 0;
    noise->below = 0;
    noise->alarmed = false;
}

/* All of its bits: cJSON's own numbers may lack the last one. */
static bool add_f64(cJSON *object, const char *key, double value)
{
    char text[32];
    dither_text_print_f64(value, 17, text, sizeof text);
    return cJSON_AddRawToObject(object, key, text) != NULL;
}

cJSON *dither_rounding_noise_json(const dither_rounding_noise *noise)
{
    cJSON *object = cJSON_CreateObject();
    if (object && add_f64(object, "variance", noise->variance) && add_f64(object, "tokens", noise->tokens) &&
        add_f64(object, "latest", noise->latest) && add_f64(object, "square", noise->square) &&
        add_f64(object, "weight", noise->weight) &&
        cJSON_AddNumberToObject(object, "below", (double)noise->below) &&
        cJSON_AddBoolToObject(object, "alarmed", noise->alarmed) &&
        cJSON_AddNumberToObject(object, "doublings", (double)noise->doublings))
        return object;
    cJSON_Delete(object);
    return NULL;
}

dither_status dither_rounding_noise_read(const cJSON *object, const char *path, dither_rounding_noise *noise,
                                         dither_error *error)
{
    *noise = (dither_rounding_noise){0};
    if (!object)
        return DITHER_OK;
    const struct {
        const char *key;
        double *value;
    } numbers[] = {{"variance", &noise->variance},
                   {"tokens", &noise->tokens},
                   {"latest", &noise->latest},
                   {"square", &noise->square},
                   {"weight", &noise->weight}};
    dither_status status = DITHER_OK;
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0] && !status; i++) {
        status = dither_json_f64(object, numbers[i].key, numbers[i].value, NULL, path, error);
        if (!status && *numbers[i].value < 0)
            status = dither_fail(error, DITHER_E_FORMAT, path, "noise: \"%s\" is negative", numbers[i].key);
    }
    if (!status)
        status = dither_json_u64(object, "below", 0, UINT32_MAX, &noise->below, NULL, path, error);
    if (!status)
        status = dither_json_bool(object, "alarmed", &noise->alarmed, NULL, path, error);
    if (!status)
        status = dither_json_u64(object, "doublings", 0, DOUBLINGS_MAX, &noise->doublings, NULL, path, error);
    return status;
}
