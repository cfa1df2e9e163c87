#include "arguments.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "dither/status.h"
#include "output.h"

/* ---- names ------------------------------------------------------------------------------------------------ */

enum { NAME_MAX_LENGTH = 40 };

/* Edits (insert, delete, replace, swap neighbours) that turn a into b, both at most NAME_MAX_LENGTH. */
static size_t edit_distance(const char *a, const char *b)
{
    size_t before[NAME_MAX_LENGTH + 1], last[NAME_MAX_LENGTH + 1], row[NAME_MAX_LENGTH + 1];
    const size_t m = strlen(a), n = strlen(b);
    memset(before, 0, sizeof before);
    for (size_t j = 0; j <= n; j++)
        last[j] = j;
    for (size_t i = 1; i <= m; i++) {
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t best = last[j - 1] + (a[i - 1] != b[j - 1]);
            best = last[j] + 1 < best ? last[j] + 1 : best;
            best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && before[j - 2] + 1 < best)
                best = before[j - 2] + 1;
            row[j] = best;
        }
        memcpy(before, last, sizeof last);
        memcpy(last, row, sizeof row);
    }
    return last[n];
}

const char *dither_arguments_nearest(const char *text, const char *(*next)(const void *context, size_t index),
                                     const void *context)
{
    const char *nearest = NULL;
    if (strlen(text) > NAME_MAX_LENGTH)
        return NULL;
    size_t allowed = strlen(text) / 3 > 2 ? strlen(text) / 3 : 2;
    const char *name;
    for (size_t i = 0; (name = next(context, i)) != NULL; i++) {
        assert(strlen(name) <= NAME_MAX_LENGTH);
        const size_t distance = edit_distance(text, name);
        if (distance <= allowed && distance < strlen(name)) {
            nearest = name;
            allowed = distance ? distance - 1 : 0;
        }
        if (!distance)
            break;
    }
    /* A name cut short, rather than another of as many letters. */
    enum { SHORTEST = 3, SURE = 1 };
    const bool sure = nearest && edit_distance(text, nearest) <= SURE;
    for (size_t i = 0; !sure && strlen(text) >= SHORTEST && (name = next(context, i)) != NULL; i++)
        if (!strncmp(name, text, strlen(text)))
            return name;
    return nearest;
}

static const char *option_name(const void *context, size_t index)
{
    const dither_command *command = context;
    if (index == command->count)
        return "help";
    return index < command->count ? command->arguments[index].name : NULL;
}

static const char *word_name(const void *context, size_t index)
{
    const dither_argument *argument = context;
    return argument->word((int)index);
}

/* ---- values ----------------------------------------------------------------------------------------------- */

/* One line for the mistake, one for where to read more. */
DITHER_PRINTF(3, 4) static bool mistake(const dither_command *command, const char *name, const char *format, ...);

static bool mistake(const dither_command *command, const char *name, const char *format, ...)
{
    char text[512], where[96];
    va_list list;
    va_start(list, format);
    (void)vsnprintf(text, sizeof text, format, list);
    va_end(list);
    (void)snprintf(where, sizeof where, "--%.80s", name);
    (void)dither_output_fail(DITHER_E_USAGE, where, "%s", text);
    fprintf(stderr, "Try 'dither %s --help'.\n", command->name);
    return false;
}

bool dither_arguments_number(const char *text, double *value)
{
    char *end;
    if (isspace((unsigned char)text[0]) || strpbrk(text, "xX"))
        return false;
    *value = strtod(text, &end);
    return end != text && !*end && isfinite(*value);
}

static bool read_u64(const char *text, uint64_t *value)
{
    char *end;
    errno = 0;
    if (!isdigit((unsigned char)text[0]))
        return false;
    *value = strtoull(text, &end, 10);
    return !*end && !errno;
}

/* 4096, 512M, 1.5G, 2GB, 2GiB: suffixes are 1024-based. */
static bool read_size(const char *text, uint64_t *bytes)
{
    static const char letters[] = "KMGT";
    char number[32];
    const size_t length = strspn(text, "0123456789.");
    if (!length || length >= sizeof number)
        return false;
    memcpy(number, text, length);
    number[length] = 0;
    double value, factor = 1;
    if (!dither_arguments_number(number, &value))
        return false;
    const char *rest = text + length;
    const char *letter = *rest ? strchr(letters, toupper((unsigned char)*rest)) : NULL;
    if (letter) {
        factor = ldexp(1, 10 * (int)(letter - letters + 1));
        rest++;
        if (*rest == 'i' && rest[1])
            rest++;
    }
    if (*rest == 'B')
        rest++;
    if (*rest || value * factor >= 0x1p63)
        return false;
    *bytes = (uint64_t)(value * factor);
    return true;
}

static bool in_range(const dither_command *command, const dither_argument *argument, double value, const char *text)
{
    const bool low = argument->above ? value <= argument->min : value < argument->min;
    if ((argument->min == 0 && argument->max == 0) || (!low && value <= argument->max))
        return true;
    return mistake(command, argument->name, "%s is out of range; it must be %s %.10g and at most %.10g", text,
                   argument->above ? "above" : "at least", argument->min, argument->max);
}

