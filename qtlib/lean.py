"""Imported before Jupyter's libraries: they load without a grammar that nothing here has a use for.

nbformat loads jsonschema, and that builds a parser of internationalised URIs when it is imported, at the price of one
to two seconds in every process. It does without where there is none, and no notebook's schema asks for it.
"""

import sys

sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]  # None: an import of it fails, as documented
