"""Kagemusha: a per-node agent that keeps services running on a small group of machines."""


def version() -> str:
    """The version that is installed; "0+unknown" of a source tree that isn't.

    It comes from the tag when the project is built. Of an editable installation it is that of `make setup`.
    """
    from importlib.metadata import PackageNotFoundError  # noqa: PLC0415 (40 ms that few verbs need)
    from importlib.metadata import version as installed  # noqa: PLC0415

    try:
        return installed("kagemusha")
    except PackageNotFoundError:
        return "0+unknown"
