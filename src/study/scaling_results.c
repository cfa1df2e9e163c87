/* results.csv and results.json of the scaling study. */
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "file/json_write.h"
#include "study/scaling.h"

static const char *const kinds[] = {"gradient", "sr_variance", "rne_error", "weight_error", "act_error"};

static void put_number(dither_json_writer *file, double value, const char *none)
{
    if (isfinite(value))
        dither_json_writer_f64(file, value);
    else
        dither_json_writer_text(file, none);
}

static void put_text(dither_json_writer *file, const char *key, const char *text)
{
    dither_json_writer_print(file, "\"%s\": ", key);
    dither_json_writer_string(file, text, strlen(text));
}

static void put_interval(dither_json_writer *file, const char *key, dither_interval interval)
{
    const double ends[] = {interval.value, interval.low, interval.high};
    dither_json_writer_print(file, ", \"%s\": ", key);
    for (size_t i = 0; i < 3; i++) {
        dither_json_writer_text(file, i ? ", " : "[");
        put_number(file, ends[i], "null");
    }
    dither_json_writer_text(file, "]");
}

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
                put_number(&file, f.batches[level], "nan");
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
            put_text(file, "of", kinds[study->scheme[i].kind]);
            dither_json_writer_text(file, ", ");
            put_text(file, "scheme", study->scheme[i].name);
            dither_json_writer_text(file, ", ");
            put_text(file, "place", name);
            dither_json_writer_text(file, ", \"square\": [");
            for (size_t level = 0; level < study->levels; level++) {
                dither_json_writer_text(file, level ? ", " : "");
                put_number(file, dither_scaling_mean(study, i, place, level).value, "null");
            }
            dither_json_writer_text(file, "]");
            put_interval(file, "slope", dither_scaling_slope(study, i, place));
            put_interval(file, "floor", dither_scaling_floor(study, i, place));
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
            put_text(file, "place", name);
            put_interval(file, "power", dither_scaling_power(study, f == 1, place));
            put_interval(file, "factor_a_bit", dither_scaling_bit(study, f == 1, place));
            dither_json_writer_text(file, "}");
            between = ",\n";
        }
}

static void put_claims(dither_json_writer *file, const dither_claims *claims)
{
    for (size_t i = 0; i < claims->count; i++) {
        const dither_claim *const claim = &claims->claim[i];
        const char *const texts[][2] = {{"claim", claim->claim}, {"paper", claim->paper},
                                        {"measured", claim->measured}, {"verdict", claim->verdict}};
        dither_json_writer_text(file, i ? ",\n  {" : "\n  {");
        for (size_t k = 0; k < 4; k++) {
            dither_json_writer_text(file, k ? ", " : "");
            put_text(file, texts[k][0], texts[k][1]);
        }
        dither_json_writer_text(file, "}");
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
    put_text(&file, "study", study->identity);
    dither_json_writer_print(&file, ",\n\"sequences\": %llu, \"seq\": %llu, \"repetitions\": %llu, \"elements\": %zu",
                             (unsigned long long)study->options->sequences,
                             (unsigned long long)study->run.options.seq, (unsigned long long)study->options->seeds,
                             study->sample.count);
    dither_json_writer_text(&file, ",\n\"claims\": [");
    put_claims(&file, claims);
    dither_json_writer_text(&file, "\n],\n\"powers\": [");
    put_powers(&file, study);
    dither_json_writer_text(&file, "\n],\n\"schemes\": [");
    put_schemes(&file, study);
    dither_json_writer_text(&file, "\n]\n}\n");
    return dither_json_writer_commit(&file);
}

dither_status dither_scaling_write(const dither_scaling *study, dither_claims *claims, dither_error *error)
{
    char path[3][PATH_MAX];
    static const char *const names[] = {"results.csv", "results.json", "report.html"};
    for (size_t i = 0; i < 3; i++)
        if (snprintf(path[i], PATH_MAX, "%s/%s", study->options->out, names[i]) >= PATH_MAX)
            return dither_fail(error, DITHER_E_IO, study->options->out, "the path is too long");
    dither_status status = write_csv(study, path[0], error);
    if (!status)
        status = write_json(study, claims, path[1], error);
    return status ? status : dither_scaling_report(study, path[2], claims, error);
}
