/* What a model's files hold, without opening it as a model. */
#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "dither/model.h"
#include "file/gguf.h"
#include "file/safetensors_shards.h"

typedef bool visit_tensor(void *context, const dither_tensor_info *info);

static bool visit_safetensor(const dither_safetensor *tensor, visit_tensor *visit, void *context)
{
    dither_tensor_info info = {
        .name = tensor->name, .type = tensor->dtype, .rows = 1, .cols = 1, .bytes = tensor->bytes};
    for (size_t d = 0; d + 1 < tensor->dims; d++)
        info.rows *= (size_t)tensor->shape[d];
    if (tensor->dims)
        info.cols = (size_t)tensor->shape[tensor->dims - 1];
    return visit(context, &info);
}

static bool visit_gguf_tensor(const dither_gguf_tensor *tensor, visit_tensor *visit, void *context)
{
    char type[16] = "";
    const char *name = dither_block_info_of(tensor->type)->name;
    for (size_t i = 0; name[i] != 0 && i + 1 < sizeof type; i++)
        type[i] = (char)toupper((unsigned char)name[i]);
    dither_tensor_info info = {
        .name = tensor->name, .type = type, .rows = 1, .cols = (size_t)tensor->shape[0], .bytes = tensor->bytes};
    for (size_t d = 1; d < tensor->dims; d++)
        info.rows *= (size_t)tensor->shape[d];
    return visit(context, &info);
}

dither_status dither_model_inspect(const char *path, bool (*visit)(void *context, const dither_tensor_info *info),
                                   void *context, dither_error *error)
{
    dither_gguf *gguf = NULL;
    dither_shards *shards = NULL;
    const bool is_gguf = dither_gguf_is(path);
    const dither_status status =
        is_gguf ? dither_gguf_open(&gguf, path, error) : dither_shards_open(&shards, path, error);
    if (status)
        return status;
    bool go_on = true;
    const size_t count = is_gguf ? dither_gguf_tensors(gguf) : dither_shards_count(shards);
    for (size_t i = 0; i < count && go_on; i++)
        go_on = is_gguf ? visit_gguf_tensor(dither_gguf_tensor_at(gguf, i), visit, context)
                        : visit_safetensor(dither_shards_at(shards, i), visit, context);
    dither_gguf_close(gguf);
    dither_shards_close(shards);
    return DITHER_OK;
}

bool dither_model_is_gguf(const char *path)
{
    return dither_gguf_is(path);
}

static void print_float(double value, int digits, char *text, size_t size)
{
    if (isfinite(value))
        dither_text_print_f64(value, digits, text, size);
    else
        (void)snprintf(text, size, "%s", isnan(value) ? "nan" : value > 0 ? "inf" : "-inf");
}

/* A number or a truth value: as its type's bytes say, which are there. */
static void print_number(const dither_gguf_value *value, char *text, size_t size)
{
    uint64_t bits = 0;
    const size_t bytes = dither_gguf_type_bytes(value->type);
    memcpy(&bits, value->at, bytes);
    const unsigned unused = (unsigned)(64 - 8 * bytes);
    float narrow;
    double wide;
    switch (value->type) {
    case DITHER_GGUF_BOOL: (void)snprintf(text, size, "%s", bits ? "true" : "false"); break;
    case DITHER_GGUF_F32:
        memcpy(&narrow, value->at, sizeof narrow);
        print_float((double)narrow, 7, text, size);
        break;
    case DITHER_GGUF_F64:
        memcpy(&wide, value->at, sizeof wide);
        print_float(wide, 15, text, size);
        break;
    case DITHER_GGUF_I8:
    case DITHER_GGUF_I16:
    case DITHER_GGUF_I32:
    case DITHER_GGUF_I64: /* the sign, moved up to the top and back */
        (void)snprintf(text, size, "%" PRId64, (int64_t)(bits << unused) >> unused);
        break;
    default: (void)snprintf(text, size, "%" PRIu64, bits);
    }
}

static bool visit_value(const dither_gguf_value *value, bool (*visit)(void *, const dither_metadata_info *),
                        void *context)
{
    char number[40];
    dither_metadata_info info = {.key = value->key, .key_length = value->key_length, .count = 1,
                                 .type = dither_gguf_type_name(value->type)};
    if (value->type == DITHER_GGUF_ARRAY) {
        uint32_t type;
        memcpy(&type, value->at, sizeof type);
        memcpy(&info.count, value->at + sizeof type, sizeof info.count);
        info.type = dither_gguf_type_name(type);
        info.array = true;
    } else if (value->type == DITHER_GGUF_STRING) {
        info.text = (const char *)value->at + sizeof(uint64_t);
        info.length = value->bytes - sizeof(uint64_t);
    } else {
        print_number(value, number, sizeof number);
        info.text = number;
        info.length = strlen(number);
    }
    return visit(context, &info);
}

dither_status dither_model_metadata(const char *path, bool (*visit)(void *context, const dither_metadata_info *info),
                                    void *context, dither_error *error)
{
    dither_gguf *file = NULL;
    const dither_status status = dither_gguf_open(&file, path, error);
    if (status)
        return status;
    for (size_t i = 0; i < dither_gguf_metadata(file); i++)
        if (!visit_value(dither_gguf_metadata_at(file, i), visit, context))
            break;
    dither_gguf_close(file);
    return DITHER_OK;
}
