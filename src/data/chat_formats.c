/* The chat formats there are, and how a template is recognised. */
#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "base/text.h"
#include "data/chat_format.h"
#include "data/chat_template.h"

/* Turns of ChatML, of which every Qwen and SmolLM is a variant. */
#define CHATML_TURN(role) \
    {.head = "<|im_start|>" role "\n", .stop = "<|im_end|>", .rest = "\n"}
#define CHATML_MARKS "<|im_start|>", "<|im_end|>"
#define CHATML \
    .eos = "<|im_end|>", .bos = "<|im_start|>", .prompt = "<|im_start|>assistant\n", \
    .turns = {CHATML_TURN("system"), CHATML_TURN("user"), CHATML_TURN("assistant")}

#define LLAMA3_TURN(role) \
    {.head = "<|start_header_id|>" role "<|end_header_id|>\n\n", .stop = "<|eot_id|>", .strip = DITHER_STRIP_TEXT}
#define LLAMA3 \
    .tokens = {"<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"}, \
    .bos = "<|begin_of_text|>", .eos = "<|eot_id|>", .begin = "{bos}", \
    .prompt = "<|start_header_id|>assistant<|end_header_id|>\n\n", \
    .turns = {LLAMA3_TURN("system"), LLAMA3_TURN("user"), LLAMA3_TURN("assistant")}

#define GEMMA_TURN(role) \
    {.head = "<start_of_turn>" role "\n", .stop = "<end_of_turn>", .rest = "\n", .strip = DITHER_STRIP_TEXT}
#define GEMMA \
    .tokens = {"<start_of_turn>", "<end_of_turn>"}, \
    .bos = "<bos>", .eos = "<eos>", .begin = "{bos}", .alternates = true, .prompt = "<start_of_turn>model\n", \
    .turns = {{.head = NULL}, GEMMA_TURN("user"), GEMMA_TURN("model")}

#define PHI3_TURN(role) \
    {.head = "<|" role "|>\n", .stop = "<|end|>", .rest = "\n"}
#define PHI3 \
    .tokens = {"<|system|>", "<|user|>", "<|assistant|>", "<|end|>"}, \
    .bos = "<s>", .eos = "<|endoftext|>", .prompt = "<|assistant|>\n", .end = "{eos}", \
    .turns = {PHI3_TURN("system"), PHI3_TURN("user"), PHI3_TURN("assistant")}

#define ZEPHYR_TURN(role) \
    {.head = "<|" role "|>\n", .stop = "{eos}", .rest = "\n"}

/* Mistral's versions differ in spaces and in where the system message goes. */
#define MISTRAL(user_head, user_stop, answer_lead, answer_strip) \
    .bos = "<s>", .eos = "</s>", .begin = "{bos}", .alternates = true, .system_after = "\n\n", \
    .turns = {{.head = NULL}, \
              {.head = user_head, .stop = user_stop}, \
              {.lead = answer_lead, .stop = "{eos}", .strip = answer_strip}}

