"""Every error that counterpunch raises itself; the package has them all by name as well."""

from .core.values.errors import *  # noqa: F403
from .core.values.errors import __all__ as __all__
