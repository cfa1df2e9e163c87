/* "NAME":VALUE on standard output; commas are the caller's. */
#ifndef DITHER_CLI_JSON_MEMBER_H
#define DITHER_CLI_JSON_MEMBER_H

#include <stdint.h>

#include "dither/interval.h"

/** null where it is not finite. */
void dither_json_member_number(const char *name, double value);

void dither_json_member_count(const char *name, uint64_t value);

/** null where there is none. */
void dither_json_member_text(const char *name, const char *value);

/** An object of value, low and high. */
void dither_json_member_interval(const char *name, dither_interval interval);

#endif
