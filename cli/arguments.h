/*
 * The command line as tables: one row an option gives its spelling, type, place and help, and the parser, `--help` and
 * the suggestions for misspelt names all read the same row.
 */
#ifndef DITHER_CLI_ARGUMENTS_H
#define DITHER_CLI_ARGUMENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum dither_argument_type {
    ARGUMENT_FLAG, /* bool */
    ARGUMENT_U64,  /* uint64_t */
    ARGUMENT_F64,  /* double, finite */
    ARGUMENT_SIZE, /* uint64_t of bytes: 4096, 512M, 1.5G */
    ARGUMENT_TEXT, /* const char * */
    ARGUMENT_WORD, /* int, one of the words that `word` lists */
    ARGUMENT_LIST  /* dither_argument_list: every following argument that is no option, and again where repeated */
} dither_argument_type;

typedef struct dither_argument_list {
    const char **items; /* free() it */
    size_t count;
} dither_argument_list;

typedef struct dither_argument {
    const char *group; /* the heading that starts here; NULL: the one before goes on */
    const char *name;  /* without its dashes */
    const char *value; /* what stands for the value in the help; NULL for a flag */
    dither_argument_type type;
    size_t offset;     /* of the target in the command's options */
    const char *help;
    const char *absent;       /* what holds where it is not given; NULL: the default in the options */
    const char *(*word)(int); /* the words of ARGUMENT_WORD, NULL past the end */
    double min, max;          /* of a number, both included; both 0: the library knows the range and says it */
    bool above;               /* min itself is not included */
} dither_argument;

typedef struct dither_command {
    const char *name;
    const char *summary;
    const char *usage;               /* what follows `dither NAME`, lines after the first indented by the printer */
    const dither_argument *arguments;
    size_t count;
    size_t size;                     /* bytes of the options */
    void (*defaults)(void *options); /* fill them */
    const char *positional;          /* name of the one argument without dashes; NULL: none */
    bool numbers;                    /* which numbers may follow */
    bool several;                    /* of which there may be more */
    void (*notes)(void);             /* prints what the option table cannot say; may be NULL */
    const char *const *examples;     /* pairs of command and comment, NULL at the end */
    int (*run)(int count, char **arguments);
} dither_command;

enum { ARGUMENTS_MAX = 64 };

typedef struct dither_parsed {
    bool given[ARGUMENTS_MAX]; /* by row of the table */
    const char *positional;    /* NULL: not given */
    char **more;               /* [more_count] behind it; kept at the front of the arguments */
    size_t more_count;
} dither_parsed;

/* What a command does after parsing. */
typedef enum dither_parse_result { PARSE_OK, PARSE_HELP, PARSE_ERROR } dither_parse_result;

/**
 * Read the arguments after the subcommand's name into `options`; what is not given is left alone.
 * On PARSE_HELP the help has been printed on stdout, on PARSE_ERROR the mistake on stderr.
 * @param count      how many arguments there are
 * @param arguments  [count]; texts in options point into them; put in another order where the command takes numbers
 */
dither_parse_result dither_arguments_parse(const dither_command *command, int count, char **arguments, void *options,
                                           dither_parsed *parsed);

/** A finite decimal number, whole. */
bool dither_arguments_number(const char *text, double *value);

/** Whether the option of this name was given. */
bool dither_arguments_given(const dither_command *command, const dither_parsed *parsed, const char *name);

/** The name nearest to `text`, or NULL where none is near. `next` gives the names in turn, NULL past the end. */
const char *dither_arguments_nearest(const char *text, const char *(*next)(const void *context, size_t index),
                                     const void *context);

/** The whole help of a command, on stdout. */
void dither_arguments_help(const dither_command *command);

#endif
