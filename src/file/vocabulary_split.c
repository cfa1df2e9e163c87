#include "file/vocabulary_split.h"

#include <stdio.h>
#include <string.h>

enum { STEPS = 6, SIGNATURE = 4096 };

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
#define SPACES "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

static const char words_pattern[] =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
static const char llama3_pattern[] =
    SUFFIXES "|" BEHIND "\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" SPACES;

static const dither_vocabulary_split table[] = {
    {"gpt-2", "gpt2 phi-2 mpt olmo jais trillion granite-docling jina-es jina-de jina-v2-es jina-v2-de gigachat "
     "a.x-4.0 mellum modern-bert exaone4",
     false, false, {{STEP_WORDS, NULL}}},
    {"smollm", "starcoder refact command-r codeshell exaone minerva-7b mellum2", false, false,
     {{STEP_DIGITS, NULL}, {STEP_WORDS, NULL}}},
    {"llama-bpe", "llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano", true, false,
     {{STEP_SPLIT, llama3_pattern}}},
    {"dbrx", "smaug-bpe chatglm-bpe", false, false, {{STEP_SPLIT, llama3_pattern}}},
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
      {STEP_SPLIT, "[一-龥ࠀ-一가-퟿]+"}, {STEP_DIGITS, NULL}}},
    {"deepseek-llm", "", false, false,
     {{STEP_SPLIT, "[\r\n]"},
      {STEP_SPLIT, "\\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁ"
                   "Ҋ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-"
                   "ὅὈ-Ὅὐ-ὗὙὛὝὟ-ώᾀ-ᾴᾶ-ᾼιῂ-ῄῆ-ῌ"
                   "ῐ-ΐῖ-Ίῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤΩℨK-ℭℯ-ℴℹℼ-"
                   "ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ"
                   "-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-"
                   "𑣟𞤀-𞥃]+"},
      {STEP_SPLIT, "\\s?[!-/:-~！-／：-～‘-‟　-。]+"}, {STEP_SPLIT, "\\s+$"},
      {STEP_SPLIT, "[一-龥ࠀ-一가-퟿]+"}, {STEP_DIGITS, NULL}}},
    {"deepseek-v3", "", false, false,
     {{STEP_SPLIT, "\\p{N}{1,3}"}, {STEP_SPLIT, "[一-龥぀-ゟ゠-ヿ]+"},
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
    } others[] = {{words_pattern, STEP_WORDS}, {"\\p{N}", STEP_DIGITS}, {"\\p{N}+", STEP_NUMBERS}};
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

const dither_vocabulary_split *dither_vocabulary_split_of(const cJSON *pre_tokenizer, bool ignore_merges)
{
    signature wanted;
    sign(&wanted, pre_tokenizer);
    for (size_t i = 0; i < SPLITS && !wanted.failed; i++)
        if (table[i].ignores_merges == ignore_merges && fits(&table[i], &wanted))
            return &table[i];
    return NULL;
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
