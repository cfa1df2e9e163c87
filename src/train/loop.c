/* The training loop: step, evaluate, report, save. */
#include <math.h>
#include <stdio.h>
#include <time.h>

#include "base/fail.h"
#include "kernel/vector.h"
#include "optim/optimizer.h"
#include "train/evaluation.h"
#include "train/memory.h"
#include "train/run.h"

typedef struct loop_clock {
    double training_s; /* spent in steps of this process */
    uint64_t tokens;   /* trained on by this process */
    double step_s;     /* smoothed, for the time left */
    uint64_t saved;    /* step of the last checkpoint */
} loop_clock;

static double now(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static uint64_t tokens_of_step(const dither_run *run)
{
    return run->options.batch * run->options.accumulate * run->options.seq;
}

static bool stop_asked(const dither_run *run)
{
    return run->stop && *run->stop;
}

/* Loss and gradients of one step, micro-batch by micro-batch. */
static dither_status accumulate(dither_run *run, double *loss, dither_error *error)
{
    const dither_train_options *o = &run->options;
    dither_network *net = &run->network;
    run->context.microbatch = 0;
    dither_status status = dither_network_refresh(net, &run->context, error);
    dither_vector_zero(net->elements, net->gradients, run->threads);
    *loss = 0;
    for (uint64_t k = 0; k < o->accumulate && !status; k++) {
        run->context.microbatch = (uint32_t)k;
        const uint64_t sample = ((run->step - 1) * o->accumulate + k) * o->batch;
        dither_sampler_batch(&run->sampler, run->corpus, sample, (size_t)o->batch, run->ids, run->targets, run->window);
        double sum = 0;
        status = dither_network_loss(net, &run->context, DITHER_HEAD_TRAIN, (size_t)o->batch, (size_t)o->seq, run->ids,
                                     run->targets, (float)(1.0 / (double)tokens_of_step(run)), &sum, error);
        *loss += sum;
    }
    *loss /= (double)tokens_of_step(run);
    return status;
}

/* Where the first number that is none stands. */
static dither_status explain_nan(const dither_run *run, double loss, dither_error *error)
{
    const dither_network *net = &run->network;
    for (size_t i = 0; i < net->table_count; i++) {
        const dither_parameter *row = &net->table[i];
        for (size_t k = 0; k < row->rows * row->cols; k++) {
            if (isfinite(net->gradients[row->offset + k]))
                continue;
            char layer[32] = "outside the layers";
            if (row->layer != DITHER_LAYER_NONE)
                (void)snprintf(layer, sizeof layer, "layer %ld", row->layer);
            return dither_fail(error, DITHER_E_NUMERIC, "",
                               "NaN or Inf at step %llu in the gradient of %s (%s), loss %g",
                               (unsigned long long)run->step, row->name, layer, loss);
        }
    }
    return dither_fail(error, DITHER_E_NUMERIC, "", "NaN or Inf at step %llu in the loss",
                       (unsigned long long)run->step);
}

static void update(dither_run *run, double lr, float scale)
{
    const dither_train_options *o = &run->options;
    const dither_network *net = &run->network;
    for (size_t i = 0; i < net->table_count; i++) {
        const dither_parameter *row = &net->table[i];
        const size_t at = row->offset, n = row->rows * row->cols;
        const double decay = row->vector ? 0 : o->weight_decay;
        if (o->optimizer == DITHER_OPTIMIZER_ADAMW) {
            const dither_adamw adamw = {lr, o->beta1, o->beta2, o->adam_eps, decay, run->step};
            dither_adamw_update(&adamw, n, net->parameters + at, run->moment1 + at, run->moment2 + at,
                                net->gradients + at, scale, run->threads);
        } else {
            const dither_sgd sgd = {lr, o->momentum, decay};
            dither_sgd_update(&sgd, n, net->parameters + at, run->moment1 ? run->moment1 + at : NULL,
                              net->gradients + at, scale, run->threads);
        }
    }
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

static dither_status train_step(dither_run *run, loop_clock *clock, dither_error *error)
{
    const dither_train_options *o = &run->options;
    const double begun = now();
    double loss;
    run->step++;
    run->context.step = (uint32_t)run->step;
    run->clips = (dither_clips){0};
    const dither_status status = accumulate(run, &loss, error);
    if (status)
        return with_advice(run, clock, status, error);
    const double norm =
        sqrt(dither_vector_square_sum(run->network.elements, run->network.gradients, run->partial, run->threads));
    if (!isfinite(norm) || !isfinite(loss))
        return with_advice(run, clock, explain_nan(run, loss, error), error);
    const double lr = dither_train_lr(o, run->step);
    update(run, lr, o->clip > 0 && norm > o->clip ? (float)(o->clip / norm) : 1);
    const double took = now() - begun;
    clock->training_s += took;
    clock->tokens += tokens_of_step(run);
    clock->step_s = clock->step_s > 0 ? 0.9 * clock->step_s + 0.1 * took : took;
    const dither_event event = {
        .kind = DITHER_EVENT_STEP,
        .step = run->step,
        .steps = o->steps,
        .loss = loss,
        .lr = lr,
        .grad_norm = norm,
        .tokens_per_s = (double)tokens_of_step(run) / took,
        .clip_rate = run->clips.elements ? (double)run->clips.clipped / (double)run->clips.elements : 0,
        .eta_s = clock->step_s * (double)(o->steps - run->step),
        .rss_bytes = dither_memory_peak(),
    };
    return dither_run_report(run, &event, error);
}

static dither_status evaluate(dither_run *run, uint64_t limit, dither_evaluation *result, dither_error *error)
{
    *result = (dither_evaluation){.nats_per_token = NAN, .perplexity = NAN, .bits_per_byte = NAN};
    if (!run->val_tokens)
        return DITHER_OK;
    const dither_eval_job job = {
        .network = &run->network,
        .context = &run->context,
        .mode = DITHER_HEAD_EXACT,
        .corpus = run->val_corpus ? run->val_corpus : run->corpus,
        .first = run->val_first,
        .tokens = run->val_tokens,
        .seq = (size_t)run->options.seq,
        .limit = limit,
        .ids = run->ids,
        .targets = run->targets,
        .window = run->window,
        .stop = run->stop,
    };
    return dither_eval_run(&job, result, error);
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

static dither_status finish(dither_run *run, loop_clock *clock, bool finished, dither_error *error)
{
    dither_evaluation result = {.nats_per_token = NAN, .bits_per_byte = NAN};
    dither_status status = finished ? evaluate(run, 0, &result, error) : DITHER_OK;
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
    const dither_status status = dither_run_report_start(run, error);
    return status ? status : loop(run, error);
}

dither_status dither_train(const dither_train_options *options, dither_event_fn report, void *context,
                           const volatile sig_atomic_t *stop, dither_error *error)
{
    dither_run run;
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
