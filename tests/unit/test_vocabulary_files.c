/*
 * Tokenizers from tokenizer.json to GGUF metadata and back. The word of an independent reader: src/data opens both
 * kinds of files, and must encode alike with the folder, with the GGUF file made of it, and with the folder made of
 * that.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dither/tokenizer.h"
#include "file/config.h"
#include "file/json.h"
#include "file/vocabulary_files.h"
#include "file/vocabulary_split.h"
#include "temporary.h"

enum { TEXT = 65536, IDS = 512 };

/* ---- a small tokenizer of each kind ------------------------------------------------------------------------- */

static void append(char *out, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void append(char *out, const char *format, ...)
{
    const size_t used = strlen(out);
    va_list arguments;
    va_start(arguments, format);
    if (vsnprintf(out + used, TEXT - used, format, arguments) >= (int)(TEXT - used))
        abort();
    va_end(arguments);
}

/* What stands for a byte in a byte-level vocabulary, as JSON. */
static void append_byte(char *out, unsigned byte)
{
    unsigned other = 0;
    for (unsigned i = 0; i < byte; i++)
        other += !((i >= 0x21 && i <= 0x7e) || (i >= 0xa1 && i != 0xad));
    const bool prints = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte != 0xad);
    append(out, "\\u%04x", prints ? byte : 256 + other);
}

#define MARK(id, text, special)                                                                                        \
    "{\"id\": " #id ", \"content\": \"" text "\", \"single_word\": false, \"lstrip\": false, \"rstrip\": false,"       \
    " \"normalized\": false, \"special\": " #special "}"
#define BYTE_LEVEL "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"trim_offsets\": true, \"use_regex\": true}"
#define DIGITS                                                                                                         \
    "{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Digits\", \"individual_digits\": true}, " BYTE_LEVEL "]}"

/* 0, 1: marks; 2..257 bytes; then what five merges make; then a mark and a text that is taken whole. */
static void normalized_bytes(char *out, const char *normalizer, const char *pre_tokenizer, const char *post_processor)
{
    static const char *const merges[] = {"t h", "th e", "\\u0120 the", "1 2", "e r"};
    static const char *const wholes[] = {"th", "the", "\\u0120the", "12", "er"};
    out[0] = '\0';
    append(out, "{\"version\": \"1.0\", \"truncation\": null, \"padding\": null, \"added_tokens\": ["
           MARK(0, "<|endoftext|>", true) ", " MARK(1, "<|im_start|>", true) ", " MARK(263, "<|im_end|>", true) ", "
           MARK(264, "<tool>", false) "], \"normalizer\": %s, \"pre_tokenizer\": %s, \"post_processor\": %s,"
           " \"decoder\": " BYTE_LEVEL ", \"model\": {\"type\": \"BPE\", \"dropout\": null, \"unk_token\": null,"
           " \"continuing_subword_prefix\": null, \"end_of_word_suffix\": null, \"fuse_unk\": false,"
           " \"byte_fallback\": false, \"vocab\": {\"<|endoftext|>\": 0, \"<|im_start|>\": 1", normalizer,
           pre_tokenizer, post_processor);
    for (unsigned byte = 0; byte < 256; byte++) {
        append(out, ", \"");
        append_byte(out, byte);
        append(out, "\": %u", byte + 2);
    }
    for (unsigned i = 0; i < 5; i++)
        append(out, ", \"%s\": %u", wholes[i], 258 + i);
    append(out, "}, \"merges\": [");
    for (unsigned i = 0; i < 5; i++)
        append(out, "%s\"%s\"", i > 0 ? ", " : "", merges[i]);
    append(out, "]}}\n");
}

static void byte_level(char *out, const char *pre_tokenizer, const char *post_processor)
{
    normalized_bytes(out, "null", pre_tokenizer, post_processor);
}

