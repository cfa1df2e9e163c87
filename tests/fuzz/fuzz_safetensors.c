/* Any bytes as a safetensors file: refused with words, or every tensor lies inside the bytes and can be read. */
#include "file/safetensors.h"

#include <stdlib.h>
#include <string.h>

#include "target.h"

static void require(int condition)
{
    if (!condition)
        abort();
}

static void read_tensor(const dither_safetensors *file, const dither_safetensor *tensor, const uint8_t *data,
                        size_t size)
{
    require(tensor->bytes == 0 || (tensor->data >= data && tensor->bytes <= size));
    require(tensor->bytes == 0 || tensor->data + tensor->bytes <= data + size);
    require(dither_safetensors_find(file, tensor->name) == tensor);
    if (tensor->storage == DITHER_STORAGE_U8 || tensor->storage == DITHER_STORAGE_OTHER)
        return;
    float values[16];
    uint64_t count = tensor->bytes / (tensor->storage == DITHER_STORAGE_F32 ? 4 : 2);
    for (uint64_t first = 0; first < count; first += 16)
        dither_safetensor_f32(tensor, first, count - first < 16 ? count - first : 16, values);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dither_safetensors *file;
    dither_error error = {.status = DITHER_OK};
    dither_status status = dither_safetensors_parse(&file, data, size, "input", &error);
    if (status != DITHER_OK) {
        require(file == NULL && error.status == status && error.text[0] != '\0');
        return 0;
    }
    uint64_t total = 0;
    for (size_t i = 0; i < dither_safetensors_count(file); i++) {
        const dither_safetensor *tensor = dither_safetensors_at(file, i);
        read_tensor(file, tensor, data, size);
        total += tensor->bytes;
    }
    require(total <= size);
    (void)dither_safetensors_metadata(file, "format");
    dither_safetensors_close(file);
    return 0;
}