/* More telling rows first: the first that fits is taken. */
static const dither_chat_format formats[] = {
    {.name = "chatml", .models = "ChatML without a default system message: Hermes, Qwen3 Instruct 2507 and many more",
     .has = {"<|im_start|>", "<|im_end|>", "add_generation_prompt"},
     .lacks = {"<think>", "<|im_sep|>", "You are", "bos_token", "raise_exception", "reasoning_content", "trim"},
     .tokens = {CHATML_MARKS}, CHATML},
    {.name = "smollm2", .models = "SmolLM2 Instruct",
     .has = {"<|im_start|>system", "named SmolLM, trained by Hugging Face<|im_end|>"}, .lacks = {"<think>"},
     .default_system = "You are a helpful AI assistant named SmolLM, trained by Hugging Face",
     .tokens = {CHATML_MARKS}, CHATML},
    {.name = "qwen2", .models = "Qwen2 Instruct, Qwen1.5 Chat",
     .has = {"<|im_start|>system", "You are a helpful assistant.<|im_end|>", "loop.first and messages[0]"},
     .lacks = {"<think>", "bos_token"}, .default_system = "You are a helpful assistant.",
     .tokens = {CHATML_MARKS}, CHATML},
    {.name = "qwen2.5", .models = "Qwen2.5 Instruct",
     .has = {"<|im_start|>system", "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>"},
     .lacks = {"<think>", "bos_token"},
     .default_system = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.",
     .tokens = {CHATML_MARKS}, CHATML},
    {.name = "qwen3", .models = "Qwen3; an answer without thoughts gets empty ones",
     .has = {"<|im_start|>", "ns.last_query_index", "'</think>' in message.content",
             "loop.last or (not loop.last and reasoning_content)", "<think>\\n\\n</think>\\n\\n"},
     .lacks = {"You are a helpful", "bos_token"}, .thinks = true,
     .tokens = {CHATML_MARKS, "<think>", "</think>"}, CHATML},
    {.name = "llama-2", .models = "Llama 2 Chat",
     .has = {"bos_token + '[INST] '", "<<SYS>>", "content.strip() + ' [/INST]'", "' '  + content.strip() + ' '",
             "system_message = false"},
     .lacks = {"You are", "system_message = '"}, .bos = "<s>", .eos = "</s>", .alternates = true,
     .place = DITHER_PLACE_FIRST_USER, .system_before = "<<SYS>>\n", .system_after = "\n<</SYS>>\n\n",
     .turns = {{.head = NULL},
               {.head = "{bos}[INST] ", .stop = " [/INST]", .strip = DITHER_STRIP_TURN},
               {.lead = " ", .stop = " {eos}", .strip = DITHER_STRIP_TEXT}}},
    {.name = "llama-3", .models = "Llama 3 Instruct",
     .has = {"<|start_header_id|>", "<|eot_id|>", "message['content'] | trim", "add_generation_prompt"},
     .lacks = {"Cutting Knowledge", "tools", "You are", "<think>", "raise_exception"}, LLAMA3},
    {.name = "llama-3.1", .models = "Llama 3.1, 3.2 and 3.3 Instruct; as with date_string=\"26 Jul 2024\"",
     .has = {"<|start_header_id|>", "Cutting Knowledge Date: December 2023\\n", "26 Jul 2024", "system_message = \"\""},
     .lacks = {"<think>", "thinking"}, .default_system = "",
     .first_system_lead = "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n", LLAMA3},
    {.name = "mistral", .models = "Mistral 7B Instruct v0.1 and v0.2, Mixtral: their first templates",
     .has = {"'[INST] ' + message['content'] + ' [/INST]'", "message['content'] + eos_token}}",
             "Only user and assistant roles are supported!"},
     .lacks = {"system_message"}, .place = DITHER_PLACE_REFUSED,
     MISTRAL("[INST] ", " [/INST]", NULL, DITHER_STRIP_NONE)},
    {.name = "mistral-v1", .models = "Mistral 7B Instruct v0.1 and v0.2, Mixtral: their newer templates",
     .has = {"' [INST] ' + system_message", "' ' + message['content'] + eos_token"}, .lacks = {"trim"},
     .place = DITHER_PLACE_FIRST_USER, MISTRAL(" [INST] ", " [/INST]", " ", DITHER_STRIP_NONE)},
    {.name = "mistral-v3", .models = "Mistral 7B Instruct v0.3, Mistral Large 2407",
     .has = {"\"[INST] \" + system_message", "\" \" + message[\"content\"]|trim + eos_token",
             "loop.last and system_message is defined"},
     .tokens = {"[INST]", "[/INST]"}, .place = DITHER_PLACE_LAST_USER,
     MISTRAL("[INST] ", "[/INST]", " ", DITHER_STRIP_TEXT)},
    {.name = "mistral-v3-tekken", .models = "Mistral Nemo 2407",
     .has = {"\"[INST]\" + system_message", "{{- message[\"content\"] + eos_token}}",
             "loop.last and system_message is defined"},
     .tokens = {"[INST]", "[/INST]"}, .place = DITHER_PLACE_LAST_USER,
     MISTRAL("[INST]", "[/INST]", NULL, DITHER_STRIP_NONE)},
    {.name = "mistral-v7", .models = "Mistral Large 2411",
     .has = {"'[SYSTEM_PROMPT] ' + message['content']", "'[INST] ' + message['content'] + '[/INST]'",
             "' ' + message['content'] + eos_token"},
     .lacks = {"default_system"}, .tokens = {"[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[INST]", "[/INST]"},
     .bos = "<s>", .eos = "</s>", .begin = "{bos}",
     .turns = {{.head = "[SYSTEM_PROMPT] ", .stop = "[/SYSTEM_PROMPT]"},
               {.head = "[INST] ", .stop = "[/INST]"},
               {.lead = " ", .stop = "{eos}"}}},
    {.name = "gemma", .models = "Gemma and Gemma 2 Instruct",
     .has = {"{{ bos_token }}", "<start_of_turn>", "System role not supported", "message['content'] | trim"},
     .place = DITHER_PLACE_REFUSED,
     GEMMA},
    {.name = "gemma-3", .models = "Gemma 3 Instruct",
     .has = {"{{ bos_token }}", "<start_of_turn>", "first_user_prefix", "message['content'] | trim"},
     .place = DITHER_PLACE_FIRST_USER,
     .system_after = "\n\n", GEMMA},
    {.name = "phi-3.5", .models = "Phi-3.5 Instruct",
     .has = {"<|user|>", "<|end|>", "message['role'] == 'system' and message['content'] %}",
             "else %}{{ eos_token }}"},
     .lacks = {"bos_token"}, .drop_empty_system = true, PHI3},
    {.name = "phi-3", .models = "Phi-3 mini Instruct",
     .has = {"<|user|>", "<|end|>", "message['role'] == 'system' %}", "{{'<|assistant|>",
             "else %}{{ eos_token }}"},
     .lacks = {"bos_token"}, PHI3},
    {.name = "zephyr", .models = "Zephyr, TinyLlama Chat",
     .has = {"'<|user|>", "'<|system|>", "message['content'] + eos_token", "loop.last and add_generation_prompt"},
     .lacks = {"<|end|>", "bos_token", "raise_exception"}, .bos = "<s>", .eos = "</s>", .prompt = "<|assistant|>\n",
     .turns = {ZEPHYR_TURN("system"), ZEPHYR_TURN("user"), ZEPHYR_TURN("assistant")}},
    {.name = "plain", .models = "no template's: one message behind the other, for models without chats",
     .begin = "{bos}", .turns = {{.head = NULL}, {.head = NULL}, {.stop = "{eos}"}}},
};

