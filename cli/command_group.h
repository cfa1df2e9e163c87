/* A command of parts, each a command with options of its own: `dither bench WHAT`, `dither study NAME`. */
#ifndef DITHER_CLI_COMMAND_GROUP_H
#define DITHER_CLI_COMMAND_GROUP_H

#include "arguments.h"

typedef struct dither_command_group {
    const dither_command *command;
    const dither_command *const *parts; /* [count], each called as the group and a word of its own */
    size_t count;
    const char *usage;   /* what stands behind the command's name, as "WHAT [OPTION]..." */
    const char *notes;   /* on all parts, whole lines; NULL: none */
    const char *unknown; /* that there is no part by a name, as "no study by that name" */
    const char *ask;     /* for one, as "say which study: mnist or scaling" */
} dither_command_group;

/** Run the part that the first word names, or help. @return the exit code */
int dither_command_group_run(const dither_command_group *group, int count, char **words);

#endif
