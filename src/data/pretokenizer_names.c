#include "data/pretokenizer_names.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"

/* ---- patterns -------------------------------------------------------------------------------------------------- */

const char dither_pattern_gpt2[] = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

const char dither_pattern_digit[] = "[\\p{N}\\x{11de0}-\\x{11de9}\\x{16ff4}-\\x{16ff6}]";

#define GPT2 dither_pattern_gpt2
#define DIGIT dither_pattern_digit
#define ENDINGS "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
/* Words, numbers of at most so many digits, the rest: what llama 3 and qwen 2 have in common. */
#define WORDS(numbers) \
    ENDINGS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" numbers "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
/* The same where a capital begins a word. */
#define UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define CASED(endings, numbers) \
    "[^\\r\\n\\p{L}\\p{N}]?" UPPER "*" LOWER "+" endings "|[^\\r\\n\\p{L}\\p{N}]?" UPPER "+" LOWER "*" endings \
    "|" numbers "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define HAN_AND_HANGUL "[\\x{4e00}-\\x{9fa5}\\x{800}-\\x{4e00}\\x{ac00}-\\x{d7ff}]+"
/* The letters that have a case, as deepseek-llm lists them. */
#define CASED_LETTERS \
    "A-Za-z\\x{b5}\\x{c0}-\\x{d6}\\x{d8}-\\x{f6}\\x{f8}-\\x{1ba}\\x{1bc}-\\x{1bf}\\x{1c4}-\\x{293}" \
    "\\x{295}-\\x{2af}\\x{370}-\\x{373}\\x{376}\\x{377}\\x{37b}-\\x{37d}\\x{37f}\\x{386}\\x{388}-\\x{38a}" \
    "\\x{38c}\\x{38e}-\\x{3a1}\\x{3a3}-\\x{3f5}\\x{3f7}-\\x{481}\\x{48a}-\\x{52f}\\x{531}-\\x{556}" \
    "\\x{10a0}-\\x{10c5}\\x{13a0}-\\x{13f5}\\x{13f8}-\\x{13fd}\\x{1c90}-\\x{1cba}\\x{1cbd}-\\x{1cbf}" \
    "\\x{1d00}-\\x{1d2b}\\x{1d6b}-\\x{1d77}\\x{1d79}-\\x{1d9a}\\x{1e00}-\\x{1f15}\\x{1f18}-\\x{1f1d}" \
    "\\x{1f20}-\\x{1f45}\\x{1f48}-\\x{1f4d}\\x{1f50}-\\x{1f57}\\x{1f59}\\x{1f5b}\\x{1f5d}\\x{1f5f}-\\x{1f7d}" \
    "\\x{1f80}-\\x{1fb4}\\x{1fb6}-\\x{1fbc}\\x{1fbe}\\x{1fc2}-\\x{1fc4}\\x{1fc6}-\\x{1fcc}\\x{1fd0}-\\x{1fd3}" \
    "\\x{1fd6}-\\x{1fdb}\\x{1fe0}-\\x{1fec}\\x{1ff2}-\\x{1ff4}\\x{1ff6}-\\x{1ffc}\\x{2102}\\x{2107}" \
    "\\x{210a}-\\x{2113}\\x{2115}\\x{2119}-\\x{211d}\\x{2124}\\x{2126}\\x{2128}\\x{212a}-\\x{212d}" \
    "\\x{212f}-\\x{2134}\\x{2139}\\x{213c}-\\x{213f}\\x{2145}-\\x{2149}\\x{214e}\\x{2183}\\x{2184}" \
    "\\x{2c00}-\\x{2c7b}\\x{2c7e}-\\x{2ce4}\\x{2ceb}-\\x{2cee}\\x{2cf2}\\x{2cf3}\\x{a640}-\\x{a66d}" \
    "\\x{a680}-\\x{a69b}\\x{a722}-\\x{a76f}\\x{a771}-\\x{a787}\\x{a78b}-\\x{a78e}\\x{ab70}-\\x{abbf}" \
    "\\x{fb00}-\\x{fb06}\\x{fb13}-\\x{fb17}\\x{ff21}-\\x{ff3a}\\x{ff41}-\\x{ff5a}\\x{10400}-\\x{1044f}" \
    "\\x{104b0}-\\x{104d3}\\x{104d8}-\\x{104fb}\\x{10c80}-\\x{10cb2}\\x{10cc0}-\\x{10cf2}" \
    "\\x{118a0}-\\x{118df}\\x{1e900}-\\x{1e943}"

enum { PATTERNS = 6 };

