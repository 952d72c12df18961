"""Settings: files, environment and command line in; frozen, checked values out.

Four layers, each over the last: built-in default, a YAML file, `QT_…` names, `-p section.key=value`. What comes out
is one `Params`; the sections that rules read (`sizing`, `limits`, `exits`) are the rules' own dataclasses, with their
own names and defaults. Everywhere in here:

* an unknown key is an error that names the nearest known one; nothing is ever ignored;
* each setting says its unit; a percent where a fraction belongs is out of range, and the error says what to write;
* secrets are no settings: there is no field for one, and a key that looks like one is refused unread;
* numbers are read as YAML 1.2 reads them: `1e-3` is a number, `on` and `12:30` are strings.
"""

from qtlib.params.kinds import SettingsError, Unearned
from qtlib.params.layers import Resolved, resolve, validate, validate_changes
from qtlib.params.schema import Params
from qtlib.params.yaml12 import dump_yaml, load_yaml

__all__ = [
    "Params",
    "Resolved",
    "SettingsError",
    "Unearned",
    "dump_yaml",
    "load_yaml",
    "resolve",
    "validate",
    "validate_changes",
]
