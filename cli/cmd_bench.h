/* The parts of `dither bench`, each a command with options of its own. */
#ifndef DITHER_CLI_CMD_BENCH_H
#define DITHER_CLI_CMD_BENCH_H

#include "arguments.h"
#include "dither/bench.h"

extern const dither_command dither_command_bench_peak;
extern const dither_command dither_command_bench_gemm;
extern const dither_command dither_command_bench_quantize;
extern const dither_command dither_command_bench_step;

/** The first of these options, NULL at the end, that was not given: said on stderr. @return whether all were */
bool dither_bench_has_all(const dither_command *command, const dither_parsed *parsed, const char *const *names);

/** Print ,"KEY":VALUE on stdout. */
void dither_bench_json(const char *key, double value);
void dither_bench_json_text(const char *key, const char *value);

/** The processor's name, as the first field of an object: {"cpu":"NAME" */
void dither_bench_json_begin(void);

/** Where the time went, as a table for people and as ,"ops":[...]. */
void dither_speed_print(const dither_speed *speed);
void dither_speed_json(const dither_speed *speed);

#endif
