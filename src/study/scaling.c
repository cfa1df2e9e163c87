#include "study/scaling.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fail.h"
#include "base/text.h"
#include "file/atomic.h"
#include "train/memory.h"

enum { SEQ = 256, SCHEME_TEXT = 160 };

void dither_study_scaling_init(dither_study_scaling_options *options)
{
    *options = (dither_study_scaling_options){.sequences = 64, .seeds = 3, .elements = 1 << 20};
}

/* ---- schemes ------------------------------------------------------------------------------------------------- */

/* Presets where there is one; the others are paper-int4 with another format: weights at int8, activations at bf16. */
static const struct {
    dither_scaling_kind kind;
    const char *name, *format;
} rows[] = {
    {DITHER_SCALING_F32, "f32", ""},
    {DITHER_SCALING_RANDOM, "paper-int8", "int8"},
    {DITHER_SCALING_RANDOM, "int7", "int7"},
    {DITHER_SCALING_RANDOM, "int6", "int6"},
    {DITHER_SCALING_RANDOM, "int5", "int5"},
    {DITHER_SCALING_RANDOM, "paper-int4", "int4"},
    {DITHER_SCALING_RANDOM, "int3", "int3"},
    {DITHER_SCALING_RANDOM, "paper-e4m3", "e4m3"},
    {DITHER_SCALING_RANDOM, "e4m2", "e4m2"},
    {DITHER_SCALING_RANDOM, "paper-e4m1", "e4m1"},
    {DITHER_SCALING_RANDOM, "e4m0", "e4m0"},
    {DITHER_SCALING_NEAREST, "int8", "int8"},
    {DITHER_SCALING_NEAREST, "int4", "int4"},
    {DITHER_SCALING_NEAREST, "e4m3", "e4m3"},
    {DITHER_SCALING_NEAREST, "e4m1", "e4m1"},
    {DITHER_SCALING_WEIGHT, "int8", "int8"},
    {DITHER_SCALING_WEIGHT, "int4", "int4"},
    {DITHER_SCALING_WEIGHT, "e4m3", "e4m3"},
    {DITHER_SCALING_WEIGHT, "e4m1", "e4m1"},
    {DITHER_SCALING_ACT, "int8", "int8"},
    {DITHER_SCALING_ACT, "e4m3", "e4m3"},
};

enum { ROWS = sizeof rows / sizeof rows[0] };

static void scheme_text(size_t row, char *text)
{
    const char *const f = rows[row].format;
    switch (rows[row].kind) {
    case DITHER_SCALING_F32: (void)snprintf(text, SCHEME_TEXT, "f32"); break;
    case DITHER_SCALING_RANDOM:
        if (!strncmp(rows[row].name, "paper-", 6))
            (void)snprintf(text, SCHEME_TEXT, "%s", rows[row].name);
        else
            (void)snprintf(text, SCHEME_TEXT, "paper-int4,bact=%s/row:sr,goact=%s/row:sr,goweight=%s/row:sr", f, f, f);
        break;
    case DITHER_SCALING_NEAREST:
        (void)snprintf(text, SCHEME_TEXT, "f32,bact=%s/row,goact=%s/row,goweight=%s/row", f, f, f);
        break;
    case DITHER_SCALING_WEIGHT: (void)snprintf(text, SCHEME_TEXT, "f32,weight=%s/row,same_weight", f); break;
    case DITHER_SCALING_ACT: (void)snprintf(text, SCHEME_TEXT, "f32,act=%s/row", f); break;
    }
}

static dither_status fill_schemes(dither_scaling *study, dither_error *error)
{
    _Static_assert((int)ROWS <= (int)DITHER_SCALING_SCHEMES, "every scheme has its place");
    for (size_t i = 0; i < ROWS; i++) {
        char text[SCHEME_TEXT];
        dither_scaling_scheme *scheme = &study->scheme[study->scheme_count++];
        scheme->kind = rows[i].kind;
        (void)snprintf(scheme->name, sizeof scheme->name, "%s", rows[i].name);
        (void)snprintf(scheme->format, sizeof scheme->format, "%s", rows[i].format);
        scheme_text(i, text);
        const dither_status status = dither_scheme_parse(text, &scheme->scheme, error);
        if (status)
            return status;
    }
    return DITHER_OK;
}

/* ---- one cell ------------------------------------------------------------------------------------------------ */

/* The gradient of sequence k, added to block 0. */
static dither_status add_gradient(dither_scaling *study, uint64_t k, uint32_t number, float sign, bool fresh,
                                  dither_error *error)
{
    dither_gradient *g = &study->gradient;
    const double trained = (double)dither_samples_trained(&study->run.samples, k, 1);
    const dither_batch_view view = dither_samples_fill(&study->run.samples, k, 1, &study->buffers);
    const dither_gradient_draw draw = {number, (uint32_t)k};
    return dither_gradient_add(g, &view, draw, (float)((double)sign / trained), fresh, g->block[0], NULL, error);
}