static bool store_word(const dither_command *command, const dither_argument *argument, const char *text, int *target)
{
    char words[256] = "";
    for (int i = 0; argument->word(i); i++) {
        if (!strcmp(argument->word(i), text)) {
            *target = i;
            return true;
        }
        const size_t used = strlen(words);
        (void)snprintf(words + used, sizeof words - used, "%s%s", i ? ", " : "", argument->word(i));
    }
    const char *near = dither_arguments_nearest(text, word_name, argument);
    if (near)
        return mistake(command, argument->name, "no such word as '%s'; did you mean '%s'? It is one of %s", text, near,
                       words);
    return mistake(command, argument->name, "no such word as '%s'; it is one of %s", text, words);
}

static bool store(const dither_command *command, const dither_argument *argument, const char *text, void *options)
{
    void *target = (unsigned char *)options + argument->offset;
    switch (argument->type) {
    case ARGUMENT_U64:
        if (!read_u64(text, target))
            return mistake(command, argument->name, "'%s' is not a whole number; for example --%s 8", text,
                           argument->name);
        return in_range(command, argument, (double)*(uint64_t *)target, text);
    case ARGUMENT_F64:
        if (!dither_arguments_number(text, target))
            return mistake(command, argument->name, "'%s' is not a finite number; write it as 0.001 or 1e-3", text);
        return in_range(command, argument, *(double *)target, text);
    case ARGUMENT_SIZE:
        if (!read_size(text, target))
            return mistake(command, argument->name, "'%s' is not a size; write it as 512M or 1.5G", text);
        return true;
    case ARGUMENT_WORD: return store_word(command, argument, text, target);
    case ARGUMENT_TEXT: *(const char **)target = text; return true;
    case ARGUMENT_FLAG: *(bool *)target = true; return true;
    case ARGUMENT_LIST: break;
    }
    assert(argument->type == ARGUMENT_LIST);
    return true;
}

static bool append(dither_argument_list *list, const char *item)
{
    const char **items = realloc(list->items, (list->count + 1) * sizeof *items);
    if (!items) {
        (void)dither_output_fail(DITHER_E_MEMORY, NULL, "no memory for the command line");
        return false;
    }
    list->items = items;
    items[list->count++] = item;
    return true;
}

/* ---- the line --------------------------------------------------------------------------------------------- */

typedef struct command_line {
    const dither_command *command;
    int count, next;
    char **arguments;
    void *options;
    dither_parsed *parsed;
} command_line;

static const dither_argument *find(const dither_command *command, const char *name, size_t length, size_t *row)
{
    for (size_t i = 0; i < command->count; i++)
        if (strlen(command->arguments[i].name) == length && !memcmp(command->arguments[i].name, name, length)) {
            *row = i;
            return &command->arguments[i];
        }
    return NULL;
}

static bool take_list(command_line *line, const dither_argument *argument, const char *first)
{
    dither_argument_list *list = (dither_argument_list *)(void *)((unsigned char *)line->options + argument->offset);
    if (first && !append(list, first))
        return false;
    while (!first && line->next < line->count && line->arguments[line->next][0] != '-')
        if (!append(list, line->arguments[line->next++]))
            return false;
    return true;
}

/* A single dash is a frequent slip for two: the name behind it is looked for all the same. */
static bool unknown(const command_line *line, const char *text)
{
    const char *near = dither_arguments_nearest(text + strspn(text, "-"), option_name, line->command);
    if (near)
        (void)dither_output_fail(DITHER_E_USAGE, text, "unknown option; did you mean --%s?", near);
    else
        (void)dither_output_fail(DITHER_E_USAGE, text, "unknown option");
    fprintf(stderr, "Try 'dither %s --help'.\n", line->command->name);
    return false;
}

static bool take_option(command_line *line, const char *text)
{
    const char *equals = strchr(text, '=');
    const size_t length = equals ? (size_t)(equals - text) : strlen(text);
    char name[96];
    (void)snprintf(name, sizeof name, "%.*s", (int)(length < 80 ? length : 80), text);
    size_t row = 0;
    const dither_argument *argument = find(line->command, text, length, &row);
    if (!argument)
        return unknown(line, line->arguments[line->next - 1]);
    if (line->parsed->given[row] && argument->type != ARGUMENT_LIST)
        return mistake(line->command, name, "given twice; say it once");
    line->parsed->given[row] = true;
    if (argument->type == ARGUMENT_FLAG)
        return equals ? mistake(line->command, name, "takes no value")
                      : store(line->command, argument, NULL, line->options);
    const bool has_next = line->next < line->count && strncmp(line->arguments[line->next], "--", 2) != 0;
    if (!equals && !has_next)
        return mistake(line->command, name, "needs a value: --%s %s", name, argument->value);
    if (argument->type == ARGUMENT_LIST)
        return take_list(line, argument, equals ? equals + 1 : NULL);
    return store(line->command, argument, equals ? equals + 1 : line->arguments[line->next++], line->options);
}

