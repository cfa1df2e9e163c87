#include "train/step.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "kernel/vector.h"
#include "optim/optimizer.h"

uint64_t dither_step_accumulate(const dither_run *run)
{
    return run->options.accumulate << run->noise.doublings;
}

uint64_t dither_step_tokens(const dither_run *run)
{
    return run->options.batch * dither_step_accumulate(run) * run->options.seq;
}

uint64_t dither_step_sample(const dither_run *run)
{
    return run->drawn;
}

/* Loss and gradients of one step, micro-batch by micro-batch. */
static dither_status accumulate(dither_run *run, dither_step_batch batch, uint64_t trained, double *loss,
                                dither_error *error)
{
    const uint64_t microbatches = dither_step_accumulate(run);
    dither_network *net = &run->network;
    run->context.microbatch = 0;
    dither_status status = dither_network_refresh(net, &run->context, error);
    *loss = 0;
    for (uint64_t k = 0; k < microbatches && !status; k++) {
        run->context.microbatch = (uint32_t)k;
        run->context.fresh = k == 0;
        const uint64_t sample = run->drawn + k * run->options.batch;
        dither_profile_phase(run->context.profile, DITHER_PHASE_NONE);
        const dither_batch_view view = batch(run, sample);
        dither_profile_phase(run->context.profile, DITHER_PHASE_FORWARD);
        double sum = 0;
        status = dither_network_loss(net, &run->context, DITHER_HEAD_TRAIN, &view,
                                     (float)(1.0 / (double)trained), &sum, error);
        *loss += sum;
    }
    *loss /= (double)trained;
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

static double gradient_norm(dither_run *run)
{
    const dither_network *net = &run->network;
    const int64_t begun = dither_profile_begin(run->context.profile);
    const double sum = dither_vector_square_sum(net->elements, net->gradients, run->partial, run->threads);
    dither_profile_end(run->context.profile, DITHER_OP_GRAD_NORM, begun,
                       dither_work_pass((double)net->elements * sizeof(float)));
    return sqrt(sum);
}

static void update(dither_run *run, double lr, float scale)
{
    const dither_train_options *o = &run->options;
    const dither_network *net = &run->network;
    const bool adamw_chosen = o->optimizer == DITHER_OPTIMIZER_ADAMW;
    const int64_t begun = dither_profile_begin(run->context.profile);
    for (size_t i = 0; i < net->table_count; i++) {
        const dither_parameter *row = &net->table[i];
        const size_t at = row->offset, n = row->rows * row->cols;
        const double decay = row->vector ? 0 : o->weight_decay;
        if (adamw_chosen) {
            const dither_adamw adamw = {lr, o->beta1, o->beta2, o->adam_eps, decay, run->step};
            dither_adamw_update(&adamw, n, net->parameters + at, run->moment1 + at, run->moment2 + at,
                                net->gradients + at, scale, run->threads);
        } else {
            const dither_sgd sgd = {lr, o->momentum, decay};
            dither_sgd_update(&sgd, n, net->parameters + at, run->moment1 ? run->moment1 + at : NULL,
                              net->gradients + at, scale, run->threads);
        }
    }
    /* The weights, the gradient and each moment are read, all but the gradient are written. */
    const int floats = adamw_chosen ? 7 : run->moment1 ? 5 : 3;
    dither_profile_end(run->context.profile, adamw_chosen ? DITHER_OP_ADAMW : DITHER_OP_SGD, begun,
                       dither_work_pass((double)net->elements * floats * sizeof(float)));
}

dither_status dither_step_run(dither_run *run, dither_step_batch batch, uint64_t trained,
                              dither_step_result *result, dither_error *error)
{
    assert(trained > 0);
    const dither_train_options *o = &run->options;
    const int64_t begun = dither_profile_now();
    run->step++;
    run->context.step = (uint32_t)run->step;
    run->clips = (dither_clips){0};
    memset(run->roles, 0, sizeof run->roles);
    dither_profile_phase(run->context.profile, DITHER_PHASE_OPTIMIZER);
    const dither_status status = accumulate(run, batch, trained, &result->loss, error);
    if (status)
        return status;
    dither_profile_phase(run->context.profile, DITHER_PHASE_OPTIMIZER);
    result->norm = gradient_norm(run);
    if (!isfinite(result->norm) || !isfinite(result->loss))
        return explain_nan(run, result->loss, error);
    result->lr = dither_train_lr(o, run->step);
    update(run, result->lr, o->clip > 0 && result->norm > o->clip ? (float)(o->clip / result->norm) : 1);
    run->drawn += o->batch * dither_step_accumulate(run);
    dither_profile_phase(run->context.profile, DITHER_PHASE_NONE);
    result->seconds = 1e-9 * (double)(dither_profile_now() - begun);
    run->profiled_s += result->seconds;
    run->profiled_steps++;
    return DITHER_OK;
}
