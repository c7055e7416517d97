"""Dipolar Janus nanoclusters: from a computed dipole to the nanowires it forms.

The public names stand once, in `__init__.pyi`, and are loaded on first use, so that
`import dipolar_md` is quick and needs no engine.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
