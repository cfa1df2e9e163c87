#include "command_group.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "output.h"

/* Of the index-th part, behind the group's; then that of help. NULL past the end. */
static const char *part_name(const void *context, size_t index)
{
    const dither_command_group *group = context;
    if (index < group->count)
        return group->parts[index]->name + strlen(group->command->name) + 1;
    return index == group->count ? "--help" : NULL;
}

static void help(const dither_command_group *group)
{
    const char *const name = group->command->name;
    printf("dither %s - %s\n\nUsage: dither %s %s\n\n", name, group->command->summary, name, group->usage);
    for (size_t i = 0; i < group->count; i++)
        printf("  %-10s  %s\n", part_name(group, i), group->parts[i]->summary);
    printf("\n%s`dither %s %.*s --help` lists the options of each.\n\nExamples:\n", group->notes ? group->notes : "",
           name, (int)strcspn(group->usage, " "), group->usage);
    for (size_t i = 0; i < group->count; i++)
        printf("  # %s\n  %s\n", group->parts[i]->examples[1], group->parts[i]->examples[0]);
    printf("\nMore: man dither\n");
}

int dither_command_group_run(const dither_command_group *group, int count, char **words)
{
    const char *const name = group->command->name, *what = count ? words[0] : NULL;
    if (what && (!strcmp(what, "--help") || !strcmp(what, "-h"))) {
        help(group);
        return EXIT_SUCCESS;
    }
    for (size_t i = 0; i < group->count && what; i++)
        if (!strcmp(part_name(group, i), what))
            return group->parts[i]->run(count - 1, words + 1);
    const char *near = what ? dither_arguments_nearest(what, part_name, group) : NULL;
    if (near)
        (void)dither_output_fail(DITHER_E_USAGE, what, "%s; did you mean '%s'?", group->unknown, near);
    else
        (void)dither_output_fail(DITHER_E_USAGE, what ? what : name, "%s", group->ask);
    fprintf(stderr, "Try 'dither %s --help'.\n", name);
    return EXIT_USAGE;
}
