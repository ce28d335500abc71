"""Building the libraries of the UMAT tests."""

import shutil
import subprocess
from pathlib import Path

import pytest

DEMO = Path(__file__).parents[2] / "demos" / "umat"

C_HEAD = """
#include <math.h>
#include <signal.h>
#include <stdlib.h>
void xit_(void);
void sinv_(const double *, double *, double *, const int *, const int *);
void sprinc_(const double *, double *, const int *, const int *, const int *);
void rotsig_(const double *, const double *, double *, const int *, const int *, const int *);
void umat_(double *stress, double *statev, double *ddsdde, double *sse, double *spd, double *scd, double *rpl,
  double *ddsddt, double *drplde, double *drpldt, double *stran, double *dstran, double *time, double *dtime,
  double *temp, double *dtemp, double *predef, double *dpred, char *cmname, int *ndi, int *nshr, int *ntens,
  int *nstatv, double *props, int *nprops, double *coords, double *drot, double *pnewdt, double *celent,
  double *dfgrd0, double *dfgrd1, int *noel, int *npt, int *layer, int *kspt, int *jstep, int *kinc, long length) {
  int n = *ntens;
  for (int i = 0; i < n; i++) for (int j = 0; j < n; j++) ddsdde[i + n * j] = 0.0;
  for (int i = 0; i < n; i++) { ddsdde[i + n * i] = 100.0; stress[i] = 100.0 * (stran[i] + dstran[i]); }
"""


@pytest.fixture(scope="session")
def fortran_library(tmp_path_factory):
    """The library of demos/umat, built by gfortran."""
    compiler = shutil.which("gfortran")
    if compiler is None:
        pytest.skip("gfortran is not installed (apt-get install gfortran): the Fortran UMAT cannot be built")
    target = tmp_path_factory.mktemp("umat") / "libj2_mixed.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", target, "j2_mixed.f"], cwd=DEMO, check=True)
    return target


@pytest.fixture
def c_library(tmp_path):
    """Return a function that builds a UMAT from the end of a C function body."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler")

    def build(body, name="libc.so", head=C_HEAD):
        source = tmp_path / "umat.c"
        source.write_text(head + body)
        subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", tmp_path / name, source, "-lm"], check=True)
        return tmp_path / name

    return build
