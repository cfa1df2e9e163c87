#include "file/vocabulary_split.h"

#include <stdio.h>
#include <string.h>

enum { STEPS = DITHER_SPLIT_STEPS, SIGNATURE = 4096 };

typedef enum step_kind {
    STEP_END,
    STEP_SPLIT,       /* every match of the pattern is a piece, and so is what lies between */
    STEP_DIGITS,      /* every digit is a piece */
    STEP_NUMBERS,     /* every run of digits is one */
    STEP_PUNCTUATION, /* every run of punctuation is one */
    STEP_WORDS        /* GPT-2's pattern, which tokenizers keep inside of ByteLevel */
} step_kind;

typedef struct step {
    step_kind kind;
    const char *pattern;
} step;

struct dither_vocabulary_split {
    const char *name;    /* which is written */
    const char *aliases; /* other models' names for the same, separated by spaces */
    bool ignores_merges, composes;
    step steps[STEPS];
};

#define SUFFIXES "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define BEHIND "[^\\r\\n\\p{L}\\p{N}]?"
#define HAN_AND_HANGUL "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"
/* The letters that have a case, as deepseek-llm lists them; by number, since what composes a text changes some. */
#define CASED_LETTERS \
    "A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af\u0370-\u0373" \
    "\u0376\u0377\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c\u038e-\u03a1\u03a3-\u03f5\u03f7-\u0481" \
    "\u048a-\u052f\u0531-\u0556\u10a0-\u10c5\u13a0-\u13f5\u13f8-\u13fd\u1c90-\u1cba\u1cbd-\u1cbf\u1d00-\u1d2b" \
    "\u1d6b-\u1d77\u1d79-\u1d9a\u1e00-\u1f15\u1f18-\u1f1d\u1f20-\u1f45\u1f48-\u1f4d\u1f50-\u1f57\u1f59\u1f5b" \
    "\u1f5d\u1f5f-\u1f7d\u1f80-\u1fb4\u1fb6-\u1fbc\u1fbe\u1fc2-\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3\u1fd6-\u1fdb" \
    "\u1fe0-\u1fec\u1ff2-\u1ff4\u1ff6-\u1ffc\u2102\u2107\u210a-\u2113\u2115\u2119-\u211d\u2124\u2126\u2128" \
    "\u212a-\u212d\u212f-\u2134\u2139\u213c-\u213f\u2145-\u2149\u214e\u2183\u2184\u2c00-\u2c7b\u2c7e-\u2ce4" \
    "\u2ceb-\u2cee\u2cf2\u2cf3\ua640-\ua66d\ua680-\ua69b\ua722-\ua76f\ua771-\ua787\ua78b-\ua78e\uab70-\uabbf" \
    "\ufb00-\ufb06\ufb13-\ufb17\uff21-\uff3a\uff41-\uff5a\U00010400-\U0001044f\U000104b0-\U000104d3" \
    "\U000104d8-\U000104fb\U00010c80-\U00010cb2\U00010cc0-\U00010cf2\U000118a0-\U000118df\U0001e900-\U0001e943"
#define SPACES "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

const char dither_pattern_gpt2[] =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
const char dither_pattern_digit[] = "[\\p{N}\\x{11de0}-\\x{11de9}\\x{16ff4}-\\x{16ff6}]";
static const char llama3_pattern[] =
    SUFFIXES "|" BEHIND "\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" SPACES;

