#include "study/results.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/fail.h"

dither_status dither_results_find(const char *out, dither_results_paths *paths, dither_error *error)
{
    const struct {
        char *path;
        const char *name;
    } files[] = {{paths->csv, "results.csv"}, {paths->json, "results.json"}, {paths->report, "report.html"}};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        if (snprintf(files[i].path, PATH_MAX, "%s/%s", out, files[i].name) >= PATH_MAX)
            return dither_fail(error, DITHER_E_IO, out, "the path is too long");
    return DITHER_OK;
}

void dither_results_number(dither_json_writer *file, double value, const char *none)
{
    if (isfinite(value))
        dither_json_writer_f64(file, value);
    else
        dither_json_writer_text(file, none);
}

void dither_results_text(dither_json_writer *file, const char *key, const char *text)
{
    dither_json_writer_print(file, "\"%s\": ", key);
    dither_json_writer_string(file, text, strlen(text));
}

void dither_results_interval(dither_json_writer *file, const char *key, dither_interval interval)
{
    const double ends[] = {interval.value, interval.low, interval.high};
    dither_json_writer_print(file, ", \"%s\": ", key);
    for (size_t i = 0; i < 3; i++) {
        dither_json_writer_text(file, i ? ", " : "[");
        dither_results_number(file, ends[i], "null");
    }
    dither_json_writer_text(file, "]");
}

void dither_results_claims(dither_json_writer *file, const dither_claims *claims)
{
    dither_json_writer_text(file, ",\n\"claims\": [");
    for (size_t i = 0; i < claims->count; i++) {
        const dither_claim *const claim = &claims->claim[i];
        const char *const texts[][2] = {{"claim", claim->claim}, {"paper", claim->paper},
                                        {"measured", claim->measured}, {"verdict", claim->verdict}};
        dither_json_writer_text(file, i ? ",\n  {" : "\n  {");
        for (size_t k = 0; k < 4; k++) {
            dither_json_writer_text(file, k ? ", " : "");
            dither_results_text(file, texts[k][0], texts[k][1]);
        }
        dither_json_writer_text(file, "}");
    }
    dither_json_writer_text(file, "\n]");
}
