/* Any bytes as a GGUF file: refused with words, or everything that is handed out lies inside the bytes. */
#include "file/config_gguf.h"

#include <stdlib.h>
#include <string.h>

#include "target.h"

static void require(int condition)
{
    if (!condition)
        abort();
}

static void inside(const void *at, uint64_t bytes, const uint8_t *data, size_t size)
{
    const uint8_t *first = at;
    require(first >= data && first <= data + size && bytes <= (size_t)(data + size - first));
}

/* A key as the getters take it; they are all asked, whatever its type is. */
static void ask(const dither_gguf *file, const dither_gguf_value *value)
{
    char key[256];
    dither_error error;
    uint64_t integer;
    double number;
    bool truth, found;
    const char *bytes;
    char *text;
    size_t length;
    if (value->key_length >= sizeof key)
        return;
    memcpy(key, value->key, value->key_length);
    key[value->key_length] = '\0';
    const dither_status statuses[] = {
        dither_gguf_u64(file, key, 1, 1000, &integer, &found, &error),
        dither_gguf_f64(file, key, &number, &found, &error),
        dither_gguf_bool(file, key, &truth, &found, &error),
        dither_gguf_string(file, key, &bytes, &length, &found, &error),
        dither_gguf_text(file, key, &text, &found, &error),
    };
    require(found);
    require(statuses[0] != DITHER_OK || (integer >= 1 && integer <= 1000));
    require(statuses[4] != DITHER_OK || strlen(text) == length);
    free(text);
}

static void walk(const dither_gguf *file, const dither_gguf_value *value, const uint8_t *data, size_t size)
{
    inside(value->key, value->key_length, data, size);
    inside(value->at, value->bytes, data, size);
    ask(file, value);
    dither_gguf_array array;
    char key[256];
    if (value->type != DITHER_GGUF_ARRAY || value->key_length >= sizeof key)
        return;
    memcpy(key, value->key, value->key_length);
    key[value->key_length] = '\0';
    for (uint32_t type = 0; type < DITHER_GGUF_TYPES; type++) {
        if (dither_gguf_array_of(file, key, type, &array, NULL, NULL) != DITHER_OK)
            continue;
        inside(array.at, (uint64_t)(array.end - array.at), data, size);
        if (type != DITHER_GGUF_STRING) {
            require(type == DITHER_GGUF_ARRAY ||
                    array.count * dither_gguf_type_bytes(type) == (uint64_t)(array.end - array.at));
            continue;
        }
        const unsigned char *cursor = array.at;
        const char *text;
        size_t length;
        uint64_t count = 0;
        while (dither_gguf_next_string(&array, &cursor, &text, &length)) {
            inside(text, length, data, size);
            count++;
        }
        require(count == array.count);
    }
}

static void decode(const dither_gguf_tensor *tensor, const uint8_t *data, size_t size)
{
    inside(tensor->data, tensor->bytes, data, size);
    const dither_block_info *info = dither_block_info_of(tensor->type);
    uint64_t values = 1;
    for (size_t d = 0; d < DITHER_GGUF_DIMS; d++)
        values *= tensor->shape[d];
    require(values / info->values * info->bytes == tensor->bytes);
    float x[256];
    for (uint64_t first = 0; first < values; first += info->values)
        dither_block_decode(tensor->type, info->values, tensor->data + first / info->values * info->bytes, x);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dither_gguf *file;
    dither_error error = {.status = DITHER_OK};
    const dither_status status = dither_gguf_parse(&file, data, size, "input", &error);
    if (status != DITHER_OK) {
        require(file == NULL && error.status == status && error.text[0] != '\0');
        return 0;
    }
    uint64_t total = 0;
    for (size_t i = 0; i < dither_gguf_metadata(file); i++)
        walk(file, dither_gguf_metadata_at(file, i), data, size);
    for (size_t i = 0; i < dither_gguf_tensors(file); i++) {
        const dither_gguf_tensor *tensor = dither_gguf_tensor_at(file, i);
        require(dither_gguf_find(file, tensor->name) == tensor);
        decode(tensor, data, size);
        total += tensor->bytes;
    }
    require(total <= size);
    dither_model_config config;
    const dither_status read = dither_config_from_gguf(file, &config, &error);
    require(read == DITHER_OK || (error.status == read && error.text[0] != '\0'));
    dither_gguf_close(file);
    return 0;
}
