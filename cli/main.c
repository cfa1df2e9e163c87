/* dither: a table of subcommands. */
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "dither/cpu.h"
#include "output.h"

static const dither_command *const commands[] = {
    &dither_command_train,   &dither_command_generate, &dither_command_eval,     &dither_command_data,
    &dither_command_convert, &dither_command_inspect,  &dither_command_tokenize, &dither_command_tokenizer,
    &dither_command_formats, &dither_command_cpu,      &dither_command_bench,    &dither_command_selftest,
    &dither_command_noise,   &dither_command_plan,     &dither_command_study,
};

enum { COMMANDS = sizeof commands / sizeof commands[0] };

/* What people call what these commands do. */
static const struct {
    const char *said, *meant;
} synonyms[] = {
    {"chat", "dither generate --model PATH --chat"},
    {"run", "dither generate"},
    {"complete", "dither generate"},
    {"sample", "dither generate"},
    {"finetune", "dither train --model PATH"},
    {"fine-tune", "dither train --model PATH"},
    {"resume", "dither train --resume --out DIR"},
    {"evaluate", "dither eval"},
    {"perplexity", "dither eval"},
    {"export", "dither convert"},
    {"quantize", "dither convert SRC DST --to q8_0"},
    {"info", "dither inspect"},
    {"show", "dither inspect"},
    {"encode", "dither tokenize"},
    {"decode", "dither tokenize --decode"},
    {"benchmark", "dither bench"},
};

static const char *word(const void *context, size_t index)
{
    (void)context;
    static const char *const options[] = {"--help", "--version", "help"};
    if (index < COMMANDS)
        return commands[index]->name;
    return index - COMMANDS < sizeof options / sizeof options[0] ? options[index - COMMANDS] : NULL;
}

static void help(void)
{
    printf(
        "dither - train language models with few bits and stochastic rounding\n\nUsage: dither COMMAND [OPTION]...\n\n"
        "Commands:\n");
    for (size_t i = 0; i < COMMANDS; i++)
        printf("  %-10s  %s\n", commands[i]->name, commands[i]->summary);
    printf("  %-10s  %s\n", "help", "what a command does, its options, examples: dither help COMMAND");
    printf("\nOptions:\n  --help      print this and exit\n  --version   print the version and exit\n\n"
           "Examples:\n"
           "  dither train --new layers=4,heads=4,dim=128,ctx=64 --data book.txt --out model\n"
           "  dither generate --model model --prompt \"It was a dark night\"\n"
           "  dither help train\n\n"
           "More: man dither\n");
}

static const char *synonym(const char *text)
{
    for (size_t i = 0; i < sizeof synonyms / sizeof synonyms[0]; i++)
        if (!strcmp(text, synonyms[i].said))
            return synonyms[i].meant;
    return NULL;
}

static int usage_error(const char *text)
{
    if (!text) {
        fprintf(stderr, "dither: a command is missing:");
        for (size_t i = 0; i < COMMANDS; i++)
            fprintf(stderr, "%s%s", i == 0 ? " " : i + 1 < COMMANDS ? ", " : " or ", commands[i]->name);
        fputc('\n', stderr);
    } else {
        const char *near = dither_arguments_nearest(text, word, NULL), *const meant = synonym(text);
        const char *const what = text[0] == '-' ? "option" : "command";
        if (meant)
            (void)dither_output_fail(DITHER_E_USAGE, text, "unknown %s; did you mean '%s'?", what, meant);
        else if (near)
            (void)dither_output_fail(DITHER_E_USAGE, text, "unknown %s; did you mean '%s'?", what, near);
        else
            (void)dither_output_fail(DITHER_E_USAGE, text, "unknown %s", what);
    }
    fprintf(stderr, "Try 'dither --help'.\n");
    return EXIT_USAGE;
}

static const dither_command *command_of(const char *name)
{
    for (size_t i = 0; i < COMMANDS; i++)
        if (!strcmp(commands[i]->name, name))
            return commands[i];
    return NULL;
}

static bool is_help(const char *text)
{
    return !strcmp(text, "--help") || !strcmp(text, "-h");
}

/* dither help COMMAND [PART]: as --help behind them. */
static int help_on(int count, char **words)
{
    enum { WORDS = 8 };
    static char flag[] = "--help";
    char *arguments[WORDS + 1];
    const dither_command *command = count ? command_of(words[0]) : NULL;
    if (!count || is_help(words[0])) {
        help();
        return EXIT_SUCCESS;
    }
    if (!command)
        return usage_error(words[0]);
    int taken = 0;
    for (; taken + 1 < count && taken < WORDS; taken++)
        arguments[taken] = words[taken + 1];
    arguments[taken] = flag;
    return command->run(taken + 1, arguments);
}

/* What DITHER_CPU says is looked at once, before anything is computed by it. */
static bool check_cpu(int count, char **words)
{
    for (int i = 0; i < count; i++)
        if (is_help(words[i]))
            return true;
    dither_error error;
    if (dither_cpu_check(&error)) {
        (void)dither_output_error(&error);
        return false;
    }
    const char *const mask = getenv("DITHER_CPU"), *const level = dither_cpu_active()->level;
    if (mask && mask[0] && strcmp(mask, level) != 0)
        fprintf(stderr, "dither: note: DITHER_CPU=%s, but this machine has no %s; it computes with %s\n", mask, mask,
                level);
    return true;
}

static int run(int count, char **arguments)
{
    if (count < 2)
        return usage_error(NULL);
    const char *name = arguments[1];
    if (is_help(name)) {
        help();
        return EXIT_SUCCESS;
    }
    if (!strcmp(name, "help"))
        return help_on(count - 2, arguments + 2);
    if (!strcmp(name, "--version") || !strcmp(name, "-V") || !strcmp(name, "version")) {
        printf("dither %s\n", DITHER_VERSION);
        return EXIT_SUCCESS;
    }
    const dither_command *const command = command_of(name);
    if (!command)
        return usage_error(name);
    return check_cpu(count - 2, arguments + 2) ? command->run(count - 2, arguments + 2) : EXIT_USAGE;
}

/* A closed standard stream would give its number to the next file opened, and messages would be written into that. */
static bool streams_are_open(void)
{
    for (int stream = 0; stream <= 2; stream++)
        if (fcntl(stream, F_GETFD) < 0 && open("/dev/null", stream ? O_WRONLY : O_RDONLY) != stream)
            return false;
    return true;
}

int main(int count, char **arguments)
{
    if (!streams_are_open())
        return EXIT_FAILURE;
    (void)signal(SIGXFSZ, SIG_IGN); /* a limit on file sizes then is an error like a full disk */
    const int code = run(count, arguments);
    /* A full disk under standard output shows only here. */
    if ((fflush(stdout) || ferror(stdout)) && !code)
        return dither_output_fail(DITHER_E_IO, "standard output", "could not be written whole");
    return code;
}