/* 0..2 marks, 3..258 bytes, then pieces: what is made, best first, then the characters it is made of. */
static void pieces(char *out, const char *normalizer, const char *merges)
{
    static const char *const texts[] = {"\\u2581t", "he", "\\u2581the", "er", "her", "\\u2581",
                                        "t", "h", "e", "r", "o"};
    out[0] = '\0';
    append(out, "{\"version\": \"1.0\", \"truncation\": null, \"padding\": null, \"added_tokens\": ["
           MARK(0, "<unk>", true) ", " MARK(1, "<s>", true) ", " MARK(2, "</s>", true) "], \"normalizer\": %s,"
           " \"pre_tokenizer\": null, \"post_processor\": {\"type\": \"TemplateProcessing\", \"single\": [{"
           "\"SpecialToken\": {\"id\": \"<s>\", \"type_id\": 0}}, {\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}],"
           " \"pair\": [], \"special_tokens\": {\"<s>\": {\"id\": \"<s>\", \"ids\": [1], \"tokens\": [\"<s>\"]}}},"
           " \"decoder\": {\"type\": \"Sequence\", \"decoders\": [{\"type\": \"Replace\", \"pattern\": {\"String\":"
           " \"\\u2581\"}, \"content\": \" \"}, {\"type\": \"ByteFallback\"}, {\"type\": \"Fuse\"}]},"
           " \"model\": {\"type\": \"BPE\", \"dropout\": null, \"unk_token\": \"<unk>\","
           " \"continuing_subword_prefix\": null, \"end_of_word_suffix\": null, \"fuse_unk\": true,"
           " \"byte_fallback\": true, \"vocab\": {\"<unk>\": 0, \"<s>\": 1, \"</s>\": 2", normalizer);
    for (unsigned byte = 0; byte < 256; byte++)
        append(out, ", \"<0x%02X>\": %u", byte, byte + 3);
    for (unsigned i = 0; i < sizeof texts / sizeof *texts; i++)
        append(out, ", \"%s\": %u", texts[i], 259 + i);
    append(out, "}, \"merges\": [%s]}}\n", merges);
}

/* Every way to make a piece, those of one piece together. */
static const char all_merges[] = "\"\\u2581 t\", \"h e\", \"\\u2581t he\", \"e r\", \"he r\", \"h er\"";
static const char prepend[] = "{\"type\": \"Sequence\", \"normalizers\": [{\"type\": \"Prepend\", \"prepend\":"
                              " \"\\u2581\"}, {\"type\": \"Replace\", \"pattern\": {\"String\": \" \"}, \"content\":"
                              " \"\\u2581\"}]}";

/* folder/name, in memory that the next call but fifteen writes over. */
static const char *place(const char *folder, const char *name)
{
    static char paths[16][512];
    static unsigned next;
    char *path = paths[next++ % 16], base[256];
    (void)snprintf(base, sizeof base, "%s", folder); /* it may be one of them */
    (void)snprintf(path, sizeof paths[0], "%s/%.250s", base, name);
    return path;
}

static const char *folder_named(const char *name)
{
    const char *folder = place(temporary_folder, name);
    (void)mkdir(folder, 0777);
    return folder;
}

static const char *write_folder(const char *name, const char *tokenizer, const char *config)
{
    const char *folder = folder_named(name);
    temporary_write(place(folder, "tokenizer.json"), tokenizer, strlen(tokenizer));
    if (config != NULL)
        temporary_write(place(folder, "tokenizer_config.json"), config, strlen(config));
    return folder;
}

/* A GGUF file with nothing but a tokenizer. */
static dither_status to_gguf(const char *folder, size_t rows, const char *path, dither_error *error)
{
    dither_gguf_writer *writer = NULL;
    if (dither_gguf_writer_open(&writer, path, error) != DITHER_OK)
        return error->status;
    dither_gguf_writer_string(writer, "general.architecture", "llama", 5);
    const dither_status status = dither_vocabulary_to_gguf(folder, rows, writer, error);
    if (status == DITHER_OK)
        return dither_gguf_writer_commit(writer, error);
    dither_gguf_writer_abandon(writer);
    return status;
}

static const char *must_to_gguf(const char *folder, size_t rows, const char *name)
{
    dither_error error = {.text = ""};
    const char *path = place(temporary_folder, name);
    if (to_gguf(folder, rows, path, &error) != DITHER_OK)
        fail_msg("%s: %s", error.where, error.text);
    return path;
}

