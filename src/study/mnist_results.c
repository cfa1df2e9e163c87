/* results.csv and results.json: what was measured, and nothing that another run of the same would not write. */
#include "study/mnist.h"
#include "study/results.h"

/* ---- results.csv --------------------------------------------------------------------------------------------- */

static dither_status write_csv(const dither_mnist *study, const char *path, dither_error *error)
{
    dither_json_writer file; /* a buffered file; commas are our own */
    const dither_status status = dither_json_writer_open(&file, path, error);
    if (status)
        return status;
    dither_json_writer_text(&file, "net,layer,step_log2,batch,seed,grad_norm\n");
    for (size_t i = 0; i < study->count; i++) {
        const dither_mnist_cell *const run = &study->meaning[i];
        const dither_mlp *const net = &study->net[run->net];
        for (size_t l = 0; l < net->layers && run->step_log2; l++) {
            const double norm = dither_mnist_value(study, i, DITHER_MNIST_NORM, l);
            dither_json_writer_print(&file, "%s,%zu,%d,%llu,%u,", net->text, l + 1, run->step_log2,
                                     (unsigned long long)run->batch, (unsigned)run->seed);
            dither_results_number(&file, norm, "nan");
            dither_json_writer_text(&file, "\n");
        }
    }
    return dither_json_writer_commit(&file);
}

/* ---- results.json -------------------------------------------------------------------------------------------- */

static void put_values(dither_json_writer *file, const dither_mnist *study, size_t cell, dither_mnist_kind kind)
{
    const size_t layers = study->net[study->meaning[cell].net].layers;
    for (size_t l = 0; l < layers; l++) {
        dither_json_writer_text(file, l ? ", " : "[");
        dither_results_number(file, dither_mnist_value(study, cell, kind, l), "null");
    }
    dither_json_writer_text(file, "]");
}

/* @param f32  the unquantized runs, or the others */
static void put_cells(dither_json_writer *file, const dither_mnist *study, bool f32)
{
    const char *between = "\n";
    for (size_t i = 0; i < study->count; i++) {
        const dither_mnist_cell *const run = &study->meaning[i];
        if (f32 != !run->step_log2)
            continue;
        dither_json_writer_print(file, "%s  {", between);
        dither_results_text(file, "net", study->net[run->net].text);
        if (!f32)
            dither_json_writer_print(file, ", \"step_log2\": %d, \"batch\": %llu", run->step_log2,
                                     (unsigned long long)run->batch);
        dither_json_writer_print(file, ", \"seed\": %u, \"grad_norm\": ", (unsigned)run->seed);
        put_values(file, study, i, DITHER_MNIST_NORM);
        if (!f32) {
            dither_json_writer_text(file, ", \"sr_noise\": ");
            put_values(file, study, i, DITHER_MNIST_NOISE);
        }
        dither_json_writer_text(file, ", \"loss\": ");
        dither_results_number(file, dither_mnist_loss(study, i), "null");
        dither_json_writer_text(file, "}");
        between = ",\n";
    }
}

static void put_powers(dither_json_writer *file, const dither_mnist *study)
{
    static const char *const kinds[] = {"grad_norm", "sr_noise"};
    const char *between = "\n";
    for (size_t net = 0; net < study->options->net_count; net++) {
        for (size_t kind = 0; kind < DITHER_MNIST_KINDS; kind++) {
            for (size_t l = 0; l <= study->net[net].layers; l++) {
                const bool all = l == study->net[net].layers;
                const dither_mnist_powers powers =
                    dither_mnist_fit(study, net, (dither_mnist_kind)kind, all ? (size_t)DITHER_MNIST_ALL_LAYERS : l);
                dither_json_writer_print(file, "%s  {", between);
                dither_results_text(file, "net", study->net[net].text);
                dither_json_writer_print(file, ", \"of\": \"%s\", \"layer\": ", kinds[kind]);
                if (all)
                    dither_json_writer_text(file, "\"all\"");
                else
                    dither_json_writer_print(file, "%zu", l + 1);
                dither_results_interval(file, "step", powers.p);
                dither_results_interval(file, "batch", powers.r);
                dither_results_interval(file, "batch_a_bit", powers.trade);
                dither_json_writer_text(file, "}");
                between = ",\n";
            }
        }
    }
}

static dither_status write_json(const dither_mnist *study, const dither_claims *claims, const char *path,
                                dither_error *error)
{
    const dither_study_mnist_options *const o = study->options;
    dither_json_writer file;
    const dither_status status = dither_json_writer_open(&file, path, error);
    if (status)
        return status;
    dither_json_writer_text(&file, "{\n");
    dither_results_text(&file, "study", study->identity);
    dither_json_writer_print(&file, ",\n\"steps\": %llu, \"samples\": %llu, \"seeds\": %llu, \"lr\": ",
                             (unsigned long long)o->steps, (unsigned long long)o->samples,
                             (unsigned long long)o->seeds);
    dither_json_writer_f64(&file, o->lr);
    dither_results_claims(&file, claims);
    dither_json_writer_text(&file, ",\n\"powers\": [");
    put_powers(&file, study);
    dither_json_writer_text(&file, "\n],\n\"f32\": [");
    put_cells(&file, study, true);
    dither_json_writer_text(&file, "\n],\n\"cells\": [");
    put_cells(&file, study, false);
    dither_json_writer_text(&file, "\n]\n}\n");
    return dither_json_writer_commit(&file);
}

dither_status dither_mnist_write(const dither_mnist *study, dither_claims *claims, dither_error *error)
{
    dither_results_paths paths;
    dither_status status = dither_results_find(study->options->out, &paths, error);
    if (!status)
        status = write_csv(study, paths.csv, error);
    if (!status)
        status = write_json(study, claims, paths.json, error);
    return status ? status : dither_mnist_report(study, paths.report, claims, error);
}
