#include "study/mnist.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fail.h"
#include "base/parallel.h"
#include "dither/cpu.h"
#include "file/atomic.h"
#include "kernel/gemm_f32.h"

void dither_study_mnist_init(dither_study_mnist_options *options)
{
    static const char *const nets[] = {"784-100-10", "784-100-100-10", "784-100-100-100-10"};
    static const uint64_t batches[] = {512, 1024, 2048, 4096};
    *options = (dither_study_mnist_options){
        .nets = nets,
        .net_count = sizeof nets / sizeof nets[0],
        .batches = batches,
        .batch_count = sizeof batches / sizeof batches[0],
        .samples = 512,
        .steps = 20000,
        .seeds = 4,
        .lr = 1e-3,
    };
}

/* ---- one run ------------------------------------------------------------------------------------------------- */

typedef struct memory {
    float *parameters, *gradient, *noisy, *scratch;
} memory;

static bool memory_take(memory *m, const dither_mlp *net, size_t samples)
{
    const size_t count = dither_mlp_parameters(net);
    *m = (memory){malloc(count * sizeof(float)), malloc(count * sizeof(float)), malloc(count * sizeof(float)),
                  malloc(dither_mlp_scratch(net, samples) * sizeof(float))};
    return m->parameters && m->gradient && m->noisy && m->scratch;
}

static void memory_free(memory *m)
{
    free(m->parameters);
    free(m->gradient);
    free(m->noisy);
    free(m->scratch);
}

/* The unquantized run. @param m->gradient  that of the last weights at the end */
static dither_status descend_f32(const dither_mnist *study, const dither_mlp *net, dither_cell *cell,
                                 dither_cells_run *progress, memory *m, double *loss)
{
    const dither_pictures *const p = &study->pictures;
    const size_t count = dither_mlp_parameters(net);
    const float lr = (float)study->options->lr;
    for (uint64_t step = 0;; step++) {
        dither_mlp_gradient(net, m->parameters, p->count, p->x, p->labels, m->scratch, m->gradient, loss);
        if (step == study->options->steps)
            return DITHER_OK;
        for (size_t i = 0; i < count; i++)
            m->parameters[i] -= lr * m->gradient[i];
        if (dither_cells_tick(progress, cell, (double)step / (double)study->options->steps))
            return DITHER_E_STOPPED;
    }
}

/* sqrt of the mean square distance of quantized gradients from m->gradient, layer by layer. */
static dither_status measure_noise(const dither_mnist *study, const dither_mlp *net, dither_repeat *repeat,
                                   uint64_t key, size_t repeats, memory *m, double *noise, dither_error *error)
{
    for (size_t l = 0; l < net->layers; l++)
        noise[l] = 0;
    for (uint32_t draw = 0; draw < DITHER_MNIST_DRAWS; draw++) {
        const dither_status status =
            dither_repeat_backward(repeat, key, (uint32_t)study->options->steps + draw, repeats, error);
        if (status)
            return status;
        dither_repeat_gradient(repeat, m->noisy);
        for (size_t i = 0; i < dither_mlp_parameters(net); i++)
            m->noisy[i] -= m->gradient[i];
        for (size_t l = 0; l < net->layers; l++)
            noise[l] += pow(dither_mlp_norm(net, m->noisy, l), 2) / DITHER_MNIST_DRAWS;
    }
    for (size_t l = 0; l < net->layers; l++)
        noise[l] = sqrt(noise[l]);
    return DITHER_OK;
}

/* The key of a run's draws: none is shared with another run of the same weights at the start. */
static uint64_t key_of(const dither_mnist *study, const dither_mnist_cell *run)
{
    return run->seed | (uint64_t)-run->step_log2 << 32 | run->batch / study->options->samples << 40;
}

static dither_status descend_repeat(const dither_mnist *study, const dither_mlp *net, const dither_mnist_cell *run,
                                    dither_cell *cell, dither_cells_run *progress, memory *m, double *loss,
                                    dither_error *error)
{
    const dither_pictures *const p = &study->pictures;
    const size_t repeats = (size_t)(run->batch / study->options->samples);
    const uint64_t key = key_of(study, run), steps = study->options->steps;
    dither_repeat *repeat = NULL;
    dither_status status = dither_repeat_open(&repeat, net, p, run->step_log2,
                                              dither_repeat_rows_select(dither_cpu_active()->features), error);
    if (status)
        return status;
    dither_repeat_load(repeat, m->parameters);
    for (uint64_t step = 0; step < steps && !status; step++) {
        status = dither_repeat_backward(repeat, key, (uint32_t)step, repeats, error);
        if (status)
            break;
        dither_repeat_descend(repeat, (float)study->options->lr);
        if (dither_cells_tick(progress, cell, (double)step / (double)steps))
            status = DITHER_E_STOPPED;
    }
    if (!status) {
        dither_repeat_store(repeat, m->parameters);
        dither_mlp_gradient(net, m->parameters, p->count, p->x, p->labels, m->scratch, m->gradient, loss);
        status = measure_noise(study, net, repeat, key, repeats, m, cell->value + DITHER_MNIST_NOISE * net->layers,
                               error);
    }
    dither_repeat_close(repeat);
    return status;
}