static const char *must_to_folder(const char *path, const char *name)
{
    dither_error error = {.text = ""};
    dither_gguf *file = NULL;
    const char *folder = folder_named(name);
    assert_int_equal(dither_gguf_open(&file, path, &error), DITHER_OK);
    if (dither_vocabulary_from_gguf(file, 77, folder, &error) != DITHER_OK)
        fail_msg("%s: %s", error.where, error.text);
    dither_gguf_close(file);
    return folder;
}

/* ---- laws --------------------------------------------------------------------------------------------------- */

static const char *const texts[] = {
    "the other 1234 there", " the  theer", "", "th", "h\xc3\xa9 \xe4\xbd\xa0\xf0\x9f\x99\x82",
    "<|im_start|>the<|im_end|>\n",
    "<tool>12<tool>", "<s>her</s>", "\ttthe\r\n here", "\xe2\x96\x81the", "12345 12\u0661 \u212a\u1f7dx",
    "u\u0308 the\u030a \u4e00\u4e8c\uac00. \n\n\n", "theTHE's +\n`the~", "e\u0301",
};

static void expect_alike(const char *a, const char *b)
{
    dither_error error = {.text = ""};
    dither_tokenizer *left = NULL, *right = NULL;
    if (dither_tokenizer_open(&left, a, &error) != DITHER_OK || dither_tokenizer_open(&right, b, &error) != DITHER_OK)
        fail_msg("%s: %s", error.where, error.text);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        for (int special = 0; special < 2; special++) {
            uint32_t x[IDS] = {0}, y[IDS] = {0};
            const size_t length = strlen(texts[i]);
            size_t (*const encode)(const dither_tokenizer *, const char *, size_t, uint32_t *, size_t) =
                special ? dither_tokenizer_encode_special : dither_tokenizer_encode;
            const size_t m = encode(left, texts[i], length, x, IDS), n = encode(right, texts[i], length, y, IDS);
            if (m != n || memcmp(x, y, sizeof x) != 0)
                fail_msg("%s and %s encode \"%s\" to %zu and %zu ids: %u %u ... and %u %u ...", a, b, texts[i], m, n,
                         x[0], x[1], y[0], y[1]);
        }
    const dither_tokenizer_marks *p = dither_tokenizer_marks_get(left), *q = dither_tokenizer_marks_get(right);
    assert_int_equal(p->add_bos, q->add_bos);
    assert_int_equal(p->bos, q->bos);
    assert_int_equal(p->eos, q->eos);
    const char *s = dither_tokenizer_chat_template(left), *t = dither_tokenizer_chat_template(right);
    assert_true((s == NULL && t == NULL) || (s != NULL && t != NULL && strcmp(s, t) == 0));
    dither_tokenizer_close(left);
    dither_tokenizer_close(right);
}

static const char config[] = "{\"bos_token\": \"<|im_start|>\", \"eos_token\": {\"content\": \"<|im_end|>\"},"
                             " \"pad_token\": null, \"unk_token\": \"<|endoftext|>\","
                             " \"chat_template\": \"{{ 'x' }}\\n\\\"\\u00e9\\t\"}";

static void byte_level_ones_encode_alike_in_every_file(void **state)
{
    (void)state;
    static const char *const pre[] = {BYTE_LEVEL, DIGITS};
    char *text = malloc(TEXT);
    for (size_t i = 0; i < 2; i++) {
        byte_level(text, pre[i], "null");
        const char *folder = write_folder(i > 0 ? "digits" : "words", text, config);
        const char *file = must_to_gguf(folder, 265, "b.gguf");
        const char *again = must_to_folder(file, i > 0 ? "digits2" : "words2");
        expect_alike(folder, file);
        expect_alike(folder, again);
        expect_alike(folder, must_to_gguf(again, 265, "b2.gguf"));
    }
    free(text);
}

