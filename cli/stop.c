#include "stop.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "output.h"

/* What a signal handler can reach. */
static volatile sig_atomic_t stop_signal;
static const char *stop_text;

static void on_signal(int number)
{
    const int kept = errno;
    if (stop_signal)
        _exit(EXIT_SIGNAL + number);
    stop_signal = number;
    if (write(STDERR_FILENO, stop_text, strlen(stop_text)) < 0)
        errno = 0; /* nobody there to be told */
    errno = kept;
}

const volatile sig_atomic_t *dither_stop_catch(const char *text)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    stop_text = text;
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    return &stop_signal;
}
