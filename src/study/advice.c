/*
 * Advice, in the order of what each step needs: the memory of every scheme, then its noise, which decides the batch,
 * then the time of steps of that batch.
 */
#include "dither/advice.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "dither/noise.h"
#include "study/advice_rows.h"
#include "study/advice_run.h"
#include "study/scheme_part.h"

enum { SEQ = 256, SEQUENCES = 8, SAMPLES = 16, PAIRS_GUESS = 3, STEPS_GUESS = 4, SEQUENCES_MOST = 1024, BYTES = 256 };

/* A micro-batch may be so many times the batch that was asked for; beyond, memory would be spent for nothing. */
enum { LARGER = 2 };

typedef struct advice_job {
    dither_advice_options options;
    dither_advice_run run;
    dither_scheme scheme[DITHER_ADVICE_SCHEMES + 1]; /* of the rows */
    uint64_t largest[DITHER_ADVICE_SCHEMES + 1];     /* micro-batch of each row that fits, up to LARGER batches */
    dither_advice *advice;
    dither_advice_progress at;
    uint64_t before;    /* passes done before what is measured now ... */
    uint64_t guess;     /* ... and what that was guessed to take */
    uint64_t step_size; /* sequences of a step that is being timed */
    void (*progress)(void *context, const dither_advice_progress *progress);
    void *progress_context;
    const volatile sig_atomic_t *stop;
} advice_job;

void dither_advice_options_init(dither_advice_options *options)
{
    *options = (dither_advice_options){.draws = 32, .precision = 0.05, .timing_s = 2};
    dither_train_options_init(&options->run);
}

void dither_advice_free(dither_advice *advice)
{
    if (!advice)
        return;
    free(advice->rows);
    free(advice);
}

/* ---- options ------------------------------------------------------------------------------------------------ */

static dither_status check(const dither_advice_options *o, dither_error *error)
{
    if (o->scheme_count > DITHER_ADVICE_SCHEMES)
        return dither_fail(error, DITHER_E_USAGE, "--schemes", "%zu schemes; at most %d can be compared at once",
                           o->scheme_count, DITHER_ADVICE_SCHEMES);
    if (!(o->hours >= 0 && isfinite(o->hours)))
        return dither_fail(error, DITHER_E_USAGE, "--hours", "%g; it must be above 0", o->hours);
    if (o->sequences > SEQUENCES_MOST)
        return dither_fail(error, DITHER_E_USAGE, "--sequences", "%llu; it must be at most %d",
                           (unsigned long long)o->sequences, SEQUENCES_MOST);
    return DITHER_OK;
}

