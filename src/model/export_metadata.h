/* What a GGUF file says of a model beside its tensors. */
#ifndef DITHER_MODEL_EXPORT_METADATA_H
#define DITHER_MODEL_EXPORT_METADATA_H

#include "model/export_plan.h"

/** From a GGUF file: every value as it stands but for the name, the file type and the quantization's version. */
void dither_export_metadata_copy(dither_gguf_writer *writer, const dither_gguf *from, const dither_export_plan *plan,
                                 const char *name);

/**
 * From a folder: general.*, the keys of the architecture, the tokenizer, and what metadata.gguf has beside these.
 * @return DITHER_OK | DITHER_E_SHAPE (a switch that llama.cpp has no key for) | those of dither_vocabulary_to_gguf
 */
DITHER_MUST_USE dither_status dither_export_metadata_make(dither_gguf_writer *writer, const char *folder,
                                                          const dither_export_plan *plan, const char *name,
                                                          dither_error *error);

/**
 * Write FOLDER/metadata.gguf with those values of a GGUF file that config.json and the tokenizer's files do not hold,
 * for dither_export_metadata_make to find; nothing where there are none.
 */
DITHER_MUST_USE dither_status dither_export_metadata_keep(const dither_gguf *from, const char *folder,
                                                          dither_error *error);

#endif
