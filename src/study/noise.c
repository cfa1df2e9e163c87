/*
 * The measurement: for each batch size the gradient in f32, then part by part of the scheme draw after draw, until the
 * variance is known well enough. Three blocks hold the gradient in f32, a draw, and the sum of the errors of the draws
 * before it.
 */
#include <math.h>
#include <stdlib.h>

#include "base/fail.h"
#include "base/text.h"
#include "study/gradient.h"
#include "study/gradient_sums.h"
#include "study/noise_options.h"
#include "study/noise_result.h"
#include "study/running_mean.h"
#include "study/scheme_part.h"
#include "train/memory.h"

enum { TRUTH, DRAW, ERRORS, BLOCKS };
enum { DRAWS_LEAST = 4 };

typedef struct noise_job {
    dither_noise_options options;
    dither_run run; /* its data */
    dither_scheme part[DITHER_NOISE_PARTS], f32;
    dither_gradient gradient;
    dither_gradient_places places;
    dither_draw_products *sums;    /* [places] */
    dither_draw_figures *figures;  /* [places] */
    uint32_t *tokens;              /* memory of the buffers */
    dither_batch_buffers buffers;
    dither_noise *noise;
    uint64_t draws; /* that the last part took: what the next is guessed to take */
    dither_noise_progress at;
    void (*progress)(void *context, const dither_noise_progress *progress);
    void *progress_context;
    const volatile sig_atomic_t *stop;
} noise_job;

/* ---- one gradient ------------------------------------------------------------------------------------------ */

/* Micro-batch by micro-batch, sequences first .. first + count - 1. */
static dither_status take(noise_job *job, uint64_t first, uint64_t count, uint32_t draw, float factor, size_t block,
                          double *loss, dither_error *error)
{
    dither_gradient *g = &job->gradient;
    const uint64_t together = job->options.micro_batch;
    for (uint64_t i = 0; i < count; i += together) {
        const size_t rows = (size_t)(count - i < together ? count - i : together);
        const dither_batch_view view = dither_samples_fill(&job->run.samples, first + i, rows, &job->buffers);
        /* Only in f32, which draws nothing, are there more micro-batches than addresses. */
        const dither_gradient_draw at = {draw, (uint32_t)(i / together % DITHER_GRADIENT_MICROBATCHES)};
        const dither_status status =
            dither_gradient_add(g, &view, at, factor, i == 0, g->block[block], loss, error);
        if (status)
            return status;
        job->at.done += rows;
        job->noise->passes += rows;
        if (job->at.total < job->at.done)
            job->at.total = job->at.done;
        if (job->progress)
            job->progress(job->progress_context, &job->at);
        if (job->stop && *job->stop)
            return dither_fail(error, DITHER_E_STOPPED, "", "stopped");
    }
    return DITHER_OK;
}

/* The block against the truth, by itself. */
static void sum(noise_job *job, size_t block)
{
    dither_gradient *g = &job->gradient;
    dither_gradient_sum(&job->places, g->block[TRUTH], g->block[block], 1, NULL, 0, job->sums, g->context.threads);
}

/* The draw after `draws` others, and what they say together. */
static void add_draw(noise_job *job, double weight, uint64_t draws)
{
    dither_gradient *g = &job->gradient;
    dither_gradient_sum(&job->places, g->block[TRUTH], g->block[DRAW], weight, g->block[ERRORS], draws, job->sums,
                        g->context.threads);
    for (size_t i = 0; i < job->places.count; i++) {
        if (!draws)
            job->figures[i] = (dither_draw_figures){.draws = 0};
        dither_draw_figures_add(&job->figures[i], &job->sums[i]);
    }
}

/* ---- a part of the scheme at a batch ------------------------------------------------------------------------- */

/* Each batch and part has draws of its own, whichever others are measured; 0 is the weights'. */
static uint32_t draw_number(const noise_job *job, size_t batch, size_t part, uint64_t draw)
{
    return 1 + (uint32_t)((batch * DITHER_NOISE_PARTS + part) * job->options.draws + draw);
}

static dither_interval exactly(double value)
{
    return (dither_interval){value, value, value};
}

/* Half of the interval of the whole gradient's variance, of the variance. */
static double spread(const noise_job *job)
{
    const dither_interval v = dither_running_mean_interval(&job->figures[0].variance);
    return v.value > 0 ? (v.high - v.value) / v.value : 0;
}

