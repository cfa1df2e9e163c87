/* config.json of a Hugging Face folder <-> dither_model_config. */
#ifndef DITHER_FILE_CONFIG_H
#define DITHER_FILE_CONFIG_H

#include "dither/model.h"

/**
 * Read FOLDER/config.json. A field that would change the result and is not supported is refused by name. The shape
 * itself is checked by dither_model_config_check.
 */
DITHER_MUST_USE dither_status dither_config_read(const char *folder, dither_model_config *config, dither_error *error);

/* Tokens that config.json names beside the shape; UINT32_MAX: none. */
typedef struct dither_config_marks {
    uint32_t bos, eos, pad;
} dither_config_marks;

/**
 * Write FOLDER/config.json so that transformers opens it.
 * @param type   torch_dtype of the weights beside it: "float32", "float16", "bfloat16"
 * @param marks  NULL: none
 * @return DITHER_OK | DITHER_E_IO | DITHER_E_SHAPE (a switch that config.json of this architecture has no word for)
 */
DITHER_MUST_USE dither_status dither_config_write(const char *folder, const dither_model_config *config,
                                                  const char *type, const dither_config_marks *marks,
                                                  dither_error *error);

/**
 * Write TO/config.json as FROM/config.json is, byte for byte but for torch_dtype where that is another one.
 * @param copied  false: nothing was written, since there is none, or it is of more than the text model that is known
 *                here
 */
DITHER_MUST_USE dither_status dither_config_copy(const char *from, const char *to, const char *type, bool *copied,
                                                 dither_error *error);

#endif
