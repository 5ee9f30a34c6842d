"""What a checker raises. Alone in its file, as a class that inherits from a built-in one isn't translated to C."""


class Violation(AssertionError):
    """A promise was broken."""
