/* config.json of a model folder, as transformers reads it. */
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fail.h"
#include "file/architectures.h"
#include "file/config.h"
#include "file/json.h"
#include "file/json_write.h"
#include "file/mapping.h"

enum { FILE_LIMIT = 1 << 20 };

static void put_size(dither_json_writer *writer, const char *key, size_t value)
{
    dither_json_writer_print(writer, ",\n  \"%s\": %zu", key, value);
}

static void put_real(dither_json_writer *writer, const char *key, double value)
{
    dither_json_writer_print(writer, ",\n  \"%s\": ", key);
    dither_json_writer_f64(writer, value);
}

static void put_word(dither_json_writer *writer, const char *key, const char *value)
{
    dither_json_writer_print(writer, ",\n  \"%s\": %s", key, value);
}

static void put_flag(dither_json_writer *writer, const char *key, bool value)
{
    put_word(writer, key, value ? "true" : "false");
}

static void put_id(dither_json_writer *writer, const char *key, uint32_t id)
{
    if (id == UINT32_MAX)
        put_word(writer, key, "null");
    else
        put_size(writer, key, id);
}

static void put_scaling(dither_json_writer *writer, const dither_model_config *c)
{
    if (c->rope_scaling == DITHER_ROPE_SCALING_NONE) {
        put_word(writer, "rope_scaling", "null");
        return;
    }
    const bool llama3 = c->rope_scaling == DITHER_ROPE_SCALING_LLAMA3;
    dither_json_writer_print(writer, ",\n  \"rope_scaling\": {\"rope_type\": \"%s\", \"factor\": ",
                             llama3 ? "llama3" : "linear");
    dither_json_writer_f64(writer, c->rope_factor);
    if (llama3) {
        dither_json_writer_text(writer, ", \"low_freq_factor\": ");
        dither_json_writer_f64(writer, c->rope_low);
        dither_json_writer_text(writer, ", \"high_freq_factor\": ");
        dither_json_writer_f64(writer, c->rope_high);
        dither_json_writer_print(writer, ", \"original_max_position_embeddings\": %zu", c->rope_original);
    }
    dither_json_writer_text(writer, "}");
}

/* Keys of every architecture but gpt2. */
static void put_shape(dither_json_writer *writer, const dither_model_config *c)
{
    put_size(writer, "hidden_size", c->dim);
    put_size(writer, "intermediate_size", c->ffn);
    put_size(writer, "num_hidden_layers", c->layers);
    put_size(writer, "num_attention_heads", c->heads);
    put_size(writer, "num_key_value_heads", c->kv_heads);
    put_size(writer, "head_dim", c->head_dim);
    put_size(writer, "max_position_embeddings", c->ctx);
    put_real(writer, "rms_norm_eps", c->norm_eps);
    put_real(writer, "rope_theta", c->rope_base);
    put_scaling(writer, c);
    put_word(writer, "attention_dropout", "0.0");
}

static void put_gpt2(dither_json_writer *writer, const dither_model_config *c)
{
    put_size(writer, "n_embd", c->dim);
    put_size(writer, "n_inner", c->ffn);
    put_size(writer, "n_layer", c->layers);
    put_size(writer, "n_head", c->heads);
    put_size(writer, "n_positions", c->ctx);
    put_size(writer, "n_ctx", c->ctx);
    put_real(writer, "layer_norm_epsilon", c->norm_eps);
    put_word(writer, "activation_function", "\"gelu_new\"");
    put_flag(writer, "scale_attn_weights", c->attention_scalar != 1);
    static const char *const dropouts[] = {"attn_pdrop", "embd_pdrop", "resid_pdrop"};
    for (size_t i = 0; i < sizeof dropouts / sizeof *dropouts; i++)
        put_word(writer, dropouts[i], "0.0");
}

/* Which layers look through the window, one by one: what transformers makes of a pattern changed once. */
static void put_layer_types(dither_json_writer *writer, const dither_model_config *c)
{
    dither_json_writer_text(writer, ",\n  \"layer_types\": [");
    for (size_t layer = 0; layer < c->layers; layer++)
        dither_json_writer_print(writer, "%s\"%s\"", layer > 0 ? ", " : "",
                                 dither_model_windowed(c, layer) ? "sliding_attention" : "full_attention");
    dither_json_writer_text(writer, "]");
}

