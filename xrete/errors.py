"""The errors that users see: one clear sentence that says what, where, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class XreteError(Exception):
    """Something the user can mend went wrong; the message is the whole report. Exit code 1."""

    exit_code = 1


class UsageError(XreteError):
    """The request itself is wrong (a name, an option, a combination). Exit code 2."""

    exit_code = 2


class DataError(XreteError):
    """A data file is missing, damaged or not what the task's card says."""


class HubError(XreteError):
    """What is on the hub is not on this machine, and the hub cannot be reached."""


class RecordError(XreteError):
    """A record cannot be read."""


class NewerRecordError(RecordError):
    """A record was written by another version of XRETE; nothing is wrong with it."""


def unknown_name(kind: str, name: str, known: Iterable[str], see: str) -> UsageError:
    """Builds the error for a name that is not known, with near names and where to look.

    Args:
        kind: What was named, in the singular ("model", "task", "language of tatoeba").
        name: What the user typed.
        known: Every name that would have been right.
        see: What to run or do to see the known names ("run 'xrete models'").
    """
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    return UsageError(f"unknown {kind} '{name}'{hint} ({len(names)} known: {see})")