/* The context of the model, whatever its tokens: what --seq is at most. */
static dither_status fill_seq(dither_train_options *run, dither_error *error)
{
    dither_model_config config;
    if (run->seq || !run->model == !run->new_model) /* opening the run says what is wrong */
        return DITHER_OK;
    const dither_status status = run->model ? dither_model_config_read(run->model, &config, error)
                                            : dither_model_config_parse(run->new_model, BYTES, &config, error);
    if (!status)
        run->seq = config.ctx < SEQ ? config.ctx : SEQ;
    return status;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* What the noise is measured on, as far as the data go. */
static dither_status fill_sequences(advice_job *job, dither_error *error)
{
    dither_advice_options *o = &job->options;
    const uint64_t there = dither_advice_run_sequences(&job->run);
    if (there < 2 || o->sequences > there || o->samples > there)
        return dither_fail(error, DITHER_E_SHAPE, o->run.data[0],
                           "the data are %llu sequence%s of %llu tokens to train on; the noise of a batch takes two at "
                           "least, and as many as were asked for: more data, or a smaller --seq",
                           (unsigned long long)there, there == 1 ? "" : "s", (unsigned long long)o->run.seq);
    if (!o->sequences)
        o->sequences = smaller(smaller(o->run.batch, SEQUENCES), there);
    if (!o->samples)
        o->samples = smaller(SAMPLES, there);
    return DITHER_OK;
}

/* f32 first, then each scheme that is another. */
static dither_status fill_rows(advice_job *job, dither_error *error)
{
    const dither_advice_options *o = &job->options;
    dither_advice *advice = job->advice;
    advice->rows = calloc(o->scheme_count + 1, sizeof *advice->rows);
    if (!advice->rows)
        return dither_fail(error, DITHER_E_MEMORY, "", "no memory");
    const dither_interval none = {NAN, NAN, NAN};
    for (size_t i = 0; i <= o->scheme_count; i++) {
        const char *const text = i ? o->schemes[i - 1] : "f32";
        dither_scheme *scheme = &job->scheme[advice->row_count];
        dither_error wrong = {.status = DITHER_OK};
        const dither_status status = dither_scheme_parse(text, scheme, &wrong);
        if (status)
            return dither_fail(error, status, "--schemes", "\"%.60s\": %s%s%s", text, wrong.where,
                               wrong.where[0] ? ": " : "", wrong.text);
        if (i && dither_scheme_plain(scheme))
            continue;
        advice->rows[advice->row_count++] = (dither_advice_row){
            .scheme = text, .q2 = none, .noise = none, .factor = none, .bit_factor = none, .bias = none};
    }
    return DITHER_OK;
}

static dither_status open_job(advice_job *job, dither_error *error)
{
    dither_advice_options *o = &job->options;
    dither_status status = check(o, error);
    if (!status)
        status = fill_seq(&o->run, error);
    if (!status)
        status = fill_rows(job, error);
    if (!status)
        status = dither_advice_run_open(&job->run, &o->run, error);
    if (!status)
        status = fill_sequences(job, error);
    if (status)
        return status;
    const dither_run *run = &job->run.run;
    dither_advice *advice = job->advice;
    advice->config = run->config;
    advice->parameters = dither_model_parameters(&run->config);
    advice->random_weights = !o->run.model;
    advice->seq = o->run.seq;
    advice->batch = o->run.batch;
    advice->train_tokens = run->train_tokens;
    advice->threads = run->threads;
    advice->sequences = o->sequences;
    advice->samples = o->samples;
    advice->memory_limit = job->run.limit;
    advice->sampling = (dither_interval){NAN, NAN, NAN};
    for (size_t i = 0; i < advice->row_count; i++) {
        job->largest[i] = dither_advice_run_largest(&job->run, &job->scheme[i], LARGER * o->run.batch);
        advice->rows[i].fits = job->largest[i] > 0;
    }
    return DITHER_OK;
}

/* ---- progress ---------------------------------------------------------------------------------------------- */

/* @param guess  passes that what begins now should take */
static void begin(advice_job *job, dither_advice_stage stage, const char *scheme, uint64_t guess)
{
    job->at.stage = stage;
    job->at.scheme = scheme;
    job->before = job->at.done;
    job->guess = guess;
}

static void show(const advice_job *job)
{
    if (job->progress)
        job->progress(job->progress_context, &job->at);
}

/* It took another number than was guessed. */
static void settle(advice_job *job)
{
    const uint64_t taken = job->at.done - job->before;
    job->at.total = job->at.total + taken - job->guess;
    job->guess = taken;
}

static void on_pass(void *context, const dither_noise_progress *progress)
{
    advice_job *job = context;
    job->at.total = job->at.total + progress->total - job->guess;
    job->guess = progress->total;
    job->at.done = job->before + progress->done;
    show(job);
}

static void on_step(void *context)
{
    advice_job *job = context;
    job->at.done += job->step_size;
    if (job->at.done - job->before > job->guess)
        settle(job);
    show(job);
}

static uint64_t noise_guess(const advice_job *job, bool sampling)
{
    return job->options.sequences * (1 + 2 * PAIRS_GUESS) + (sampling ? 2 * job->options.samples : 0);
}

/* ---- noise ------------------------------------------------------------------------------------------------- */

/* |E G - g| / |g|, of the sequences. */
static dither_interval relative_bias(const dither_noise *noise)
{
    const dither_interval bias2 = dither_noise_at(noise, 0, 0, 0)->bias2;
    const double norm2 = noise->norm2[0];
    return (dither_interval){sqrt(fmax(bias2.value, 0) / norm2), sqrt(fmax(bias2.low, 0) / norm2),
                             sqrt(fmax(bias2.high, 0) / norm2)};
}

/* The first measurement has s2 as well. */
static dither_status measure_noise(advice_job *job, size_t index, dither_error *error)
{
    const dither_advice_options *o = &job->options;
    const dither_train_options *run = &o->run;
    dither_advice_row *row = &job->advice->rows[index];
    const bool first = isnan(job->advice->sampling.value);
    const uint64_t together = index ? smaller(job->largest[index], o->sequences) : 1;
    dither_noise_options options;
    dither_noise_options_init(&options);
    options.model = run->model;
    options.new_model = run->new_model;
    options.tokenizer = run->tokenizer;
    options.data = run->data;
    options.data_count = run->data_count;
    options.chat_format = run->chat_format;
    options.fields = run->fields;
    options.train_on = run->train_on;
    options.longer = run->longer;
    options.scheme = row->scheme;
    options.batches = &o->sequences;
    options.batch_count = 1;
    options.micro_batch = together; /* what training quantizes together, scales being of all of it */
    options.samples = first ? o->samples : 1;
    options.seq = run->seq;
    options.draws = o->draws;
    options.precision = o->precision;
    options.parts = 1u << DITHER_NOISE_WHOLE;
    options.seed = run->seed;
    options.threads = run->threads;
    begin(job, DITHER_ADVICE_NOISE, row->scheme, noise_guess(job, first));
    dither_noise *noise = NULL;
    const dither_status status = dither_noise_measure(&options, &noise, on_pass, job, job->stop, error);
    if (status)
        return status;
    settle(job);
    row->q2 = dither_noise_per_sample(noise, 0, 0);
    row->bias = relative_bias(noise);
    if (first)
        job->advice->sampling = noise->sampling[0];
    job->advice->loss = noise->batches[0].loss;
    job->advice->norm = sqrt(noise->norm2[0]);
    dither_noise_free(noise);
    return DITHER_OK;
}

static bool any_fits(const dither_advice *advice)
{
    for (size_t i = 0; i < advice->row_count; i++)
        if (advice->rows[i].fits)
            return true;
    return false;
}

/* Of those that fit: noise, and so the batch, and so the memory. f32 has none, but gives s2 where it is alone. */
static dither_status measure_rows(advice_job *job, dither_error *error)
{
    dither_advice *advice = job->advice;
    const dither_train_options *run = &job->options.run;
    for (size_t i = 1; i < advice->row_count; i++) {
        const dither_status status = advice->rows[i].fits ? measure_noise(job, i, error) : DITHER_OK;
        if (status)
            return status;
    }
    const dither_status status = isnan(advice->sampling.value) ? measure_noise(job, 0, error) : DITHER_OK;
    if (status)
        return status;
    advice->rows[0].q2 = advice->rows[0].bias = (dither_interval){0, 0, 0};
    advice->sgd_sampling = run->lr * advice->sampling.value / (4 * (1 - run->momentum) * (double)run->batch);
    for (size_t i = 0; i < advice->row_count; i++) {
        dither_advice_row *row = &advice->rows[i];
        if (!row->fits)
            continue;
        dither_advice_row_noise(row, advice->sampling, (double)run->batch, run->lr, run->momentum);
        dither_advice_row_shape(row, row->factor.value * (double)run->batch, job->largest[i]);
        const double sequences = (double)(row->batch * row->accumulate);
        dither_advice_row_noise(row, advice->sampling, sequences, run->lr, run->momentum);
        row->memory_bytes = dither_advice_run_memory(&job->run, &job->scheme[i], row->batch);
    }
    return DITHER_OK;
}

/* ---- time -------------------------------------------------------------------------------------------------- */

static dither_status time_row(advice_job *job, size_t index, dither_error *error)
{
    dither_advice_row *row = &job->advice->rows[index];
    dither_advice_time time;
    begin(job, DITHER_ADVICE_SPEED, row->scheme, STEPS_GUESS * job->options.sequences);
    job->step_size = row->batch;
    const dither_status status = dither_advice_run_time(&job->run, &job->scheme[index], row->batch,
                                                        job->options.timing_s, on_step, job, job->stop, &time, error);
    if (status)
        return status;
    settle(job);
    row->step_s = (double)row->accumulate * time.micro_s + time.update_s;
    row->tokens_per_s = (double)(row->batch * row->accumulate * job->advice->seq) / row->step_s;
    dither_advice_row_time(row, job->options.run.batch, job->options.run.steps, job->options.hours);
    return DITHER_OK;
}

static dither_status make(advice_job *job, dither_error *error)
{
    dither_advice *advice = job->advice;
    dither_status status = open_job(job, error);
    if (!status && any_fits(advice)) {
        const uint64_t measured = advice->row_count > 1 ? advice->row_count - 1 : 1;
        job->at.total = measured * noise_guess(job, false) + 2 * job->options.samples +
                        advice->row_count * STEPS_GUESS * job->options.sequences;
        status = measure_rows(job, error);
        for (size_t i = 0; i < advice->row_count && !status; i++)
            status = advice->rows[i].fits ? time_row(job, i, error) : DITHER_OK;
    }
    if (!status)
        advice->best = dither_advice_best(advice->rows, advice->row_count);
    return status;
}

dither_status dither_advice_make(const dither_advice_options *options, dither_advice **advice,
                                 void (*progress)(void *context, const dither_advice_progress *progress), void *context,
                                 const volatile sig_atomic_t *stop, dither_error *error)
{
    *advice = NULL;
    advice_job *job = calloc(1, sizeof *job);
    dither_advice *made = calloc(1, sizeof *made);
    if (!job || !made) {
        free(job);
        free(made);
        return dither_fail(error, DITHER_E_MEMORY, "", "no memory");
    }
    job->options = *options;
    job->advice = made;
    job->progress = progress;
    job->progress_context = context;
    job->stop = stop;
    dither_run_init(&job->run.run);
    const dither_status status = make(job, error);
    if (status)
        dither_advice_free(made);
    else
        *advice = made;
    dither_advice_run_close(&job->run);
    free(job);
    return status;
}
