/* The training loop: step, evaluate, report, save. */
#include <math.h>
#include <stdio.h>

#include "base/fail.h"
#include "kernel/vector.h"
#include "train/disk.h"
#include "train/evaluation.h"
#include "train/memory.h"
#include "train/noise_probe.h"
#include "train/step.h"

typedef struct loop_clock {
    double training_s; /* spent in steps of this process */
    uint64_t tokens;   /* trained on by this process */
    double step_s;     /* smoothed, for the time left */
    uint64_t saved;    /* step of the last checkpoint */
} loop_clock;

static bool stop_asked(const dither_run *run)
{
    return run->stop && *run->stop;
}

/* What a user whose run broke down needs to know beside where. */
static dither_status with_advice(const dither_run *run, const loop_clock *clock, dither_status status,
                                 dither_error *error)
{
    if (status != DITHER_E_NUMERIC || !error)
        return status;
    return dither_fail(error, status, error->where,
                       "%s; the checkpoint of step %llu in %s is kept; a lower --lr or more --warmup may help",
                       error->text, (unsigned long long)clock->saved, run->options.out);
}

static dither_batch_view sample_batch(dither_run *run, uint64_t sample)
{
    return dither_samples_fill(&run->samples, sample, (size_t)run->options.batch, &run->batch);
}

static dither_status train_step(dither_run *run, loop_clock *clock, dither_error *error)
{
    const dither_train_options *o = &run->options;
    dither_step_result result;
    const uint64_t microbatches = dither_step_accumulate(run), tokens = dither_step_tokens(run);
    const uint64_t trained =
        dither_samples_trained(&run->samples, dither_step_sample(run), o->batch * microbatches);
    dither_status status = dither_step_run(run, sample_batch, trained, &result, error);
    if (status)
        return with_advice(run, clock, status, error);
    const double took = result.seconds;
    const bool probed = dither_probe_after_step(run, result.norm);
    clock->training_s += took;
    clock->tokens += tokens;
    clock->step_s = clock->step_s > 0 ? 0.9 * clock->step_s + 0.1 * took : took;
    const dither_event event = {
        .kind = DITHER_EVENT_STEP,
        .step = run->step,
        .steps = o->steps,
        .loss = result.loss,
        .trained_tokens = trained,
        .lr = result.lr,
        .grad_norm = result.norm,
        .tokens_per_s = (double)tokens / took,
        .clip_rate = run->clips.elements ? (double)run->clips.clipped / (double)run->clips.elements : 0,
        .roles = run->roles,
        .noise = dither_rounding_noise_of(&run->noise, trained),
        .noise_ratio = dither_rounding_noise_ratio(&run->noise, trained),
        .noise_probe = probed ? run->noise.latest / (double)trained : 0,
        .accumulate = o->auto_batch ? microbatches : 0,
        .eta_s = clock->step_s * (double)(o->steps - run->step),
        .rss_bytes = dither_memory_peak(),
    };
    status = dither_run_report(run, &event, error);
    return status || !probed ? status : dither_probe_judge(run, trained, error);
}

static dither_status evaluate_records(dither_run *run, const dither_context *context, uint64_t limit,
                                      dither_evaluation *result, dither_error *error)
{
    const dither_eval_records_job job = {
        .network = &run->network,
        .context = context,
        .mode = DITHER_HEAD_EXACT,
        .packing = &run->val_packing,
        .buffers = run->batch,
        .limit = limit,
        .spread = true,
        .stop = run->stop,
    };
    return dither_eval_records_run(&job, result, error);
}

static dither_status evaluate_text(dither_run *run, const dither_context *context, uint64_t limit,
                                   dither_evaluation *result, dither_error *error)
{
    const dither_eval_job job = {
        .network = &run->network,
        .context = context,
        .mode = DITHER_HEAD_EXACT,
        .corpus = run->val_corpus ? run->val_corpus : run->corpus,
        .first = run->val_first,
        .tokens = run->val_tokens,
        .seq = (size_t)run->options.seq,
        .limit = limit,
        .ids = run->batch.ids,
        .targets = run->batch.targets,
        .window = run->batch.window,
        .stop = run->stop,
    };
    return dither_eval_run(&job, result, error);
}

static dither_status evaluate(dither_run *run, uint64_t limit, dither_evaluation *result, dither_error *error)
{
    *result = (dither_evaluation){.nats_per_token = NAN, .perplexity = NAN, .bits_per_byte = NAN};
    if (!run->val_tokens)
        return DITHER_OK;
    dither_context context = run->context;
    context.profile = NULL; /* of steps alone */
    return run->records ? evaluate_records(run, &context, limit, result, error)
                        : evaluate_text(run, &context, limit, result, error);
}

static dither_status evaluate_on_the_way(dither_run *run, dither_error *error)
{
    const dither_train_options *o = &run->options;
    if (!run->val_tokens || !o->eval_every || run->step % o->eval_every || run->step == o->steps)
        return DITHER_OK;
    dither_evaluation result;
    const dither_status status = evaluate(run, o->eval_tokens, &result, error);
    if (status)
        return status == DITHER_E_STOPPED ? DITHER_OK : status; /* the loop looks at the flag itself */
    const dither_event event = {
        .kind = DITHER_EVENT_EVAL,
        .step = run->step,
        .steps = o->steps,
        .val_loss = result.nats_per_token,
        .bits_per_byte = result.bits_per_byte,
        .eval_tokens = result.tokens,
    };
    return dither_run_report(run, &event, error);
}