enum { FORMATS = sizeof formats / sizeof formats[0] };

const char *dither_chat_role_name(dither_chat_role role)
{
    static const char *const names[DITHER_CHAT_ROLES] = {"system", "user", "assistant"};
    return role < DITHER_CHAT_ROLES ? names[role] : "unknown";
}

const dither_chat_format *dither_chat_format_at(size_t index)
{
    return index < FORMATS ? &formats[index] : NULL;
}

const char *dither_chat_format_name(const dither_chat_format *format)
{
    return format->name;
}

const char *dither_chat_format_models(const dither_chat_format *format)
{
    return format->models;
}

const dither_chat_format *dither_chat_format_named(const char *name)
{
    for (size_t i = 0; i < FORMATS; i++)
        if (!strcmp(formats[i].name, name))
            return &formats[i];
    return NULL;
}

static bool fits(const dither_chat_format *format, const char *text)
{
    if (!format->has[0])
        return false;
    for (size_t i = 0; i < DITHER_CHAT_MARKERS && format->has[i]; i++)
        if (!strstr(text, format->has[i]))
            return false;
    for (size_t i = 0; i < DITHER_CHAT_MARKERS && format->lacks[i]; i++)
        if (strstr(text, format->lacks[i]))
            return false;
    return true;
}

const dither_chat_format *dither_chat_format_find(const char *template_text)
{
    for (size_t i = 0; i < FORMATS; i++) /* our own texts first: they fit one row alone */
        if (dither_chat_template_is(&formats[i], template_text))
            return &formats[i];
    for (size_t i = 0; i < FORMATS; i++)
        if (fits(&formats[i], template_text))
            return &formats[i];
    return NULL;
}