/* Where block 0 goes: column k of x, less that of g where it is there. */
static void gather(dither_scaling *study, uint64_t k, double factor, const float *less, float *x)
{
    const size_t n = (size_t)study->options->sequences;
    const float *const block = study->gradient.block[0];
    for (size_t i = 0; i < study->sample.count; i++) {
        const double value = factor * (double)block[study->sample.element[i]];
        x[i * n + k] = (float)(less ? value - (double)less[i * n + k] : value);
    }
}

/* Where progress goes: a part of the cell. */
typedef struct fill_progress {
    const dither_cell *cell;
    dither_cells_run *run;
    double from, to;
} fill_progress;

/* All sequences under a scheme. */
static dither_status fill(dither_scaling *study, size_t scheme, uint32_t seed, float *x, const float *less,
                          fill_progress progress, dither_error *error)
{
    const bool random = study->scheme[scheme].kind == DITHER_SCALING_RANDOM;
    dither_status status = dither_gradient_scheme(&study->gradient, &study->scheme[scheme].scheme, error);
    for (uint64_t k = 0; k < study->options->sequences && !status; k++) {
        status = add_gradient(study, k, 2 * seed, 1, true, error);
        if (!status && random)
            status = add_gradient(study, k, 2 * seed + 1, -1, false, error);
        if (status)
            break;
        gather(study, k, random ? sqrt(0.5) : 1, less, x);
        const double part = (double)k / (double)study->options->sequences;
        if (dither_cells_tick(progress.run, progress.cell, progress.from + part * (progress.to - progress.from)))
            status = DITHER_E_STOPPED;
    }
    return status;
}

static dither_status run_cell(void *context, dither_cell *cell, dither_cells_run *progress, dither_error *error)
{
    dither_scaling *const study = context;
    const size_t index = (size_t)(cell - study->cell), scheme = study->meaning[index].scheme;
    const dither_scaling_kind kind = study->scheme[scheme].kind;
    const bool differs = kind != DITHER_SCALING_F32 && kind != DITHER_SCALING_RANDOM;
    dither_scaling_figures *figures = calloc(study->places.count, sizeof *figures);
    dither_status status =
        figures ? DITHER_OK : dither_fail(error, DITHER_E_MEMORY, study->options->out, "no memory for figures");
    const double half = differs && !study->has_g ? 0.5 : 0;
    if (!status && half > 0) {
        status = fill(study, 0, 1, study->g, NULL, (fill_progress){cell, progress, 0, half}, error);
        study->has_g = !status;
    }
    if (!status)
        status = fill(study, scheme, study->meaning[index].seed, study->x, differs ? study->g : NULL,
                      (fill_progress){cell, progress, half, 1}, error);
    if (!status) {
        dither_scaling_sum(&study->sample, study->places.count, study->x, study->levels, figures);
        dither_scaling_store(study, figures, cell->value);
    }
    free(figures);
    return status;
}

/* ---- cells --------------------------------------------------------------------------------------------------- */

void dither_scaling_store(const dither_scaling *study, const dither_scaling_figures *figures, double *value)
{
    for (size_t place = 0; place < study->places.count; place++) {
        double *const at = value + place * (study->levels + 2);
        for (size_t level = 0; level < study->levels; level++)
            at[level] = figures[place].batches[level];
        at[study->levels] = figures[place].floor;
        at[study->levels + 1] = figures[place].spread;
    }
}

dither_scaling_figures dither_scaling_figures_of(const dither_scaling *study, size_t cell, size_t place)
{
    const double *const at = study->cell[cell].value + place * (study->levels + 2);
    dither_scaling_figures figures = {.floor = at[study->levels], .spread = at[study->levels + 1]};
    for (size_t level = 0; level < study->levels; level++)
        figures.batches[level] = at[level];
    return figures;
}

