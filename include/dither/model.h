/**
 * A decoder-only transformer of the llama family: RMSNorm, rotary positions, grouped-query attention, SwiGLU.
 */
#ifndef DITHER_MODEL_H
#define DITHER_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dither/format.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dither_model_config {
    size_t layers, heads, kv_heads, head_dim, dim, ffn;
    size_t vocab;
    size_t ctx;       /* longest sequence */
    double rope_base;
    double norm_eps;
    bool tied;        /* the head shares the embedding's matrix */
} dither_model_config;

/**
 * Parse "layers=4,heads=4,kv_heads=4,dim=128,ffn=352,ctx=64": the shape of a new model.
 * Further keys: head_dim (default dim/heads), vocab (default `vocab`), tied=0|1 (1), rope_base (10000), norm_eps
 * (1e-5). kv_heads defaults to heads, ffn to 8/3 dim rounded up to a multiple of 32.
 * @return DITHER_OK | DITHER_E_USAGE (unknown key, missing key, or a shape that cannot be: error says which)
 */
DITHER_API DITHER_MUST_USE dither_status dither_model_config_parse(const char *text, size_t vocab,
                                                                   dither_model_config *config, dither_error *error);

/** Whether the shape can be: nothing 0, heads a multiple of kv_heads, head_dim even, parameters countable. */
DITHER_API DITHER_MUST_USE dither_status dither_model_config_check(const dither_model_config *config,
                                                                   dither_error *error);

/** Number of parameters; a tied head counts once. */
DITHER_API uint64_t dither_model_parameters(const dither_model_config *config);

/* ---- an opened model: for generating, evaluating, inspecting ---------------------------------------------- */

typedef struct dither_model dither_model;

/**
 * Open a model folder (config.json, model.safetensors).
 * @param scheme   how linear layers compute; NULL: the stored weights in f32
 * @param threads  0: all cores
 * @return DITHER_OK | DITHER_E_IO | DITHER_E_FORMAT | DITHER_E_SHAPE | DITHER_E_MEMORY
 */
DITHER_API DITHER_MUST_USE dither_status dither_model_open(dither_model **model, const char *folder,
                                                           const dither_scheme *scheme, int threads,
                                                           dither_error *error);
DITHER_API void dither_model_close(dither_model *model);
DITHER_API const dither_model_config *dither_model_config_get(const dither_model *model);

typedef struct dither_sampling {
    double temperature; /* 0: greedy; default 1 */
    size_t top_k;       /* 0: all */
    double top_p;       /* 1: all */
    uint64_t seed;
} dither_sampling;

/**
 * Continue a prompt one token at a time. Past ctx the oldest half of the context is let go.
 * @param ids       [count] the prompt, at least one token
 * @param tokens    how many to write
 * @param emit      called with each new id; returns false to stop
 * @return DITHER_OK | DITHER_E_USAGE (an id >= vocab, an empty prompt) | DITHER_E_NUMERIC | DITHER_E_MEMORY
 */
DITHER_API DITHER_MUST_USE dither_status dither_model_generate(dither_model *model, const uint32_t *ids, size_t count,
                                                               size_t tokens, const dither_sampling *sampling,
                                                               bool (*emit)(void *context, uint32_t id), void *context,
                                                               dither_error *error);

/* ---- what a folder holds ---------------------------------------------------------------------------------- */

typedef struct dither_tensor_info {
    const char *name;
    const char *type;  /* as files of its kind name it: "F32", "BF16", "F16", "Q4_1" */
    size_t rows, cols; /* rows 1 for a vector */
    uint64_t bytes;
} dither_tensor_info;

/**
 * Walk the tensors of a model folder (model.safetensors, or the shards that its index names), of a .safetensors file or
 * of a GGUF file, in file order.
 * @param visit  returns false to stop
 * @return DITHER_OK | DITHER_E_IO | DITHER_E_FORMAT | DITHER_E_MEMORY
 */
DITHER_API DITHER_MUST_USE dither_status dither_model_inspect(
    const char *path, bool (*visit)(void *context, const dither_tensor_info *info), void *context, dither_error *error);

/** Whether a file begins as GGUF files do. */
DITHER_API bool dither_model_is_gguf(const char *path);

/* What a GGUF file says under a key. */
typedef struct dither_metadata_info {
    const char *key; /* printable UTF-8 of key_length bytes, without a 0 at its end */
    size_t key_length;
    const char *type; /* "uint32", "float32", "bool", "string", ...; of an array, that of its elements */
    bool array;
    uint64_t count;   /* elements of an array; else 1 */
    const char *text; /* a string's bytes, of any kind; or a number, "true" or "false" printed; NULL for an array */
    size_t length;
} dither_metadata_info;

/** Walk the metadata of a GGUF file, in file order. @param visit  returns false to stop */
DITHER_API DITHER_MUST_USE dither_status dither_model_metadata(
    const char *path, bool (*visit)(void *context, const dither_metadata_info *info), void *context,
    dither_error *error);

/** Read FOLDER/config.json. */
DITHER_API DITHER_MUST_USE dither_status dither_model_config_read(const char *folder, dither_model_config *config,
                                                                  dither_error *error);

#ifdef __cplusplus
}
#endif
#endif