/* A checkpoint never replaces a good one by numbers that are none. */
static dither_status check_finite(dither_run *run, dither_error *error)
{
    const float *const blocks[] = {run->network.parameters, run->moment1, run->moment2};
    for (int i = 0; i < 3; i++)
        if (blocks[i] &&
            !isfinite(dither_vector_square_sum(run->network.elements, blocks[i], run->partial, run->threads)))
            return dither_fail(error, DITHER_E_NUMERIC, "", "NaN or Inf after step %llu in the %s",
                               (unsigned long long)run->step, i ? "optimizer's moments" : "weights");
    return DITHER_OK;
}

static dither_status save(dither_run *run, loop_clock *clock, dither_error *error)
{
    if (clock->saved == run->step)
        return DITHER_OK;
    const dither_status status = check_finite(run, error);
    if (status)
        return with_advice(run, clock, status, error);
    clock->saved = run->step;
    return dither_run_checkpoint(run, error);
}

static dither_status report_profile(dither_run *run, dither_error *error)
{
    if (!run->options.profile)
        return DITHER_OK;
    dither_speed speed;
    dither_profile_report(&run->profile, run->options.profile, run->profiled_steps, run->profiled_s, &speed);
    const dither_event event = {
        .kind = DITHER_EVENT_PROFILE, .step = run->step, .steps = run->options.steps, .speed = &speed};
    return dither_run_report(run, &event, error);
}

static dither_status finish(dither_run *run, loop_clock *clock, bool finished, dither_error *error)
{
    dither_evaluation result = {.nats_per_token = NAN, .bits_per_byte = NAN};
    dither_status status = finished ? evaluate(run, 0, &result, error) : DITHER_OK;
    if (!status)
        status = report_profile(run, error);
    const dither_event event = {
        .kind = DITHER_EVENT_END,
        .step = run->step,
        .steps = run->options.steps,
        .val_loss = result.nats_per_token,
        .bits_per_byte = result.bits_per_byte,
        .eval_tokens = result.tokens,
        .tokens_per_s = clock->training_s > 0 ? (double)clock->tokens / clock->training_s : 0,
        .peak_rss_bytes = dither_memory_peak(),
        .finished = finished,
    };
    return status ? status : dither_run_report(run, &event, error);
}

/* No step was done: a checkpoint would hold nothing that starting anew does not give. */
static dither_status stop_before(dither_run *run, dither_error *error)
{
    static const char text[] = "stopped before the first step was done: nothing is kept";
    const dither_event event = {.kind = DITHER_EVENT_NOTICE, .steps = run->options.steps, .text = text};
    dither_log_close(&run->log);
    dither_tensorboard_discard(&run->board);
    if (run->lock >= 0)
        dither_disk_discard(run->options.out, run->found);
    if (run->report)
        run->report(run->report_context, &event);
    return dither_fail(error, DITHER_E_STOPPED, run->options.out, "%s", text);
}

static dither_status loop(dither_run *run, dither_error *error)
{
    const dither_train_options *o = &run->options;
    const uint64_t last = o->stop_at && o->stop_at < o->steps ? o->stop_at : o->steps;
    loop_clock clock = {.saved = run->step};
    dither_status status = DITHER_OK;
    while (!status && run->step < last && !stop_asked(run)) {
        status = train_step(run, &clock, error);
        if (!status && o->save_every && run->step % o->save_every == 0)
            status = save(run, &clock, error);
        if (!status)
            status = evaluate_on_the_way(run, error);
    }
    if (!status && stop_asked(run) && run->step == 0 && run->fresh)
        return stop_before(run, error);
    if (!status)
        status = save(run, &clock, error);
    const bool finished = run->step == o->steps;
    if (!status)
        status = finish(run, &clock, finished, error);
    if (status == DITHER_E_STOPPED || (!status && stop_asked(run) && !finished))
        return dither_fail(error, DITHER_E_STOPPED, "", "stopped after step %llu of %llu; saved in %s",
                           (unsigned long long)run->step, (unsigned long long)o->steps, o->out);
    return status;
}

/* Resumed behind its end: nothing to do, and nothing for the log. */
static void report_finished(const dither_run *run)
{
    char text[128];
    (void)snprintf(text, sizeof text, "the run is finished already, at step %llu", (unsigned long long)run->step);
    const dither_event event = {.kind = DITHER_EVENT_NOTICE, .step = run->step, .steps = run->step, .text = text};
    if (run->report)
        run->report(run->report_context, &event);
}

static dither_status train(dither_run *run, dither_error *error)
{
    dither_status status = DITHER_OK;
    if (run->options.tensorboard)
        status = dither_tensorboard_open(&run->board, run->options.out, run->step, error);
    if (!status)
        status = dither_run_report_start(run, error);
    return status ? status : loop(run, error);
}

dither_status dither_train(const dither_train_options *options, dither_event_fn report, void *context,
                           const volatile sig_atomic_t *stop, dither_error *error)
{
    dither_run run;
    if (options->profile)
        dither_memory_forget_peak(); /* that of measuring the peaks */
    dither_status status = dither_run_open(&run, options, error);
    run.report = report;
    run.report_context = context;
    run.stop = stop;
    if (!status && options->dry_run) {
        status = dither_run_report_start(&run, error);
        if (!status)
            dither_run_report_plan(&run);
    }
    if (!status)
        status = dither_run_check_memory(&run, error);
    if (!status && !options->dry_run)
        status = dither_run_check_disk(&run, error);
    if (!status && !options->dry_run && stop_asked(&run) && !run.resumes)
        status = stop_before(&run, error);
    if (!status && !options->dry_run) {
        status = dither_run_begin(&run, error);
        if (!status && run.step == run.options.steps && dither_log_ended(&run.log, run.step))
            report_finished(&run);
        else if (!status)
            status = train(&run, error);
    }
    dither_run_close(&run);
    return status;
}
