#include "train/disk.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/fail.h"
#include "base/text.h"
#include "file/vocabulary_files.h"

enum { PATH_BYTES = 4096, HEADER = 4096, TENSOR = 128 /* bytes of a header a tensor takes, about */ };

typedef struct disk_file {
    const char *name;
    dither_disk_kind kind;
} disk_file;

/* Before and behind the tokenizer's. Who removes them all goes by this order: while there is a state, the rest is known
 * to be ours. */
static const disk_file first[] = {{"config.json", DITHER_DISK_MODEL}, {"model.safetensors", DITHER_DISK_MODEL}};
static const disk_file last[] = {{"log.jsonl", DITHER_DISK_LOG},
                                 {"state/checkpoint.safetensors", DITHER_DISK_STATE},
                                 {DITHER_DISK_BEGUN, DITHER_DISK_STATE},
                                 {"lock", DITHER_DISK_LOCK}};
enum { FIRST = sizeof first / sizeof first[0], LAST = sizeof last / sizeof last[0] };

/* Bits of the folders themselves, above those of the files. */
static const uint32_t state_there = UINT32_C(1) << 30, out_there = UINT32_C(1) << 31;

const char *dither_disk_file(size_t i, dither_disk_kind *kind)
{
    size_t names = 0;
    while (dither_vocabulary_files[names])
        names++;
    disk_file file = {NULL, DITHER_DISK_MODEL};
    if (i < FIRST)
        file = first[i];
    else if (i < FIRST + names)
        file.name = dither_vocabulary_files[i - FIRST];
    else if (i < FIRST + names + LAST)
        file = last[i - FIRST - names];
    *kind = file.kind;
    return file.name;
}

static bool path_in(const char *out, const char *name, char path[static PATH_BYTES])
{
    return (size_t)snprintf(path, PATH_BYTES, "%s/%s", out, name) < PATH_BYTES;
}

static uint64_t size_in(const char *out, const char *name)
{
    char path[PATH_BYTES];
    struct stat info;
    return path_in(out, name, path) && !stat(path, &info) ? (uint64_t)info.st_size : 0;
}

/* Of the file system that a path is on or will be. */
static uint64_t free_bytes(const char *out)
{
    char path[PATH_BYTES];
    struct stat info;
    struct statvfs system;
    if ((size_t)snprintf(path, sizeof path, "%s", out) >= sizeof path)
        return UINT64_MAX;
    while (stat(path, &info)) {
        char *const slash = strrchr(path, '/');
        if (!strcmp(path, ".") || !strcmp(path, "/")) /* a working folder that may not be looked into */
            return UINT64_MAX;
        if (slash && slash > path)
            *slash = 0;
        else
            (void)snprintf(path, sizeof path, "%s", slash ? "/" : ".");
    }
    if (statvfs(path, &system) || !system.f_blocks)
        return UINT64_MAX;
    return (uint64_t)system.f_bavail * system.f_frsize;
}

dither_disk dither_run_disk(const dither_run *run)
{
    const dither_network *net = &run->network;
    const uint64_t values = net->elements, tensors = net->table_count;
    const bool adamw = run->options.optimizer == DITHER_OPTIMIZER_ADAMW;
    const uint64_t blocks = adamw ? 3 : run->options.momentum > 0 ? 2 : 1;
    dither_disk disk = {
        .model = values * (run->options.save_bf16 ? 2 : 4) + tensors * TENSOR,
        .state = blocks * (values * sizeof(float) + tensors * TENSOR) + HEADER,
        .free = run->options.out ? free_bytes(run->options.out) : UINT64_MAX,
    };
    disk.peak = disk.model + disk.state + (disk.model > disk.state ? disk.model : disk.state);
    return disk;
}

dither_status dither_run_check_disk(const dither_run *run, dither_error *error)
{
    const char *const out = run->options.out;
    const dither_disk disk = dither_run_disk(run);
    if (!out || disk.free == UINT64_MAX)
        return DITHER_OK;
    const uint64_t there = size_in(out, "model.safetensors") + size_in(out, "state/checkpoint.safetensors");
    if (disk.peak <= there || disk.peak - there <= disk.free)
        return DITHER_OK;
    char model[16], state[16], needed[16], room[16];
    dither_text_bytes(disk.model, model);
    dither_text_bytes(disk.state, state);
    dither_text_bytes(disk.peak - there, needed);
    dither_text_bytes(disk.free, room);
    return dither_fail(error, DITHER_E_IO, out,
                       "too little room on the file system: the run needs %s there (model %s, checkpoint %s, and one "
                       "of either while it is replaced), and %s is free; free some, choose another --out, or let "
                       "--save-format bf16 make the model half as large", needed, model, state, room);
}

uint32_t dither_disk_files(const char *out)
{
    char path[PATH_BYTES];
    struct stat info;
    uint32_t there = stat(out, &info) ? 0 : out_there;
    const char *name;
    dither_disk_kind kind;
    if (path_in(out, "state", path) && !stat(path, &info))
        there |= state_there;
    for (size_t i = 0; (name = dither_disk_file(i, &kind)) != NULL; i++)
        if (path_in(out, name, path) && !lstat(path, &info))
            there |= (uint32_t)1 << i;
    return there;
}

void dither_disk_discard(const char *out, uint32_t kept)
{
    char path[PATH_BYTES];
    const char *name;
    dither_disk_kind kind;
    for (size_t i = 0; (name = dither_disk_file(i, &kind)) != NULL; i++)
        if (!(kept >> i & 1) && path_in(out, name, path))
            (void)unlink(path);
    if (!(kept & state_there) && path_in(out, "state", path))
        (void)rmdir(path);
    if (!(kept & out_there))
        (void)rmdir(out);
}
