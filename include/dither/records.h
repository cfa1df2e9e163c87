/**
 * Records: fine-tuning data in JSON Lines or JSON arrays, as tokens that know whether they are trained on.
 *
 * A record is one of these objects; the first that fits is taken:
 *
 *     {"messages": [{"role": "user", "content": "..."}, ...]}       OpenAI; an answer's "weight": 0 leaves it untrained
 *     {"conversations": [{"from": "human", "value": "..."}, ...]}   ShareGPT
 *     {"instruction": "...", "input": "...", "output": "..."}       Alpaca: the question is "instruction\n\ninput"
 *     {"prompt": "...", "completion": "..."}                        and {"question": "...", "answer": "..."}
 *     {"text": "..."}                                               no chat; trained on whole
 *
 * All but the last become chats in the model's chat format; a "system" beside them is the system message. Roles are
 * system; user or human; assistant, gpt, bot or model. A text is a string; a list of parts {"type": "text", "text":
 * "..."}, one behind the other; a number; true or false.
 */
#ifndef DITHER_RECORDS_H
#define DITHER_RECORDS_H

#include "dither/chat.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum dither_train_on {
    DITHER_TRAIN_ON_ASSISTANT, /* what the assistant says, and what ends its turns */
    DITHER_TRAIN_ON_ALL
} dither_train_on;

/* What happens to records that are longer than a sequence. */
typedef enum dither_long {
    DITHER_LONG_CUT,
    DITHER_LONG_SKIP
} dither_long;

/** The words of the two; NULL past the end. */
DITHER_API const char *dither_train_on_name(int train_on);
DITHER_API const char *dither_long_name(int what);

typedef struct dither_records_options {
    const char *chat_format; /* NULL: that of the tokenizer's chat template */
    const char *fields;      /* "question,answer", or "text" alone; NULL: those above */
    dither_train_on train_on;
    const char *model;       /* whose chat template it is, for errors; may be NULL */
} dither_records_options;

/**
 * Whether a path names records: .jsonl, .ndjson or .json, perhaps with ":WEIGHT" behind, or a folder of nothing else.
 * Other files are texts.
 */
DITHER_API bool dither_records_path(const char *path);

typedef struct dither_records dither_records;

#define DITHER_RECORD_TRAINED UINT32_C(0x80000000) /* the bit of a token that is trained on */
#define DITHER_RECORD_ID UINT32_C(0x7fffffff)      /* the other bits: its id */

/**
 * Read files of records, each perhaps with ":WEIGHT" behind its name (a.jsonl:2 is seen twice as often), and folders of
 * them. All tokens stay in memory, 4 bytes each, and 12 bytes a record;
 * packing them takes 20 more.
 * @return DITHER_OK | DITHER_E_USAGE (an option, a weight) | DITHER_E_IO | DITHER_E_FORMAT (a line that is no record:
 *         where says file and line; no records at all) | DITHER_E_MEMORY
 */
DITHER_API DITHER_MUST_USE dither_status dither_records_open(dither_records **records, const char *const *paths,
                                                             size_t count, const dither_records_options *options,
                                                             const dither_tokenizer *tokenizer, dither_error *error);
DITHER_API void dither_records_close(dither_records *records);

DITHER_API size_t dither_records_count(const dither_records *records);
DITHER_API uint64_t dither_records_tokens(const dither_records *records);
DITHER_API uint64_t dither_records_trained(const dither_records *records); /* tokens */

/** Records whose answers are all empty: nothing of them but the ends of turns is trained on. */
DITHER_API size_t dither_records_unanswered(const dither_records *records);

DITHER_API size_t dither_records_vocab(const dither_records *records);     /* every id is below it */

/** The format that chats are in; NULL: there are none. */
DITHER_API const dither_chat_format *dither_records_format(const dither_records *records);

/** 64-bit hash of all tokens, what is trained on, and the weights. */
DITHER_API uint64_t dither_records_hash(const dither_records *records);

typedef struct dither_records_file {
    const char *path;
    double weight;
    size_t records, epoch_records; /* in it; of them in an epoch, repeated ones too */
    uint64_t tokens, trained;      /* of its records, each once */
} dither_records_file;

/** How many files there are, and what is in one of them. */
DITHER_API size_t dither_records_files(const dither_records *records);
DITHER_API dither_records_file dither_records_file_at(const dither_records *records, size_t index);

typedef struct dither_record {
    const uint32_t *tokens; /* [count] DITHER_RECORD_ID, and DITHER_RECORD_TRAINED where trained on */
    size_t count;
    const char *path; /* the file it is from */
    size_t line;
} dither_record;

DITHER_API dither_record dither_records_at(const dither_records *records, size_t index);

/* How records fit into sequences. */
typedef struct dither_records_packed {
    size_t sequences;   /* of an epoch */
    size_t cut, skipped; /* records longer than a sequence, by what was asked */
    size_t untrained;    /* records left out since nothing of them, or of what fits, is trained on */
    uint64_t padding;    /* tokens of the sequences that hold none of a record */
    uint64_t trained;    /* tokens */
} dither_records_packed;

/**
 * What an epoch of sequences of `seq` tokens is.
 * @return DITHER_OK | DITHER_E_SHAPE (nothing is left to train on, or every answer is empty) | DITHER_E_MEMORY
 */
DITHER_API DITHER_MUST_USE dither_status dither_records_pack(const dither_records *records, size_t seq,
                                                             dither_long longer, dither_records_packed *packed,
                                                             dither_error *error);

#ifdef __cplusplus
}
#endif
#endif
