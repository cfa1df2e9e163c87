/*
 * How a byte-level tokenizer cuts a text before it merges: the names that GGUF files have for it (tokenizer.ggml.pre)
 * and the pre_tokenizer of tokenizer.json that does the same.
 */
#ifndef DITHER_FILE_VOCABULARY_SPLIT_H
#define DITHER_FILE_VOCABULARY_SPLIT_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

#include "file/json_write.h"

typedef struct dither_vocabulary_split dither_vocabulary_split;
enum { DITHER_SPLIT_STEPS = 6 };

/** The pattern of GPT-2, which Hugging Face's ByteLevel applies too. */
extern const char dither_pattern_gpt2[];

/** A digit as Hugging Face's Digits knows it: by Unicode 17, where its patterns know Unicode 16. */
extern const char dither_pattern_digit[];

/** By what a GGUF file calls it, an alias too; NULL: none of the table. */
const dither_vocabulary_split *dither_vocabulary_split_named(const char *name, size_t length);

/**
 * By the pre_tokenizer of tokenizer.json.
 * @param ignore_merges  of its model: whether a piece that is a token is taken whole
 * @param composes       whether its normalizer is NFC; where the table has the split one way alone, that
 * @return NULL: one that llama.cpp has no name for
 */
const dither_vocabulary_split *dither_vocabulary_split_of(const cJSON *pre_tokenizer, bool ignore_merges,
                                                          bool composes);

/** The name that llama.cpp knows it by. */
const char *dither_vocabulary_split_name(const dither_vocabulary_split *split);
bool dither_vocabulary_split_ignores_merges(const dither_vocabulary_split *split);
/** Whether the text is composed (NFC) before. */
bool dither_vocabulary_split_composes(const dither_vocabulary_split *split);
/** All names, for an error. */
void dither_vocabulary_split_names(char *text, size_t size);

/**
 * As regular expressions, applied one after another, whose matches and what lies between are pieces.
 * @return how many; they are not to be freed
 */
size_t dither_vocabulary_split_patterns(const dither_vocabulary_split *split,
                                        const char *patterns[static DITHER_SPLIT_STEPS]);

/** The value of "pre_tokenizer". */
void dither_vocabulary_split_write(const dither_vocabulary_split *split, dither_json_writer *writer);

#endif
