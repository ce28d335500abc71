"""A parameter of the wrong type or without sense is a sentence that names it, whatever the law."""

import re

import numpy as np
import pytest

from pointlaw.errors import InputError
from pointlaw.materials import (
    J2,
    UMAT,
    DruckerPrager,
    FinitePlaneStrain,
    GeneralisedMaxwell,
    HolzapfelGasserOgden,
    LinearElastic,
    MeanDilatation,
    Ogden,
    Orthotropic,
    PlaneStress,
    Rotated,
    Scaled,
    Substepped,
    TaylorPolycrystal,
    TransverselyIsotropic,
    WithFields,
)

STEEL = {"E": 210e3, "nu": 0.3, "yield_stress": 250.0}
WOOD = {"E": [3.0, 2.0, 1.0], "nu": [0.1, 0.1, 0.1], "G": [1.0, 1.0, 1.0]}
FIBRES = {"mu": 1.0, "k1": 1.0, "k2": 1.0, "K": 1.0}
CARBON = {"E_axial": 2.0, "E_plane": 1.0, "nu_axial": 0.1, "nu_plane": 0.1, "G_axial": 1.0}
SAND = {"E": 1.0, "nu": 0.2, "friction": 30.0, "dilation": 10.0, "cohesion": 1.0}
NUMBERS = "must be a number, or a list of numbers"


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: J2(**STEEL | {"E": "210e3"}), "J2: E = '210e3' must be a finite number > 0"),
        (lambda: J2(**STEEL | {"E": [1.0, 2.0]}), "J2: E = [1.0, 2.0] must be a finite number > 0"),
        (lambda: J2(**STEEL | {"nu": "0.3"}), "ratio nu = '0.3' must lie between -1 and 0.5"),
        (lambda: J2(**STEEL, H="1"), "J2: H = '1' must be a finite number"),
        (lambda: J2(**STEEL, b=[1.0]), "J2: b = [1.0] must be a finite number ≥ 0"),
        (lambda: J2(**STEEL, C="soft"), f"J2: C = 'soft' {NUMBERS}"),
        (lambda: J2(**STEEL, C=1.0, gamma=[[1.0], [1.0, 2.0]]), f"J2: gamma = [[1.0], [1.0, 2.0]] {NUMBERS}"),
        (lambda: Ogden(mu=0.63, alpha=1.3, K=1.0), "Ogden: mu = 0.63 must be a list of finite numbers"),
        (lambda: Ogden(mu=np.array(0.63), alpha=1.3, K=1.0), "Ogden: mu = 0.63 must be a list of finite numbers"),
        (lambda: Ogden(mu=["a"], alpha=[1.3], K=1.0), "Ogden: mu = ['a'] must be a list of finite numbers"),
        (lambda: Ogden(mu=[np.inf], alpha=[2.0], K=1.0), "Ogden: mu = [inf] must be a list of finite numbers"),
        (lambda: Ogden(mu=[-1.0], alpha=[-np.inf], K=1.0), "Ogden: alpha = [-inf] must be a list of finite numbers"),
        (lambda: Orthotropic(**WOOD | {"E": 5.0}), "Orthotropic: E = 5.0 must be a list of finite numbers"),
        (lambda: Orthotropic(**WOOD | {"nu": "123"}), "Orthotropic: nu = '123' must be a list of finite numbers"),
        (lambda: GeneralisedMaxwell(1.0, 0.3, tau=1.0, g=0.3), "tau = 1.0 must be a list of finite numbers"),
        (lambda: GeneralisedMaxwell(1.0, 0.3, tau=[1.0], g=[0.3], k="0"), "k = '0' must be a list of finite numbers"),
        (lambda: HolzapfelGasserOgden(fibres=[[1, 0, 0], [1]], **FIBRES), f"fibres = [[1, 0, 0], [1]] {NUMBERS}"),
        (lambda: HolzapfelGasserOgden(fibres=[1, 0, 0], kappa="0", **FIBRES), "kappa = '0' must be a finite number"),
        (lambda: TransverselyIsotropic(**CARBON | {"nu_plane": "0"}), "nu_plane = '0' must be a finite number"),
        (lambda: TransverselyIsotropic(**CARBON | {"nu_axial": np.nan}), "nu_axial = nan must be a finite number"),
        (lambda: TransverselyIsotropic(**CARBON, axis="z"), f"axis = 'z' {NUMBERS}"),
        (lambda: DruckerPrager(**SAND | {"friction": "30"}), "friction = '30' must be a finite number"),
        (lambda: UMAT("law.so", props=1.0), "UMAT: props = 1.0 must be a list of finite numbers"),
        (lambda: UMAT("law.so", nstatv=2.5), "UMAT: nstatv = 2.5 must be an integer ≥ 0"),
        (lambda: Scaled(J2(**STEEL), "a"), f"Scaled: factor = 'a' {NUMBERS}"),
        (lambda: Rotated(J2(**STEEL), "a"), f"Rotated: rotation = 'a' {NUMBERS}"),
        (lambda: TaylorPolycrystal(J2(**STEEL), [[1.0], []]), f"rotations = [[1.0], []] {NUMBERS}"),
        (lambda: WithFields(J2, {"E": "a"}, nu=0.3, yield_stress=1.0), f"WithFields(J2): E = 'a' {NUMBERS}"),
        (lambda: MeanDilatation(J2(**STEEL), pressure_unit=0.0), "pressure_unit = 0.0 must be a finite number > 0"),
        (lambda: MeanDilatation(J2(**STEEL), pressure_unit=np.nan), "pressure_unit = nan must be a finite number > 0"),
        (lambda: TaylorPolycrystal(J2(**STEEL), np.zeros((0, 3, 3))), "shape [N, 3, 3] with N ≥ 1; got (0, 3, 3)"),
    ],
)
def test_a_parameter_of_the_wrong_type_gets_a_sentence(make, sentence):
    with pytest.raises(InputError, match=re.escape(sentence)):
        make()


@pytest.mark.parametrize(
    "wrap",
    [
        Substepped,
        PlaneStress,
        FinitePlaneStrain,
        MeanDilatation,
        pytest.param(lambda law: Scaled(law, 1.0), id="Scaled"),
        pytest.param(lambda law: Rotated(law, np.eye(3)), id="Rotated"),
        pytest.param(lambda law: TaylorPolycrystal(law, np.eye(3)[None]), id="TaylorPolycrystal"),
    ],
)
@pytest.mark.parametrize("law", ["J2", LinearElastic, None])
def test_what_is_wrapped_must_be_a_law(wrap, law):
    with pytest.raises(InputError, match=re.escape(f"law = {law!r} must be a Material; make the law first")):
        wrap(law)