static void put_gemma3(dither_json_writer *writer, const dither_model_config *c)
{
    put_word(writer, "hidden_activation", "\"gelu_pytorch_tanh\"");
    put_flag(writer, "attention_bias", c->qkv_bias);
    const double scalar = c->attention_scalar > 0 ? c->attention_scalar : (double)c->head_dim;
    if (scalar == floor(scalar) && scalar < 1e9) /* transformers wants it without a point */
        put_size(writer, "query_pre_attn_scalar", (size_t)scalar);
    else
        put_real(writer, "query_pre_attn_scalar", scalar);
    put_real(writer, "rope_local_base_freq", c->rope_local_base > 0 ? c->rope_local_base : c->rope_base);
    put_size(writer, "sliding_window", c->window > 0 ? c->window : c->ctx);
    if (c->window_period > 0)
        put_size(writer, "sliding_window_pattern", c->window_period);
    put_layer_types(writer, c);
    put_word(writer, "attn_logit_softcapping", "null");
    put_word(writer, "final_logit_softcapping", "null");
}

static void put_switches(dither_json_writer *writer, const dither_model_config *c)
{
    if (c->architecture == DITHER_ARCHITECTURE_GEMMA3) {
        put_gemma3(writer, c);
        return;
    }
    put_word(writer, "hidden_act", "\"silu\"");
    if (c->architecture == DITHER_ARCHITECTURE_LLAMA || c->architecture == DITHER_ARCHITECTURE_QWEN3)
        put_flag(writer, "attention_bias", c->qkv_bias);
    if (c->architecture == DITHER_ARCHITECTURE_LLAMA)
        put_flag(writer, "mlp_bias", c->mlp_bias);
    if (c->architecture == DITHER_ARCHITECTURE_QWEN2 || c->architecture == DITHER_ARCHITECTURE_QWEN3) {
        put_flag(writer, "use_sliding_window", c->window > 0);
        put_size(writer, "max_window_layers", c->window > 0 ? c->window_from : c->layers);
        if (c->window > 0)
            put_layer_types(writer, c);
    }
    if (c->architecture != DITHER_ARCHITECTURE_LLAMA && c->window > 0)
        put_size(writer, "sliding_window", c->window);
    else if (c->architecture != DITHER_ARCHITECTURE_LLAMA)
        put_word(writer, "sliding_window", "null");
}

/* What a model of one architecture has and its config.json no word for. */
static const char *unsaid(const dither_model_config *c)
{
    const dither_architecture architecture = c->architecture;
    const bool both = architecture == DITHER_ARCHITECTURE_LLAMA || architecture == DITHER_ARCHITECTURE_QWEN3 ||
                      architecture == DITHER_ARCHITECTURE_GEMMA3;
    if (both && c->qkv_bias != c->o_bias)
        return "biases in some of attention's matrices and not in the others";
    if (architecture == DITHER_ARCHITECTURE_LLAMA && c->window > 0)
        return "a window";
    if (architecture == DITHER_ARCHITECTURE_MISTRAL && c->window > 0 && (c->window_period > 0 || c->window_from > 0))
        return "a window in some of the layers";
    return NULL;
}

