#include "train/noise_probe.h"

#include <math.h>
#include <stdio.h>

#include "kernel/vector.h"
#include "quant/spec.h"
#include "train/step.h"
#include "train/train_options.h"

enum {
    MICROBATCHES_A_PROBE = 256, /* one for so many: a probe is two, and quantizes the weights */
    TEXT = 512
};

/* No seed of a run has this bit: its draws and the probes' never meet. */
static const uint64_t probe_seed = UINT64_C(1) << 63;

static bool draws(const dither_quantizer *quantizer)
{
    return quantizer->rounding.mode == DITHER_ROUND_SR;
}

/* Whether a role's draws are new for each micro-batch; those of weights serve the whole step. */
static bool role_draws(const dither_scheme *scheme, int role)
{
    const bool copied = (role == DITHER_ROLE_BACT && scheme->same_input) ||
                        (role == DITHER_ROLE_GOWEIGHT && scheme->same_grad) || role == DITHER_ROLE_WEIGHT ||
                        role == DITHER_ROLE_BWEIGHT;
    return !copied && (draws(&scheme->role[role]) || draws(&scheme->head[role]));
}

static bool role_rounds(const dither_scheme *scheme, int role)
{
    const dither_quantizer plain = dither_quantizer_f32();
    return !dither_quantizer_equal(&scheme->role[role], &plain) || !dither_quantizer_equal(&scheme->head[role], &plain);
}

bool dither_probe_exists(const dither_scheme *scheme)
{
    for (int role = 0; role < DITHER_ROLES; role++)
        if (role_draws(scheme, role))
            return true;
    /* The signs of the transform are drawn, and what is rounded depends on them. */
    return scheme->rht && (role_rounds(scheme, DITHER_ROLE_BACT) || role_rounds(scheme, DITHER_ROLE_GOWEIGHT));
}

uint64_t dither_probe_interval(const dither_run *run)
{
    const uint64_t every = run->options.noise_every, microbatches = dither_step_accumulate(run);
    if (!every || !dither_probe_exists(&run->scheme))
        return 0;
    return every == DITHER_NOISE_EVERY_AUTO ? (MICROBATCHES_A_PROBE + microbatches - 1) / microbatches : every;
}

dither_status dither_probe_measure(dither_run *run, uint64_t sample, uint32_t roles, double *variance,
                                   uint64_t *tokens)
{
    dither_network *net = &run->network;
    *variance = 0;
    *tokens = dither_samples_trained(&run->samples, sample, run->options.batch);
    if (!*tokens)
        return DITHER_OK;
    const dither_batch_view view = dither_samples_fill(&run->samples, sample, (size_t)run->options.batch, &run->batch);
    dither_context context = run->context;
    context.clips = context.roles = NULL;
    context.profile = NULL; /* of steps alone */
    context.seed |= probe_seed;
    context.microbatch = 0;
    dither_status status = dither_network_refresh(net, &context, NULL); /* the optimizer has moved the weights */
    for (uint32_t draw = 0; draw < 2 && !status; draw++) {
        double loss;
        const double scale = 1 / (double)*tokens;
        context.microbatch = roles ? 0 : draw;
        context.redrawn = draw ? roles : 0;
        context.fresh = draw == 0;
        status = dither_network_loss(net, &context, DITHER_HEAD_TRAIN, &view, (float)(draw ? -scale : scale), &loss,
                                     NULL);
    }
    if (status)
        return status;
    const double square = dither_vector_square_sum(net->elements, net->gradients, run->partial, run->threads);
    *variance = square / 2 * (double)*tokens * (double)*tokens;
    return isfinite(square) ? DITHER_OK : DITHER_E_NUMERIC;
}

/* The first sample of the last micro-batch: the one that is in the packer's hands. */
static uint64_t last_sample(const dither_run *run)
{
    return run->drawn - run->options.batch;
}

bool dither_probe_after_step(dither_run *run, double norm)
{
    const uint64_t every = dither_probe_interval(run);
    if (!every)
        return false;
    dither_rounding_noise_add_step(&run->noise, norm);
    double variance;
    uint64_t tokens;
    /* Numbers that are none: the next step meets them too, and says where. */
    if (run->step % every || dither_probe_measure(run, last_sample(run), 0, &variance, &tokens) || !tokens)
        return false;
    dither_rounding_noise_add_probe(&run->noise, variance, tokens);
    return true;
}

/* ---- the alarm ------------------------------------------------------------------------------------------------- */

/* The role that adds most to the gradient's noise, by a probe in which it alone draws anew. -1: none does */
static int dominant_role(dither_run *run, double *share)
{
    double sum = 0, most = 0;
    int found = -1;
    for (int role = 0; role < DITHER_ROLES; role++) {
        double variance;
        uint64_t tokens;
        if (!role_draws(&run->scheme, role) ||
            dither_probe_measure(run, last_sample(run), UINT32_C(1) << role, &variance, &tokens))
            continue;
        sum += variance;
        if (variance > most) {
            most = variance;
            found = role;
        }
    }
    *share = sum > 0 ? most / sum : 0;
    return found;
}

static bool may_double(const dither_run *run)
{
    const uint64_t next = 2 * dither_step_accumulate(run);
    return run->options.auto_batch && next <= run->options.accumulate * run->options.auto_batch_max &&
           next <= DITHER_ACCUMULATE_MAX;
}

/* What would help, into text[size]. */
static void print_help(dither_run *run, uint64_t trained, char *text, size_t size)
{
    double share = 0;
    const int role = dominant_role(run, &share);
    const unsigned long long now = dither_step_accumulate(run);
    const unsigned long long factor = dither_rounding_noise_factor(&run->noise, trained);
    size_t used = 0;
    if (role >= 0) {
        char quantizer[DITHER_QUANTIZER_TEXT];
        dither_quantizer_print(&run->scheme.role[role], quantizer);
        used = (size_t)snprintf(text, size, "; %.0f %% of the noise is from %s=%s, where one bit more leaves a quarter",
                                100 * share, dither_role_name((dither_role)role), quantizer);
    }
    if (may_double(run))
        (void)snprintf(text + used, size - used, "; --auto-batch: from here on %llu micro-batches a step, not %llu",
                       2 * now, now);
    else
        (void)snprintf(text + used, size - used, "; or it takes at least %llu times the batch: --accumulate %llu",
                       factor, factor * now);
}

dither_status dither_probe_judge(dither_run *run, uint64_t trained, dither_error *error)
{
    if (!dither_rounding_noise_alarm(&run->noise, trained))
        return DITHER_OK;
    char text[TEXT];
    const double noise = dither_rounding_noise_of(&run->noise, trained);
    const double ratio = dither_rounding_noise_ratio(&run->noise, trained);
    const int used = snprintf(text, sizeof text,
                              "rounding's noise drowns the gradient: norm %.2g without it, below sqrt(3) times %.2g; "
                              "training gains little",
                              sqrt(noise / ratio), sqrt(noise));
    print_help(run, trained, text + used, sizeof text - (size_t)used);
    const bool doubles = may_double(run);
    if (doubles)
        dither_rounding_noise_double(&run->noise);
    const dither_event event = {
        .kind = DITHER_EVENT_NOTICE, .step = run->step, .steps = run->options.steps, .text = text};
    return dither_run_report(run, &event, error);
}
