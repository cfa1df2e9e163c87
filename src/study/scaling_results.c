/* results.csv and results.json of the scaling study. */
#include "study/scaling.h"
#include "study/results.h"

static const char *const kinds[] = {"gradient", "sr_variance", "rne_error", "weight_error", "act_error"};

/* A line a cell, place and batch. */
static dither_status write_csv(const dither_scaling *study, const char *path, dither_error *error)
{
    dither_json_writer file; /* a buffered file; commas are our own */
    const dither_status status = dither_json_writer_open(&file, path, error);
    if (status)
        return status;
    dither_json_writer_text(&file, "of,scheme,draw,place,batch,square\n");
    for (size_t i = 0; i < study->count; i++) {
        const dither_scaling_scheme *s = &study->scheme[study->meaning[i].scheme];
        for (size_t place = 0; place < study->places.count; place++) {
            const dither_scaling_figures f = dither_scaling_figures_of(study, i, place);
            char name[DITHER_GRADIENT_PLACE_NAME];
            dither_gradient_place_name(&study->run.config, place, name);
            for (size_t level = 0; level < study->levels; level++) {
                dither_json_writer_print(&file, "%s,%s,%u,%s,%zu,", kinds[s->kind], s->name,
                                         (unsigned)study->meaning[i].seed, name, (size_t)1 << level);
                dither_results_number(&file, f.batches[level], "nan");
                dither_json_writer_text(&file, "\n");
            }
        }
    }
    return dither_json_writer_commit(&file);
}

static void put_schemes(dither_json_writer *file, const dither_scaling *study)
{
    const char *between = "\n";
    for (size_t i = 0; i < study->scheme_count; i++)
        for (size_t place = 0; place < study->places.count; place++) {
            char name[DITHER_GRADIENT_PLACE_NAME];
            dither_gradient_place_name(&study->run.config, place, name);
            dither_json_writer_print(file, "%s  {", between);
            dither_results_text(file, "of", kinds[study->scheme[i].kind]);
            dither_json_writer_text(file, ", ");
            dither_results_text(file, "scheme", study->scheme[i].name);
            dither_json_writer_text(file, ", ");
            dither_results_text(file, "place", name);
            dither_json_writer_text(file, ", \"square\": [");
            for (size_t level = 0; level < study->levels; level++) {
                dither_json_writer_text(file, level ? ", " : "");
                dither_results_number(file, dither_scaling_mean(study, i, place, level).value, "null");
            }
            dither_json_writer_text(file, "]");
            dither_results_interval(file, "slope", dither_scaling_slope(study, i, place));
            dither_results_interval(file, "floor", dither_scaling_floor(study, i, place));
            dither_json_writer_text(file, "}");
            between = ",\n";
        }
}

static void put_powers(dither_json_writer *file, const dither_scaling *study)
{
    const char *between = "\n";
    for (size_t f = 0; f < 2; f++)
        for (size_t place = 0; place < study->places.count; place++) {
            char name[DITHER_GRADIENT_PLACE_NAME];
            dither_gradient_place_name(&study->run.config, place, name);
            dither_json_writer_print(file, "%s  {\"formats\": \"%s\", ", between, f ? "e4m3..e4m0" : "int8..int3");
            dither_results_text(file, "place", name);
            dither_results_interval(file, "power", dither_scaling_power(study, f == 1, place));
            dither_results_interval(file, "factor_a_bit", dither_scaling_bit(study, f == 1, place));
            dither_json_writer_text(file, "}");
            between = ",\n";
        }
}

static dither_status write_json(const dither_scaling *study, const dither_claims *claims, const char *path,
                                dither_error *error)
{
    dither_json_writer file;
    const dither_status status = dither_json_writer_open(&file, path, error);
    if (status)
        return status;
    dither_json_writer_text(&file, "{\n");
    dither_results_text(&file, "study", study->identity);
    dither_json_writer_print(&file, ",\n\"sequences\": %llu, \"seq\": %llu, \"repetitions\": %llu, \"elements\": %zu",
                             (unsigned long long)study->options->sequences,
                             (unsigned long long)study->run.options.seq, (unsigned long long)study->options->seeds,
                             study->sample.count);
    dither_results_claims(&file, claims);
    dither_json_writer_text(&file, ",\n\"powers\": [");
    put_powers(&file, study);
    dither_json_writer_text(&file, "\n],\n\"schemes\": [");
    put_schemes(&file, study);
    dither_json_writer_text(&file, "\n]\n}\n");
    return dither_json_writer_commit(&file);
}

dither_status dither_scaling_write(const dither_scaling *study, dither_claims *claims, dither_error *error)
{
    dither_results_paths paths;
    dither_status status = dither_results_find(study->options->out, &paths, error);
    if (!status)
        status = write_csv(study, paths.csv, error);
    if (!status)
        status = write_json(study, claims, paths.json, error);
    return status ? status : dither_scaling_report(study, paths.report, claims, error);
}
