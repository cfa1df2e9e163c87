#include "train/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fail.h"
#include "file/mapping.h"

/* Bytes of the log that come before any event later than `step`; a line cut short by a crash does not count. */
static long kept_bytes(FILE *file, uint64_t step)
{
    char *line = NULL;
    size_t size = 0;
    long kept = 0;
    for (ssize_t n; (n = getline(&line, &size, file)) > 0; kept += (long)n) {
        const char *field = strstr(line, "\"step\": ");
        if (line[n - 1] != '\n' || (field && strtoull(field + strlen("\"step\": "), NULL, 10) > step))
            break;
    }
    free(line);
    return kept;
}

static dither_status trim(const dither_log *log, uint64_t step, dither_error *error)
{
    FILE *file = fopen(log->path, "re");
    if (!file)
        return errno == ENOENT ? DITHER_OK : dither_fail_errno(error, log->path, "read", errno);
    const long kept = kept_bytes(file, step);
    (void)fclose(file);
    return truncate(log->path, kept) ? dither_fail_errno(error, log->path, "shorten", errno) : DITHER_OK;
}

dither_status dither_log_open(dither_log *log, const char *out, bool keep, uint64_t step, dither_error *error)
{
    log->fd = -1;
    if ((size_t)snprintf(log->path, sizeof log->path, "%s/log.jsonl", out) >= sizeof log->path)
        return dither_fail(error, DITHER_E_IO, out, "the path is too long");
    const dither_status status = keep ? trim(log, step, error) : DITHER_OK;
    if (status)
        return status;
    log->fd = open(log->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | (keep ? 0 : O_TRUNC), 0666);
    return log->fd < 0 ? dither_fail_errno(error, log->path, "open", errno) : DITHER_OK;
}

dither_status dither_log_write(dither_log *log, const dither_event *event, dither_error *error)
{
    char line[DITHER_EVENT_JSON + 1];
    size_t length = dither_event_json(event, line, sizeof line - 1);
    line[length++] = '\n';
    for (size_t done = 0; done < length;) {
        const ssize_t n = write(log->fd, line + done, length - done);
        if (n < 0 && errno != EINTR)
            return dither_fail_errno(error, log->path, "write", errno);
        done += n > 0 ? (size_t)n : 0;
    }
    return DITHER_OK;
}

bool dither_log_ended(const dither_log *log, uint64_t step)
{
    FILE *file = fopen(log->path, "r");
    if (!file)
        return false;
    char wanted[64], *line = NULL;
    size_t size = 0;
    (void)snprintf(wanted, sizeof wanted, "{\"event\": \"end\", \"step\": %llu,", (unsigned long long)step);
    bool found = false;
    while (!found && getline(&line, &size, file) > 0)
        found = !strncmp(line, wanted, strlen(wanted));
    free(line);
    (void)fclose(file);
    return found;
}

void dither_log_close(dither_log *log)
{
    if (log->fd >= 0)
        (void)close(log->fd);
    log->fd = -1;
}
