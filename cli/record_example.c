#include "record_example.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "output.h"

/* Tokens in a row that are trained on, or are not. */
typedef struct piece {
    bool trained;
    size_t tokens;
    char *text; /* [size], of the caller's */
    size_t size;
} piece;

/* Bytes of the whole record. */
static size_t text_size(const dither_tokenizer *tokenizer, const dither_record *record)
{
    size_t bytes = 1;
    const char *text;
    for (size_t i = 0; i < record->count; i++)
        bytes += dither_tokenizer_decode(tokenizer, record->tokens[i] & DITHER_RECORD_ID, &text);
    return bytes;
}

/* The piece that begins at token `first`. */
static void read_piece(const dither_tokenizer *tokenizer, const dither_record *record, size_t first, piece *p)
{
    const uint32_t trained = record->tokens[first] & DITHER_RECORD_TRAINED;
    p->trained = trained != 0;
    p->size = 0;
    size_t i = first;
    for (; i < record->count && (record->tokens[i] & DITHER_RECORD_TRAINED) == trained; i++) {
        const char *bytes = NULL;
        const size_t size = dither_tokenizer_decode(tokenizer, record->tokens[i] & DITHER_RECORD_ID, &bytes);
        if (size > 0)
            memcpy(p->text + p->size, bytes, size);
        p->size += size;
    }
    p->tokens = i - first;
}

/* One character of `whole` bytes; 0 or less: a byte that is none. @return bytes taken */
static size_t put_character(const unsigned char *c, int whole)
{
    const bool control = whole == 1 && (c[0] < 0x20 || c[0] == 0x7F) && c[0] != '\n' && c[0] != '\t';
    const bool high = whole == 2 && c[0] == 0xC2 && c[1] < 0xA0;
    if (control && c[0] == '\r')
        fputs("\\r", stdout);
    else if (control || whole <= 0)
        printf("\\x%02x", c[0]);
    else if (high)
        printf("\\x%02x\\x%02x", c[0], c[1]);
    else
        fwrite(c, 1, (size_t)whole, stdout);
    return whole > 0 ? (size_t)whole : 1;
}

static void put_text(const char *text, size_t size)
{
    for (size_t i = 0; i < size;) {
        const unsigned char *c = (const unsigned char *)text + i;
        i += put_character(c, dither_output_utf8(c, size - i));
    }
}

bool dither_record_example_print(const dither_tokenizer *tokenizer, const dither_record *record, bool colour)
{
    piece p = {.text = malloc(text_size(tokenizer, record))};
    if (!p.text)
        return false;
    printf("--- %s:%zu, %zu token%s\n", record->path, record->line, record->count, record->count == 1 ? "" : "s");
    for (size_t i = 0; i < record->count; i += p.tokens) {
        read_piece(tokenizer, record, i, &p);
        if (p.trained)
            fputs(colour ? "\033[1;32m" : "[[", stdout);
        put_text(p.text, p.size);
        if (p.trained)
            fputs(colour ? "\033[0m" : "]]", stdout);
    }
    printf("\n\n");
    free(p.text);
    return true;
}

bool dither_record_example_json(const dither_tokenizer *tokenizer, const dither_record *record)
{
    piece p = {.text = malloc(text_size(tokenizer, record))};
    if (!p.text)
        return false;
    printf("{\"file\":");
    dither_output_json_text(stdout, record->path, strlen(record->path));
    printf(",\"line\":%zu,\"tokens\":%zu,\"pieces\":[", record->line, record->count);
    for (size_t i = 0; i < record->count; i += p.tokens) {
        read_piece(tokenizer, record, i, &p);
        printf("%s{\"trained\":%s,\"tokens\":%zu,\"text\":", i ? "," : "", p.trained ? "true" : "false", p.tokens);
        dither_output_json_text(stdout, p.text, p.size);
        putchar('}');
    }
    printf("]}");
    free(p.text);
    return true;
}