/* The draws that the spread seen so far asks for in all. */
static uint64_t draws_wanted(const noise_job *job, uint64_t draws)
{
    if (draws < DRAWS_LEAST) /* too early to say more than the last part has */
        return job->draws;
    const double ratio = spread(job) / job->options.precision, wanted = ceil((double)draws * ratio * ratio);
    if (wanted < (double)draws)
        return draws;
    return wanted < (double)job->options.draws ? (uint64_t)wanted : job->options.draws;
}

static bool is_wanted(const noise_job *job, size_t part)
{
    return job->options.parts >> part & 1;
}

/* Of a role that is f32 there is nothing to measure. */
static bool is_measured(const noise_job *job, size_t part)
{
    return is_wanted(job, part) && (part == DITHER_NOISE_WHOLE || !dither_scheme_plain(&job->part[part]));
}

/* What is left once a part is done, if parts that round at random take as many draws as the last did. */
static uint64_t passes_after(const noise_job *job, size_t batch, size_t part)
{
    uint64_t all = job->options.samples > 1 ? 2 * job->options.samples : 0;
    for (size_t i = batch; i < job->options.batch_count; i++) {
        uint64_t passes = i > batch;
        for (size_t k = i > batch ? 0 : part + 1; k < DITHER_NOISE_PARTS; k++)
            if (is_measured(job, k))
                passes += dither_scheme_random(&job->part[k]) ? job->draws : 1;
        all += passes * job->options.batches[i];
    }
    return all;
}

static dither_status measure_random(noise_job *job, size_t batch, size_t part, float factor, dither_error *error)
{
    const uint64_t b = job->options.batches[batch], most = job->options.draws;
    uint64_t draws = 0;
    do {
        const dither_status status = take(job, 0, b, draw_number(job, batch, part, draws), factor, DRAW, NULL, error);
        if (status)
            return status;
        add_draw(job, 1, draws++);
        job->draws = draws_wanted(job, draws);
        job->at.total = job->at.done + b * (job->draws - draws) + passes_after(job, batch, part);
    } while (draws < most && (draws < DRAWS_LEAST || !(spread(job) <= job->options.precision)));
    for (size_t i = 0; i < job->places.count; i++) {
        const dither_draw_figures *f = &job->figures[i];
        *dither_noise_cell_of(job->noise, batch, part, i) =
            (dither_noise_cell){.bias2 = dither_draw_figures_bias2(f),
                                .variance = dither_running_mean_interval(&f->variance),
                                .error2 = dither_running_mean_interval(&f->error2),
                                .cosine = dither_running_mean_interval(&f->cosine)};
    }
    job->noise->counts[batch * DITHER_NOISE_PARTS + part].draws = draws;
    return DITHER_OK;
}

/* Nothing depends on the draw: one says all. */
static dither_status measure_fixed(noise_job *job, size_t batch, size_t part, float factor, dither_error *error)
{
    const dither_status status =
        take(job, 0, job->options.batches[batch], draw_number(job, batch, part, 0), factor, DRAW, NULL, error);
    if (status)
        return status;
    sum(job, DRAW);
    for (size_t i = 0; i < job->places.count; i++) {
        const dither_draw_products *s = &job->sums[i];
        *dither_noise_cell_of(job->noise, batch, part, i) =
            (dither_noise_cell){.bias2 = exactly(s->ee), .variance = exactly(0), .error2 = exactly(s->ee),
                                .cosine = exactly(dither_draw_cosine(s))};
    }
    job->noise->counts[batch * DITHER_NOISE_PARTS + part].draws = 1;
    return DITHER_OK;
}

static double rate_of(dither_clips clips)
{
    return clips.elements ? (double)clips.clipped / (double)clips.elements : 0;
}

/* By place; nothing is quantized outside the layers but by the head, which is in the place of its matrix. */
static void count_clips(noise_job *job, size_t batch, size_t part)
{
    const dither_gradient *g = &job->gradient;
    const size_t layers = job->run.config.layers, head = job->run.config.tied ? 1 : layers + 2;
    dither_noise_count *count = &job->noise->counts[batch * DITHER_NOISE_PARTS + part];
    count->elements = g->clips.elements;
    count->clipped = g->clips.clipped;
    for (size_t i = 0; i < job->places.count; i++) {
        const bool layer = i >= 2 && i < layers + 2;
        const dither_clips none = {0};
        dither_noise_cell_of(job->noise, batch, part, i)->clip_rate =
            rate_of(!i ? g->clips : layer ? g->layer_clips[i - 2] : i == head ? g->layer_clips[layers] : none);
    }
}

