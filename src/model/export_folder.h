/* A model folder's files beside its weights, from those of the model that the weights came from. */
#ifndef DITHER_MODEL_EXPORT_FOLDER_H
#define DITHER_MODEL_EXPORT_FOLDER_H

#include "model/stored.h"

/**
 * Write FOLDER/config.json, generation_config.json, and the tokenizer's files with the chat template: copied from a
 * folder (config.json but for the type of the weights), made from the metadata of a GGUF file. config.json goes last.
 * @param source  path of a model folder or a GGUF file
 * @param config  its shape
 * @param type    of the weights: DITHER_BLOCK_F32, F16 or BF16
 */
DITHER_MUST_USE dither_status dither_export_beside(const char *folder, const char *source,
                                                   const dither_model_config *config, dither_block_type type,
                                                   dither_error *error);

/**
 * A folder to write into that becomes FOLDER in the end: a new one beside it, so that nothing of anybody is in it.
 * @param force  whether FOLDER may have a model in it already
 * @param temporary  receives its path, [4096]
 * @return DITHER_OK | DITHER_E_USAGE (something is there) | DITHER_E_IO
 */
DITHER_MUST_USE dither_status dither_export_folder_open(const char *folder, bool force, char *temporary,
                                                        dither_error *error);
/**
 * Rename it to FOLDER. Where FOLDER has files, those of its model are set aside, config.json first, and those of the
 * new one moved in one by one, config.json last: it is no model until it is whole. Where that fails midway, the old
 * files are put back.
 */
DITHER_MUST_USE dither_status dither_export_folder_commit(const char *folder, const char *temporary,
                                                          dither_error *error);
/** Remove it. */
void dither_export_folder_abandon(const char *temporary);

#endif
