/* dither: a table of subcommands. */
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "output.h"

static const dither_command *const commands[] = {
    &dither_command_train,   &dither_command_generate, &dither_command_eval,     &dither_command_data,
    &dither_command_convert, &dither_command_inspect,  &dither_command_tokenize, &dither_command_tokenizer,
    &dither_command_formats, &dither_command_cpu,      &dither_command_bench,
    &dither_command_noise,   &dither_command_plan,     &dither_command_study,
};

enum { COMMANDS = sizeof commands / sizeof commands[0] };

static const char *word(const void *context, size_t index)
{
    (void)context;
    static const char *const options[] = {"--help", "--version"};
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
    printf("\nOptions:\n  --help      print this and exit\n  --version   print the version and exit\n\n"
           "Examples:\n"
           "  dither train --new layers=4,heads=4,dim=128,ctx=64 --data book.txt --out model\n"
           "  dither generate --model model --prompt \"It was a dark night\"\n"
           "  dither train --help\n\n"
           "More: man dither\n");
}

static int usage_error(const char *text)
{
    if (!text) {
        fprintf(stderr, "dither: a command is missing:");
        for (size_t i = 0; i < COMMANDS; i++)
            fprintf(stderr, "%s%s", i == 0 ? " " : i + 1 < COMMANDS ? ", " : " or ", commands[i]->name);
        fputc('\n', stderr);
    } else {
        const char *near = dither_arguments_nearest(text, word, NULL);
        const char *const what = text[0] == '-' ? "option" : "command";
        if (near)
            (void)dither_output_fail(DITHER_E_USAGE, text, "unknown %s; did you mean '%s'?", what, near);
        else
            (void)dither_output_fail(DITHER_E_USAGE, text, "unknown %s", what);
    }
    fprintf(stderr, "Try 'dither --help'.\n");
    return EXIT_USAGE;
}

static int run(int count, char **arguments)
{
    if (count < 2)
        return usage_error(NULL);
    const char *name = arguments[1];
    if (!strcmp(name, "--help") || !strcmp(name, "-h")) {
        help();
        return EXIT_SUCCESS;
    }
    if (!strcmp(name, "--version")) {
        printf("dither %s\n", DITHER_VERSION);
        return EXIT_SUCCESS;
    }
    for (size_t i = 0; i < COMMANDS; i++)
        if (!strcmp(commands[i]->name, name))
            return commands[i]->run(count - 2, arguments + 2);
    return usage_error(name);
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
