/* A locale whose decimal point is a comma, as most of the world writes numbers. */
#ifndef DITHER_TESTS_COMMA_LOCALE_H
#define DITHER_TESTS_COMMA_LOCALE_H

#include <locale.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "temporary.h"

static inline bool comma_locale_try(const char *name)
{
    if (setlocale(LC_ALL, name) != NULL && strcmp(localeconv()->decimal_point, ",") == 0)
        return true;
    (void)setlocale(LC_ALL, "C");
    return false;
}

static inline bool comma_locale_installed(void)
{
    FILE *names = popen("locale -a 2>/dev/null", "r");
    char name[128];
    bool found = false;
    while (names != NULL && !found && fgets(name, sizeof name, names) != NULL) {
        name[strcspn(name, "\n")] = '\0';
        found = comma_locale_try(name);
    }
    if (names != NULL)
        (void)pclose(names);
    return found;
}

/* Most small systems install none, but can make one. */
static inline bool comma_locale_made(void)
{
    char folder[256], command[512];
    temporary_create(folder);
    snprintf(command, sizeof command, "localedef -i de_DE -f UTF-8 '%s/de_DE.UTF-8' >/dev/null 2>&1", folder);
    const bool found = system(command) == 0 && setenv("LOCPATH", folder, 1) == 0 && comma_locale_try("de_DE.UTF-8");
    temporary_remove(folder);
    return found;
}

/* False, and said why, where there is none. setlocale(LC_ALL, "C") ends it. */
static inline bool comma_locale_set(void)
{
    if (comma_locale_installed() || comma_locale_made())
        return true;
    printf("skipped: no locale with a decimal comma is installed, and localedef makes none here\n");
    return false;
}

#endif