static dither_status lay_cells(dither_scaling *study, dither_error *error)
{
    static const char *const kinds[] = {"", "sr", "rne", "weight", "act"};
    const dither_study_scaling_options *const o = study->options;
    const size_t most = study->scheme_count * (size_t)o->seeds, values = study->places.count * (study->levels + 2);
    if (values > DITHER_CELL_VALUES)
        return dither_fail(error, DITHER_E_USAGE, o->model, "it has more layers than a cell of the study has room for");
    study->cell = calloc(most, sizeof *study->cell);
    study->meaning = calloc(most, sizeof *study->meaning);
    if (!study->cell || !study->meaning)
        return dither_fail(error, DITHER_E_MEMORY, o->out, "no memory for %zu cells", most);
    for (size_t i = 0; i < study->scheme_count; i++) {
        const bool random = study->scheme[i].kind == DITHER_SCALING_RANDOM;
        for (uint32_t seed = 1; seed <= (random ? o->seeds : 1); seed++) {
            dither_cell *const cell = &study->cell[study->count];
            const char *const kind = kinds[study->scheme[i].kind];
            (void)snprintf(cell->name, sizeof cell->name, "%s%s%s", kind, *kind ? "_" : "", study->scheme[i].name);
            if (random)
                (void)snprintf(cell->name + strlen(cell->name), sizeof cell->name - strlen(cell->name), "_draw%u",
                               (unsigned)seed);
            cell->values = values;
            cell->cost = random ? 2 : 1;
            study->meaning[study->count].scheme = i;
            study->meaning[study->count].seed = seed;
            study->count++;
        }
    }
    return DITHER_OK;
}

/* ---- options, model, data ------------------------------------------------------------------------------------ */

static dither_status check(const dither_study_scaling_options *o, dither_error *error)
{
    if (!o->model)
        return dither_fail(error, DITHER_E_USAGE, "--model", "it is missing; name a model folder or a GGUF file");
    if (!o->data_count)
        return dither_fail(error, DITHER_E_USAGE, "--data", "it is missing; name texts or records");
    if (!o->out)
        return dither_fail(error, DITHER_E_USAGE, "--out", "it is missing; name a folder for the results");
    if (o->sequences < 4 || o->sequences > DITHER_SCALING_SEQUENCES || (o->sequences & (o->sequences - 1)))
        return dither_fail(error, DITHER_E_USAGE, "--sequences", "%llu; it must be a power of two from 4 to %d",
                           (unsigned long long)o->sequences, DITHER_SCALING_SEQUENCES);
    if (!o->seeds || o->seeds > DITHER_SCALING_SEEDS)
        return dither_fail(error, DITHER_E_USAGE, "--seeds", "%llu; it must be 1 to %d", (unsigned long long)o->seeds,
                           DITHER_SCALING_SEEDS);
    if (o->elements < 1024 || o->elements > UINT32_MAX)
        return dither_fail(error, DITHER_E_USAGE, "--elements", "%llu; it must be 1024 to %llu",
                           (unsigned long long)o->elements, (unsigned long long)UINT32_MAX);
    return DITHER_OK;
}

static dither_status open_data(dither_scaling *study, dither_error *error)
{
    const dither_study_scaling_options *const o = study->options;
    dither_model_config config;
    dither_status status = dither_model_config_read(o->model, &config, error);
    if (status)
        return status;
    dither_train_options train;
    dither_train_options_init(&train);
    train.model = o->model;
    train.data = o->data;
    train.data_count = o->data_count;
    train.chat_format = o->chat_format;
    train.fields = o->fields;
    train.val_fraction = 0;
    train.scheme = "f32";
    train.batch = 1;
    train.seq = o->seq ? o->seq : config.ctx < SEQ ? config.ctx : SEQ;
    train.threads = o->threads;
    train.dry_run = true; /* nothing is written */
    status = dither_run_open(&study->run, &train, error);
    if (status)
        return status;
    const dither_run *run = &study->run;
    const uint64_t there = run->records ? run->packing.packed.sequences : run->samples.sampler.windows;
    if (there < o->sequences)
        return dither_fail(error, DITHER_E_SHAPE, o->data[0],
                           "the data are %llu sequence%s of %llu tokens, but the study is of %llu; more data, a "
                           "smaller --seq, or fewer --sequences", (unsigned long long)there, there == 1 ? "" : "s",
                           (unsigned long long)train.seq, (unsigned long long)o->sequences);
    return DITHER_OK;
}

static dither_status check_memory(const dither_scaling *study, const dither_gradient_request *request,
                                  dither_error *error)
{
    uint64_t bytes = 0;
    const dither_status status = dither_gradient_count(request, &bytes, error);
    if (status)
        return status;
    char wants[16], has[16];
    const uint64_t limit = dither_memory_available();
    const uint64_t needed = dither_memory_resident() + bytes +
                            8 * study->options->elements * study->options->sequences + 8 * study->options->elements;
    if (needed <= limit)
        return DITHER_OK;
    dither_text_bytes(needed, wants);
    dither_text_bytes(limit, has);
    return dither_fail(error, DITHER_E_MEMORY, "", "the study would need up to %s and the machine has %s; fewer "
                       "--elements or --sequences need less", wants, has);
}

