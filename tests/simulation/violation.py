"""What a checker raises; for itself, as a class that inherits from a built-in one is not translated to C."""


class Violation(AssertionError):
    """A promise was broken."""
