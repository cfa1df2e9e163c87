/*
 * The tokenizer of a model between its two kinds of files: tokenizer.json and tokenizer_config.json of a Hugging Face
 * folder, and tokenizer.* among the metadata of a GGUF file. Byte-level BPE and SentencePiece BPE. This knows files
 * alone; src/data encodes with them.
 */
#ifndef DITHER_FILE_VOCABULARY_FILES_H
#define DITHER_FILE_VOCABULARY_FILES_H

#include "file/gguf.h"

/**
 * Write FOLDER/tokenizer.json, tokenizer_config.json (with the chat template) and generation_config.json from the
 * metadata of a GGUF file, so that transformers opens the folder and encodes as llama.cpp does.
 * @param ctx  longest sequence
 * @return DITHER_OK | DITHER_E_FORMAT (a tokenizer of a kind that is not known, or metadata that contradict themselves)
 *       | DITHER_E_IO | DITHER_E_MEMORY
 */
DITHER_MUST_USE dither_status dither_vocabulary_from_gguf(const dither_gguf *file, size_t ctx, const char *folder,
                                                          dither_error *error);

/**
 * Give a writer tokenizer.* from FOLDER/tokenizer.json, tokenizer_config.json and what else a folder may have for it.
 * @param rows  of the embedding: ids that the tokenizer has no token for become unused ones
 * @return DITHER_OK | DITHER_E_FORMAT (one that llama.cpp could not encode alike: error says what) | DITHER_E_IO |
 *         DITHER_E_MEMORY
 */
DITHER_MUST_USE dither_status dither_vocabulary_to_gguf(const char *folder, size_t rows, dither_gguf_writer *writer,
                                                        dither_error *error);

/* What a folder keeps of the metadata of the GGUF file that it was made of: the license and the like. */
#define DITHER_METADATA_FILE "metadata.gguf"

/** Copy what a folder has of a tokenizer, of how to generate and of metadata to another folder, byte for byte. */
DITHER_MUST_USE dither_status dither_vocabulary_copy(const char *from, const char *to, dither_error *error);

/** The names of those files, NULL at the end. */
extern const char *const dither_vocabulary_files[];

#endif