static const dither_vocabulary_split table[] = {
    {"gpt-2", "gpt2 phi-2 mpt jais trillion granite-docling jina-es jina-de jina-v2-es jina-v2-de gigachat "
     "a.x-4.0 mellum modern-bert exaone4 roberta-bpe",
     false, false, {{STEP_WORDS, NULL}}},
    {"olmo", "", false, true, {{STEP_WORDS, NULL}}},
    {"smollm", "starcoder refact command-r codeshell exaone minerva-7b mellum2", false, false,
     {{STEP_DIGITS, NULL}, {STEP_WORDS, NULL}}},
    {"llama-bpe", "llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano", true, false,
     {{STEP_SPLIT, llama3_pattern}}},
    {"dbrx", "smaug-bpe chatglm-bpe glm4", false, false, {{STEP_SPLIT, llama3_pattern}}},
    {"qwen2", "deepseek-r1-qwen kormo f2llmv2 megrez stablelm2 hunyuan solar-open", false, true,
     {{STEP_SPLIT, SUFFIXES "|" BEHIND "\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" SPACES}}},
    {"gpt-4o", "llama4 kanana2 talkie", false, false,
     {{STEP_SPLIT, BEHIND UPPER "*" LOWER "+" SUFFIXES "?|" BEHIND UPPER "+" LOWER "*" SUFFIXES
                   "?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|" SPACES}}},
    {"tekken", "", true, false,
     {{STEP_SPLIT, BEHIND UPPER "*" LOWER "+|" BEHIND UPPER "+" LOWER
                   "*|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|" SPACES}}},
    {"falcon", "", false, false,
     {{STEP_PUNCTUATION, NULL}, {STEP_WORDS, NULL}, {STEP_NUMBERS, NULL}, {STEP_SPLIT, "[0-9][0-9][0-9]"}}},
    {"default", "", false, false, /* what llama.cpp takes where a file does not say */
     {{STEP_SPLIT, "[\\p{P}\\$\\+<=>\\^~\\|]+"}, {STEP_WORDS, NULL}, {STEP_NUMBERS, NULL},
      {STEP_SPLIT, "[0-9][0-9][0-9]"}}},
    {"deepseek-coder", "", false, false,
     {{STEP_SPLIT, "[\r\n]"}, {STEP_SPLIT, "\\s?\\p{L}+"}, {STEP_SPLIT, "\\s?\\p{P}+"},
      {STEP_SPLIT, HAN_AND_HANGUL}, {STEP_DIGITS, NULL}}},
    {"deepseek-llm", "", false, false,
     {{STEP_SPLIT, "[\r\n]"},
      {STEP_SPLIT, "\\s?[" CASED_LETTERS "]+"},
      {STEP_SPLIT, "\\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+"}, {STEP_SPLIT, "\\s+$"},
      {STEP_SPLIT, HAN_AND_HANGUL}, {STEP_DIGITS, NULL}}},
    {"deepseek-v3", "hunyuan-dense", false, false,
     {{STEP_SPLIT, "\\p{N}{1,3}"}, {STEP_SPLIT, "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"},
      {STEP_SPLIT, "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+|"
                   " ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"}}},
};
enum { SPLITS = sizeof table / sizeof *table };

/* Whether one of the words of `list` is `name`. */
static bool lists(const char *list, const char *name, size_t length)
{
    for (const char *word = list; *word != '\0'; word += strspn(word, " ")) {
        size_t size = strcspn(word, " ");
        if (size == length && memcmp(word, name, length) == 0)
            return true;
        word += size;
    }
    return false;
}

const dither_vocabulary_split *dither_vocabulary_split_named(const char *name, size_t length)
{
    for (size_t i = 0; i < SPLITS; i++)
        if (lists(table[i].name, name, length) || lists(table[i].aliases, name, length))
            return &table[i];
    return NULL;
}

/* ---- what a pre_tokenizer does, as one text ----------------------------------------------------------------- */

typedef struct signature {
    size_t length;
    bool failed; /* does something that the table has no word for, or is too long */
    char text[SIGNATURE];
} signature;

static void add_step(signature *out, step_kind kind, const char *pattern)
{
    size_t left = sizeof out->text - out->length;
    int length = snprintf(out->text + out->length, left, "%d %s\n", (int)kind, pattern != NULL ? pattern : "");
    if (length < 0 || (size_t)length >= left)
        out->failed = true;
    else
        out->length += (size_t)length;
}

static const char *text_of(const cJSON *object, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    return cJSON_IsString(item) ? item->valuestring : "";
}

static bool is_true(const cJSON *object, const char *key, bool absent)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    return cJSON_IsBool(item) ? cJSON_IsTrue(item) : absent;
}

static void add_split(signature *out, const cJSON *item)
{
    const char *behavior = text_of(item, "behavior");
    bool invert = is_true(item, "invert", false);
    const char *regex = text_of(cJSON_GetObjectItemCaseSensitive(item, "pattern"), "Regex");
    /* What remains when everything but the matches is removed is the matches, which is all where a pattern matches
     * everything, as these do. */
    bool matches = (strcmp(behavior, "Isolated") == 0 && !invert) || (strcmp(behavior, "Removed") == 0 && invert);
    out->failed |= !matches || regex[0] == '\0';
    /* What other steps do may also be written as a split. */
    static const struct {
        const char *pattern;
        step_kind kind;
    } others[] = {{dither_pattern_gpt2, STEP_WORDS}, {"\\p{N}", STEP_DIGITS}, {"\\p{N}+", STEP_NUMBERS}};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (strcmp(regex, others[i].pattern) == 0) {
            add_step(out, others[i].kind, NULL);
            return;
        }
    add_step(out, STEP_SPLIT, regex);
}

static void add_item(signature *out, const cJSON *item)
{
    const char *type = text_of(item, "type");
    if (strcmp(type, "Split") == 0) {
        add_split(out, item);
    } else if (strcmp(type, "Digits") == 0) {
        add_step(out, is_true(item, "individual_digits", false) ? STEP_DIGITS : STEP_NUMBERS, NULL);
    } else if (strcmp(type, "Punctuation") == 0) {
        out->failed |= strcmp(text_of(item, "behavior"), "Contiguous") != 0;
        add_step(out, STEP_PUNCTUATION, NULL);
    } else if (strcmp(type, "ByteLevel") == 0) {
        out->failed |= is_true(item, "add_prefix_space", true);
        if (is_true(item, "use_regex", true))
            add_step(out, STEP_WORDS, NULL);
    } else {
        out->failed = true;
    }
}

