/**
 * dither: training language models with few bits, on the machine people already have.
 *
 * Numbers are rounded to short formats with stochastic rounding, whose mean is the number itself: what one sample
 * loses, the average of many gives back. This page is the tour; each header below says the rest about one thing.
 *
 *     status.h     what can go wrong, and how a caller is told
 *     format.h     number formats, roundings, scales, quantizers, schemes, and the texts that name them
 *     tensor.h     quantized matrices, and where their randomness comes from
 *     cpu.h        what this processor can do
 *     tokenizer.h  text to token ids and back
 *     chat.h       chats as text, by the format that a model was trained with
 *     tokenizer_train.h  a tokenizer made from texts
 *     convert.h    a model in another kind of file: folders and GGUF files
 *     data.h       a corpus of text files
 *     records.h    chats and other records to fine-tune on
 *     model.h      transformers: shapes, model folders, what is in them
 *     generate.h   writing text with a model: a context, sampling, stop texts
 *     train.h      a training run, from options to a model folder
 *     speed.h      peaks of the machine, and where the time of a run went
 *     bench.h      measuring products, quantizers and training steps
 *     advice.h     which scheme and batch for a model, its data and this machine
 *     interval.h   a measured figure and how well it is known
 *     study.h      the paper's claims as experiments
 *
 * Rounding a matrix to 4 bits, one scale a row, and back:
 *
 *     dither_quantizer quantizer;
 *     dither_codes codes;
 *     dither_error error;
 *     if (dither_quantizer_parse("int4/row:sr", &quantizer, &error) != DITHER_OK)
 *         return fprintf(stderr, "%s\n", error.text), 1;
 *     void *memory = aligned_alloc(64, dither_codes_bytes(&quantizer, DITHER_AXIS_COLS, rows, cols));
 *     if (memory == NULL || dither_codes_init(&codes, &quantizer, DITHER_AXIS_COLS, rows, cols, memory) != DITHER_OK)
 *         return 1;
 *     dither_draw draw = {.seed = 1};
 *     if (dither_quantize(&codes, x, NULL, NULL, &draw, NULL, 1) != DITHER_OK)
 *         return 1;
 *     dither_dequantize(&codes, y, 1);
 *
 * Training a small model on a text:
 *
 *     const char *data[] = {"book.txt"};
 *     dither_train_options options;
 *     dither_train_options_init(&options);
 *     options.new_model = "layers=4,heads=4,dim=128,ctx=64";
 *     options.data = data;
 *     options.data_count = 1;
 *     options.out = "model";
 *     options.scheme = "paper-int8";
 *     if (dither_train(&options, NULL, NULL, NULL, &error) != DITHER_OK)
 *         return fprintf(stderr, "%s: %s\n", error.where, error.text), 1;
 *
 * The library never prints, never exits and never reads standard input. The caller owns the memory of matrices. Results
 * do not depend on the number of threads. One thing is set for the whole process: an OpenBLAS that was built on POSIX
 * threads runs with one thread from the first product on.
 */
#ifndef DITHER_DITHER_H
#define DITHER_DITHER_H

#include "dither/advice.h"
#include "dither/bench.h"
#include "dither/chat.h"
#include "dither/convert.h"
#include "dither/cpu.h"
#include "dither/data.h"
#include "dither/format.h"
#include "dither/generate.h"
#include "dither/interval.h"
#include "dither/model.h"
#include "dither/noise.h"
#include "dither/records.h"
#include "dither/speed.h"
#include "dither/status.h"
#include "dither/study.h"
#include "dither/tensor.h"
#include "dither/tokenizer.h"
#include "dither/tokenizer_train.h"
#include "dither/train.h"

#endif
