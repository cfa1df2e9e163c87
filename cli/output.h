/* What every subcommand prints alike: errors, JSON values, sizes. */
#ifndef DITHER_CLI_OUTPUT_H
#define DITHER_CLI_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "arguments.h"
#include "dither/status.h"

/* Exit codes of the program; a signal adds its number to EXIT_SIGNAL. */
enum { EXIT_USAGE = 2, EXIT_SIGNAL = 128 };

/** Print "dither: WHERE: TEXT" on stderr. @return the exit code that belongs to the error */
int dither_output_error(const dither_error *error);

/** The same for an error found here. @param where  may be NULL */
int dither_output_fail(dither_status status, const char *where, const char *format, ...) DITHER_PRINTF(3, 4);

/**
 * Whether a path may be that of a model: a folder with config.json, a GGUF file, or nothing, which the library says
 * best. If not, the mistake has been printed.
 */
bool dither_output_is_model(const char *path);

/** A JSON string with its quotes; bytes that are not UTF-8 become U+FFFD. */
void dither_output_json_text(FILE *file, const char *text, size_t length);

/** The shortest decimal that reads back as the same double; null where it is not finite. */
void dither_output_json_number(FILE *file, double value);

/** Bytes as people read them, "1.2 GB" (1000-based), into text[16]. */
void dither_output_bytes(uint64_t bytes, char *text);

/** A whole number with a comma at every thousand, into text[32]. */
void dither_output_count(uint64_t value, char *text);

/** What makes a word a plural after this number: "s", or "" after 1. */
const char *dither_output_s(uint64_t count);

/** A path or text as one word of a shell's command line. */
void dither_output_shell_word(FILE *file, const char *word);

/**
 * Whether what is said about records has records to be about: options of `names`, which every command that calls this
 * must have, with data that are texts would be of no effect. If they are texts, the mistake has been printed.
 * @param names  without dashes, NULL at the end
 */
bool dither_output_has_records(const dither_command *command, const dither_parsed *parsed, const char *const *names,
                               const char *data);
/** What records and chat formats are, for the help of commands that read them. */
void dither_output_records_notes(void);

/** Seconds on a clock that never goes back. */
double dither_output_clock(void);

/** Length of the UTF-8 character that starts `text`; 0: cut short by the end; -1: the first byte starts none. */
int dither_output_utf8(const unsigned char *text, size_t length);

#endif