static dither_status measure_part(noise_job *job, size_t batch, size_t part, float factor, dither_error *error)
{
    dither_noise_count *count = &job->noise->counts[batch * DITHER_NOISE_PARTS + part];
    if (!is_measured(job, part)) {
        for (size_t i = 0; i < job->places.count && is_wanted(job, part); i++)
            *dither_noise_cell_of(job->noise, batch, part, i) =
                (dither_noise_cell){exactly(0), exactly(0), exactly(0), exactly(1), 0};
        return DITHER_OK;
    }
    job->at.part = part;
    dither_gradient_clear_clips(&job->gradient);
    dither_status status = dither_gradient_scheme(&job->gradient, &job->part[part], error);
    if (status)
        return status;
    count->random = dither_scheme_random(&job->part[part]);
    status = (count->random ? measure_random : measure_fixed)(job, batch, part, factor, error);
    if (!status)
        count_clips(job, batch, part);
    return status;
}

/* ---- a batch, and all of them ------------------------------------------------------------------------------- */

static dither_status measure_batch(noise_job *job, size_t batch, dither_error *error)
{
    const uint64_t b = job->options.batches[batch], trained = dither_samples_trained(&job->run.samples, 0, b);
    const float factor = (float)(1.0 / (double)trained);
    dither_noise_batch *result = &job->noise->batches[batch];
    *result = (dither_noise_batch){.sequences = b, .tokens = b * job->options.seq, .trained = trained};
    job->at.batch = b;
    job->at.part = DITHER_NOISE_PARTS;
    if (!batch)
        job->at.total = b + passes_after(job, 0, (size_t)-1);
    dither_status status = dither_gradient_scheme(&job->gradient, &job->f32, error);
    if (!status)
        status = take(job, 0, b, 0, factor, TRUTH, &result->loss, error);
    if (status)
        return status;
    result->loss /= (double)trained;
    sum(job, TRUTH);
    for (size_t i = 0; i < job->places.count; i++)
        job->noise->norm2[batch * job->places.count + i] = job->sums[i].tt;
    for (size_t part = 0; part < DITHER_NOISE_PARTS && !status; part++)
        status = measure_part(job, batch, part, factor, error);
    return status;
}

/*
 * s2 = sum over n samples of |w_i (g_i - G)|^2 / (n - 1), g_i the gradient of the mean loss of sample i, G of all of
 * them, w_i the sample's trained tokens of the mean sample's: w_i (g_i - G) / n is what sample i moves G by. Samples
 * are draws from the data.
 */
static dither_status measure_sampling(noise_job *job, dither_error *error)
{
    const uint64_t n = job->options.samples, all = dither_samples_trained(&job->run.samples, 0, n);
    if (n < 2)
        return DITHER_OK;
    job->at.part = DITHER_NOISE_PARTS;
    dither_status status = dither_gradient_scheme(&job->gradient, &job->f32, error);
    if (!status)
        status = take(job, 0, n, 0, (float)(1.0 / (double)all), TRUTH, NULL, error);
    for (uint64_t k = 0; k < n && !status; k++) {
        const double trained = (double)dither_samples_trained(&job->run.samples, k, 1);
        status = take(job, k, 1, 0, (float)(1 / trained), DRAW, NULL, error);
        if (!status)
            add_draw(job, trained * (double)n / (double)all, k);
    }
    for (size_t i = 0; i < job->places.count && !status; i++)
        job->noise->sampling[i] = dither_running_mean_interval(&job->figures[i].variance);
    return status;
}

static dither_status measure(noise_job *job, dither_error *error)
{
    dither_status status = DITHER_OK;
    for (size_t batch = 0; batch < job->options.batch_count && !status; batch++)
        status = measure_batch(job, batch, error);
    if (!status)
        status = measure_sampling(job, error);
    job->noise->peak_rss_bytes = dither_memory_peak();
    return status;
}

/* ---- memory ------------------------------------------------------------------------------------------------ */