static void sentencepiece_ones_encode_alike_in_every_file(void **state)
{
    (void)state;
    static const char *const normalizers[] = {
        prepend, "{\"type\": \"Replace\", \"pattern\": {\"String\": \" \"}, \"content\": \"\\u2581\"}"};
    char *text = malloc(TEXT);
    for (size_t i = 0; i < 2; i++) {
        pieces(text, normalizers[i], all_merges);
        const char *folder =
            write_folder(i > 0 ? "bare" : "prefixed", text,
                         "{\"bos_token\": \"<s>\", \"eos_token\": \"</s>\", \"unk_token\": \"<unk>\"}");
        const char *file = must_to_gguf(folder, 270, "p.gguf");
        const char *again = must_to_folder(file, i > 0 ? "bare2" : "prefixed2");
        expect_alike(folder, file);
        expect_alike(folder, again);
        expect_alike(folder, must_to_gguf(again, 270, "p2.gguf"));
    }
    free(text);
}

static void expect_text(const dither_gguf *file, const char *key, const char *expected)
{
    const char *text = NULL;
    size_t length = 0;
    assert_int_equal(dither_gguf_string(file, key, &text, &length, NULL, NULL), DITHER_OK);
    if (length != strlen(expected) || memcmp(text, expected, length) != 0)
        fail_msg("%s is \"%.*s\"", key, (int)length, text);
}

/* The pre_tokenizer that is written for a name. */
static void split_text(const dither_vocabulary_split *split, char *text)
{
    const char *path = place(temporary_folder, "split.json");
    dither_json_writer writer;
    size_t size;
    assert_int_equal(dither_json_writer_open(&writer, path, NULL), DITHER_OK);
    dither_vocabulary_split_write(split, &writer);
    assert_int_equal(dither_json_writer_commit(&writer), DITHER_OK);
    unsigned char *bytes = temporary_read(path, &size);
    assert_true(size < TEXT);
    memcpy(text, bytes, size);
    text[size] = '\0';
    free(bytes);
}

/* How a text is cut and composed is known of a file by its name alone: that must say all of it. */
static void every_split_encodes_alike_in_every_file(void **state)
{
    (void)state;
    static const char *const names[] = {"gpt-2", "olmo", "smollm", "dbrx", "qwen2", "gpt-4o", "deepseek-coder",
                                        "deepseek-llm", "deepseek-v3"};
    char *text = malloc(TEXT), *split = malloc(TEXT);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const dither_vocabulary_split *row = dither_vocabulary_split_named(names[i], strlen(names[i]));
        assert_non_null(row);
        split_text(row, split);
        const bool composes = dither_vocabulary_split_composes(row);
        assert_int_equal(composes, strcmp(names[i], "olmo") == 0 || strcmp(names[i], "qwen2") == 0);
        normalized_bytes(text, composes ? "{\"type\": \"NFC\"}" : "null", split, "null");
        const char *folder = write_folder("split", text, config);
        const char *file = must_to_gguf(folder, 265, "split.gguf");
        dither_gguf *opened = NULL;
        assert_int_equal(dither_gguf_open(&opened, file, NULL), DITHER_OK);
        expect_text(opened, "tokenizer.ggml.pre", names[i]);
        dither_gguf_close(opened);
        expect_alike(folder, file);
        expect_alike(file, must_to_folder(file, "split2"));
    }
    free(split);
    free(text);
}

/* ---- single values ------------------------------------------------------------------------------------------ */

static uint64_t number(const dither_gguf *file, const char *key)
{
    uint64_t value = 0;
    assert_int_equal(dither_gguf_u64(file, key, 0, UINT64_MAX, &value, NULL, NULL), DITHER_OK);
    return value;
}

static int32_t type_of(const dither_gguf *file, size_t id)
{
    dither_gguf_array array;
    int32_t type;
    assert_int_equal(dither_gguf_array_of(file, "tokenizer.ggml.token_type", DITHER_GGUF_I32, &array, NULL, NULL),
                     DITHER_OK);
    memcpy(&type, array.at + id * sizeof type, sizeof type);
    return type;
}

