"""Errors and notes meant for the person at the terminal, and how a command ends with them."""

import gc
import os
import re
import signal
import sys
import traceback
from contextlib import contextmanager, suppress
from pathlib import Path

# What TensorFlow errors other than ResourceExhaustedError say if a GPU runs out of memory: in a
# copy, in an allocation, or in a convolution without room to compute in.
NO_MEMORY = (
    *("Dst tensor", "out of memory", "Out of memory", "OUT_OF_MEMORY", "RESOURCE_EXHAUSTED"),
    *("No algorithm worked", "the scratch", "Failed to allocate"),
)
# of a GPU whose driver, CUDA or cuDNN are not those that TensorFlow needs
NO_GPU = re.compile("DNN library init.*|libdevice not found.*|cuDNN launch failure.*")

interrupted = None  # the signal that interrupted the process, if any
in_command = False  # whether the process runs a command, not a program that uses the toolkit


class UserError(Exception):
    """Wrong input or wrong usage: one line that says what is wrong, where, and what to do."""


def first_line(error):
    """Return the first line of an exception's message, cut to 300 characters, or its type if the
    message is empty. Messages of the file system come without error number and path."""
    said = getattr(error, "strerror", None) or str(error)
    line = (said.strip().splitlines() or [type(error).__name__])[0]
    return line if len(line) <= 300 else f"{line[:296]} ..."


def counted(n, word):
    """Return a number of things with their word: "1 film", "2 films"."""
    return f"{n} {word}" if n == 1 else f"{n} {word}s"


def printable(text):
    """Return a text as one line without terminal codes, which file names may contain."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


@contextmanager
def memory_errors(n_films, img_size, remedy):
    """Raise UserError, with a `remedy`, if TensorFlow runs out of memory within the block, where it
    computes on `n_films` films of `img_size` pixels at once; also if it can't use the GPU."""
    import tensorflow as tf

    try:
        yield
    except tf.errors.OpError as error:
        if found := NO_GPU.search(str(error)):
            raise UserError(
                f"the GPU can't be used: {found[0]}. See docs/SCALE.md; the environment variable "
                "CUDA_VISIBLE_DEVICES=-1 chooses the processor."
            ) from None
        exhausted = isinstance(error, tf.errors.ResourceExhaustedError)
        if not exhausted and not any(words in str(error) for words in NO_MEMORY):
            raise
        raise UserError(
            f"out of memory ({n_films} films of {img_size} pixels at once). {remedy}."
        ) from None


def interrupt(number, _):
    """Handle a signal that ends a command. The others but Ctrl-C act once: a terminal that closes
    sends two, and the second would cut off what the first began."""
    global interrupted
    again, interrupted = interrupted, number
    if in_command and (number == signal.SIGINT or not again):
        raise KeyboardInterrupt


def handle_signals():
    """Let a command that is ended from outside stop as by Ctrl-C, so that it can say how to go on.
    What the caller ignores stays ignored, such as SIGHUP under nohup."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows lacks the last
        if number and signal.getsignal(number) in (signal.default_int_handler, signal.SIG_DFL):
            signal.signal(number, interrupt)


def open_closed_streams():
    """Give closed streams (2>&-) a file: else the next one that is opened gets their number, and
    what C libraries print."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):  # 0, 1, 2
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode))  # noqa: SIM115


def drop_unwritten():
    """Drop what a stream can't write, as when a terminal is gone: at its end Python would try
    again, and end with an exit code of its own."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def check_interrupted():
    """Raise KeyboardInterrupt if a signal ended the command. Keras and Python sometimes swallow the
    first one, for example while the first step of a training is traced."""
    if interrupted:
        raise KeyboardInterrupt


def run_command(main):
    """Run `main()` as a command: its return value is the exit code, a UserError prints one line.

    Exit codes: 0 fine, 1 done with something wrong (listed), 2 wrong usage or input,
    130 interrupted (143 and 129 by SIGTERM and SIGHUP).
    """
    global in_command, interrupted
    in_command, interrupted = True, None
    handle_signals()
    open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # some callers give another stream
            stream.reconfigure(errors="backslashreplace")  # file names need not be Unicode
    code = 2  # also of an exception of another kind, whose traceback is printed
    try:
        ended = main()
        sys.stdout.flush()  # now, as the disk may be full
        code = ended
    except UserError as error:
        print_error(str(error))
    except BrokenPipeError:  # the reader of a pipe (head, less) went away
        code = 1
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        print_error(f"{first_line(error)}{where}. Check the path, its rights and the free space.")
    except MemoryError as error:
        advice = "Free some, or take smaller films, or fewer at once."
        print_error(f"out of memory ({first_line(error)}). {advice}")
    except KeyboardInterrupt:
        number = interrupted or signal.SIGINT
        code = 128 + number
        by = "" if number == signal.SIGINT else f" by {signal.Signals(number).name}"
        with suppress(OSError):  # the terminal may be gone
            print(f"interrupted{by}", file=sys.stderr)
    except SystemExit as end:  # of the parser
        code = end.code
    except Exception:
        with suppress(OSError):
            traceback.print_exc()
    in_command = False  # a signal comes too late now
    drop_unwritten()
    gc.collect()  # ends TensorFlow's threads that read films; else Python can't exit
    sys.exit(code)


def print_error(text):
    with suppress(OSError):  # the terminal may be gone
        print(f"error: {printable(text)}", file=sys.stderr)


def print_note(text):
    """Print what a user should know, to the standard error: tables and ages go to the other one."""
    print(f"note: {printable(text)}", file=sys.stderr)
