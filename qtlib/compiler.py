"""The compiler: plain functions of numbers become machine code that gives the same bits, and is kept between processes.

Compiled code does what the text says, in its order: no operation is fused, reordered or approximated, and where numba's
own `min` and `max` part from Python's (at nan, and at the sign of zero) Python's hold. What was compiled is kept in the
user's cache folder under a hash of every source it was made from, so it is never older than any of them.

It imports numba, which takes a second: whoever has no use for compiled code does not import this.
"""

import ctypes
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from hashlib import sha256
from pathlib import Path
from types import FunctionType
from typing import Any, TypeVar

import numba
from llvmlite.binding import Linkage
from numba.core import caching
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler
from numba.core.types import unliteral
from numba.extending import overload

from qtlib.lean import without

with without("scipy.linalg"):  # a quarter of a second, for products of matrices that nothing compiled here has
    import numba.np.arraymath

F = TypeVar("F", bound=Callable[..., Any])

FOLDER = "QT_COMPILED_DIR"  # where compiled code is kept, if not in the user's cache folder
KEPT = 6  # versions of one file's compiled code: what a newer source made is kept beside what an older one did


def known(function: F) -> F:
    """`function`, callable from compiled code from now on. It stays what it is, and its one text serves both."""
    scope = {**function.__globals__, "min": _smaller, "max": _larger}
    text = FunctionType(function.__code__, scope, function.__name__, function.__defaults__, function.__closure__)
    overload(function, jit_options=_WITHIN, strict=False)(lambda *args, **kwargs: text)
    return function


def compiled(function: F) -> F:
    """`function` as machine code, made at its first call for each kind of arguments, or read from where it is kept.

    It lets go of Python's lock while it runs. `min` and `max` in its own text are numba's.
    """
    njit: Any = numba.njit  # whose types do not know of every option
    made: Any = njit(nogil=True, no_cfunc_wrapper=True, pipeline_class=_pipeline(_Whole))(function)
    kept: Any = _Kept
    made._cache = kept(function)
    return made  # type: ignore[no-any-return]


def part(function: F) -> F:
    """`function` as a part of what `compiled` makes: it allocates nothing, and divides by zero as C does.

    Only compiled code can call it.
    """
    njit: Any = numba.njit  # likewise
    made: Any = njit(nogil=True, _nrt=False, error_model="numpy", no_cpython_wrapper=True, **_WITHIN)(function)
    if os.environ.get("NUMBA_DISABLE_JIT", "0") != "0":
        return function
    template = made.get_call_template

    def plainly(args: Any, kws: Any) -> Any:  # once for whole numbers, and not again for each that is written out
        plain: Any = unliteral
        return template([plain(arg) for arg in args], {name: plain(arg) for name, arg in kws.items()})

    made.get_call_template = plainly
    return made  # type: ignore[no-any-return]


@cache
def folder() -> Path:
    """Where compiled code is kept: `QT_COMPILED_DIR`, or the user's cache folder; a temporary one if that is closed."""
    home = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    chosen = Path(os.environ.get(FOLDER) or Path(home) / "quantum-trader" / "compiled")
    try:
        chosen.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=chosen):
            return chosen
    except OSError:
        return Path(tempfile.mkdtemp(prefix="qt-compiled-"))


def sources(path: Path) -> Iterator[Path]:
    """`path`, and every file of ours that it imports, however indirectly."""
    seen, ahead = set[Path](), [path.resolve()]
    while ahead:
        source = ahead.pop()
        if source in seen:
            continue
        seen.add(source)
        yield source
        ahead += [found for name in _imported(source) if (found := _file_of(name))]


def fingerprint(path: Path) -> str:
    """A hash of all that code in `path` is made from; another text in any of it is another hash."""
    digest = sha256()
    for source in sorted(sources(path)):
        digest.update(sha256(source.read_bytes()).digest())
    return digest.hexdigest()[:16]


# --- below ------------------------------------------------------------------------------------------------

_FROM = re.compile(r"^\s*from\s+(qtlib[\w.]*)\s+import\s+(\([^)]*\)|[^\n#]*)", re.MULTILINE)
_WHOLE = re.compile(r"^\s*import\s+(qtlib[\w.]*)", re.MULTILINE)
_ROOT = Path(__file__).resolve().parent


@numba.extending.register_jitable
def _smaller(a: Any, b: Any) -> Any:
    return b if b < a else a


@numba.extending.register_jitable
def _larger(a: Any, b: Any) -> Any:
    return b if b > a else a


