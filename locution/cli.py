"""Words to functions: what a user types, and the function it calls; nothing else.

Exit codes: 0 done, 1 something went wrong, 2 the user typed something that cannot be, 130 Ctrl-C, 143 SIGTERM.
"""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Sequence

from cyclopts import App
from cyclopts.exceptions import CycloptsError, UnknownOptionError, UnusedCliTokensError

from locution import __version__
from locution.commands import generating, placing, speech, studies, training, tuning, vocabulary
from locution.errors import LocutionError

app = App(
    name="locution",
    help="The working vocabulary of machine learning: every term is a part that runs, and every part composes.",
    version=__version__,
)
SWITCH_OFF = re.compile(r"^-[A-Za-z_]\w+$")
COMMANDS = (
    *(training.train, training.evaluate, training.predict),
    *(generating.sample, generating.generate, generating.export),
    *(placing.embed, placing.neighbours),
    *(studies.plan, studies.compare, tuning.tune, studies.effects),
    *(speech.transcribe, speech.check_data, speech.cache),
    *(vocabulary.recipes, vocabulary.methods, vocabulary.terms, vocabulary.term),
)
for command in COMMANDS:
    app.command(command)


def spoken(words: Sequence[str]) -> list[str]:
    """Let `-sam` be an override and not an option: one dash and a word switches a method off.

    >>> spoken(["train", "digits", "-sam", "--resume", "-1"])
    ['train', 'digits', '~sam', '--resume', '-1']
    """
    return [f"~{word[1:]}" if SWITCH_OFF.match(word) else word for word in words]


def fail(message: str, code: int) -> int:
    """Say in one line what went wrong."""
    print(f"locution: {' '.join(message.split())}", file=sys.stderr)
    return code


def mistaken(error: CycloptsError) -> str:
    """Say what was typed that no command takes, and what it takes."""
    if isinstance(error, UnusedCliTokensError):
        extra = " ".join(error.unused_tokens or ())
        return f"'{extra}' is more than this takes; allowed: what `locution {words_of(error)} --help` lists."
    if isinstance(error, UnknownOptionError):
        names = {name for one in error.argument_collection if one.parse for name in one.names}
        options = sorted(name for name in names if name.startswith("--") and not name.startswith("--no-"))
        return f"{error} Allowed: {', '.join([*options, '--help'])}."
    return str(error)


def words_of(error: CycloptsError) -> str:
    """Name the command in which an error came up."""
    return " ".join(error.command_chain or ())


def run(words: Sequence[str]) -> int:
    """Run one command and return its exit code; every error is one line."""
    try:
        app(spoken(words), exit_on_error=False, print_error=False)
    except CycloptsError as error:
        return fail(mistaken(error), 2)
    except LocutionError as error:
        return fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        return fail("stopped by Ctrl-C.", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else int(bool(leaving.code))
    except OSError as error:
        place = f" ({error.filename})" if error.filename else ""
        full = " Free some space, then go on with --resume." if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
        return fail(f"{error.strerror or error}{place}.{full}", 1)
    except Exception as error:
        if os.environ.get("LOCUTION_DEBUG"):
            raise
        return fail(f"{type(error).__name__}: {error} (LOCUTION_DEBUG=1 shows where.)", 1)
    return 0


def main() -> None:
    """The command `locution`."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