/* The option that a word without one was likely meant for, or NULL. */
static const char *option_meant(const dither_command *command, const char *text)
{
    struct stat status;
    char config[512];
    size_t row = 0;
    (void)snprintf(config, sizeof config, "%.400s/config.json", text);
    if (!stat(config, &status) && find(command, "model", 5, &row))
        return "model";
    if (!stat(text, &status) && find(command, "data", 4, &row))
        return "data";
    return find(command, "prompt", 6, &row) ? "prompt" : NULL;
}

static bool take_positional(command_line *line, char *text)
{
    const dither_command *command = line->command;
    dither_parsed *parsed = line->parsed;
    if ((command->numbers || command->several) && parsed->positional) {
        parsed->more = line->arguments;
        line->arguments[parsed->more_count++] = text; /* more_count < next: what stood there was read */
        return true;
    }
    if (!command->positional || parsed->positional) {
        const char *meant = command->positional ? NULL : option_meant(command, text);
        if (!strcmp(text, "help"))
            (void)dither_output_fail(DITHER_E_USAGE, text, "did you mean --help?");
        else if (meant)
            (void)dither_output_fail(DITHER_E_USAGE, text, "options start with --; did you mean --%s %s?", meant, text);
        else
            (void)dither_output_fail(DITHER_E_USAGE, text,
                                     command->positional ? "one %s only" : "options start with --%s",
                                     command->positional ? command->positional : "");
        fprintf(stderr, "Try 'dither %s --help'.\n", command->name);
        return false;
    }
    parsed->positional = text;
    return true;
}

dither_parse_result dither_arguments_parse(const dither_command *command, int count, char **arguments, void *options,
                                           dither_parsed *parsed)
{
    assert(command->count <= ARGUMENTS_MAX);
    *parsed = (dither_parsed){.positional = NULL};
    command_line line = {command, count, 0, arguments, options, parsed};
    bool only_positional = false;
    while (line.next < count) {
        char *text = arguments[line.next++];
        double number;
        bool good;
        if (!only_positional && (!strcmp(text, "--help") || !strcmp(text, "-h"))) {
            dither_arguments_help(command);
            return PARSE_HELP;
        }
        if (!only_positional && !strcmp(text, "--")) {
            only_positional = true;
            continue;
        }
        if (!only_positional && text[0] == '-' && text[1] == '-')
            good = take_option(&line, text + 2);
        else if (!only_positional && text[0] == '-' && text[1] &&
                 !(command->numbers && dither_arguments_number(text, &number)))
            good = unknown(&line, text);
        else
            good = take_positional(&line, text);
        if (!good)
            return PARSE_ERROR;
    }
    return PARSE_OK;
}

bool dither_arguments_given(const dither_command *command, const dither_parsed *parsed, const char *name)
{
    size_t row = 0;
    const dither_argument *argument = find(command, name, strlen(name), &row);
    assert(argument);
    return argument && parsed->given[row];
}

/* ---- help ------------------------------------------------------------------------------------------------- */

static void print_default(const dither_argument *argument, const void *options)
{
    const void *target = (const unsigned char *)options + argument->offset;
    if (argument->absent) {
        printf(" (default: %s)", argument->absent);
        return;
    }
    switch (argument->type) {
    case ARGUMENT_U64: printf(" (default: %llu)", (unsigned long long)*(const uint64_t *)target); break;
    case ARGUMENT_F64: printf(" (default: %g)", *(const double *)target); break;
    case ARGUMENT_WORD: printf(" (default: %s)", argument->word(*(const int *)target)); break;
    case ARGUMENT_TEXT:
        if (*(const char *const *)target)
            printf(" (default: %s)", *(const char *const *)target);
        break;
    case ARGUMENT_SIZE:
    case ARGUMENT_FLAG:
    case ARGUMENT_LIST: break;
    }
}

static void print_option(const dither_argument *argument, const void *options)
{
    char left[64];
    (void)snprintf(left, sizeof left, "--%s%s%s", argument->name, argument->value ? " " : "",
                   argument->value ? argument->value : "");
    if (strlen(left) > 22)
        printf("  %s\n  %-22s  ", left, "");
    else
        printf("  %-22s  ", left);
    fputs(argument->help, stdout);
    print_default(argument, options);
    putchar('\n');
}

void dither_arguments_help(const dither_command *command)
{
    union {
        max_align_t align;
        unsigned char bytes[1024];
    } options;
    assert(command->size <= sizeof options);
    command->defaults(options.bytes);
    printf("dither %s - %s\n\nUsage: dither %s %s\n", command->name, command->summary, command->name, command->usage);
    for (size_t i = 0; i < command->count; i++) {
        if (command->arguments[i].group)
            printf("\n%s:\n", command->arguments[i].group);
        print_option(&command->arguments[i], options.bytes);
    }
    printf("  %-22s  %s\n", "--help", "print this and exit");
    if (command->notes) {
        putchar('\n');
        command->notes();
    }
    printf("\nExamples:\n");
    for (const char *const *example = command->examples; *example; example += 2)
        printf("  # %s\n  %s\n", example[1], example[0]);
    printf("\nMore: man dither\n");
}