static dither_status check_memory(const noise_job *job, const dither_gradient_request *request, dither_error *error)
{
    uint64_t bytes;
    const dither_status status = dither_gradient_count(request, &bytes, error);
    if (status)
        return status;
    const uint64_t limit = job->options.memory ? job->options.memory : dither_memory_available();
    const uint64_t needed = dither_memory_resident() + bytes;
    if (needed <= limit)
        return DITHER_OK;
    char wants[16], has[16];
    dither_text_bytes(needed, wants);
    dither_text_bytes(limit, has);
    const char *const source = job->options.memory ? "--memory allows" : "the machine has";
    return dither_fail(error, DITHER_E_MEMORY, "",
                       "the weights and three gradients of this model would need %s and %s %s; a smaller model, --seq "
                       "or --micro-batch needs less", wants, source, has);
}

static dither_status take_memory(noise_job *job, dither_error *error)
{
    const dither_noise_options *o = &job->options;
    dither_scheme schemes[DITHER_NOISE_PARTS + 1];
    size_t count = 0;
    schemes[count++] = job->f32;
    for (size_t part = 0; part < DITHER_NOISE_PARTS; part++)
        if (is_measured(job, part))
            schemes[count++] = job->part[part];
    const size_t rows = (size_t)o->micro_batch, seq = (size_t)o->seq, size = rows * seq;
    const dither_gradient_request request = {
        .config = &job->run.config, .schemes = schemes, .scheme_count = count, .batch = rows, .seq = seq,
        .blocks = BLOCKS, .seed = o->seed, .threads = job->run.threads};
    dither_status status = check_memory(job, &request, error);
    if (!status)
        status = dither_gradient_open(&job->gradient, &request, error);
    if (status)
        return status;
    job->noise = dither_noise_new(&job->run.config, o->batch_count);
    job->tokens = calloc(5 * size + 1, sizeof *job->tokens);
    const size_t places = dither_gradient_place_count(&job->run.config);
    job->sums = calloc(places, sizeof *job->sums);
    job->figures = calloc(places, sizeof *job->figures);
    if (!job->noise || !job->tokens || !job->sums || !job->figures ||
        dither_gradient_places_init(&job->places, &job->gradient.network))
        return dither_fail(error, DITHER_E_MEMORY, "", "no memory for the results");
    job->buffers = (dither_batch_buffers){.ids = job->tokens, .targets = job->tokens + size,
                                          .positions = job->tokens + 2 * size, .first = job->tokens + 3 * size,
                                          .window = job->tokens + 4 * size};
    job->noise->scheme = job->part[0];
    job->noise->seq = o->seq;
    job->noise->micro_batch = o->micro_batch;
    job->noise->samples = o->samples;
    if (o->model)
        return dither_gradient_load(&job->gradient, o->model, error);
    dither_network_init(&job->gradient.network, o->seed);
    return DITHER_OK;
}

static dither_status run_job(noise_job *job, dither_error *error)
{
    dither_scheme scheme;
    dither_run_init(&job->run);
    dither_status status = dither_noise_options_check(&job->options, &scheme, error);
    if (!status)
        status = dither_scheme_parse("f32", &job->f32, error);
    if (!status)
        status = dither_noise_options_open(&job->options, &job->run, error);
    if (status)
        return status;
    for (size_t part = 0; part < DITHER_NOISE_PARTS; part++)
        job->part[part] = dither_scheme_part(&scheme, part);
    job->draws = DRAWS_LEAST;
    status = take_memory(job, error);
    return status ? status : measure(job, error);
}

dither_status dither_noise_measure(const dither_noise_options *options, dither_noise **noise,
                                   void (*progress)(void *context, const dither_noise_progress *progress),
                                   void *context, const volatile sig_atomic_t *stop, dither_error *error)
{
    *noise = NULL;
    noise_job *job = calloc(1, sizeof *job);
    if (!job)
        return dither_fail(error, DITHER_E_MEMORY, "", "no memory");
    job->options = *options;
    job->progress = progress;
    job->progress_context = context;
    job->stop = stop;
    const dither_status status = run_job(job, error);
    if (status)
        dither_noise_free(job->noise);
    else
        *noise = job->noise;
    dither_gradient_places_free(&job->places);
    dither_gradient_close(&job->gradient);
    dither_run_close(&job->run);
    free(job->tokens);
    free(job->sums);
    free(job->figures);
    free(job);
    return status;
}
