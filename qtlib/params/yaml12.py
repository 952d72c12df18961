"""YAML as its version 1.2 reads it: `1e-3` is a number, `on` and `12:30` are strings; and it is written so again."""

import re
from collections.abc import Mapping
from typing import Any

import yaml

from qtlib.params.kinds import SettingsError


def load_yaml(text: str, name: str = "<text>") -> Any:
    """YAML as version 1.2 means it.

    >>> load_yaml("{a: 1e-3, b: on, c: 12:30, d: 0o17, e: 0123}")
    {'a': 0.001, 'b': 'on', 'c': '12:30', 'd': 15, 'e': 123}
    """
    try:
        return yaml.load(text, Loader=_Yaml12)
    except yaml.MarkedYAMLError as e:
        where = f"{name}, line {e.problem_mark.line + 1}" if e.problem_mark else name
        problem = e.problem or "this is no YAML"
        if "'\\t'" in problem:
            problem = "a tab stands where YAML takes spaces only; indent with spaces"
        raise SettingsError(f"{where}: {problem}") from None
    except yaml.YAMLError as e:
        raise SettingsError(f"{name}: this is no YAML ({str(e).splitlines()[0]})") from None


def dump_yaml(value: Mapping[str, Any], flow: bool = False) -> str:
    """YAML that `load_yaml` reads back as `value`: a text that looks like a number is quoted.

    >>> dump_yaml({"title": "1e3"})
    "title: '1e3'\\n"
    """
    width = 10_000 if flow else 110
    return yaml.dump(
        value, None, Yaml12Dumper, default_flow_style=flow, sort_keys=False, allow_unicode=True, width=width
    )


class _Yaml12(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  PyYAML's own way: a class attribute, filled below

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        made: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.MarkedYAMLError(problem=f"the key {key!r} must be a name", problem_mark=key_node.start_mark)
            if key in made:
                raise yaml.MarkedYAMLError(problem=f"{key} stands here twice", problem_mark=key_node.start_mark)
            made[key] = self.construct_object(value_node, deep=True)
        return made

    def construct_number(self, node: yaml.ScalarNode) -> int | float:
        text = node.value
        if re.fullmatch(r"[-+]?[0-9]+", text):
            return int(text)
        if text[:2] in ("0o", "0x"):
            return int(text, 0)
        return float(text.replace(".inf", "inf").replace(".nan", "nan").replace(".Inf", "inf").replace(".NaN", "nan"))


_Yaml12.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""])
_Yaml12.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
_Yaml12.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"^(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$"), list("-+0123456789")
)
_Yaml12.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf)|\.(?:nan|NaN))$"),
    list("-+.0123456789"),
)
_Yaml12.add_constructor("tag:yaml.org,2002:int", _Yaml12.construct_number)
_Yaml12.add_constructor("tag:yaml.org,2002:float", _Yaml12.construct_number)
_Yaml12.add_constructor("tag:yaml.org,2002:map", _Yaml12.construct_mapping)


class Yaml12Dumper(yaml.SafeDumper):
    yaml_implicit_resolvers = _Yaml12.yaml_implicit_resolvers