dither_status dither_config_write(const char *folder, const dither_model_config *config, const char *type,
                                  const dither_config_marks *marks, dither_error *error)
{
    static const dither_config_marks none = {UINT32_MAX, UINT32_MAX, UINT32_MAX};
    const dither_architecture_row *row = dither_architecture_row_of(config->architecture);
    const char *missing = unsaid(config);
    char path[PATH_MAX];
    if (missing != NULL)
        return dither_fail(error, DITHER_E_SHAPE, folder, "config.json of %s has no word for %s", row->model_type,
                           missing);
    if ((size_t)snprintf(path, sizeof path, "%s/config.json", folder) >= sizeof path)
        return dither_fail(error, DITHER_E_IO, folder, "the path is too long");
    dither_json_writer writer;
    dither_status status = dither_json_writer_open(&writer, path, error);
    if (status != DITHER_OK)
        return status;
    dither_json_writer_print(&writer, "{\n  \"architectures\": [\"%s\"],\n  \"model_type\": \"%s\"", row->class_name,
                             row->model_type);
    put_size(&writer, "vocab_size", config->vocab);
    if (config->architecture == DITHER_ARCHITECTURE_GPT2) {
        put_gpt2(&writer, config);
    } else {
        put_shape(&writer, config);
        put_switches(&writer, config);
    }
    put_flag(&writer, "tie_word_embeddings", config->tied);
    put_word(&writer, "initializer_range", "0.02");
    if (marks == NULL)
        marks = &none;
    put_id(&writer, "bos_token_id", marks->bos);
    put_id(&writer, "eos_token_id", marks->eos);
    put_id(&writer, "pad_token_id", marks->pad);
    dither_json_writer_print(&writer, ",\n  \"torch_dtype\": \"%s\"\n}\n", type);
    return dither_json_writer_commit(&writer);
}

/* ---- another folder's --------------------------------------------------------------------------------------- */

/* Both keys are read by transformers, and neither means f32. The one that is there is changed. */
static const char *const type_keys[] = {"torch_dtype", "dtype"};
enum { TYPE_KEYS = sizeof type_keys / sizeof *type_keys };

static bool says_type(const cJSON *root, const char *type)
{
    const char *said = "float32";
    for (size_t i = 0; i < TYPE_KEYS; i++) {
        const cJSON *item = cJSON_GetObjectItemCaseSensitive(root, type_keys[i]);
        if (item != NULL)
            said = cJSON_IsString(item) ? item->valuestring : "";
    }
    return strcmp(said, type) == 0;
}

static bool set_type(cJSON *root, const char *type)
{
    bool found = false;
    for (size_t i = 0; i < TYPE_KEYS; i++) {
        if (cJSON_GetObjectItemCaseSensitive(root, type_keys[i]) == NULL)
            continue;
        cJSON *value = cJSON_CreateString(type);
        if (value == NULL || !cJSON_ReplaceItemInObjectCaseSensitive(root, type_keys[i], value))
            return false;
        found = true;
    }
    return found || cJSON_AddStringToObject(root, type_keys[0], type) != NULL;
}

/* The same bytes where they say the type already. */
static dither_status copy(const char *from, const char *to, const char *type, bool *copied, dither_error *error)
{
    cJSON *root = NULL;
    dither_mapping mapping;
    dither_status status = dither_mapping_open(&mapping, from, error);
    if (status != DITHER_OK)
        return status;
    status = dither_json_file(from, FILE_LIMIT, &root, error);
    *copied = status == DITHER_OK && cJSON_IsObject(root) &&
              cJSON_GetObjectItemCaseSensitive(root, "text_config") == NULL;
    if (*copied && says_type(root, type)) {
        status = dither_atomic_file(to, mapping.bytes, mapping.size, error);
    } else if (*copied) {
        char *text = set_type(root, type) ? cJSON_Print(root) : NULL;
        status = text != NULL ? dither_atomic_file(to, text, strlen(text), error)
                              : dither_fail(error, DITHER_E_MEMORY, from, "no memory to write it");
        cJSON_free(text);
    }
    cJSON_Delete(root);
    dither_mapping_close(&mapping);
    return status;
}

dither_status dither_config_copy(const char *from, const char *to, const char *type, bool *copied, dither_error *error)
{
    char source[PATH_MAX], target[PATH_MAX];
    *copied = false;
    if ((size_t)snprintf(source, sizeof source, "%s/config.json", from) >= sizeof source ||
        (size_t)snprintf(target, sizeof target, "%s/config.json", to) >= sizeof target)
        return dither_fail(error, DITHER_E_IO, from, "the path is too long");
    return access(source, F_OK) == 0 ? copy(source, target, type, copied, error) : DITHER_OK;
}
