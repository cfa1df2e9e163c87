#include "data/bpe_file.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "data/tokenizer_parts.h"
#include "file/atomic.h"
#include "file/vocabulary_split.h"

/* A JSON string of UTF-8 text, or of a pattern. */
static void put_text(FILE *out, const char *text)
{
    putc('"', out);
    for (; *text != '\0'; text++) {
        const unsigned char byte = (unsigned char)*text;
        if (byte < 0x20 || byte == 0x7f)
            fprintf(out, "\\u%04x", byte);
        else
            fprintf(out, "%s%c", byte == '"' || byte == '\\' ? "\\" : "", byte);
    }
    putc('"', out);
}

/* The inside of one: the characters that stand for a token's bytes, of which only two must be escaped. */
static void put_token(FILE *out, const dither_trained_bpe *bpe, size_t token)
{
    const unsigned char *bytes = dither_words_bytes(&bpe->tokens, token);
    for (size_t i = 0; i < bpe->tokens.words[token].length; i++) {
        char character[3];
        dither_byte_text(bytes[i], character);
        fprintf(out, "%s%s", bytes[i] == '"' || bytes[i] == '\\' ? "\\" : "", character);
    }
}

static void put_byte_level(FILE *out, bool with_pattern)
{
    fprintf(out, "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"trim_offsets\": true, \"use_regex\": %s}",
            with_pattern ? "true" : "false");
}

static void put_split(FILE *out, const char *pattern)
{
    if (strcmp(pattern, dither_pattern_digit) == 0) { /* which spells out what this means */
        fprintf(out, "{\"type\": \"Digits\", \"individual_digits\": true}");
        return;
    }
    fprintf(out, "{\"type\": \"Split\", \"pattern\": {\"Regex\": ");
    put_text(out, pattern);
    fprintf(out, "}, \"behavior\": \"Isolated\", \"invert\": false}");
}

/* ByteLevel brings GPT-2's pattern along; every other one is a split before it. */
static void put_pretokenizer(FILE *out, const dither_vocabulary_split *split)
{
    const char *patterns[DITHER_SPLIT_STEPS];
    const size_t count = dither_vocabulary_split_patterns(split, patterns);
    const bool with_pattern = count > 0 && strcmp(patterns[count - 1], dither_pattern_gpt2) == 0;
    const size_t splits = with_pattern ? count - 1 : count;
    fprintf(out, "  \"pre_tokenizer\": ");
    if (splits > 0)
        fprintf(out, "{\"type\": \"Sequence\", \"pretokenizers\": [");
    for (size_t i = 0; i < splits; i++) {
        fprintf(out, "\n    ");
        put_split(out, patterns[i]);
        putc(',', out);
    }
    fprintf(out, "%s", splits > 0 ? "\n    " : "");
    put_byte_level(out, with_pattern);
    fprintf(out, "%s,\n", splits > 0 ? "\n  ]}" : "");
}

static void put_special(FILE *out, const char *const *special, size_t count)
{
    fprintf(out, "  \"added_tokens\": [");
    for (size_t i = 0; i < count; i++) {
        fprintf(out, "%s\n    {\"id\": %zu, \"content\": ", i > 0 ? "," : "", i);
        put_text(out, special[i]);
        fprintf(out, ", \"single_word\": false, \"lstrip\": false, \"rstrip\": false, \"normalized\": false, "
                     "\"special\": true}");
    }
    fprintf(out, "%s],\n", count > 0 ? "\n  " : "");
}

/* The bytes in the order of the characters that stand for them; UTF-8 sorts as code points do. */
static void sort_bytes(unsigned char sorted[static DITHER_BPE_BYTES])
{
    for (unsigned byte = 0; byte < DITHER_BPE_BYTES; byte++) {
        char own[3], other[3];
        size_t before = 0;
        dither_byte_text(byte, own);
        for (unsigned i = 0; i < DITHER_BPE_BYTES; i++) {
            dither_byte_text(i, other);
            before += strcmp(other, own) < 0;
        }
        sorted[before] = (unsigned char)byte;
    }
}

static void put_vocabulary(FILE *out, const dither_trained_bpe *bpe, const char *const *special, size_t count)
{
    unsigned char sorted[DITHER_BPE_BYTES];
    size_t id = 0;
    sort_bytes(sorted);
    fprintf(out, "    \"vocab\": {");
    for (; id < count; id++) {
        fprintf(out, "%s\n      ", id > 0 ? "," : "");
        put_text(out, special[id]);
        fprintf(out, ": %zu", id);
    }
    for (size_t i = 0; i < bpe->tokens.count; i++, id++) {
        fprintf(out, "%s\n      \"", id > 0 ? "," : "");
        put_token(out, bpe, i < DITHER_BPE_BYTES ? sorted[i] : i);
        fprintf(out, "\": %zu", id);
    }
    fprintf(out, "\n    },\n");
}

static void put_merges(FILE *out, const dither_trained_bpe *bpe)
{
    fprintf(out, "    \"merges\": [");
    for (size_t i = 0; i < bpe->merge_count; i++) {
        fprintf(out, "%s\n      \"", i > 0 ? "," : "");
        put_token(out, bpe, bpe->merges[i].left);
        putc(' ', out); /* stands for no byte */
        put_token(out, bpe, bpe->merges[i].right);
        putc('"', out);
    }
    fprintf(out, "%s]\n", bpe->merge_count > 0 ? "\n    " : "");
}

dither_status dither_bpe_write(const dither_trained_bpe *bpe, const char *const *special, size_t special_count,
                               const char *pattern, const char *path, dither_error *error)
{
    const dither_vocabulary_split *split = dither_vocabulary_split_named(pattern, strlen(pattern));
    assert(split != NULL);
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    if (out == NULL)
        return dither_fail(error, DITHER_E_MEMORY, path, "no memory for it");
    fprintf(out, "{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n");
    put_special(out, special, special_count);
    fprintf(out, "  \"normalizer\": null,\n");
    put_pretokenizer(out, split);
    fprintf(out, "  \"post_processor\": null,\n  \"decoder\": ");
    put_byte_level(out, true);
    /* A word that is a token becomes it whether merges are ignored or not: others expect the one or the other. */
    fprintf(out, ",\n  \"model\": {\n    \"type\": \"BPE\", \"dropout\": null, \"unk_token\": null,\n"
                 "    \"continuing_subword_prefix\": null, \"end_of_word_suffix\": null, \"fuse_unk\": false,\n"
                 "    \"byte_fallback\": false, \"ignore_merges\": %s,\n",
            dither_vocabulary_split_ignores_merges(split) ? "true" : "false");
    put_vocabulary(out, bpe, special, special_count);
    put_merges(out, bpe);
    fprintf(out, "  }\n}\n");
    const bool failed = ferror(out) != 0;
    const dither_status status = fclose(out) != 0 || failed
                                     ? dither_fail(error, DITHER_E_MEMORY, path, "no memory for it")
                                     : dither_atomic_file(path, text, length, error);
    free(text);
    return status;
}
