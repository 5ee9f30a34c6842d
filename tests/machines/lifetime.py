"""What is built as a whole or not at all, and ends with its `with` block."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class Lifetime(ABC):
    """A context manager: whatever `_build` began is undone by `close`, also where it failed halfway."""

    def __enter__(self) -> Self:
        try:
            self._build()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @abstractmethod
    def _build(self) -> None:
        """Begin."""

    @abstractmethod
    def close(self) -> None:
        """End everything; also what isn't there yet."""
