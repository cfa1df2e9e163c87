#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "data/chat_tokens.h"
#include "dither/records.h"
#include "temporary.h"

/* A character's UTF-8, in a string of JSON. */
static void put_character(FILE *file, unsigned code)
{
    if (code == '"' || code == '\\')
        fprintf(file, "\\%c", (int)code);
    else if (code < 0x80)
        fputc((int)code, file);
    else
        fprintf(file, "%c%c", (int)(0xc0 | code >> 6), (int)(0x80 | (code & 0x3f)));
}

/* The characters that byte-level vocabularies write bytes as: printable ones as themselves, the rest from 256 on. */
static void put_alphabet(FILE *file)
{
    unsigned next = 256;
    for (unsigned byte = 0; byte < 256; byte++) {
        const bool plain = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
        fprintf(file, "%s\"", byte ? "," : "");
        put_character(file, plain ? byte : next++);
        fprintf(file, "\":%u", byte);
    }
}

/* A byte-level BPE whose merges are "\n\n" (256), "ab" (257); 258 is <end>, 259 <turn>, marks. */
static dither_tokenizer *make(const char *name, const char *normalizer)
{
    const char *path = temporary_path(temporary_folder, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fprintf(file, "{\"version\":\"1.0\",\"added_tokens\":[");
    for (int i = 0; i < 2; i++)
        fprintf(file, "%s{\"id\":%d,\"content\":\"%s\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,"
                "\"normalized\":false,\"special\":true}", i ? "," : "", 258 + i, i ? "<turn>" : "<end>");
    fprintf(file, "],\"normalizer\":%s,\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false,"
            "\"trim_offsets\":true,\"use_regex\":false},\"post_processor\":null,\"decoder\":{\"type\":\"ByteLevel\","
            "\"add_prefix_space\":true,\"trim_offsets\":true,\"use_regex\":true},\"model\":{\"type\":\"BPE\","
            "\"dropout\":null,\"unk_token\":null,\"continuing_subword_prefix\":null,\"end_of_word_suffix\":null,"
            "\"fuse_unk\":false,\"byte_fallback\":false,\"vocab\":{", normalizer);
    put_alphabet(file);
    fprintf(file, ",\"\u010a\u010a\":256,\"ab\":257},\"merges\":[\"\u010a \u010a\",\"a b\"]}}");
    fclose(file);
    dither_tokenizer *tokenizer;
    dither_error error;
    if (dither_tokenizer_open(&tokenizer, path, &error) != DITHER_OK)
        fail_msg("%s: %s", error.where, error.text);
    return tokenizer;
}

/* The text's spans stand between [ and ]. Wanted: ids, with a * behind the trained ones. */
static void expect(const dither_tokenizer *tokenizer, const char *marked, const bool *left_out, const char *wanted)
{
    char text[256], got[1024] = "";
    dither_chat_span spans[8];
    dither_chat_text chat = {.text = text, .spans = spans};
    for (const char *c = marked; *c; c++) {
        if (*c == '[')
            spans[chat.count].begin = chat.length;
        else if (*c == ']')
            spans[chat.count++].end = chat.length;
        else
            text[chat.length++] = *c;
    }
    dither_bytes tokens = {.size = 0};
    assert_int_equal(dither_chat_tokens(tokenizer, &chat, left_out, &tokens, NULL), DITHER_OK);
    const uint32_t *ids = (const uint32_t *)(const void *)tokens.bytes;
    for (size_t i = 0; i < tokens.size / sizeof *ids; i++) {
        const size_t used = strlen(got);
        snprintf(got + used, sizeof got - used, "%s%u%s", i ? " " : "", ids[i] & DITHER_RECORD_ID,
                 ids[i] & DITHER_RECORD_TRAINED ? "*" : "");
    }
    free(tokens.bytes);
    assert_string_equal(got, wanted);
}

static void tokens_that_begin_in_a_span_are_trained_on(void **state)
{
    (void)state;
    dither_tokenizer *t = make("plain.json", "null");
    expect(t, "<turn>ab\n[ab<end>]\n", NULL, "259 257 10 257* 258* 10");
    expect(t, "[ab]ab[ab<end>]", NULL, "257* 257 257* 258*");
    expect(t, "x[y]z", NULL, "120 121* 122");
    expect(t, "ab", NULL, "257");
    expect(t, "", NULL, "");
    /* A token that begins before a span and reaches into it is not; one that begins inside and reaches out is. */
    expect(t, "x\n[\ny]", NULL, "120 256 121*");
    expect(t, "x[\n]\ny", NULL, "120 256* 121");
    expect(t, "x\n[\n]\ny", NULL, "120 256 10 121"); /* the only byte of the span is the end of an earlier token */
    const bool second[] = {false, true, false};
    expect(t, "[a]x[b]y[c]", second, "97* 120 98 121 99*");
    dither_tokenizer_close(t);
}

/* Where tokens do not stand for the text's own bytes, what comes before a border is counted by encoding it. */
static void normalized_texts_keep_their_spans(void **state)
{
    (void)state;
    dither_tokenizer *t = make("lower.json", "{\"type\":\"Lowercase\"}");
    expect(t, "<turn>AB\n[Ab<end>]\n", NULL, "259 257 10 257* 258* 10");
    expect(t, "X\n[\nY]Z", NULL, "120 256 121* 122");
    expect(t, "X[\n]\nY", NULL, "120 256* 121");
    const bool first[] = {true, false};
    expect(t, "[A]X[B]Y", first, "97 120 98* 121");
    dither_tokenizer_close(t);
}

/* A vocabulary that writes a space in front of every text: it stands in no text. */
static void a_space_in_front_does_not_count(void **state)
{
    (void)state;
    dither_tokenizer *t = make("front.json", "{\"type\":\"Prepend\",\"prepend\":\" \"}");
    expect(t, "ab[x<end>]", NULL, "32 257 120* 258*");
    dither_tokenizer_close(t);
}

/* More tokens than bytes, and more bytes than there can be. */
static void sizes_are_checked(void **state)
{
    (void)state;
    dither_tokenizer *t = make("longer.json", "{\"type\":\"Replace\",\"pattern\":{\"String\":\"x\"},\"content\":"
                               "\"yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\"}");
    char wanted[512] = "97";
    for (int i = 0; i < 40; i++)
        strcat(wanted, " 121*");
    expect(t, "a[x]", NULL, wanted);
    static const size_t lengths[] = {SIZE_MAX, SIZE_MAX - 1, SIZE_MAX - 16, SIZE_MAX / 4};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        char nothing[1] = "";
        const dither_chat_text chat = {.text = nothing, .length = lengths[i]};
        dither_bytes tokens = {.size = 0};
        dither_error error;
        assert_int_equal(dither_chat_tokens(t, &chat, NULL, &tokens, &error), DITHER_E_MEMORY);
        assert_int_equal(tokens.size, 0);
        free(tokens.bytes);
    }
    dither_tokenizer_close(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens_that_begin_in_a_span_are_trained_on),
        cmocka_unit_test(normalized_texts_keep_their_spans),
        cmocka_unit_test(a_space_in_front_does_not_count),
        cmocka_unit_test(sizes_are_checked),
    };
    return cmocka_run_group_tests(tests, temporary_setup, temporary_teardown);
}
