"""What a person can do wrong, told in one sentence."""

from __future__ import annotations


class UserError(Exception):
    """A mistake of the person at the keyboard; its text is one clear sentence, shown on stderr with exit code 2.

    Commands raise it for wrong arguments and unusable files. It is never a bug: bugs keep their traceback.
    """
