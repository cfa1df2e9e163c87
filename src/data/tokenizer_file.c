#include "data/tokenizer_file.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fail.h"
#include "data/tokenizer_parts.h"
#include "file/atomic.h"
#include "file/mapping.h"

enum { CONFIG_LIMIT = 16 << 20 };

static dither_status file_path(const char *folder, const char *name, char path[static PATH_MAX], dither_error *error)
{
    if ((size_t)snprintf(path, PATH_MAX, "%s/%s", folder, name) >= PATH_MAX)
        return dither_fail(error, DITHER_E_IO, folder, "the path is too long");
    return DITHER_OK;
}

typedef struct text {
    size_t length;
    char bytes[8192];
} text;

static void append(text *out, const char *format, ...) DITHER_PRINTF(2, 3);

static void append(text *out, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(out->bytes + out->length, sizeof out->bytes - out->length, format, arguments);
    va_end(arguments);
    assert(length >= 0 && (size_t)length < sizeof out->bytes - out->length);
    out->length += (size_t)length;
}

/* Without this file transformers takes the class from model_type, and with it tokens that the vocabulary does not have.
 */
static dither_status write_class(const char *folder, dither_error *error)
{
    static const char config[] =
        "{\n  \"tokenizer_class\": \"PreTrainedTokenizerFast\",\n  \"clean_up_tokenization_spaces\": false\n}\n";
    char path[PATH_MAX];
    const dither_status status = file_path(folder, "tokenizer_config.json", path, error);
    return status == DITHER_OK ? dither_atomic_file(path, config, sizeof config - 1, error) : status;
}

dither_status dither_tokenizer_write(const dither_tokenizer *tokenizer, const char *folder, dither_error *error)
{
    assert(tokenizer->is_bytes);
    (void)tokenizer;
    char path[PATH_MAX];
    dither_status status = file_path(folder, "tokenizer.json", path, error);
    if (status != DITHER_OK)
        return status;
    static const char byte_level[] =
        "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"trim_offsets\": false, \"use_regex\": false}";
    text out = {0};
    append(&out, "{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n  \"added_tokens\": [],\n"
                 "  \"normalizer\": null,\n  \"pre_tokenizer\": %s,\n  \"post_processor\": null,\n  \"decoder\": %s,\n",
           byte_level, byte_level);
    append(&out, "  \"model\": {\n    \"type\": \"BPE\", \"dropout\": null, \"unk_token\": null,\n"
                 "    \"continuing_subword_prefix\": null, \"end_of_word_suffix\": null, \"fuse_unk\": false,\n"
                 "    \"byte_fallback\": false,\n    \"vocab\": {");
    for (unsigned byte = 0; byte < DITHER_BYTES; byte++) {
        char character[3];
        dither_byte_text(byte, character);
        const char *escape = byte == '"' || byte == '\\' ? "\\" : "";
        append(&out, "%s%s\"%s%s\": %u", byte > 0 ? "," : "", byte % 8 == 0 ? "\n      " : " ", escape, character,
               byte);
    }
    append(&out, "\n    },\n    \"merges\": []\n  }\n}\n");
    status = dither_atomic_file(path, out.bytes, out.length, error);
    return status == DITHER_OK ? write_class(folder, error) : status;
}

/* ---- copying ------------------------------------------------------------------------------------------------- */

/* FROM to FOLDER/NAME, unless that is there or FROM is not. */
static dither_status copy_missing(const char *from, const char *folder, const char *name, dither_error *error)
{
    char to[PATH_MAX];
    dither_mapping bytes;
    dither_status status = file_path(folder, name, to, error);
    if (status != DITHER_OK || access(to, F_OK) == 0 || access(from, F_OK) != 0)
        return status;
    status = dither_mapping_open(&bytes, from, error);
    if (status != DITHER_OK)
        return status;
    status = dither_atomic_file(to, bytes.bytes, bytes.size, error);
    dither_mapping_close(&bytes);
    return status;
}

dither_status dither_tokenizer_copy(const char *path, const char *folder, dither_error *error)
{
    static const char *const names[] = {"tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja"};
    char from[PATH_MAX], place[PATH_MAX];
    struct stat info;
    const bool is_folder = stat(path, &info) == 0 && S_ISDIR(info.st_mode);
    const char *slash = strrchr(path, '/');
    const int length = is_folder ? (int)strlen(path) : slash != NULL ? (int)(slash - path) : 0;
    snprintf(place, sizeof place, "%.*s%s", length, path, is_folder || slash != NULL ? "/" : "");
    dither_status status = is_folder ? file_path(path, "tokenizer.json", from, error) : DITHER_OK;
    if (status == DITHER_OK)
        status = copy_missing(is_folder ? from : path, folder, "tokenizer.json", error);
    for (size_t i = 0; i < sizeof names / sizeof *names && status == DITHER_OK; i++) {
        if ((size_t)snprintf(from, sizeof from, "%s%s", place, names[i]) < sizeof from)
            status = copy_missing(from, folder, names[i], error);
    }
    if (status == DITHER_OK)
        status = file_path(folder, "tokenizer_config.json", from, error);
    return status == DITHER_OK && access(from, F_OK) != 0 ? write_class(folder, error) : status;
}

/* ---- the chat template --------------------------------------------------------------------------------------- */

static dither_status write_template(const char *path, cJSON *config, const char *jinja, dither_error *error)
{
    static const char key[] = "chat_template";
    cJSON_DeleteItemFromObjectCaseSensitive(config, key);
    char *json = cJSON_AddStringToObject(config, key, jinja) != NULL ? cJSON_Print(config) : NULL;
    const dither_status status = json != NULL ? dither_atomic_file(path, json, strlen(json), error)
                                              : dither_fail(error, DITHER_E_MEMORY, path, "no memory to write it");
    cJSON_free(json);
    return status;
}

dither_status dither_tokenizer_set_template(const char *folder, const char *jinja, dither_error *error)
{
    static const char *const files[] = {"chat_template.jinja", "chat_template.json"}; /* they count before the key */
    char path[PATH_MAX];
    cJSON *config = NULL;
    dither_status status = file_path(folder, "tokenizer_config.json", path, error);
    if (status == DITHER_OK && access(path, F_OK) != 0)
        status = write_class(folder, error);
    if (status == DITHER_OK)
        status = dither_json_file(path, CONFIG_LIMIT, &config, error);
    if (status == DITHER_OK && !cJSON_IsObject(config))
        status = dither_fail(error, DITHER_E_FORMAT, path, "not an object");
    if (status == DITHER_OK)
        status = write_template(path, config, jinja, error);
    cJSON_Delete(config);
    for (size_t i = 0; i < sizeof files / sizeof *files && status == DITHER_OK; i++) {
        status = file_path(folder, files[i], path, error);
        if (status == DITHER_OK && unlink(path) != 0 && errno != ENOENT)
            status = dither_fail_errno(error, path, "remove", errno);
    }
    return status;
}