static dither_status run_cell(void *context, dither_cell *cell, dither_cells_run *progress, dither_error *error)
{
    const dither_mnist *const study = context;
    const dither_mnist_cell *const run = &study->meaning[cell - study->cell];
    const dither_mlp *const net = &study->net[run->net];
    memory m;
    double loss = 0;
    dither_status status = DITHER_E_MEMORY;
    if (!memory_take(&m, net, study->pictures.count)) {
        (void)dither_fail(error, status, net->text, "no memory for its weights");
    } else {
        dither_mlp_init(net, run->seed, m.parameters);
        status = run->step_log2 ? descend_repeat(study, net, run, cell, progress, &m, &loss, error)
                                : descend_f32(study, net, cell, progress, &m, &loss);
    }
    if (!status) {
        for (size_t l = 0; l < net->layers; l++)
            cell->value[l] = dither_mlp_norm(net, m.gradient, l);
        for (size_t l = 0; l < net->layers && !run->step_log2; l++)
            cell->value[DITHER_MNIST_NOISE * net->layers + l] = 0;
        cell->value[DITHER_MNIST_KINDS * net->layers] = loss;
    }
    memory_free(&m);
    return status;
}

/* ---- the cells ----------------------------------------------------------------------------------------------- */

static void add_cell(dither_mnist *study, size_t net, int step_log2, uint64_t batch, uint32_t seed)
{
    const dither_mlp *const shape = &study->net[net];
    dither_cell *const cell = &study->cell[study->count];
    const double repeats = (double)(batch / study->options->samples);
    char what[48] = "f32";
    if (step_log2)
        (void)snprintf(what, sizeof what, "step%d_batch%llu", step_log2, (unsigned long long)batch);
    (void)snprintf(cell->name, sizeof cell->name, "%s_%s_seed%u", shape->text, what, (unsigned)seed);
    cell->values = DITHER_MNIST_KINDS * shape->layers + 1;
    /* In units of a forward pass through 784-100-10, as measured: only the order of cells and the time left need it. */
    cell->cost = (step_log2 ? 1 + repeats * (0.5 - 0.2 * step_log2) : 4) * (double)dither_mlp_parameters(shape) *
                 (double)study->options->samples;
    study->meaning[study->count++] = (dither_mnist_cell){net, step_log2, batch, seed};
}

static dither_status lay_cells(dither_mnist *study, dither_error *error)
{
    const dither_study_mnist_options *const o = study->options;
    const size_t most = o->net_count * (size_t)o->seeds * (o->batch_count * DITHER_MNIST_FINEST + 1);
    study->cell = calloc(most, sizeof *study->cell);
    study->meaning = calloc(most, sizeof *study->meaning);
    if (!study->cell || !study->meaning)
        return dither_fail(error, DITHER_E_MEMORY, o->out, "no memory for %zu runs", most);
    for (size_t net = 0; net < o->net_count; net++) {
        for (uint32_t seed = 1; seed <= o->seeds; seed++)
            add_cell(study, net, 0, o->samples, seed);
        for (int step = -1; step >= -DITHER_MNIST_FINEST; step--)
            for (size_t b = 0; b < o->batch_count; b++)
                for (uint32_t seed = 1; seed <= o->seeds; seed++)
                    add_cell(study, net, step, o->batches[b], seed);
    }
    return DITHER_OK;
}

/* ---- options ------------------------------------------------------------------------------------------------- */

static dither_status check_batches(const dither_study_mnist_options *o, dither_error *error)
{
    if (!o->batch_count || o->batch_count > DITHER_MNIST_BATCHES)
        return dither_fail(error, DITHER_E_USAGE, "--batch", "%zu batches; 1 to %d are right", o->batch_count,
                           DITHER_MNIST_BATCHES);
    for (size_t i = 0; i < o->batch_count; i++) {
        const uint64_t batch = o->batches[i];
        if (!batch || batch % o->samples || batch / o->samples > DITHER_REPEATS_MAX)
            return dither_fail(error, DITHER_E_USAGE, "--batch",
                               "%llu is not 1 to %d times the %llu samples that it repeats", (unsigned long long)batch,
                               DITHER_REPEATS_MAX, (unsigned long long)o->samples);
        for (size_t j = 0; j < i; j++)
            if (o->batches[j] == batch)
                return dither_fail(error, DITHER_E_USAGE, "--batch", "%llu is given twice",
                                   (unsigned long long)batch);
    }
    return DITHER_OK;
}

