"""Compiler options of all forms: fast, and honest about NaN.

DOLFINx compiles forms with ``-O2``; vectorised code for the machine at hand makes residual, Jacobian and strain two to
five times faster. Full ``-ffast-math`` would also assume that no NaN exists, but NaN is how a failed point speaks, so
only the parts that let sums be reordered are switched on.
"""

import os
from pathlib import Path
from typing import Any

from pointlaw.environment import processor, require_compiler

OPTIMISED = (
    "-O2",  # -O3 gains nothing over a vectorised -O2 here, and takes minutes for a finite-strain hexahedron of degree 2
    "-ftree-vectorize",
    "-fvect-cost-model=dynamic",
    "-march=native",
    "-g0",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-fno-signed-zeros",
    "-fassociative-math",
    "-freciprocal-math",
)


def jit_options() -> dict[str, Any]:
    """Return the ``jit_options`` for every form and expression of pointlaw.

    Native code of one processor may be illegal on another that shares the home directory (a cluster), so the cache has
    one folder a processor type. Raises ``EnvironmentProblem`` if there is no C compiler.
    """
    require_compiler()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fenics" / f"native-{processor()}"
    return {"cffi_extra_compile_args": list(OPTIMISED), "cache_dir": cache, "timeout": 120}
