#include "output.h"

#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "dither/chat.h"
#include "dither/model.h"
#include "dither/records.h"

int dither_output_error(const dither_error *error)
{
    fflush(stdout); /* so that what came before stands before */
    const char *text = error->text[0] ? error->text : dither_status_text(error->status);
    if (error->where[0])
        fprintf(stderr, "dither: %s: %s\n", error->where, text);
    else
        fprintf(stderr, "dither: %s\n", text);
    return error->status == DITHER_E_USAGE ? EXIT_USAGE : EXIT_FAILURE;
}

int dither_output_fail(dither_status status, const char *where, const char *format, ...)
{
    dither_error error = {.status = status};
    if (where)
        (void)snprintf(error.where, sizeof error.where, "%s", where);
    va_list list;
    va_start(list, format);
    (void)vsnprintf(error.text, sizeof error.text, format, list);
    va_end(list);
    return dither_output_error(&error);
}

bool dither_output_is_model(const char *path)
{
    dither_error error;
    const dither_status status = dither_model_check_path(path, &error);
    if (status == DITHER_E_FORMAT)
        (void)dither_output_error(&error);
    return status != DITHER_E_FORMAT;
}

/* Second byte of a character: its range is narrower after some first bytes, so that no code has two spellings. */
static int second_byte_fits(unsigned char first, unsigned char second)
{
    switch (first) {
    case 0xE0: return second >= 0xA0 && second <= 0xBF;
    case 0xED: return second >= 0x80 && second <= 0x9F; /* surrogates */
    case 0xF0: return second >= 0x90 && second <= 0xBF;
    case 0xF4: return second >= 0x80 && second <= 0x8F;
    default: return second >= 0x80 && second <= 0xBF;
    }
}

int dither_output_utf8(const unsigned char *text, size_t length)
{
    if (!length)
        return 0;
    const unsigned char first = text[0];
    if (first < 0x80)
        return 1;
    if (first < 0xC2 || first > 0xF4)
        return -1;
    const int whole = first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
    for (int i = 1; i < whole; i++) {
        if ((size_t)i == length)
            return 0;
        if (i == 1 ? !second_byte_fits(first, text[1]) : (text[i] & 0xC0) != 0x80)
            return -1;
    }
    return whole;
}

static void json_byte(FILE *file, unsigned char c)
{
    static const char plain[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt";
    const char *found = c ? strchr(plain, c) : NULL;
    if (found)
        fprintf(file, "\\%c", letters[found - plain]);
    else if (c < 0x20 || c == 0x7F)
        fprintf(file, "\\u%04x", c);
    else
        fputc(c, file);
}

void dither_output_json_text(FILE *file, const char *text, size_t length)
{
    fputc('"', file);
    for (size_t i = 0; i < length;) {
        const int whole = dither_output_utf8((const unsigned char *)text + i, length - i);
        if (whole <= 0) {
            fputs("\\ufffd", file);
            i++;
        } else if (whole == 1) {
            json_byte(file, (unsigned char)text[i++]);
        } else {
            fwrite(text + i, 1, (size_t)whole, file);
            i += (size_t)whole;
        }
    }
    fputc('"', file);
}

void dither_output_json_number(FILE *file, double value)
{
    if (!isfinite(value)) {
        fputs("null", file);
        return;
    }
    char text[32];
    for (int digits = 6; digits <= 17; digits++) {
        (void)snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    fputs(text, file);
}

void dither_output_bytes(uint64_t bytes, char *text)
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
    double value = (double)bytes;
    size_t unit = 0;
    while (value >= 999.5 && unit + 1 < sizeof units / sizeof units[0]) {
        value /= 1000;
        unit++;
    }
    (void)snprintf(text, 16, "%.*f %s", unit && value < 9.95 ? 1 : 0, value, units[unit]);
}

void dither_output_count(uint64_t value, char *text)
{
    char digits[24];
    const int length = snprintf(digits, sizeof digits, "%llu", (unsigned long long)value);
    size_t at = 0;
    for (int i = 0; i < length; i++) {
        if (i && (length - i) % 3 == 0)
            text[at++] = ',';
        text[at++] = digits[i];
    }
    text[at] = 0;
}

const char *dither_output_s(uint64_t count)
{
    return count == 1 ? "" : "s";
}

void dither_output_shell_word(FILE *file, const char *word)
{
    size_t plain = 0;
    while (isalnum((unsigned char)word[plain]) || (word[plain] && strchr("_./+-=:,@%", word[plain])))
        plain++;
    if (plain && !word[plain]) {
        fputs(word, file);
        return;
    }
    fputc('\'', file);
    for (const char *c = word; *c; c++)
        fputs(*c == '\'' ? "'\\''" : (const char[]){*c, 0}, file);
    fputc('\'', file);
}

bool dither_output_has_records(const dither_command *command, const dither_parsed *parsed, const char *const *names,
                               const char *data)
{
    if (dither_records_path(data))
        return true;
    for (; *names; names++) {
        char where[32];
        if (!dither_arguments_given(command, parsed, *names))
            continue;
        (void)snprintf(where, sizeof where, "--%s", *names);
        (void)dither_output_fail(DITHER_E_USAGE, where,
                                 "it is about records (.jsonl, .ndjson, .json); %s is a text", data);
        return false;
    }
    return true;
}

void dither_output_records_notes(void)
{
    enum { WIDTH = 96 };
    printf("Records:\n"
           "  One JSON object a line, or one array of them, with messages (OpenAI); conversations (ShareGPT);\n"
           "  instruction, input, output (Alpaca); prompt, completion; question, answer; or text, which is no chat.\n"
           "  Chat formats:");
    size_t column = strlen("  Chat formats:");
    for (size_t i = 0; dither_chat_format_at(i); i++) {
        const char *name = dither_chat_format_name(dither_chat_format_at(i));
        const bool wraps = column + 1 + strlen(name) > WIDTH;
        printf("%s%s", wraps ? "\n    " : " ", name);
        column = (wraps ? strlen("   ") : column) + 1 + strlen(name);
    }
    printf("\n  `dither data FILE --model M` shows what becomes of them.\n");
}

double dither_output_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}
