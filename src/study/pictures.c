#include "study/pictures.h"

#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "data/idx.h"

#define IMAGES "train-images-idx3-ubyte"
#define LABELS "train-labels-idx1-ubyte"

/* FNV-1a. */
static uint64_t hash(uint64_t seed, const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        seed = (seed ^ bytes[i]) * UINT64_C(1099511628211);
    return seed;
}

static dither_status take(const char *folder, size_t count, const dither_idx *images, const dither_idx *labels,
                          dither_pictures *pictures, uint64_t *digest, dither_error *error)
{
    if (images->dim[0] != labels->dim[0])
        return dither_fail(error, DITHER_E_FORMAT, folder, "%zu pictures in " IMAGES ", but %zu labels in " LABELS,
                           images->dim[0], labels->dim[0]);
    if (images->dim[0] < count)
        return dither_fail(error, DITHER_E_FORMAT, folder, "%zu pictures in " IMAGES "; the study takes %zu",
                           images->dim[0], count);
    const size_t pixels = images->dim[1] * images->dim[2];
    *pictures = (dither_pictures){
        .count = count,
        .height = images->dim[1],
        .width = images->dim[2],
        .x = malloc(count * pixels * sizeof *pictures->x),
        .labels = malloc(count),
    };
    if (!pictures->x || !pictures->labels) {
        dither_pictures_close(pictures);
        return dither_fail(error, DITHER_E_MEMORY, folder, "no memory for %zu pictures", count);
    }
    for (size_t i = 0; i < count * pixels; i++)
        pictures->x[i] = (float)images->bytes[i] / 255.0f;
    memcpy(pictures->labels, labels->bytes, count);
    *digest = hash(hash(UINT64_C(14695981039346656037), images->bytes, count * pixels), labels->bytes, count);
    return DITHER_OK;
}

dither_status dither_pictures_read(const char *folder, size_t count, dither_pictures *pictures, uint64_t *digest,
                                   dither_error *error)
{
    dither_idx images, labels;
    *pictures = (dither_pictures){.count = 0};
    dither_status status = dither_idx_read(folder, IMAGES, 3, &images, error);
    if (status)
        return status;
    status = dither_idx_read(folder, LABELS, 1, &labels, error);
    if (!status)
        status = take(folder, count, &images, &labels, pictures, digest, error);
    dither_idx_close(&images);
    dither_idx_close(&labels);
    return status;
}

void dither_pictures_close(dither_pictures *pictures)
{
    free(pictures->x);
    free(pictures->labels);
    *pictures = (dither_pictures){.count = 0};
}

dither_status dither_pictures_fit(const dither_pictures *pictures, const dither_mlp *net, dither_error *error)
{
    const size_t pixels = pictures->height * pictures->width, classes = net->width[net->layers];
    if (net->width[0] != pixels)
        return dither_fail(error, DITHER_E_USAGE, net->text,
                           "a net of %zu inputs; the pictures have %zu x %zu pixels, so %zu is right", net->width[0],
                           pictures->height, pictures->width, pixels);
    for (size_t i = 0; i < pictures->count; i++)
        if (pictures->labels[i] >= classes)
            return dither_fail(error, DITHER_E_USAGE, net->text,
                               "a net of %zu classes, 0 to %zu; the label of picture %zu is %u", classes, classes - 1,
                               i + 1, pictures->labels[i]);
    return DITHER_OK;
}
