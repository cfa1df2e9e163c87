/* Training steps on random tokens: the step of a training run, without its data, its files and its reports. */
#include <math.h>
#include <stdlib.h>

#include "base/fail.h"
#include "bench/machine.h"
#include "train/memory.h"
#include "train/step.h"

enum { STEPS_MOST = 1000000, BYTES = 256 };

static dither_batch_view random_batch(dither_run *run, uint64_t sample)
{
    const uint64_t count = run->options.batch * run->options.seq;
    const uint64_t vocab = run->config.vocab;
    for (uint64_t i = 0; i < count; i++) {
        run->batch.ids[i] = (uint32_t)(dither_bench_random(5, sample * run->options.seq + i) % vocab);
        run->batch.targets[i] = (uint32_t)(dither_bench_random(6, sample * run->options.seq + i) % vocab);
    }
    return (dither_batch_view){.batch = (size_t)run->options.batch, .seq = (size_t)run->options.seq,
                               .ids = run->batch.ids, .targets = run->batch.targets};
}

static dither_status check_request(const dither_bench_step_request *r, dither_error *error)
{
    const struct {
        const char *name;
        uint64_t value, most;
    } sizes[] = {{"--batch", r->batch, UINT32_MAX}, {"--seq", r->seq, UINT32_MAX}, {"--steps", r->steps, STEPS_MOST}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        if (!sizes[i].value || sizes[i].value > sizes[i].most)
            return dither_fail(error, DITHER_E_USAGE, sizes[i].name, "%llu; it must be 1 to %llu",
                               (unsigned long long)sizes[i].value, (unsigned long long)sizes[i].most);
    return DITHER_OK;
}

static dither_status open_run(dither_run *run, const dither_bench_step_request *r, dither_error *error)
{
    dither_train_options_init(&run->options);
    run->options.scheme = r->scheme;
    run->options.batch = r->batch;
    run->options.seq = r->seq;
    run->options.steps = r->steps + 1;
    run->options.lr = 1e-4;
    run->options.min_lr = 1e-5;
    dither_status status = dither_bench_threads(r->threads, &run->threads, error);
    run->cpu = *dither_cpu_active();
    if (!status)
        status = dither_scheme_parse(r->scheme, &run->scheme, error);
    if (!status)
        status = dither_model_config_parse(r->new_model, 1, &run->config, error);
    if (!status && run->config.vocab == 1) /* it does not say: what the tokenizer of a training run has */
        status = dither_model_config_parse(r->new_model, BYTES, &run->config, error);
    if (!status && r->seq > run->config.ctx)
        status = dither_fail(error, DITHER_E_USAGE, "--seq", "%llu is longer than the model's context of %zu",
                             (unsigned long long)r->seq, run->config.ctx);
    if (!status)
        status = dither_run_count(run, error);
    if (!status)
        status = dither_run_check_memory(run, error);
    return status ? status : dither_run_take_memory(run, error);
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The first step touches all memory for the first time, and is not counted. */
static dither_status take_steps(dither_run *run, double *seconds, double *loss, dither_error *error)
{
    for (uint64_t i = 0; i < run->options.steps; i++) {
        dither_step_result step;
        run->context.profile = i ? &run->profile : NULL;
        const dither_status status = dither_step_run(run, random_batch, dither_step_tokens(run), &step, error);
        if (status)
            return status;
        if (i)
            seconds[i - 1] = step.seconds;
        else
            run->profiled_s = 0, run->profiled_steps = 0;
        *loss = step.loss;
    }
    qsort(seconds, run->options.steps - 1, sizeof *seconds, by_size);
    return DITHER_OK;
}

static dither_status measure(dither_run *run, double *seconds, dither_bench_step_result *result, dither_error *error)
{
    dither_network_init(&run->network, 1);
    dither_status status = take_steps(run, seconds, &result->loss, error);
    if (status)
        return status;
    result->peak_rss_bytes = dither_memory_peak();
    const uint64_t steps = run->profiled_steps;
    result->threads = run->threads;
    result->parameters = dither_model_parameters(&run->config);
    result->tokens = dither_step_tokens(run);
    result->step_s = (seconds[(steps - 1) / 2] + seconds[steps / 2]) / 2;
    result->tokens_per_s = (double)result->tokens / result->step_s;
    dither_peaks peaks;
    status = dither_bench_peak(run->threads, &peaks, error);
    if (status)
        return status;
    dither_profile_report(&run->profile, &peaks, steps, run->profiled_s, &result->speed);
    result->forward_s = result->speed.forward_s / (double)steps;
    result->backward_s = result->speed.backward_s / (double)steps;
    result->optimizer_s = result->speed.optimizer_s / (double)steps;
    return DITHER_OK;
}

dither_status dither_bench_step(const dither_bench_step_request *request, dither_bench_step_result *result,
                                dither_error *error)
{
    *result = (dither_bench_step_result){0};
    dither_status status = check_request(request, error);
    if (status)
        return status;
    double *seconds = calloc(request->steps, sizeof *seconds);
    dither_run *run = calloc(1, sizeof *run);
    if (seconds && run) {
        dither_run_init(run);
        status = open_run(run, request, error);
        if (!status)
            status = measure(run, seconds, result, error);
        dither_run_close(run);
    } else {
        status = dither_fail(error, DITHER_E_MEMORY, "", "no memory for a benchmark");
    }
    free(run);
    free(seconds);
    return status;
}
