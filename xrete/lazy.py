"""numpy on first use: loading it takes as long as everything else that `xrete tasks` does.

Modules that a task adapter imports take `np` and `NDArray` from here. Type checkers see the real ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
else:

    class _Numpy:
        def __getattr__(self, name: str) -> Any:
            import numpy

            return getattr(numpy, name)

    np = _Numpy()
    NDArray = None  # stands in annotations only, which nothing evaluates

__all__ = ["NDArray", "np"]
