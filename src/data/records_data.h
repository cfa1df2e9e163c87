/* What records are inside: for packing, sampling and evaluating. */
#ifndef DITHER_DATA_RECORDS_DATA_H
#define DITHER_DATA_RECORDS_DATA_H

#include "data/bytes.h"
#include "dither/records.h"

typedef struct dither_record_file {
    char *path;
    size_t first, count; /* its records */
    double weight;       /* how often an epoch sees each */
} dither_record_file;

struct dither_records {
    const dither_tokenizer *tokenizer;
    const dither_chat_format *format;
    dither_chat_marks marks;
    dither_record_file *files; /* [file_count] */
    size_t file_count;
    size_t count;
    uint64_t all_trained;
    size_t answered, unanswered; /* records with something to learn but the ends of turns; with empty answers alone */
    dither_bytes tokens; /* of uint32_t */
    dither_bytes starts; /* of uint64_t, [count + 1]: where in tokens a record begins */
    dither_bytes lines;  /* of uint32_t, [count] */
};

/** How many of a file's records, of which `count` take part, an epoch sees, repeated ones too; at least one of any. */
size_t dither_record_file_entries(const dither_record_file *file, size_t count);

#endif