static void sign(signature *out, const cJSON *pre_tokenizer)
{
    *out = (signature){.length = 0};
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(pre_tokenizer, "pretokenizers");
    if (strcmp(text_of(pre_tokenizer, "type"), "Sequence") != 0) {
        add_item(out, pre_tokenizer);
        return;
    }
    for (const cJSON *item = cJSON_IsArray(list) ? list->child : NULL; item != NULL; item = item->next)
        add_item(out, item);
}

static bool fits(const dither_vocabulary_split *split, const signature *wanted)
{
    signature own = {.length = 0};
    for (const step *s = split->steps; s < split->steps + STEPS && s->kind != STEP_END; s++)
        add_step(&own, s->kind, s->pattern);
    return !own.failed && own.length == wanted->length && memcmp(own.text, wanted->text, own.length) == 0;
}

const dither_vocabulary_split *dither_vocabulary_split_of(const cJSON *pre_tokenizer, bool ignore_merges, bool composes)
{
    const dither_vocabulary_split *found = NULL;
    signature wanted;
    sign(&wanted, pre_tokenizer);
    for (size_t i = 0; i < SPLITS && !wanted.failed; i++)
        if (table[i].ignores_merges == ignore_merges && fits(&table[i], &wanted) &&
            (found == NULL || (table[i].composes == composes && found->composes != composes)))
            found = &table[i];
    return found;
}

/* ---- reading the table -------------------------------------------------------------------------------------- */

const char *dither_vocabulary_split_name(const dither_vocabulary_split *split)
{
    return split->name;
}

bool dither_vocabulary_split_ignores_merges(const dither_vocabulary_split *split)
{
    return split->ignores_merges;
}

bool dither_vocabulary_split_composes(const dither_vocabulary_split *split)
{
    return split->composes;
}

void dither_vocabulary_split_names(char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < SPLITS && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%s", i > 0 ? ", " : "",
                                 dither_vocabulary_split_name(&table[i]));
}

size_t dither_vocabulary_split_patterns(const dither_vocabulary_split *split,
                                        const char *patterns[static DITHER_SPLIT_STEPS])
{
    static const char *const others[] = {
        [STEP_DIGITS] = dither_pattern_digit,
        [STEP_NUMBERS] = "\\p{N}+",
        [STEP_PUNCTUATION] = "[\\p{P}\\$\\+<=>\\^~\\|`]+",
        [STEP_WORDS] = dither_pattern_gpt2,
    };
    size_t count = 0;
    for (; count < STEPS && split->steps[count].kind != STEP_END; count++)
        patterns[count] = split->steps[count].kind == STEP_SPLIT ? split->steps[count].pattern
                                                                 : others[split->steps[count].kind];
    return count;
}

/* ---- writing ------------------------------------------------------------------------------------------------ */

static void write_bytes(dither_json_writer *writer, bool words)
{
    dither_json_writer_print(writer, "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"trim_offsets\": true, "
                             "\"use_regex\": %s}", words ? "true" : "false");
}

static void write_step(dither_json_writer *writer, const step *s)
{
    switch (s->kind) {
    case STEP_SPLIT:
        dither_json_writer_text(writer, "{\"type\": \"Split\", \"pattern\": {\"Regex\": ");
        dither_json_writer_string(writer, s->pattern, strlen(s->pattern));
        dither_json_writer_text(writer, "}, \"behavior\": \"Isolated\", \"invert\": false}");
        break;
    case STEP_DIGITS:
    case STEP_NUMBERS:
        dither_json_writer_print(writer, "{\"type\": \"Digits\", \"individual_digits\": %s}",
                                 s->kind == STEP_DIGITS ? "true" : "false");
        break;
    case STEP_PUNCTUATION:
        dither_json_writer_text(writer, "{\"type\": \"Punctuation\", \"behavior\": \"Contiguous\"}");
        break;
    case STEP_WORDS: write_bytes(writer, true); break;
    case STEP_END: break;
    }
}

void dither_vocabulary_split_write(const dither_vocabulary_split *split, dither_json_writer *writer)
{
    bool bytes = false;
    dither_json_writer_text(writer, "{\"type\": \"Sequence\", \"pretokenizers\": [");
    for (const step *s = split->steps; s < split->steps + STEPS && s->kind != STEP_END; s++) {
        dither_json_writer_text(writer, s > split->steps ? ",\n    " : "\n    ");
        write_step(writer, s);
        bytes |= s->kind == STEP_WORDS;
    }
    if (!bytes) {
        dither_json_writer_text(writer, ",\n    ");
        write_bytes(writer, false);
    }
    dither_json_writer_text(writer, "\n  ]}");
}