def _imported(source: Path) -> Iterator[str]:
    """What `source` imports of ours: modules, and of those that it takes something out of, they."""
    text = source.read_text(encoding="utf-8")
    yield from _WHOLE.findall(text)
    for module, names in _FROM.findall(text):
        inside = [f"{module}.{name}" for name in re.findall(r"\w+", names)]
        modules = [name for name in inside if _file_of(name)]
        yield from modules if len(modules) == len(inside) else [module, *modules]


def _file_of(name: str) -> Path | None:
    path = _ROOT.joinpath(*name.split(".")[1:])
    if path.is_dir():
        return path / "__init__.py"
    return path.with_suffix(".py") if path.with_suffix(".py").is_file() else None


class _Part(JITCodeLibrary):
    """A part's code: kept as it was written until the whole is made that it belongs to.

    Numba would optimise it with all that it calls, make machine code of that, and do both again in whatever calls it:
    that took most of the time.
    """

    def finalize(self) -> None:
        self._finalized = True

    def _get_module_for_linking(self) -> Any:
        """It and all that it calls, however indirectly."""
        if self._shared_module is None:
            module, ahead, seen = self._final_module.clone(), [*self._linking_libraries], {self}
            while ahead:
                library = ahead.pop()
                if library in seen:
                    continue
                seen.add(library)
                if isinstance(library, _Part):
                    module.link_in(_for_many(library._final_module.clone()))
                    ahead += library._linking_libraries
                else:
                    module.link_in(library._get_module_for_linking(), preserve=True)
            self._shared_module = _for_many(module)
        return self._shared_module

    def get_pointer_to_function(self, name: str) -> int:
        return ctypes.cast(ctypes.pythonapi.PyObject_Call, ctypes.c_void_p).value or 0  # it says that it can't be

    @property
    def codegen(self) -> Any:
        return self

    def set_env(self, env_name: str, env: Any) -> None:
        """No part needs objects of Python."""


def _for_many(module: Any) -> Any:
    """`module`, whose functions may be there more than once in what it is linked into."""
    for function in module.functions:
        if not function.is_declaration and function.linkage == Linkage.external:
            function.linkage = "linkonce_odr"
    return module


class _Whole(JITCodeLibrary):
    """What `compiled` makes: the code of all its parts, optimised together."""

    def _optimize_final_module(self) -> None:
        for function in self._final_module.functions:
            if function.linkage == Linkage.linkonce_odr:
                function.linkage = Linkage.internal  # so what is called from one place only becomes a piece of it
        super()._optimize_final_module()  # type: ignore[no-untyped-call]


def _pipeline(kind: type[JITCodeLibrary]) -> type[Compiler]:
    """Numba's compiler, whose code is kept as `kind`."""

    class Made(Compiler):
        def compile_extra(self, func: Any) -> Any:
            self.state.library = kind(self.state.targetctx.codegen(), func.__qualname__)
            self.state.library.enable_object_caching()
            return super().compile_extra(func)  # type: ignore[no-untyped-call]

    return Made


_WITHIN: Any = {"pipeline_class": _pipeline(_Part), "no_cfunc_wrapper": True}


class _Place(caching._CacheLocator):
    """Where one file's compiled code is kept: a folder of the file's, and in it one for each state of its sources."""

    def __init__(self, path: Path) -> None:
        self._py_file = str(path)  # numba's name for it
        of_file = sha256(f"{path}\0{sys.version}".encode()).hexdigest()[:8]
        self._folder = folder() / f"{path.stem}-{of_file}" / fingerprint(path)

    def ensure_cache_path(self) -> None:
        if not self._folder.is_dir():
            self._folder.mkdir(parents=True, exist_ok=True)
            states = sorted(self._folder.parent.iterdir(), key=lambda p: p.stat().st_mtime)
            for old in states[:-KEPT]:
                shutil.rmtree(old, ignore_errors=True)

    def get_cache_path(self) -> str:
        return str(self._folder)

    def get_source_stamp(self) -> str:
        return self._folder.name

    def get_disambiguator(self) -> str:
        return self._folder.parent.name

    @classmethod
    def from_function(cls, py_func: Any, py_file: str) -> "_Place":
        return cls(Path(py_file).resolve())


class _Work(caching.CompileResultCacheImpl):
    _locator_classes: list[Any] = [_Place]  # noqa: RUF012  # as numba has it


class _Kept(caching.FunctionCache):
    """Compiled code on disk. What can't be read or written there is compiled anew."""

    _impl_class = _Work

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)  # type: ignore[no-untyped-call]
        except (OSError, EOFError, ValueError):
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)  # type: ignore[no-untyped-call]
        except OSError:
            return
