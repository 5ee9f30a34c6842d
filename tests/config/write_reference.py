"""Write docs/reference/toml.md from the code: `python -m tests.config.write_reference`."""

from __future__ import annotations

from pathlib import Path

from agent.config.reference import reference
from recovery_kits.registry import kits

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "toml.md"
BUILT_IN = (
    "ebs",
    "elastic-ip",
    "eni",
    "filesystem",
    "generic",
    "ip",
    "lb-health",
    "mirror",
    "private-ip",
    "route",
    "route53",
    "systemd",
    "target-group",
    "transit-gateway-route",
)


def current() -> str:
    """The page as the code has it now, with the kits that Kagemusha brings itself."""
    known = kits()
    return reference({kind: known[kind] for kind in BUILT_IN})


if __name__ == "__main__":
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(current())
