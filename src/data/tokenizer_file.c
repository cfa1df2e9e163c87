#include "data/tokenizer_file.h"

#include <assert.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "file/atomic.h"
#include "file/json.h"

enum { BYTES = 256, FILE_LIMIT = 64 << 20 };

static dither_status file_path(const char *folder, const char *name, char path[static PATH_MAX], dither_error *error)
{
    if ((size_t)snprintf(path, PATH_MAX, "%s/%s", folder, name) >= PATH_MAX)
        return dither_fail(error, DITHER_E_IO, folder, "the path is too long");
    return DITHER_OK;
}

static bool prints(unsigned byte)
{
    return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte != 0xad);
}

/*
 * The character that stands for a byte in a byte-level vocabulary: the byte itself where Latin-1 prints something,
 * else the next free code point from 256 on.
 */
static unsigned byte_character(unsigned byte)
{
    unsigned taken = 0; /* code points from 256 on, by smaller bytes */
    for (unsigned i = 0; i < byte; i++)
        taken += !prints(i);
    return prints(byte) ? byte : BYTES + taken;
}

/* That character in UTF-8: all of them take one or two bytes. */
static void byte_text(unsigned byte, char text[static 3])
{
    unsigned character = byte_character(byte);
    size_t length = 0;
    if (character < 0x80) {
        text[length++] = (char)character;
    } else {
        text[length++] = (char)(0xc0 | character >> 6);
        text[length++] = (char)(0x80 | (character & 0x3f));
    }
    text[length] = '\0';
}

/* ---- reading ------------------------------------------------------------------------------------------------- */

static bool empty(const cJSON *object, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    return item == NULL || cJSON_IsNull(item) || (cJSON_IsArray(item) && item->child == NULL);
}

static bool is_text(const cJSON *object, const char *key, const char *text)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    return cJSON_IsString(item) && strcmp(item->valuestring, text) == 0;
}

static bool is_true(const cJSON *object, const char *key)
{
    return cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(object, key));
}

static bool is_byte_vocabulary(const cJSON *vocabulary)
{
    if (!cJSON_IsObject(vocabulary) || cJSON_GetArraySize(vocabulary) != BYTES)
        return false;
    for (unsigned byte = 0; byte < BYTES; byte++) {
        char text[3];
        byte_text(byte, text);
        const cJSON *id = cJSON_GetObjectItemCaseSensitive(vocabulary, text);
        if (!cJSON_IsNumber(id) || id->valuedouble != byte)
            return false;
    }
    return true;
}

/* Nothing in the file may do anything but turn each byte into the token of its value. */
static bool is_byte_tokenizer(const cJSON *root)
{
    const cJSON *model = cJSON_GetObjectItemCaseSensitive(root, "model");
    const cJSON *before = cJSON_GetObjectItemCaseSensitive(root, "pre_tokenizer");
    const cJSON *decoder = cJSON_GetObjectItemCaseSensitive(root, "decoder");
    const cJSON *after = cJSON_GetObjectItemCaseSensitive(root, "post_processor");
    bool plain = empty(root, "added_tokens") && empty(root, "normalizer") && empty(root, "truncation") &&
                 empty(root, "padding") && (empty(root, "post_processor") || is_text(after, "type", "ByteLevel"));
    bool bytes = is_text(before, "type", "ByteLevel") && !is_true(before, "add_prefix_space") &&
                 is_text(decoder, "type", "ByteLevel");
    return plain && bytes && is_text(model, "type", "BPE") && empty(model, "merges") &&
           !is_true(model, "ignore_merges") && empty(model, "continuing_subword_prefix") &&
           empty(model, "end_of_word_suffix") && empty(model, "dropout") &&
           is_byte_vocabulary(cJSON_GetObjectItemCaseSensitive(model, "vocab"));
}

dither_status dither_tokenizer_open(dither_tokenizer **tokenizer, const char *folder, dither_error *error)
{
    *tokenizer = NULL;
    char path[PATH_MAX];
    cJSON *root = NULL;
    dither_status status = file_path(folder, "tokenizer.json", path, error);
    if (status == DITHER_OK)
        status = dither_json_file(path, FILE_LIMIT, &root, error);
    if (status != DITHER_OK)
        return status;
    bool known = is_byte_tokenizer(root);
    cJSON_Delete(root);
    if (!known)
        return dither_fail(error, DITHER_E_FORMAT, path,
                           "a kind of tokenizer this version does not know; it knows the byte tokenizer that "
                           "dither train writes");
    return dither_tokenizer_bytes(tokenizer, error);
}

/* ---- writing ------------------------------------------------------------------------------------------------- */

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
    assert(dither_tokenizer_vocab(tokenizer) == BYTES);
    (void)tokenizer; /* of the one kind there is */
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
    for (unsigned byte = 0; byte < BYTES; byte++) {
        char character[3];
        byte_text(byte, character);
        const char *escape = byte == '"' || byte == '\\' ? "\\" : "";
        append(&out, "%s%s\"%s%s\": %u", byte > 0 ? "," : "", byte % 8 == 0 ? "\n      " : " ", escape, character,
               byte);
    }
    append(&out, "\n    },\n    \"merges\": []\n  }\n}\n");
    status = dither_atomic_file(path, out.bytes, out.length, error);
    return status == DITHER_OK ? write_class(folder, error) : status;
}
