#include "study/noise_options.h"

#include "base/fail.h"
#include "study/gradient.h"

enum { SEQ = 256, SAMPLES = 8, DRAWS_LEAST = 4, DRAWS_MOST = 65536, MICRO_MOST = 1024, THREADS_MOST = 1024 };
enum { BYTES = 256 }; /* the tokens of a new model that names none */

static const uint64_t usual_batches[] = {1, 2, 4, 8};

void dither_noise_options_init(dither_noise_options *options)
{
    *options = (dither_noise_options){
        .scheme = "paper-int8",
        .batches = usual_batches,
        .batch_count = sizeof usual_batches / sizeof usual_batches[0],
        .micro_batch = 1,
        .draws = 32,
        .parts = (1u << DITHER_NOISE_PARTS) - 1,
        .precision = 0.05,
        .seed = 1,
    };
}

static dither_status check_batches(const dither_noise_options *o, dither_error *error)
{
    if (!o->batch_count || o->batch_count > DITHER_NOISE_BATCHES)
        return dither_fail(error, DITHER_E_USAGE, "--batch", "%zu sizes; 1 to %d can be measured at once",
                           o->batch_count, DITHER_NOISE_BATCHES);
    const uint64_t most = DITHER_GRADIENT_MICROBATCHES * o->micro_batch;
    for (size_t i = 0; i < o->batch_count; i++) {
        if (!o->batches[i] || o->batches[i] > most)
            return dither_fail(error, DITHER_E_USAGE, "--batch", "%llu; it must be 1 to %llu sequences%s",
                               (unsigned long long)o->batches[i], (unsigned long long)most,
                               o->batches[i] ? ", or more with a larger --micro-batch" : "");
        if (i && o->batches[i] <= o->batches[i - 1])
            return dither_fail(error, DITHER_E_USAGE, "--batch", "%llu after %llu; each must be larger than the last",
                               (unsigned long long)o->batches[i], (unsigned long long)o->batches[i - 1]);
    }
    return DITHER_OK;
}

dither_status dither_noise_options_check(const dither_noise_options *options, dither_scheme *scheme,
                                         dither_error *error)
{
    const dither_noise_options *o = options;
    if (!o->model && !o->new_model)
        return dither_fail(error, DITHER_E_USAGE, "--model", "it is missing; name a model folder or a GGUF file");
    if (!o->data_count)
        return dither_fail(error, DITHER_E_USAGE, "--data", "it is missing; name texts or records");
    if (!o->micro_batch || o->micro_batch > MICRO_MOST)
        return dither_fail(error, DITHER_E_USAGE, "--micro-batch", "%llu; it must be 1 to %d",
                           (unsigned long long)o->micro_batch, MICRO_MOST);
    if (o->draws < DRAWS_LEAST || o->draws > DRAWS_MOST)
        return dither_fail(error, DITHER_E_USAGE, "--seeds", "%llu; it must be %d to %d",
                           (unsigned long long)o->draws, DRAWS_LEAST, DRAWS_MOST);
    if (!(o->precision >= 0 && o->precision <= 1))
        return dither_fail(error, DITHER_E_USAGE, "--precision", "%g; it must be 0 to 1", o->precision);
    if (!o->parts || o->parts >> DITHER_NOISE_PARTS)
        return dither_fail(error, DITHER_E_USAGE, "", "parts %#x; it must be bits 0 to %d", (unsigned)o->parts,
                           DITHER_NOISE_PARTS - 1);
    if (o->samples > UINT32_MAX)
        return dither_fail(error, DITHER_E_USAGE, "--samples", "%llu are too many", (unsigned long long)o->samples);
    const dither_status status = check_batches(o, error);
    return status ? status : dither_scheme_parse(o->scheme, scheme, error);
}

/* Of an epoch: more would be the same sequences again. */
static uint64_t sequences_of(const dither_run *run)
{
    return run->records ? run->packing.packed.sequences : run->samples.sampler.windows;
}

static dither_status check_sequences(dither_noise_options *o, const dither_run *run, dither_error *error)
{
    const uint64_t there = sequences_of(run), largest = o->batches[o->batch_count - 1];
    const uint64_t wanted = o->samples > largest ? o->samples : largest;
    if (wanted > there)
        return dither_fail(error, DITHER_E_SHAPE, o->data[0],
                           "the data are %llu sequence%s of %llu tokens, but %llu are wanted; more data, a smaller "
                           "--seq, or a smaller %s", (unsigned long long)there, there == 1 ? "" : "s",
                           (unsigned long long)o->seq,
                           (unsigned long long)wanted, wanted > largest ? "--samples" : "--batch");
    if (!o->samples)
        o->samples = largest > SAMPLES ? largest : there < SAMPLES ? there : SAMPLES;
    return DITHER_OK;
}

dither_status dither_noise_options_open(dither_noise_options *options, dither_run *run, dither_error *error)
{
    dither_noise_options *o = options;
    dither_run_init(run);
    dither_model_config config;
    dither_status status = o->model ? dither_model_config_read(o->model, &config, error)
                                    : dither_model_config_parse(o->new_model, BYTES, &config, error);
    if (status)
        return status;
    if (!o->seq)
        o->seq = config.ctx < SEQ ? config.ctx : SEQ;
    dither_train_options train;
    dither_train_options_init(&train);
    train.model = o->model;
    train.new_model = o->new_model;
    train.tokenizer = o->tokenizer;
    train.data = o->data;
    train.data_count = o->data_count;
    train.val_fraction = 0; /* all of the data */
    train.chat_format = o->chat_format;
    train.fields = o->fields;
    train.train_on = o->train_on;
    train.longer = o->longer;
    train.scheme = "f32";
    train.batch = 1;
    train.seq = o->seq;
    train.seed = o->seed;
    train.threads = o->threads;
    train.dry_run = true; /* nothing is written */
    status = dither_run_open(run, &train, error);
    return status ? status : check_sequences(o, run, error);
}
