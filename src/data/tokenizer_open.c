#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fail.h"
#include "data/tokenizer_parts.h"
#include "file/kind.h"

enum { FILE_LIMIT = 256 << 20 };

/* ---- the byte tokenizer -------------------------------------------------------------------------------------- */

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
    if (!cJSON_IsObject(vocabulary) || cJSON_GetArraySize(vocabulary) != DITHER_BYTES)
        return false;
    for (unsigned byte = 0; byte < DITHER_BYTES; byte++) {
        char text[3];
        dither_byte_text(byte, text);
        const cJSON *id = cJSON_GetObjectItemCaseSensitive(vocabulary, text);
        if (!cJSON_IsNumber(id) || id->valuedouble != byte)
            return false;
    }
    return true;
}

/* Nothing in the file may do anything but turn each byte into the token of its value. */
bool dither_tokenizer_is_bytes_json(const cJSON *root)
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

/* ---- opening ------------------------------------------------------------------------------------------------- */

/* An empty tokenizer that is to be filled. */
static dither_status open_empty(dither_tokenizer **tokenizer, dither_error *error)
{
    const dither_status status = dither_tokenizer_bytes(tokenizer, error);
    if (status == DITHER_OK)
        (*tokenizer)->is_bytes = false;
    return status;
}

/* Files of tokenizers that cannot be read: whoever has one of them has likely not made the other. */
static const char *other_file(const char *folder)
{
    static const char *const names[] = {"tokenizer.model", "vocab.json", "merges.txt", "vocab.txt", "spiece.model"};
    char path[PATH_MAX];
    struct stat info;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if ((size_t)snprintf(path, sizeof path, "%s/%s", folder, names[i]) < sizeof path && stat(path, &info) == 0)
            return names[i];
    return NULL;
}

static dither_status fail_missing(const char *folder, dither_error *error)
{
    const char *const other = other_file(folder);
    if (other != NULL)
        return dither_fail(error, DITHER_E_IO, folder,
                           "no tokenizer: there is no tokenizer.json in it, and %s cannot be read; save_pretrained() "
                           "of transformers' AutoTokenizer writes a tokenizer.json", other);
    return dither_fail(error, DITHER_E_IO, folder,
                       "no tokenizer: there is no tokenizer.json in it; copy the model's into the folder, or name one "
                       "with --tokenizer where the command has that");
}

/* What is no JSON, or JSON of something else, is told by what it is. */
static dither_status check_kind(const char *path, const cJSON *root, dither_error *error)
{
    if (root != NULL && cJSON_GetObjectItemCaseSensitive(root, "model") != NULL)
        return DITHER_OK;
    if (root != NULL)
        return dither_fail(error, DITHER_E_FORMAT, path, "no tokenizer: JSON, but without \"model\"; name a "
                           "tokenizer.json, a folder with one, or a GGUF file");
    return dither_fail(error, DITHER_E_FORMAT, path, "no tokenizer; it seems to be %s; name a tokenizer.json, a folder "
                       "with one, or a GGUF file", dither_file_kind(path));
}

static dither_status open_json(dither_tokenizer **tokenizer, const char *folder, const char *path, dither_error *error)
{
    cJSON *root = NULL;
    struct stat info;
    const bool regular = stat(path, &info) == 0 && S_ISREG(info.st_mode) && info.st_size > 0;
    dither_status status = DITHER_OK;
    if (regular && !dither_file_is_json(path) && access(path, R_OK) == 0)
        status = check_kind(path, NULL, error);
    if (status == DITHER_OK)
        status = dither_json_file(path, FILE_LIMIT, &root, error);
    if (status == DITHER_OK)
        status = check_kind(path, root, error);
    if (status == DITHER_OK)
        status = open_empty(tokenizer, error);
    if (status == DITHER_OK) {
        (*tokenizer)->is_bytes = dither_tokenizer_is_bytes_json(root);
        if (!(*tokenizer)->is_bytes)
            status = dither_tokenizer_from_json(*tokenizer, root, path, error);
    }
    cJSON_Delete(root);
    if (status == DITHER_OK)
        status = dither_tokenizer_read_config(*tokenizer, folder, error);
    return status;
}

static dither_status open_gguf(dither_tokenizer **tokenizer, const char *path, dither_error *error)
{
    dither_gguf *file = NULL;
    dither_status status = dither_gguf_open(&file, path, error);
    if (status == DITHER_OK)
        status = open_empty(tokenizer, error);
    if (status == DITHER_OK)
        status = dither_tokenizer_from_gguf(*tokenizer, file, error);
    dither_gguf_close(file);
    return status;
}

/* Tokens of single bytes are found by their byte where no other token has it. */
static dither_status find_bytes(dither_tokenizer *tokenizer, dither_error *error)
{
    dither_status status = DITHER_OK;
    for (unsigned i = 0; i < DITHER_BYTES && status == DITHER_OK; i++) {
        const char byte = (char)(unsigned char)i;
        const uint32_t id = tokenizer->encoding.bpe.bytes[i];
        if (id != DITHER_NO_TOKEN && (tokenizer->texts.flags[id] & DITHER_TOKEN_BYTE) != 0 &&
            dither_vocabulary_find(&tokenizer->texts, &byte, 1) == DITHER_NO_TOKEN)
            status = dither_vocabulary_set(&tokenizer->texts, id, &byte, 1, DITHER_TOKEN_MODEL, error);
    }
    return status;
}

/* The folder that a file is in. */
static void folder_of(const char *path, char folder[static PATH_MAX])
{
    const char *slash = strrchr(path, '/');
    const int length = slash == NULL ? 1 : slash == path ? 1 : (int)(slash - path);
    snprintf(folder, PATH_MAX, "%.*s", length, slash == NULL ? "." : path);
}

dither_status dither_tokenizer_open(dither_tokenizer **tokenizer, const char *path, dither_error *error)
{
    char folder[PATH_MAX], file[PATH_MAX];
    struct stat status_of;
    *tokenizer = NULL;
    if (strlen(path) + sizeof "/tokenizer.json" > PATH_MAX)
        return dither_fail(error, DITHER_E_IO, path, "the path is too long");
    const bool is_folder = stat(path, &status_of) == 0 && S_ISDIR(status_of.st_mode);
    dither_status status;
    if (is_folder) {
        snprintf(file, sizeof file, "%s/tokenizer.json", path);
        status = access(file, F_OK) != 0 && errno == ENOENT ? fail_missing(path, error)
                                                            : open_json(tokenizer, path, file, error);
    } else if (dither_gguf_is(path)) {
        status = open_gguf(tokenizer, path, error);
    } else {
        folder_of(path, folder);
        status = open_json(tokenizer, folder, path, error);
    }
    if (status == DITHER_OK && !(*tokenizer)->is_bytes) {
        dither_tokenizer_guess_eot(*tokenizer);
        status = find_bytes(*tokenizer, error);
    }
    if (status != DITHER_OK) {
        dither_tokenizer_close(*tokenizer);
        *tokenizer = NULL;
    }
    return status;
}