static dither_status check(dither_mnist *study, dither_error *error)
{
    enum { SAMPLES_MAX = 1 << 20, SEEDS_MAX = DITHER_MNIST_SEEDS };
    const dither_study_mnist_options *const o = study->options;
    if (!o->data)
        return dither_fail(error, DITHER_E_USAGE, "--data", "it is missing; name the folder with MNIST's IDX files");
    if (!o->out)
        return dither_fail(error, DITHER_E_USAGE, "--out", "it is missing; name a folder for the results");
    if (!o->samples || o->samples > SAMPLES_MAX)
        return dither_fail(error, DITHER_E_USAGE, "samples", "1 to %d samples are right", SAMPLES_MAX);
    if (!o->steps || o->steps > UINT32_MAX - DITHER_MNIST_DRAWS)
        return dither_fail(error, DITHER_E_USAGE, "--steps", "1 to %u steps are right",
                           UINT32_MAX - DITHER_MNIST_DRAWS);
    if (!o->seeds || o->seeds > SEEDS_MAX)
        return dither_fail(error, DITHER_E_USAGE, "--seeds", "1 to %d seeds are right", SEEDS_MAX);
    if (!(o->lr > 0) || !isfinite(o->lr))
        return dither_fail(error, DITHER_E_USAGE, "lr", "a learning rate above 0 is right");
    if (!o->net_count || o->net_count > DITHER_MNIST_NETS)
        return dither_fail(error, DITHER_E_USAGE, "--net", "%zu nets; 1 to %d are right", o->net_count,
                           DITHER_MNIST_NETS);
    for (size_t i = 0; i < o->net_count; i++) {
        const dither_status status = dither_mlp_parse("--net", o->nets[i], &study->net[i], error);
        if (status)
            return status;
        for (size_t j = 0; j < i; j++)
            if (!strcmp(study->net[i].text, study->net[j].text))
                return dither_fail(error, DITHER_E_USAGE, "--net", "%s is given twice", study->net[i].text);
    }
    return check_batches(o, error);
}

static dither_status read_pictures(dither_mnist *study, dither_error *error)
{
    const dither_study_mnist_options *const o = study->options;
    uint64_t digest = 0;
    dither_status status = dither_pictures_read(o->data, (size_t)o->samples, &study->pictures, &digest, error);
    for (size_t i = 0; i < o->net_count && !status; i++)
        status = dither_pictures_fit(&study->pictures, &study->net[i], error);
    (void)snprintf(study->identity, sizeof study->identity, "mnist 1: %llu steps of %g, %llu samples %016llx",
                   (unsigned long long)o->steps, o->lr, (unsigned long long)o->samples, (unsigned long long)digest);
    return status;
}

/* With OUT locked. */
static dither_status complete(dither_mnist *study, dither_study_listener listener, void *context,
                              const volatile sig_atomic_t *stop, dither_claims *claims, dither_error *error)
{
    const dither_study_mnist_options *const o = study->options;
    const dither_cells cells = {
        .folder = o->out,
        .identity = study->identity,
        .cell = study->cell,
        .count = study->count,
        .threads = o->threads,
        .run = run_cell,
        .context = study,
    };
    const dither_status status = dither_cells_complete(&cells, listener, context, stop, error);
    if (status)
        return status;
    for (size_t i = 0; i < study->count; i++)
        study->seconds += study->cell[i].seconds;
    dither_mnist_claim(study, claims);
    return dither_mnist_write(study, claims, error);
}

dither_status dither_study_mnist(const dither_study_mnist_options *options, dither_study_listener listener,
                                 void *context, const volatile sig_atomic_t *stop, dither_claims *claims,
                                 dither_error *error)
{
    dither_mnist study = {.options = options};
    int lock = -1;
    *claims = (dither_claims){.count = 0};
    dither_status status = check(&study, error);
    if (!status)
        status = read_pictures(&study, error);
    if (!status)
        status = lay_cells(&study, error);
    if (!status && !dither_gemm_f32_ready(options->threads > 0 ? options->threads : dither_cores(), 0))
        status = dither_fail(error, DITHER_E_MEMORY, "BLAS", "no address space for its buffers; fewer --threads?");
    if (!status)
        status = dither_folder_create(options->out, error);
    if (!status)
        status = dither_folder_lock(options->out, &lock, error);
    if (!status)
        status = complete(&study, listener, context, stop, claims, error);
    if (lock >= 0)
        close(lock);
    dither_pictures_close(&study.pictures);
    free(study.cell);
    free(study.meaning);
    return status;
}
