#include "study/advice_run.h"

#include <stdlib.h>

#include "base/fail.h"
#include "train/memory.h"
#include "train/step.h"

/* Moves no weight by more than a rounding, so that no scheme breaks down while it is timed. */
static const double STILL = 1e-12;

enum { STEPS_LEAST = 2 };

dither_status dither_advice_run_open(dither_advice_run *advice, const dither_train_options *options,
                                     dither_error *error)
{
    dither_train_options o = *options;
    o.scheme = "f32";
    o.accumulate = 1;
    o.out = NULL;
    o.resume = false;
    o.dry_run = true; /* nothing is written */
    o.profile = NULL;
    const dither_status status = dither_run_open(&advice->run, &o, error);
    if (status)
        return status;
    const uint64_t available = dither_memory_available();
    advice->base = advice->run.predicted - advice->run.memory_total;
    advice->limit = o.memory && o.memory < available ? o.memory : available;
    return DITHER_OK;
}

void dither_advice_run_close(dither_advice_run *advice)
{
    dither_run_close(&advice->run);
}

uint64_t dither_advice_run_sequences(const dither_advice_run *advice)
{
    const dither_run *run = &advice->run;
    return run->records ? run->packing.packed.sequences : run->samples.sampler.windows;
}

uint64_t dither_advice_run_memory(dither_advice_run *advice, const dither_scheme *scheme, uint64_t batch)
{
    dither_run *run = &advice->run;
    run->scheme = *scheme;
    run->options.batch = batch;
    /* What is resident is not asked again: that of the first count is what a dry run by itself finds. */
    return dither_run_count(run, NULL) ? UINT64_MAX : advice->base + run->memory_total;
}

uint64_t dither_advice_run_largest(dither_advice_run *advice, const dither_scheme *scheme, uint64_t most)
{
    uint64_t fits = 0, fails = most;
    if (dither_advice_run_memory(advice, scheme, most) <= advice->limit)
        return most;
    while (fits + 1 < fails) {
        const uint64_t middle = fits + (fails - fits) / 2;
        if (dither_advice_run_memory(advice, scheme, middle) <= advice->limit)
            fits = middle;
        else
            fails = middle;
    }
    return fits;
}

/* ---- time -------------------------------------------------------------------------------------------------- */

static dither_batch_view sample_batch(dither_run *run, uint64_t sample)
{
    return dither_samples_fill(&run->samples, sample, (size_t)run->options.batch, &run->batch);
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, size_t count)
{
    qsort(values, count, sizeof *values, by_size);
    return (values[(count - 1) / 2] + values[count / 2]) / 2;
}

/* One step: its seconds, and those of them that are the optimizer's. */
static dither_status timed_step(dither_run *run, double *micro_s, double *update_s, dither_error *error)
{
    dither_step_result result;
    const uint64_t trained = dither_samples_trained(&run->samples, dither_step_sample(run), run->options.batch);
    const int64_t before = run->profile.phase_ns[DITHER_PHASE_OPTIMIZER];
    const dither_status status = dither_step_run(run, sample_batch, trained, &result, error);
    if (status)
        return status;
    *update_s = 1e-9 * (double)(run->profile.phase_ns[DITHER_PHASE_OPTIMIZER] - before);
    *micro_s = result.seconds - *update_s;
    return DITHER_OK;
}

static dither_status take_steps(dither_run *run, double timing_s, void (*step)(void *context), void *context,
                                const volatile sig_atomic_t *stop, dither_advice_time *time, dither_error *error)
{
    double micro_s[DITHER_ADVICE_STEPS], update_s[DITHER_ADVICE_STEPS], all = 0;
    size_t count = 0;
    for (bool first = true; count < DITHER_ADVICE_STEPS && (count < STEPS_LEAST || all < timing_s); first = false) {
        const dither_status status = timed_step(run, &micro_s[count], &update_s[count], error);
        if (status)
            return status;
        step(context);
        if (stop && *stop)
            return dither_fail(error, DITHER_E_STOPPED, "", "stopped");
        if (first) /* it touches all memory for the first time */
            continue;
        all += micro_s[count] + update_s[count];
        count++;
    }
    *time = (dither_advice_time){median(micro_s, count), median(update_s, count)};
    return DITHER_OK;
}

dither_status dither_advice_run_time(dither_advice_run *advice, const dither_scheme *scheme, uint64_t batch,
                                     double timing_s, void (*step)(void *context), void *context,
                                     const volatile sig_atomic_t *stop, dither_advice_time *time, dither_error *error)
{
    dither_run *run = &advice->run;
    const dither_train_options kept = run->options;
    run->scheme = *scheme;
    run->options.batch = batch;
    run->options.lr = run->options.min_lr = STILL;
    run->options.schedule = DITHER_SCHEDULE_CONSTANT;
    run->options.warmup = 0;
    run->step = 0;
    dither_status status = dither_run_count(run, error);
    if (!status)
        status = dither_run_take_memory(run, error);
    if (!status && run->options.model)
        status = dither_run_find_model(run, run->network.parameters, error);
    else if (!status)
        dither_network_init(&run->network, run->options.seed);
    if (!status) {
        run->context.profile = &run->profile;
        status = take_steps(run, timing_s, step, context, stop, time, error);
    }
    dither_network_free(&run->network);
    if (run->arena.base)
        dither_arena_close(&run->arena);
    run->arena = (dither_arena){0};
    run->options = kept;
    return status;
}
