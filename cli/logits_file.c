#include "logits_file.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "output.h"

enum { HEAD = 128 }; /* bytes before the numbers: a multiple of 64, and room for any shape */

/* numpy.lib.format: magic, version, length of a Python dict in spaces up to a newline */
static void make_head(const dither_logits_file *f, char *head)
{
    static const char magic[] = "\x93NUMPY\x01\x00";
    const size_t front = 10, length = HEAD - front;
    memset(head, ' ', HEAD);
    memcpy(head, magic, 8);
    head[8] = (char)(length & 255);
    head[9] = (char)(length >> 8);
    const int used = snprintf(head + front, length, "{'descr': '<f4', 'fortran_order': False, 'shape': (%llu, %zu), }",
                              (unsigned long long)f->tokens, f->vocab);
    head[front + (size_t)used] = ' ';
    head[HEAD - 1] = '\n';
}

static int fail(const dither_logits_file *f)
{
    return dither_output_fail(DITHER_E_IO, f->path, "cannot be written: %s", strerror(errno));
}

int dither_logits_file_open(dither_logits_file *file, const char *path)
{
    char head[HEAD];
    *file = (dither_logits_file){.path = path, .file = fopen(path, "wb")};
    make_head(file, head);
    return file->file && fwrite(head, 1, HEAD, file->file) == HEAD ? 0 : fail(file);
}

void dither_logits_file_add(void *file, size_t tokens, size_t vocab, const float *logits)
{
    dither_logits_file *f = file;
    f->vocab = vocab;
    f->tokens += tokens;
    for (size_t t = 0; t < tokens; t++)
        (void)fwrite(logits + t * vocab, sizeof *logits, vocab, f->file); /* an error stays until the file is closed */
}

int dither_logits_file_close(dither_logits_file *file)
{
    char head[HEAD];
    if (!file->file)
        return 0;
    make_head(file, head);
    bool whole = !ferror(file->file) && !fseek(file->file, 0, SEEK_SET);
    whole = whole && fwrite(head, 1, HEAD, file->file) == HEAD;
    whole = !fclose(file->file) && whole;
    return whole ? 0 : fail(file);
}
