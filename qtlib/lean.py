"""What libraries load beside what they are used for here, and how they load without it.

Imported before Jupyter's libraries: nbformat loads jsonschema, and that builds a parser of internationalised URIs when
it is imported, at the price of one to two seconds in every process. It does without where there is none, and no
notebook's schema asks for it.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]  # None: an import of it fails, as documented


@contextmanager
def without(name: str) -> Iterator[None]:
    """What is imported meanwhile does not find the module `name`, unless it is loaded already; afterwards all do."""
    if name in sys.modules:
        yield
        return
    sys.modules[name] = None  # type: ignore[assignment]  # as above
    try:
        yield
    finally:
        del sys.modules[name]


@contextmanager
def standing_in(module: ModuleType, name: str, other: object) -> Iterator[None]:
    """What is imported meanwhile finds `other` under a name of `module`; afterwards all find what was there."""
    there = getattr(module, name)
    setattr(module, name, other)
    try:
        yield
    finally:
        setattr(module, name, there)
