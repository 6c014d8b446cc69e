"""What can go wrong, each with the exit code that `gantk` documents."""


class GantkError(Exception):
    """A failure with a one-line message for the user: it names the file, flag or key and says what was expected."""

    exit_code = 1


class UsageError(GantkError):
    """Wrong usage or configuration, found before any work is done (exit 2)."""

    exit_code = 2


class SomeFailedError(GantkError):
    """Some inputs failed, the others were done (exit 3)."""

    exit_code = 3


class DivergedError(GantkError):
    """A loss or a gradient was not finite (exit 4)."""

    exit_code = 4


class InterruptedRunError(GantkError):
    """Ctrl-C (130) or SIGTERM (143) ended the work after it was saved."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code
