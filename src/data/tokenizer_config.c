#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fail.h"
#include "base/text.h"
#include "data/tokenizer_parts.h"
#include "file/mapping.h"

enum { CONFIG_LIMIT = 16 << 20 };

/* FOLDER/NAME. @return false: it is too long, or no such file is there */
static bool path_of(const char *folder, const char *name, char path[static PATH_MAX])
{
    return (size_t)snprintf(path, PATH_MAX, "%s/%s", folder, name) < PATH_MAX && access(path, F_OK) == 0;
}

/* A token by its text, or by an object that has it as "content". */
static void read_mark(const dither_tokenizer *tokenizer, const cJSON *config, const char *key, uint32_t *mark)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(config, key);
    const char *text =
        cJSON_GetStringValue(cJSON_IsObject(item) ? cJSON_GetObjectItemCaseSensitive(item, "content") : item);
    uint32_t id;
    if (text != NULL && dither_tokenizer_find(tokenizer, text, strlen(text), &id))
        *mark = id;
}

/* The template itself, or of several that which is named "default". */
static const char *template_of(const cJSON *config)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(config, "chat_template");
    if (!cJSON_IsArray(item))
        return cJSON_GetStringValue(item);
    for (const cJSON *each = item->child; each != NULL; each = each->next) {
        const char *name = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(each, "name"));
        if (name != NULL && strcmp(name, "default") == 0)
            return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(each, "template"));
    }
    return NULL;
}

static dither_status keep_template(dither_tokenizer *tokenizer, const char *text, size_t length, const char *path,
                                   dither_error *error)
{
    char *copy = malloc(length + 1);
    if (copy == NULL)
        return dither_fail(error, DITHER_E_MEMORY, path, "no memory for the chat template");
    memcpy(copy, text, length);
    copy[length] = '\0';
    free(tokenizer->chat_template);
    tokenizer->chat_template = copy;
    return DITHER_OK;
}

static dither_status read_config(dither_tokenizer *tokenizer, const cJSON *config, const char *path,
                                 dither_error *error)
{
    dither_tokenizer_marks *marks = &tokenizer->marks;
    read_mark(tokenizer, config, "bos_token", &marks->bos);
    read_mark(tokenizer, config, "eos_token", &marks->eos);
    read_mark(tokenizer, config, "eot_token", &marks->eot);
    read_mark(tokenizer, config, "pad_token", &marks->pad);
    read_mark(tokenizer, config, "unk_token", &marks->unk);
    bool found;
    dither_status status = dither_json_bool(config, "add_bos_token", &marks->add_bos, &found, path, error);
    if (status == DITHER_OK)
        status = dither_json_bool(config, "add_eos_token", &marks->add_eos, &found, path, error);
    marks->add_bos = marks->add_bos && marks->bos != DITHER_NO_TOKEN;
    marks->add_eos = marks->add_eos && marks->eos != DITHER_NO_TOKEN;
    const char *text = template_of(config);
    if (status == DITHER_OK && text != NULL)
        status = keep_template(tokenizer, text, strlen(text), path, error);
    return status;
}

/* chat_template.jinja counts before what tokenizer_config.json says. */
static dither_status read_template(dither_tokenizer *tokenizer, const char *path, dither_error *error)
{
    dither_mapping mapping;
    dither_status status = dither_mapping_open(&mapping, path, error);
    if (status != DITHER_OK)
        return status;
    if (mapping.size > CONFIG_LIMIT || (mapping.size > 0 && memchr(mapping.bytes, 0, mapping.size) != NULL) ||
        dither_text_utf8(mapping.bytes, mapping.size) < mapping.size)
        status = dither_fail(error, DITHER_E_FORMAT, path, "a chat template must be UTF-8, and of at most %d bytes",
                             CONFIG_LIMIT);
    else
        status = keep_template(tokenizer, mapping.size > 0 ? (const char *)mapping.bytes : "", mapping.size, path,
                               error);
    dither_mapping_close(&mapping);
    return status;
}

dither_status dither_tokenizer_read_config(dither_tokenizer *tokenizer, const char *folder, dither_error *error)
{
    char path[PATH_MAX];
    dither_status status = DITHER_OK;
    if (path_of(folder, "tokenizer_config.json", path)) {
        cJSON *config = NULL;
        status = dither_json_file(path, CONFIG_LIMIT, &config, error);
        if (status == DITHER_OK)
            status = read_config(tokenizer, config, path, error);
        cJSON_Delete(config);
    }
    if (status == DITHER_OK && path_of(folder, "chat_template.jinja", path))
        status = read_template(tokenizer, path, error);
    return status;
}
