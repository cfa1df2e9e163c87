#include "file/kind.h"

#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"

enum { HEAD = 4096, HEADER_LIMIT = 100 << 20 };

static const char json_kind[] = "JSON", safetensors_kind[] = "a safetensors file", text_kind[] = "UTF-8 text",
                  binary_kind[] = "binary data", page_kind[] = "a web page";

/* Where a kind of file has the same bytes in each. */
typedef struct magic {
    size_t offset, length;
    const char *bytes, *kind;
} magic;

#define MAGIC(offset, bytes, kind) {offset, sizeof(bytes) - 1, bytes, kind}
static const magic magics[] = {
    MAGIC(0, "GGUF", "a GGUF file"),
    MAGIC(0, "%PDF-", "a PDF document"),
    MAGIC(0, "\x1f\x8b", "gzip data; unpack it first"),
    MAGIC(0, "\xfd" "7zXZ", "xz data; unpack it first"),
    MAGIC(0, "\x28\xb5\x2f\xfd", "zstd data; unpack it first"),
    MAGIC(0, "BZh", "bzip2 data; unpack it first"),
    MAGIC(0, "7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it first"),
    MAGIC(0, "\x89PNG", "a PNG image"),
    MAGIC(0, "\xff\xd8\xff", "a JPEG image"),
    MAGIC(0, "GIF8", "a GIF image"),
    MAGIC(0, "\x7f" "ELF", "a program"),
    MAGIC(0, "PAR1", "a Parquet file"),
    MAGIC(0, "ARROW1", "an Arrow file"),
    MAGIC(0, "\x93NUMPY", "an array of NumPy"),
    MAGIC(0, "SQLite format 3", "an SQLite database"),
    MAGIC(0, "\xd0\xcf\x11\xe0", "a document of Microsoft Office"),
    MAGIC(0, "version https://git-lfs", "a pointer of Git LFS, not the file itself; git lfs pull fetches that"),
    MAGIC(0, "\x80\x02", "a pickle of Python, as old PyTorch files are"),
    MAGIC(257, "ustar", "a tar archive; unpack it first"),
};
#undef MAGIC

static bool holds(const unsigned char *head, size_t size, const char *words)
{
    const size_t length = strlen(words);
    for (size_t i = 0; i + length <= size; i++)
        if (!memcmp(head + i, words, length))
            return true;
    return false;
}

/* Zip archives are PyTorch's files and those of office programs too. */
static const char *kind_of_zip(const unsigned char *head, size_t size)
{
    if (holds(head, size, "data.pkl"))
        return "a PyTorch file; only safetensors and GGUF files can be read";
    return holds(head, size, "[Content_Types]") ? "a document of an office program" : "a zip archive; unpack it first";
}

static bool is_safetensors(const unsigned char *head, size_t size)
{
    uint64_t length;
    if (size < sizeof length + 1)
        return false;
    memcpy(&length, head, sizeof length);
    return length >= 2 && length <= HEADER_LIMIT && head[sizeof length] == '{';
}

/* Whether all of it is text, but for a character that the end of the head cuts. */
static bool is_text(const unsigned char *head, size_t size)
{
    return !memchr(head, 0, size) && size - dither_text_utf8(head, size) < (size == HEAD ? 4u : 1u);
}

static const char *kind_of_text(const unsigned char *head, size_t size)
{
    size_t at = size >= 3 && !memcmp(head, "\xef\xbb\xbf", 3) ? 3 : 0;
    while (at < size && strchr(" \t\r\n", head[at]))
        at++;
    if (at < size && (head[at] == '{' || head[at] == '['))
        return json_kind;
    if (size - at >= 5 && (!strncasecmp((const char *)head + at, "<html", 5) ||
                           !strncasecmp((const char *)head + at, "<!doc", 5)))
        return page_kind;
    return text_kind;
}

static const char *kind_of(const unsigned char *head, size_t size)
{
    for (size_t i = 0; i < sizeof magics / sizeof magics[0]; i++)
        if (size >= magics[i].offset + magics[i].length &&
            !memcmp(head + magics[i].offset, magics[i].bytes, magics[i].length))
            return magics[i].kind;
    if (size >= 4 && !memcmp(head, "PK\x03\x04", 4))
        return kind_of_zip(head, size);
    if (is_safetensors(head, size))
        return safetensors_kind;
    if (size >= 12 && head[0] == 0x0a && holds(head, size < 256 ? size : 256, "<unk>"))
        return "a SentencePiece model; only tokenizer.json and GGUF files can be read";
    return is_text(head, size) ? kind_of_text(head, size) : binary_kind;
}

const char *dither_file_kind(const char *path)
{
    unsigned char head[HEAD];
    struct stat info;
    if (stat(path, &info) == 0 && S_ISDIR(info.st_mode))
        return "a folder";
    if (stat(path, &info) == 0 && !S_ISREG(info.st_mode))
        return "a device, pipe or socket";
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return "a file that cannot be read";
    size_t size = 0;
    for (ssize_t got; size < HEAD && (got = read(fd, head + size, HEAD - size)) > 0;)
        size += (size_t)got;
    (void)close(fd);
    return size ? kind_of(head, size) : "an empty file";
}

const char *dither_file_known_kind(const char *path)
{
    const char *const kind = dither_file_kind(path);
    return kind == json_kind || kind == text_kind || kind == page_kind || kind == binary_kind ? NULL : kind;
}

bool dither_file_is_json(const char *path)
{
    return dither_file_kind(path) == json_kind;
}

bool dither_file_is_safetensors(const char *path)
{
    return dither_file_kind(path) == safetensors_kind;
}

bool dither_name_ends(const char *name, const char *ending)
{
    const size_t length = strlen(name), tail = strlen(ending);
    return length > tail && !strcasecmp(name + length - tail, ending);
}