static uint64_t hash_weights(const dither_network *network)
{
    uint64_t hash = 0xCBF29CE484222325u;
    for (size_t i = 0; i < network->elements; i++) {
        uint32_t bits;
        memcpy(&bits, &network->parameters[i], sizeof bits);
        hash = (hash ^ bits) * 0x100000001B3u;
    }
    return hash;
}

static dither_status open_model(dither_scaling *study, dither_error *error)
{
    const dither_study_scaling_options *const o = study->options;
    const size_t n = (size_t)o->sequences, seq = (size_t)study->run.options.seq;
    dither_scheme schemes[DITHER_SCALING_SCHEMES];
    for (size_t i = 0; i < study->scheme_count; i++)
        schemes[i] = study->scheme[i].scheme;
    const dither_gradient_request request = {.config = &study->run.config, .schemes = schemes,
                                             .scheme_count = study->scheme_count, .batch = 1, .seq = seq, .blocks = 1,
                                             .seed = 1, .threads = study->run.threads};
    dither_status status = check_memory(study, &request, error);
    if (!status)
        status = dither_gradient_open(&study->gradient, &request, error);
    if (!status)
        status = dither_gradient_load(&study->gradient, o->model, error);
    if (status)
        return status;
    const size_t elements = study->gradient.network.elements;
    study->tokens = calloc(5 * seq + 1, sizeof *study->tokens);
    if (!study->tokens || dither_gradient_places_init(&study->places, &study->gradient.network) ||
        dither_scaling_sample_init(&study->sample, &study->places, elements, (size_t)o->elements))
        return dither_fail(error, DITHER_E_MEMORY, o->out, "no memory for the sample of the gradient");
    study->x = calloc(study->sample.count * n, sizeof *study->x);
    study->g = calloc(study->sample.count * n, sizeof *study->g);
    if (!study->x || !study->g)
        return dither_fail(error, DITHER_E_MEMORY, o->out, "no memory for %llu gradients of %zu elements",
                           (unsigned long long)n, study->sample.count);
    study->buffers = (dither_batch_buffers){.ids = study->tokens, .targets = study->tokens + seq,
                                            .positions = study->tokens + 2 * seq, .first = study->tokens + 3 * seq,
                                            .window = study->tokens + 4 * seq};
    (void)snprintf(study->identity, sizeof study->identity,
                   "scaling 1: %llu sequences of %zu, %zu elements, data %016llx, weights %016llx",
                   (unsigned long long)n, seq, study->sample.count, (unsigned long long)study->run.data_hash,
                   (unsigned long long)hash_weights(&study->gradient.network));
    return DITHER_OK;
}

static dither_status open_study(dither_scaling *study, dither_error *error)
{
    dither_status status = check(study->options, error);
    for (size_t n = 1; !status && n <= study->options->sequences; n *= 2)
        study->levels++;
    if (!status)
        status = fill_schemes(study, error);
    if (!status)
        status = open_data(study, error);
    if (!status)
        status = open_model(study, error);
    return status ? status : lay_cells(study, error);
}

/* With OUT locked. Cells one after the other: each has all threads. */
static dither_status complete(dither_scaling *study, dither_study_listener listener, void *context,
                              const volatile sig_atomic_t *stop, dither_claims *claims, dither_error *error)
{
    const dither_cells cells = {
        .folder = study->options->out,
        .identity = study->identity,
        .cell = study->cell,
        .count = study->count,
        .threads = 1,
        .run = run_cell,
        .context = study,
    };
    const dither_status status = dither_cells_complete(&cells, listener, context, stop, error);
    if (status)
        return status;
    dither_scaling_claim(study, claims);
    return dither_scaling_write(study, claims, error);
}

dither_status dither_study_scaling(const dither_study_scaling_options *options, dither_study_listener listener,
                                   void *context, const volatile sig_atomic_t *stop, dither_claims *claims,
                                   dither_error *error)
{
    *claims = (dither_claims){.count = 0};
    dither_scaling *study = calloc(1, sizeof *study);
    if (!study)
        return dither_fail(error, DITHER_E_MEMORY, "", "no memory");
    int lock = -1;
    study->options = options;
    dither_run_init(&study->run);
    dither_status status = open_study(study, error);
    if (!status)
        status = dither_folder_create(options->out, error);
    if (!status)
        status = dither_folder_lock(options->out, &lock, error);
    if (!status)
        status = complete(study, listener, context, stop, claims, error);
    if (lock >= 0)
        close(lock);
    dither_scaling_sample_free(&study->sample);
    dither_gradient_places_free(&study->places);
    dither_gradient_close(&study->gradient);
    dither_run_close(&study->run);
    free(study->cell);
    free(study->meaning);
    free(study->tokens);
    free(study->x);
    free(study->g);
    free(study);
    return status;
}