static void metadata_say_what_llama_cpp_reads(void **state)
{
    (void)state;
    char *text = malloc(TEXT);
    dither_gguf *file = NULL;
    byte_level(text, DIGITS, "null");
    const char *folder = write_folder("digits", text, config);
    assert_int_equal(dither_gguf_open(&file, must_to_gguf(folder, 270, "m.gguf"), NULL), DITHER_OK);
    expect_text(file, "tokenizer.ggml.model", "gpt2");
    expect_text(file, "tokenizer.ggml.pre", "smollm");
    expect_text(file, "tokenizer.chat_template", "{{ 'x' }}\n\"\xc3\xa9\t");
    assert_int_equal(number(file, "tokenizer.ggml.bos_token_id"), 1);
    assert_int_equal(number(file, "tokenizer.ggml.eos_token_id"), 263);
    assert_int_equal(number(file, "tokenizer.ggml.unknown_token_id"), 0);
    static const int32_t types[] = {3, 3, 1, 1};
    for (size_t id = 0; id < 4; id++)
        assert_int_equal(type_of(file, id), types[id]);
    assert_int_equal(type_of(file, 263), 3);
    assert_int_equal(type_of(file, 264), 4);
    assert_int_equal(type_of(file, 265), 5); /* rows beyond the vocabulary */
    dither_gguf_array merges;
    assert_int_equal(dither_gguf_array_of(file, "tokenizer.ggml.merges", DITHER_GGUF_STRING, &merges, NULL, NULL),
                     DITHER_OK);
    assert_int_equal(merges.count, 5);
    dither_gguf_close(file);
    free(text);
}

static void expect_scores(const char *merges, const float *expected)
{
    char *text = malloc(TEXT);
    dither_gguf *file = NULL;
    dither_gguf_array scores;
    pieces(text, prepend, merges);
    const char *folder = write_folder("prefixed", text, NULL);
    assert_int_equal(dither_gguf_open(&file, must_to_gguf(folder, 270, "s.gguf"), NULL), DITHER_OK);
    expect_text(file, "tokenizer.ggml.model", "llama");
    assert_int_equal(dither_gguf_array_of(file, "tokenizer.ggml.scores", DITHER_GGUF_F32, &scores, NULL, NULL),
                     DITHER_OK);
    for (size_t i = 0; i < 11; i++) {
        float score;
        memcpy(&score, scores.at + (259 + i) * sizeof score, sizeof score);
        assert_true(score == expected[i]);
    }
    assert_int_equal(type_of(file, 0), 2);
    assert_int_equal(type_of(file, 1), 3);
    assert_int_equal(type_of(file, 3), 6);
    bool add_bos = false;
    assert_int_equal(dither_gguf_bool(file, "tokenizer.ggml.add_bos_token", &add_bos, NULL, NULL), DITHER_OK);
    assert_true(add_bos);
    dither_gguf_close(file);
    free(text);
}

/* Pieces that merges make are scored in the order of the merges, 0, -1, ...; the others behind them. */
static void scores_are_the_order_of_merges(void **state)
{
    (void)state;
    expect_scores(all_merges, (const float[]){0, -1, -2, -3, -4, -5, -6, -7, -8, -9, -10});
    /* "er" and "her" must have had one score, or the ways to make "her" would stand together. */
    expect_scores("\"\\u2581 t\", \"h e\", \"\\u2581t he\", \"he r\", \"e r\", \"h er\"",
                  (const float[]){0, -1, -2, -3, -3, -4, -5, -6, -7, -8, -9});
}

/* ---- refused ------------------------------------------------------------------------------------------------ */

static void expect_refused(const char *text, size_t rows, const char *says)
{
    dither_error error = {.text = ""};
    const char *folder = write_folder("refused", text, NULL), *path = place(temporary_folder, "refused.gguf");
    if (to_gguf(folder, rows, path, &error) != DITHER_E_FORMAT || strstr(error.text, says) == NULL)
        fail_msg("not refused for \"%s\": %s", says, error.text);
    assert_int_not_equal(access(path, F_OK), 0);
}