static const struct {
    const char *name;
    const char *patterns[PATTERNS]; /* NULL behind the last */
} kinds[] = {
    {"gpt2", {GPT2}},
    {"smollm", {DIGIT, GPT2}},
    {"llama3", {WORDS("\\p{N}{1,3}")}},
    {"qwen2", {WORDS("\\p{N}")}},
    {"starcoder", {DIGIT, GPT2}},
    {"refact", {DIGIT, GPT2}},
    {"mpt", {GPT2}},
    {"falcon", {"[\\p{P}\\$\\+<=>\\^~\\|`]+", GPT2, "[0-9][0-9][0-9]"}},
    {"deepseek-llm",
     {"[\\r\\n]", "\\s?[" CASED_LETTERS "]+",
      "\\s?[!-/:-~\\x{ff01}-\\x{ff0f}\\x{ff1a}-\\x{ff5e}\\x{2018}-\\x{201f}\\x{3000}-\\x{3002}]+",
      "\\s+$", HAN_AND_HANGUL, "\\p{N}+"}},
    {"deepseek-coder", {"[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", HAN_AND_HANGUL, "\\p{N}"}},
    {"deepseek-v3",
     {"\\p{N}{1,3}", "[\\x{4e00}-\\x{9fa5}\\x{3040}-\\x{309f}\\x{30a0}-\\x{30ff}]+",
      "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+|"
      " ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"}},
    {"gpt-4o", {CASED(ENDINGS "?", "\\p{N}{1,3}")}},
    {"tekken", {CASED("", "\\p{N}")}},
};

enum { KINDS = sizeof kinds / sizeof *kinds };

/* What else GGUF files call them. */
static const struct {
    const char *alias, *name;
    bool whole_words; /* a piece that is a token needs no merges */
} aliases[] = {
    {"gpt-2", "gpt2", false},
    {"phi-2", "gpt2", false},
    {"jais", "gpt2", false},
    {"olmo", "gpt2", false},
    {"jina-es", "gpt2", false},
    {"jina-de", "gpt2", false},
    {"roberta-bpe", "gpt2", false},
    {"gigachat", "gpt2", false},
    {"trillion", "gpt2", false},
    {"granite-docling", "gpt2", false},
    {"command-r", "smollm", false},
    {"codeshell", "smollm", false},
    {"exaone", "smollm", false},
    {"minerva-7b", "smollm", false},
    {"llama3", "llama3", true},
    {"llama-v3", "llama3", true},
    {"llama-bpe", "llama3", true},
    {"falcon3", "llama3", true},
    {"falcon-h1", "llama3", true},
    {"pixtral", "llama3", true},
    {"midm-2.0", "llama3", true},
    {"lfm2", "llama3", true},
    {"dbrx", "llama3", false},
    {"smaug-bpe", "llama3", false},
    {"chatglm-bpe", "llama3", false},
    {"glm4", "llama3", false},
    {"stablelm2", "qwen2", false},
    {"deepseek-r1-qwen", "qwen2", false},
    {"megrez", "qwen2", false},
    {"hunyuan", "qwen2", false},
    {"hunyuan-dense", "deepseek-v3", false},
    {"tekken", "tekken", true},
};

/* ---- finding --------------------------------------------------------------------------------------------------- */

bool dither_pretokenizer_known(const char *name, const char **kind, bool *whole_words)
{
    *whole_words = false;
    *kind = name;
    for (size_t i = 0; i < sizeof aliases / sizeof *aliases; i++) {
        if (strcmp(aliases[i].alias, name) == 0) {
            *kind = aliases[i].name;
            *whole_words = aliases[i].whole_words;
        }
    }
    for (size_t i = 0; i < KINDS; i++)
        if (strcmp(kinds[i].name, *kind) == 0)
            return true;
    return false;
}

const char *dither_pretokenizer_kind(size_t index)
{
    return index < KINDS ? kinds[index].name : NULL;
}

size_t dither_pretokenizer_patterns(const char *name, const char *const **patterns)
{
    const char *kind;
    bool whole_words;
    size_t row = 0, count = 0;
    const bool known = dither_pretokenizer_known(name, &kind, &whole_words);
    assert(known);
    (void)known;
    while (strcmp(kinds[row].name, kind) != 0)
        row++;
    *patterns = kinds[row].patterns;
    while (count < PATTERNS && kinds[row].patterns[count] != NULL)
        count++;
    return count;
}

dither_status dither_pretokenizer_regex(dither_pretokenizer **pretokenizer, const char *const *patterns, size_t count,
                                        dither_error *error)
{
    *pretokenizer = NULL;
    dither_split *splits = calloc(count + 1, sizeof *splits);
    if (splits == NULL)
        return dither_fail(error, DITHER_E_MEMORY, "pre-tokenizer", "no memory for %zu patterns", count);
    for (size_t i = 0; i < count; i++)
        splits[i].pattern = patterns[i];
    const dither_status status = dither_pretokenizer_splits(pretokenizer, splits, count, error);
    free(splits);
    return status;
}

dither_status dither_pretokenizer_open(dither_pretokenizer **pretokenizer, const char *name, dither_error *error)
{
    const char *kind;
    bool whole_words;
    *pretokenizer = NULL;
    if (!dither_pretokenizer_known(name, &kind, &whole_words)) {
        char names[KINDS * 16] = "";
        for (size_t i = 0; i < KINDS; i++) {
            strcat(names, i > 0 ? ", " : "");
            strcat(names, kinds[i].name);
        }
        return dither_fail(error, DITHER_E_FORMAT, "pre-tokenizer", "\"%.40s\" is not known; known are %s", name,
                           names);
    }
    const char *const *patterns;
    const size_t count = dither_pretokenizer_patterns(name, &patterns);
    return dither_pretokenizer_regex(pretokenizer, patterns, count, error);
}
