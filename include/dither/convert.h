/**
 * A model in another kind of file: Hugging Face folders, which transformers opens, and GGUF files, which llama.cpp
 * opens.
 */
#ifndef DITHER_CONVERT_H
#define DITHER_CONVERT_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dither/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dither_convert_options {
    const char *source; /* a model folder or a GGUF file */
    const char *target; /* ends in .gguf: such a file; else a folder */
    const char *type;   /* of matrices: f32, f16, bf16, and in a GGUF file q8_0, q4_0, q4_1; NULL: as the source has
                         * them, or f32 where a folder has no such type */
    bool stochastic;    /* round stochastically rather than to nearest */
    uint64_t seed;      /* of that */
    const char *name;   /* general.name of a GGUF file; NULL: the target's file name */
    bool force;         /* replace what is there */
    uint64_t shard;     /* bytes of a file of a folder at most, unless a tensor is larger; 0: 5 GB */
    int threads;        /* 0: all cores; the result does not depend on it */
} dither_convert_options;

typedef struct dither_convert_result {
    uint64_t tensors, values, bytes; /* of the target; bytes of its tensors */
    size_t files;                    /* that hold them */
} dither_convert_result;

typedef struct dither_convert_event {
    uint64_t done, total; /* values */
    const char *notice;   /* something the user should know; NULL: only how far it is */
} dither_convert_event;

/**
 * Convert a model, tensor by tensor.
 *
 * A GGUF file has every value of a source that is one too, and general.name, general.file_type and
 * general.quantization_version of its own; of a folder, those are made from config.json and the tokenizer's files.
 * A folder has config.json, model.safetensors (or shards), generation_config.json and the tokenizer's files, copied
 * from a folder or made from a GGUF file's metadata.
 *
 * Vectors are f32 in a GGUF file. Where matrices are to have 4 bits, that of the output head has 8 (q8_0). Rows that
 * are no multiple of 32 are f16 rather than in blocks.
 *
 * Nothing is left where it fails or is stopped: a GGUF file is written beside its place and renamed; so is a folder.
 * Into a folder that is there already (force) files are moved one by one in the end: its config.json goes first, the
 * new one comes last; the old model stays where that fails. The temporary name, TARGET.PROCESS-NUMBER.tmp, is one that
 * nothing has.
 *
 * @param report  called now and then; may be NULL
 * @param stop    set to non-zero by a signal handler; may be NULL
 * @param result  may be NULL
 * @return DITHER_OK | DITHER_E_USAGE (a type that is none; a target that is there) | DITHER_E_FORMAT | DITHER_E_SHAPE
 *       | DITHER_E_NUMERIC (a value that the type cannot hold) | DITHER_E_IO | DITHER_E_MEMORY | DITHER_E_STOPPED
 *
 * Memory: a few MB; where a file has a matrix transposed (gpt2's folders), that matrix in f32.
 */
DITHER_API DITHER_MUST_USE dither_status dither_convert(
    const dither_convert_options *options, void (*report)(void *context, const dither_convert_event *event),
    void *context, const volatile sig_atomic_t *stop, dither_convert_result *result, dither_error *error);

#ifdef __cplusplus
}
#endif
#endif
