/* What a file seems to be by its first bytes, for errors about one that is not what was expected. */
#ifndef DITHER_FILE_KIND_H
#define DITHER_FILE_KIND_H

#include <stdbool.h>

/**
 * "a PDF document", "a zip archive", "JSON", "a folder", ...: what follows "it seems to be". Never NULL. What fits
 * nothing is "UTF-8 text" or "binary data", what cannot be read "a file that cannot be read".
 */
const char *dither_file_kind(const char *path);

/** The same; NULL where that says little: text of any sort, JSON, or bytes of no kind that is known. */
const char *dither_file_known_kind(const char *path);

/** Whether it seems to be JSON, after a byte order mark and spaces. */
bool dither_file_is_json(const char *path);

/** Whether it begins as a safetensors file does: the length of a header, then the header's brace. */
bool dither_file_is_safetensors(const char *path);

/** Whether a name ends so, in letters of either case: ".gguf", ".GGUF". */
bool dither_name_ends(const char *name, const char *ending);

#endif
