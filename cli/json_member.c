#include "json_member.h"

#include <stdio.h>
#include <string.h>

#include "output.h"

void dither_json_member_number(const char *name, double value)
{
    printf("\"%s\":", name);
    dither_output_json_number(stdout, value);
}

void dither_json_member_count(const char *name, uint64_t value)
{
    printf("\"%s\":%llu", name, (unsigned long long)value);
}

void dither_json_member_text(const char *name, const char *value)
{
    printf("\"%s\":", name);
    if (value)
        dither_output_json_text(stdout, value, strlen(value));
    else
        printf("null");
}

void dither_json_member_interval(const char *name, dither_interval interval)
{
    printf("\"%s\":{", name);
    dither_json_member_number("value", interval.value);
    putchar(',');
    dither_json_member_number("low", interval.low);
    putchar(',');
    dither_json_member_number("high", interval.high);
    putchar('}');
}
