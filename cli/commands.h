/* The subcommands, one file each. */
#ifndef DITHER_CLI_COMMANDS_H
#define DITHER_CLI_COMMANDS_H

#include "arguments.h"

extern const dither_command dither_command_train;
extern const dither_command dither_command_generate;
extern const dither_command dither_command_eval;
extern const dither_command dither_command_data;
extern const dither_command dither_command_convert;
extern const dither_command dither_command_inspect;
extern const dither_command dither_command_tokenize;
extern const dither_command dither_command_formats;
extern const dither_command dither_command_cpu;
extern const dither_command dither_command_tokenizer;
extern const dither_command dither_command_bench;
extern const dither_command dither_command_noise;
extern const dither_command dither_command_plan;
extern const dither_command dither_command_study;

#endif