static void what_llama_cpp_cannot_do_is_refused(void **state)
{
    (void)state;
    char *text = malloc(TEXT);
    byte_level(text, "{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Split\", \"pattern\":"
               " {\"Regex\": \"a+\"}, \"behavior\": \"Isolated\", \"invert\": false}, " BYTE_LEVEL "]}", "null");
    expect_refused(text, 265, "smollm, llama-bpe");
    byte_level(text, "{\"type\": \"ByteLevel\", \"add_prefix_space\": true}", "null");
    expect_refused(text, 265, "pre-tokenizer");
    byte_level(text, DIGITS, "null");
    expect_refused(text, 264, "0 to 263");
    pieces(text, "{\"type\": \"Lowercase\"}", all_merges);
    expect_refused(text, 270, "Lowercase");
    /* One of the ways to make "her" is missing. */
    pieces(text, prepend, "\"h e\", \"e r\", \"he r\", \"\\u2581 t\", \"\\u2581t he\"");
    expect_refused(text, 270, "SentencePiece");
    expect_refused("{\"model\": {\"type\": \"Unigram\", \"vocab\": [[\"a\", -1.0]]}}", 8, "Unigram");
    expect_refused("{}", 8, "BPE");
    free(text);
}

/* A score that is no number has no place in the order of merges; one without end has. */
static void scores_that_are_no_numbers(void **state)
{
    (void)state;
    static const float front[3] = {-1, -2, -3}, values[] = {NAN, -NAN, INFINITY, -INFINITY};
    char *text = malloc(TEXT);
    pieces(text, prepend, all_merges);
    const char *path = must_to_gguf(write_folder("numbers", text, NULL), 270, "numbers.gguf");
    size_t size;
    unsigned char *bytes = temporary_read(path, &size);
    unsigned char *at = memmem(bytes, size, front, sizeof front);
    assert_non_null(at);
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        dither_error error = {.text = ""};
        dither_gguf *file = NULL;
        memcpy(at, &values[i], sizeof values[i]);
        temporary_write(path, bytes, size);
        assert_int_equal(dither_gguf_open(&file, path, &error), DITHER_OK);
        const dither_status status = dither_vocabulary_from_gguf(file, 77, folder_named("numbers2"), &error);
        dither_gguf_close(file);
        dither_tokenizer *tokenizer = NULL;
        assert_int_equal(dither_tokenizer_open(&tokenizer, path, NULL), isnan(values[i]) ? DITHER_E_FORMAT : DITHER_OK);
        dither_tokenizer_close(tokenizer);
        assert_int_equal(status, isnan(values[i]) ? DITHER_E_FORMAT : DITHER_OK);
        assert_true(!isnan(values[i]) || strstr(error.text, "scores") != NULL);
        if (!isnan(values[i]))
            expect_alike(path, place(temporary_folder, "numbers2"));
    }
    free(bytes);
    free(text);
}

/* ---- names -------------------------------------------------------------------------------------------------- */

static void every_name_is_found_by_what_is_written_of_it(void **state)
{
    (void)state;
    char names[256];
    dither_vocabulary_split_names(names, sizeof names);
    size_t count = 0;
    char *text = malloc(TEXT);
    for (char *name = strtok(names, ", "); name != NULL; name = strtok(NULL, ", "), count++) {
        const dither_vocabulary_split *split = dither_vocabulary_split_named(name, strlen(name));
        assert_non_null(split);
        split_text(split, text);
        cJSON *root = cJSON_Parse(text);
        assert_non_null(root);
        assert_ptr_equal(dither_vocabulary_split_of(root, dither_vocabulary_split_ignores_merges(split),
                                                    dither_vocabulary_split_composes(split)),
                         split);
        cJSON_Delete(root);
    }
    free(text);
    assert_true(count >= 11);
    assert_null(dither_vocabulary_split_named("nobody", 6));
    assert_null(dither_vocabulary_split_named("", 0));
    assert_ptr_equal(dither_vocabulary_split_named("starcoder", 9), dither_vocabulary_split_named("smollm", 6));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(byte_level_ones_encode_alike_in_every_file),
        cmocka_unit_test(sentencepiece_ones_encode_alike_in_every_file),
        cmocka_unit_test(every_split_encodes_alike_in_every_file),
        cmocka_unit_test(metadata_say_what_llama_cpp_reads),
        cmocka_unit_test(scores_are_the_order_of_merges),
        cmocka_unit_test(what_llama_cpp_cannot_do_is_refused),
        cmocka_unit_test(scores_that_are_no_numbers),
        cmocka_unit_test(every_name_is_found_by_what_is_written_of_it),
    };
    return cmocka_run_group_tests(tests, temporary_setup, temporary_teardown);
}
