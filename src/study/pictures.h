/* The fixed samples of the study: the first of a folder's MNIST training files. */
#ifndef DITHER_STUDY_PICTURES_H
#define DITHER_STUDY_PICTURES_H

#include "study/repeat.h"

/**
 * The first `count` pictures of FOLDER/train-images-idx3-ubyte and their labels from train-labels-idx1-ubyte, either
 * with or without .gz; pixels become byte / 255.
 *
 * @param digest  receives a hash of the pictures and labels that were taken
 * @return DITHER_OK (close them) | as dither_idx_read() | DITHER_E_FORMAT (another number of labels than of pictures,
 *         fewer than `count`)
 */
DITHER_MUST_USE dither_status dither_pictures_read(const char *folder, size_t count, dither_pictures *pictures,
                                                   uint64_t *digest, dither_error *error);
void dither_pictures_close(dither_pictures *pictures);

/** Whether the net's input is a picture and every label one of its classes. @return DITHER_OK | DITHER_E_USAGE */
DITHER_MUST_USE dither_status dither_pictures_fit(const dither_pictures *pictures, const dither_mlp *net,
                                                  dither_error *error);

#endif
