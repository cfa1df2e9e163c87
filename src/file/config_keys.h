/*
 * Which keys of a config.json may be there. What a key means is config.c's; this file protects from those that nobody
 * reads: a key is
 *
 *     read          by config.c, for this architecture
 *     held          to the one value that this version computes, absent or null
 *     harmless      known not to change what the model computes
 *     off           null, false or an empty list or object: whatever it is, it is not on
 *     unknown       refused by name where the name speaks of computing (words of a list: "rope", "norm", "bias", ...),
 *                   and let pass where it does not: folders carry keys of many tools
 */
#ifndef DITHER_FILE_CONFIG_KEYS_H
#define DITHER_FILE_CONFIG_KEYS_H

#include "dither/model.h"
#include "file/json.h"

/** @return DITHER_OK | DITHER_E_FORMAT (error names the key) */
DITHER_MUST_USE dither_status dither_config_keys_check(const cJSON *root, dither_architecture architecture,
                                                       const char *path, dither_error *error);

/** Of what stands around the text_config of a model that is more than text. */
DITHER_MUST_USE dither_status dither_config_keys_check_outer(const cJSON *root, const char *path, dither_error *error);

#endif
