"""The parser of every command: its help is the docstring of the script, errors are one line."""

import argparse
import difflib
import math
import sys
from itertools import pairwise
from pathlib import PurePath

MOST_NAMES = 4  # suggestions for a mistyped name, at most


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Shows the docstring of a script as it is written, and the default of an option that has one.
    The usage line has only what is required; all options follow, with their help."""

    def _format_usage(self, usage, actions, groups, prefix):
        needed = [action for action in actions if action.required or not action.option_strings]
        return f"{super()._format_usage(usage, needed, groups, prefix).rstrip()} [options]\n\n"

    def _get_default_metavar_for_optional(self, action):
        numbers = {"whole number": "N", "number": "X"}  # see `whole_number` and `real_number`
        kind = getattr(action.type, "__name__", None)
        return numbers.get(kind) or action.dest.rpartition("_")[2].upper()

    def _get_help_string(self, action):
        if action.default is None or action.default is False:
            return action.help
        if isinstance(action.default, list):
            return f"{action.help} (default: {' '.join(map(str, action.default))})"
        return super()._get_help_string(action)


class Parser(argparse.ArgumentParser):
    """Reports wrong usage in one line, without the screen of options before it."""

    # options that train_advanced_streamlined.py has and this script lacks
    streamlined = frozenset()

    def error(self, message):
        unknown = "unrecognized arguments:"
        if message.startswith(unknown):
            words = message.removeprefix(unknown).split()
            options = [word.partition("=")[0] for word in words if word.startswith("--")]
            if others := [option for option in options if option in self.streamlined]:
                script = "train_advanced_streamlined.py"
                message = f"{others[0]} is an option of {script}, not of {self.prog}"
            else:
                known = [*self._option_string_actions, *sorted(self.streamlined)]
                message += did_you_mean(options, known)
        self.exit(2, f"error: {message}. See {self.prog} --help.\n")

    def parse_args(self, args=None, namespace=None):
        """Parse as argparse does, and add `command` for records: the words typed, or the name of
        the program that called the script and the words it gave."""
        found = super().parse_args(args, namespace)
        found.command = sys.argv if args is None else [self.prog, *map(str, args)]
        return found

    def parse_known_args(self, args=None, namespace=None):
        """Parse as argparse does, except that an empty value is an error: it would mean the current
        folder, or no choice."""
        words = list(map(str, sys.argv[1:] if args is None else args))
        for before, word in pairwise(["", *words]):
            if not word or (word.startswith("--") and word.partition("=")[1:] == ("=", "")):
                name = word or before
                name = name.rstrip("=") if name.startswith("--") else "an argument"
                self.error(f"{name} is empty, like a shell variable that is not set")
        return super().parse_known_args(words, namespace)

    def _check_value(self, action, value):
        """Check as argparse does, except that if a choice resembles the value, the error names it
        in place of all choices."""
        unknown = action.choices is not None and value not in action.choices
        if unknown and (near := did_you_mean([str(value)], list(map(str, action.choices)))):
            raise argparse.ArgumentError(action, f"unknown {value!r}{near}")
        super()._check_value(action, value)


def did_you_mean(words, known):
    """Return the known names that the words resemble, in brackets; "" if there are none."""
    near = [" or ".join(names) for word in words if (names := nearest(word.lower(), known))]
    return f" (did you mean {', '.join(near)}?)" if near else ""


def nearest(word, known):
    """Return a list: the names that begin with a word if they are few, else the one most like
    it."""
    if not word.strip("-"):
        return []
    begin = [name for name in known if name.startswith(word)]
    if 0 < len(begin) <= MOST_NAMES:
        return begin
    return difflib.get_close_matches(word, known, n=1)


def new_parser(description):
    """Make a parser whose help is the docstring of the script."""
    module = sys.modules["__main__"].__spec__  # set by `python -m package.module`
    return Parser(
        prog=f"python -m {module.name}" if module else None,
        description=description,
        formatter_class=HelpFormatter,
        allow_abbrev=False,  # --backbone is not short for --backbones
    )


def folder_name(text):
    """An argparse type: the name of a folder in --results_dir, or of a folder within one (A/B)."""
    name = PurePath(text)
    if name.is_absolute() or name.drive or not name.parts or ".." in name.parts:
        raise argparse.ArgumentTypeError(f"{text!r} can't be a folder in --results_dir")
    return text


def whole_number(least, most=None):
    """An argparse type: a whole number, `least` or more, at most `most`."""

    def parse(text):
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"{value} is too small: {least} or more")
        if most is not None and value > most:
            raise argparse.ArgumentTypeError(f"{value} is too large: {most} or less")
        return value

    parse.__name__ = "whole number"
    return parse


def real_number(low, high=float("inf"), open_low=False):
    """An argparse type: a number from `low` to `high` (both allowed, `low` not if `open_low`)."""

    def parse(text):
        value = float(text)
        if not (math.isfinite(value) and low <= value <= high) or (open_low and value == low):
            least = f"above {low:g}" if open_low else f"{low:g} or more"
            most = f", at most {high:g}" if math.isfinite(high) else ""
            bounds = f"{least}{most}" if math.isfinite(value) else "finite"
            raise argparse.ArgumentTypeError(f"{value:g} is not allowed: must be {bounds}")
        return value

    parse.__name__ = "number"
    return parse