/* @param text  of an error, [size]; receives the names, cut to fit */
static void list_names(char *text, size_t size)
{
    size_t used = 0;
    for (size_t i = 0; i < FORMATS && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%s", i ? ", " : "", formats[i].name);
}

static const char *nearest_name(const char *name)
{
    const char *names[FORMATS];
    for (size_t i = 0; i < FORMATS; i++)
        names[i] = formats[i].name;
    return dither_text_nearest(name, names, FORMATS);
}

dither_status dither_chat_format_choose(const char *name, const dither_tokenizer *tokenizer, const char *where,
                                        const dither_chat_format **format, dither_error *error)
{
    char names[400];
    list_names(names, sizeof names);
    if (name) {
        *format = dither_chat_format_named(name);
        const char *near = *format ? NULL : nearest_name(name);
        if (*format)
            return DITHER_OK;
        if (near)
            return dither_fail(error, DITHER_E_USAGE, "--chat-format", "no format \"%.40s\"; did you mean %s?", name,
                               near);
        return dither_fail(error, DITHER_E_USAGE, "--chat-format", "no format \"%.40s\"; there are %s", name, names);
    }
    const char *text = dither_tokenizer_chat_template(tokenizer);
    *format = text ? dither_chat_format_find(text) : NULL;
    if (*format)
        return DITHER_OK;
    return dither_fail(error, DITHER_E_FORMAT, where, "%s; name one with --chat-format: %s",
                       text    ? "its chat template is none that is known"
                       : where ? "the model has no chat template"
                               : "without a model there is no chat template",
                       names);
}

void dither_chat_marks_get(const dither_chat_format *format, const dither_tokenizer *tokenizer,
                           dither_chat_marks *marks)
{
    const dither_tokenizer_marks *known = dither_tokenizer_marks_get(tokenizer);
    const bool bos_wanted = format->bos || known->add_bos; /* a template says where it goes, plain texts do not */
    const uint32_t ids[] = {bos_wanted ? known->bos : UINT32_MAX, known->eos};
    char *const texts[] = {marks->bos, marks->eos};
    const char *const usual[] = {format->bos, format->eos};
    for (size_t i = 0; i < 2; i++) {
        const char *bytes = usual[i];
        const size_t size = ids[i] != UINT32_MAX ? dither_tokenizer_decode(tokenizer, ids[i], &bytes) : 0;
        if (size > 0 && size < DITHER_CHAT_MARK)
            (void)snprintf(texts[i], DITHER_CHAT_MARK, "%.*s", (int)size, bytes);
        else
            (void)snprintf(texts[i], DITHER_CHAT_MARK, "%s", usual[i] ? usual[i] : "");
    }
    /* A template of ours says what it was trained with; a GGUF file has ids for both, whether there are such or not. */
    const char *own = dither_tokenizer_chat_template(tokenizer);
    if (own && dither_chat_template_is(format, own))
        dither_chat_template_marks(own, marks);
}

const char *dither_chat_stop(const dither_chat_format *format, const dither_chat_marks *marks)
{
    const char *stop = format->turns[DITHER_CHAT_ASSISTANT].stop;
    return strstr(stop, "{eos}") ? marks->eos : stop;
}
