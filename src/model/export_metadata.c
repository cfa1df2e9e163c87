#include "model/export_metadata.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fail.h"
#include "file/architectures.h"
#include "file/vocabulary_files.h"

enum { QUANTIZATION_VERSION = 2 }; /* of ggml's blocks since May 2023 */

/* llama.cpp's number for a file most of whose matrices are of a type; UINT32_MAX: it has none. */
static uint32_t file_type(dither_block_type type)
{
    static const struct {
        dither_block_type type;
        uint32_t number;
    } numbers[] = {{DITHER_BLOCK_F32, 0},  {DITHER_BLOCK_F16, 1},   {DITHER_BLOCK_Q4_0, 2},  {DITHER_BLOCK_Q4_1, 3},
                   {DITHER_BLOCK_Q8_0, 7}, {DITHER_BLOCK_BF16, 32}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (numbers[i].type == type)
            return numbers[i].number;
    return UINT32_MAX;
}

/* The type that most values of matrices have. */
static dither_block_type main_type(const dither_export_plan *plan)
{
    uint64_t values[DITHER_BLOCK_TYPES] = {0};
    dither_block_type most = DITHER_BLOCK_F32;
    for (size_t i = 0; i < plan->tensors; i++)
        if (!plan->tensor[i].vector)
            values[plan->tensor[i].type] += dither_export_tensor_values(&plan->tensor[i]);
    for (int type = 0; type < DITHER_BLOCK_TYPES; type++)
        if (values[type] > values[most])
            most = (dither_block_type)type;
    return most;
}

/* The three values that are the file's own. */
enum { OWN_NAME, OWN_TYPE, OWN_VERSION, OWN };
static const char *const own_keys[OWN] = {"general.name", "general.file_type", "general.quantization_version"};

static void put_own(dither_gguf_writer *writer, const dither_export_plan *plan, const char *name, int which)
{
    const uint32_t type = file_type(plan->as_stored ? main_type(plan) : plan->type);
    if (which == OWN_NAME)
        dither_gguf_writer_string(writer, own_keys[which], name, strlen(name));
    else if (which == OWN_VERSION)
        dither_gguf_writer_u32(writer, own_keys[which], QUANTIZATION_VERSION);
    else if (type != UINT32_MAX)
        dither_gguf_writer_u32(writer, own_keys[which], type);
}

/* ---- copied ------------------------------------------------------------------------------------------------- */

static bool is_key(const dither_gguf_value *value, const char *key)
{
    return value->key_length == strlen(key) && memcmp(value->key, key, value->key_length) == 0;
}

/* Of how the source lies, not of what it is. */
static bool is_passed_over(const dither_gguf_value *value)
{
    static const char split[] = "split.";
    return is_key(value, "general.alignment") ||
           (value->key_length > strlen(split) && memcmp(value->key, split, strlen(split)) == 0);
}

static void put_value(dither_gguf_writer *writer, const dither_gguf_value *value, const dither_export_plan *plan,
                      const char *name, bool put[static OWN])
{
    for (int which = 0; which < OWN; which++)
        if (is_key(value, own_keys[which])) {
            put[which] = true;
            /* A type that has no number here keeps the source's. */
            if (which == OWN_TYPE && plan->as_stored && file_type(main_type(plan)) == UINT32_MAX)
                dither_gguf_writer_raw(writer, value);
            else
                put_own(writer, plan, name, which);
            return;
        }
    if (!is_passed_over(value))
        dither_gguf_writer_raw(writer, value);
}

void dither_export_metadata_copy(dither_gguf_writer *writer, const dither_gguf *from, const dither_export_plan *plan,
                                 const char *name)
{
    bool put[OWN] = {false};
    for (size_t i = 0; i < dither_gguf_metadata(from); i++)
        put_value(writer, dither_gguf_metadata_at(from, i), plan, name, put);
    for (int which = 0; which < OWN; which++)
        if (!put[which])
            put_own(writer, plan, name, which);
}

/* ---- kept beside a folder -------------------------------------------------------------------------------- */

static bool begins(const dither_gguf_value *value, const char *text, size_t length)
{
    return value->key_length > length && memcmp(value->key, text, length) == 0;
}

/* Neither made anew from the other files of a folder, nor of the blocks that the source had. */
static bool is_kept(const dither_gguf_value *value, const char *architecture, size_t length)
{
    static const char *const made[] = {
        "general.architecture",
        "general.type",
        "general.size_label",
        "tokenizer.chat_template",
        "tokenizer.ggml.model",
        "tokenizer.ggml.pre",
        "tokenizer.ggml.tokens",
        "tokenizer.ggml.scores",
        "tokenizer.ggml.token_type",
        "tokenizer.ggml.merges",
        "tokenizer.ggml.bos_token_id",
        "tokenizer.ggml.eos_token_id",
        "tokenizer.ggml.unknown_token_id",
        "tokenizer.ggml.padding_token_id",
        "tokenizer.ggml.add_bos_token",
        "tokenizer.ggml.add_eos_token",
        "tokenizer.ggml.add_space_prefix",
    };
    if (begins(value, architecture, length) && value->key[length] == '.')
        return false;
    for (size_t i = 0; i < sizeof made / sizeof *made; i++)
        if (is_key(value, made[i]))
            return false;
    for (int which = 0; which < OWN; which++)
        if (is_key(value, own_keys[which]))
            return false;
    return !is_passed_over(value) && !begins(value, "quantize.", strlen("quantize."));
}

dither_status dither_export_metadata_keep(const dither_gguf *from, const char *folder, dither_error *error)
{
    char path[PATH_MAX];
    const char *architecture = NULL;
    size_t kept = 0, length = 0;
    dither_status status = dither_gguf_string(from, "general.architecture", &architecture, &length, NULL, error);
    for (size_t i = 0; status == DITHER_OK && i < dither_gguf_metadata(from); i++)
        kept += is_kept(dither_gguf_metadata_at(from, i), architecture, length);
    if (kept == 0)
        return status;
    if ((size_t)snprintf(path, sizeof path, "%s/%s", folder, DITHER_METADATA_FILE) >= sizeof path)
        return dither_fail(error, DITHER_E_IO, folder, "the path is too long");
    dither_gguf_writer *writer = NULL;
    status = dither_gguf_writer_open(&writer, path, error);
    if (status != DITHER_OK)
        return status;
    for (size_t i = 0; i < dither_gguf_metadata(from); i++)
        if (is_kept(dither_gguf_metadata_at(from, i), architecture, length))
            dither_gguf_writer_raw(writer, dither_gguf_metadata_at(from, i));
    return dither_gguf_writer_commit(writer, error);
}

static dither_status put_kept(dither_gguf_writer *writer, const char *folder, const char *architecture,
                              dither_error *error)
{
    char path[PATH_MAX];
    dither_gguf *file = NULL;
    if ((size_t)snprintf(path, sizeof path, "%s/%s", folder, DITHER_METADATA_FILE) >= sizeof path ||
        access(path, F_OK) != 0)
        return DITHER_OK;
    const dither_status status = dither_gguf_open(&file, path, error);
    for (size_t i = 0; status == DITHER_OK && i < dither_gguf_metadata(file); i++)
        if (is_kept(dither_gguf_metadata_at(file, i), architecture, strlen(architecture)))
            dither_gguf_writer_raw(writer, dither_gguf_metadata_at(file, i));
    dither_gguf_close(file);
    return status;
}

/* ---- made --------------------------------------------------------------------------------------------------- */

enum { KEY = 96 };

static void put_u32(dither_gguf_writer *writer, const char *architecture, const char *key, size_t value)
{
    char full[KEY];
    (void)snprintf(full, sizeof full, "%s.%s", architecture, key);
    dither_gguf_writer_u32(writer, full, (uint32_t)value);
}

static void put_f32(dither_gguf_writer *writer, const char *architecture, const char *key, double value)
{
    char full[KEY];
    (void)snprintf(full, sizeof full, "%s.%s", architecture, key);
    dither_gguf_writer_f32(writer, full, (float)value);
}

static void put_rope(dither_gguf_writer *writer, const char *a, const dither_model_config *c)
{
    put_u32(writer, a, "rope.dimension_count", c->head_dim);
    put_f32(writer, a, "rope.freq_base", c->rope_base);
    if (c->rope_local_base > 0)
        put_f32(writer, a, "rope.freq_base_swa", c->rope_local_base);
    if (c->rope_scaling == DITHER_ROPE_SCALING_LINEAR) { /* LLAMA3 is a tensor */
        char key[KEY];
        (void)snprintf(key, sizeof key, "%s.rope.scaling.type", a);
        dither_gguf_writer_string(writer, key, "linear", strlen("linear"));
        put_f32(writer, a, "rope.scaling.factor", c->rope_factor);
    }
}

static void put_shape(dither_gguf_writer *writer, const char *a, const dither_model_config *c)
{
    put_u32(writer, a, "block_count", c->layers);
    put_u32(writer, a, "context_length", c->ctx);
    put_u32(writer, a, "embedding_length", c->dim);
    put_u32(writer, a, "feed_forward_length", c->ffn);
    put_u32(writer, a, "attention.head_count", c->heads);
    put_u32(writer, a, "attention.head_count_kv", c->kv_heads);
    put_f32(writer, a,
            c->norm == DITHER_NORM_LAYER ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon",
            c->norm_eps);
    put_u32(writer, a, "vocab_size", c->vocab);
    if (!c->learned_positions) {
        put_u32(writer, a, "attention.key_length", c->head_dim);
        put_u32(writer, a, "attention.value_length", c->head_dim);
        put_rope(writer, a, c);
    }
    if (c->window > 0)
        put_u32(writer, a, "attention.sliding_window", c->window);
}

/* What llama.cpp would compute otherwise, whatever the file says. */
static const char *unsaid(const dither_model_config *c)
{
    const bool gemma = c->architecture == DITHER_ARCHITECTURE_GEMMA3;
    /* Of the one size with so many layers it takes dim / heads. */
    const double scalar = gemma && c->layers == 62 ? (double)(c->dim / c->heads) : (double)c->head_dim;
    if (c->attention_scalar > 0 && c->attention_scalar != scalar)
        return "scores scaled by another number than it derives from the shape (query_pre_attn_scalar)";
    if (gemma && c->window > 0 && (c->window_period != 6 || c->window_from != 0))
        return "windows in another pattern than five layers of six";
    if (!gemma && c->window > 0 && c->window < c->ctx)
        return "a window in this architecture (sliding_window)";
    return NULL;
}

static void put_size(dither_gguf_writer *writer, const dither_model_config *config)
{
    char text[32];
    double count = (double)dither_model_parameters(config);
    const char *unit = "K";
    count /= 1e3;
    if (count >= 999.5) {
        count /= 1e3;
        unit = "M";
    }
    if (count >= 999.5) {
        count /= 1e3;
        unit = "B";
    }
    const int length = snprintf(text, sizeof text, "%.*f%s", count < 9.95 ? 1 : 0, count, unit);
    dither_gguf_writer_string(writer, "general.size_label", text, (size_t)length);
}

dither_status dither_export_metadata_make(dither_gguf_writer *writer, const char *folder,
                                          const dither_export_plan *plan, const char *name, dither_error *error)
{
    const dither_model_config *config = &plan->config;
    const char *architecture = dither_architecture_name(config->architecture), *missing = unsaid(config);
    if (config->architecture == DITHER_ARCHITECTURE_MISTRAL)
        architecture = dither_architecture_name(DITHER_ARCHITECTURE_LLAMA); /* to llama.cpp the same */
    if (missing != NULL)
        return dither_fail(error, DITHER_E_SHAPE, folder, "llama.cpp does not have %s", missing);
    dither_gguf_writer_string(writer, "general.architecture", architecture, strlen(architecture));
    dither_gguf_writer_string(writer, "general.type", "model", strlen("model"));
    for (int which = 0; which < OWN; which++)
        put_own(writer, plan, name, which);
    put_size(writer, config);
    put_shape(writer, architecture, config);
    const dither_status status = dither_vocabulary_to_gguf(folder, config->vocab, writer, error);
    return status == DITHER_OK ? put_kept(writer, folder, architecture, error) : status;
}
