/**
 * A decoder-only transformer: one block with switches, of which every architecture is a row (dither_architecture).
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

/* Whose files a model has: what tensors and keys are called there, and which switches of the block are on. */
typedef enum dither_architecture {
    DITHER_ARCHITECTURE_LLAMA, /* SmolLM2, Llama 2 and 3 */
    DITHER_ARCHITECTURE_MISTRAL,
    DITHER_ARCHITECTURE_QWEN2,
    DITHER_ARCHITECTURE_QWEN3,
    DITHER_ARCHITECTURE_GEMMA3, /* its text model */
    DITHER_ARCHITECTURE_GPT2,
    DITHER_ARCHITECTURES
} dither_architecture;

/** As config.json's model_type and GGUF files have it: "llama", ..., "gemma3", "gpt2". */
DITHER_API const char *dither_architecture_name(dither_architecture architecture);

typedef enum dither_norm_kind {
    DITHER_NORM_RMS,
    DITHER_NORM_LAYER /* of zero mean, and with a bias */
} dither_norm_kind;

/* What stands between the two matrices, or the three, of the feed-forward block; gelu in its tanh form. */
typedef enum dither_activation {
    DITHER_ACTIVATION_SILU_GATE, /* silu(gate) up */
    DITHER_ACTIVATION_GELU_GATE, /* gelu(gate) up */
    DITHER_ACTIVATION_GELU       /* gelu(up): there is no gate */
} dither_activation;

/* How rotary positions were stretched to longer texts than the model was trained on first. */
typedef enum dither_rope_scaling {
    DITHER_ROPE_SCALING_NONE,
    DITHER_ROPE_SCALING_LINEAR, /* every angle / factor */
    DITHER_ROPE_SCALING_LLAMA3  /* slow ones / factor, fast ones as they are */
} dither_rope_scaling;

/* Zero is the switch of llama everywhere; what an architecture fixes is checked by dither_model_config_check. */
typedef struct dither_model_config {
    size_t layers, heads, kv_heads, head_dim, dim, ffn;
    size_t vocab;
    size_t ctx;       /* longest sequence */
    double rope_base;
    double norm_eps;
    bool tied;        /* the head shares the embedding's matrix */

    dither_architecture architecture;

    /* Fixed by the architecture. */
    dither_norm_kind norm;
    dither_activation activation;
    bool post_norms;        /* what a block adds to the residual stream is normed too */
    bool qk_norm;           /* each head's query and key go through an RMSNorm before they are turned */
    bool scaled_embedding;  /* embeddings enter as sqrt(dim) times what is stored; the head reads them as stored */
    bool learned_positions; /* a row of a matrix [ctx][dim] is added to the embedding; nothing is turned */

    /* Of one model. */
    bool qkv_bias, o_bias, mlp_bias;
    double attention_scalar; /* scores are q.k / sqrt(attention_scalar); 0: head_dim */
    dither_rope_scaling rope_scaling;
    double rope_factor;                /* of LINEAR and LLAMA3 */
    double rope_low, rope_high;        /* LLAMA3: turns in rope_original positions below and above which ... */
    size_t rope_original;              /* LLAMA3: the context that the model was trained on first */
    size_t window;                     /* a token sees so many at most, itself included; 0: all before it */
    size_t window_from, window_period; /* in layers from window_from on, but for each window_period-th of all layers
                                        * (0: but for none): dither_model_windowed */
    double rope_local_base;            /* of layers with a window, never scaled; 0: theirs are as everywhere */
} dither_model_config;

/** Whether attention in this layer looks through the window. */
DITHER_API bool dither_model_windowed(const dither_model_config *config, size_t layer);

/**
 * Parse "layers=4,heads=4,kv_heads=4,dim=128,ffn=352,ctx=64": the shape of a new model.
 * Further keys: head_dim (default dim/heads), vocab (default `vocab`), tied=0|1 (1), rope_base (10000), norm_eps
 * (1e-5). kv_heads defaults to heads, ffn to 8/3 dim rounded up to a multiple of 32.
 * arch=llama|mistral|qwen2|qwen3|gemma3|gpt2, before every other key, takes that architecture's switches and defaults.
 * Those that are of one model are keys too: qkv_bias, o_bias, mlp_bias, attention_scalar, rope_scaling=none|linear|
 * llama3, rope_factor, rope_low, rope_high, rope_original, rope_local_base, window, window_from, window_period.
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
 * Open a model folder (config.json, model.safetensors) or a GGUF file. The file is mapped and must stay as it is.
 * @param scheme   how linear layers compute, on weights quantized now; NULL: in f32 with the stored weights, which stay
 *                 in the file as they are
 * @param threads  0: all cores
 * @return DITHER_OK | DITHER_E_IO | DITHER_E_FORMAT | DITHER_E_SHAPE | DITHER_E_MEMORY
 */
DITHER_API DITHER_MUST_USE dither_status dither_model_open(dither_model **model, const char *path,
                                                           const dither_scheme *scheme, int threads,
                                                           dither_error *error);
DITHER_API void dither_model_close(dither_model *model);
DITHER_API const dither_model_config *dither_model_config_get(const dither_model *model);

/**
 * Look at the logits that dither_evaluate and dither_evaluate_records compute losses from, token by token in their
 * order, some at a time; every token of a row of records, trained on or not.
 * @param see  given [tokens][vocab], which are written over afterwards; NULL: nobody looks
 */
DITHER_API void dither_model_watch_logits(dither_model *model,
                                          void (*see)(void *context, size_t tokens, size_t vocab, const float *logits),
                                          void *context);

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

/** Whether a file begins as GGUF files do, whatever it is called. */
DITHER_API bool dither_model_is_gguf(const char *path);

/** Whether a file begins as safetensors files do, or is called so. */
DITHER_API bool dither_model_is_safetensors(const char *path);

/**
 * Whether a path can be that of a model, before anything is read of it: a folder with config.json, or a GGUF file.
 * @return DITHER_OK | DITHER_E_IO (nothing can be read there) | DITHER_E_FORMAT (error says what it seems to be
 *         instead, and what may have been meant)
 */
DITHER_API DITHER_MUST_USE dither_status dither_model_check_path(const char *path, dither_error *error);

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

/** The shape of a model folder (config.json) or of a GGUF file. */
DITHER_API DITHER_MUST_USE dither_status dither_model_config_read(const char *path, dither_model_config *config,
                                                                  dither_error *error);

#ifdef __cplusplus
}
#endif
#endif
