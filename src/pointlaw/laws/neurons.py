"""The laws of this package as neurons of a physically recurrent network, by their names.

A network is built from plain data, so that its law file can be read anywhere: a neuron names its law, parameters and
wrappers, and :func:`make_material` makes the material. :func:`neurons` writes that description of a material at hand::

    points = [neurons(PlaneStrain(J2(E=100.0, nu=0.3, yield_stress=0.5, Q=0.6, b=30.0)), count=12)]
    network = build("material_points", {"features": 3, "outputs": 3, "points": points})

A law of one's own joins by ``LAWS["MyLaw"] = MyLaw``, also wherever a law file with it is loaded. Importing this module
(``pointlaw.laws`` does) makes the kind ``"material"`` known to the networks.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from pointlaw import materials
from pointlaw.errors import InputError
from pointlaw.materials import Material
from pointlaw.materials.by_name import call, concrete_classes, named
from pointlaw.networks.law_points import LawPoints
from pointlaw.networks.points import POINTS

# Laws of one's own by the name that a network gives them: classes, or functions of plain data that return a material.
LAWS: dict[str, Callable[..., Material]] = {}


class MaterialNeurons(LawPoints):
    """Points of the kind ``"material"``: any small-strain law as the neuron, its parameters known.

    ``{"kind": "material", "count": 8, "law": "J2", "parameters": {"E": 100.0, …}, "wrappers": ["PlaneStrain"]}``, and
    ``"time"`` for laws that know time; see :func:`make_material` and :class:`~pointlaw.networks.law_points.LawPoints`.
    """

    @classmethod
    def make(cls, **description: Any) -> Material:
        """Return the law; see :func:`make_material`."""
        return make_material(**description)


POINTS["material"] = MaterialNeurons


def make_material(
    law: str | None = None,
    *,
    parameters: Mapping[str, Any] | None = None,
    wrappers: Sequence[str | Mapping[str, Any]] = (),
) -> Material:
    """Return the material of a description in plain data.

    Parameters
    ----------
    law : str
        A class of ``pointlaw.materials`` such as ``"CrystalPlasticity"``, or an entry of ``LAWS``.
    parameters : mapping, optional
        Its arguments. One that is a law itself is ``{"law": …, "parameters": …, "wrappers": …}``; the name of a law
        stands for its class.
    wrappers : sequence of str or mapping
        From the inside outwards: ``"PlaneStrain"``, or ``{"law": "Rotated", "parameters": {"rotation": …}}``.

    Notes
    -----
    Raises ``InputError`` for a name or parameters that do not exist, and whatever the law has against its parameters.
    """
    if not isinstance(law, str):
        what = "no law is named" if law is None else f"a law is given by its name, not as {type(law).__name__}"
        raise InputError(
            f'{what}; write "law": "J2" with its "parameters", or neurons(material, count=…) from a material.'
        )
    made: Material = _call(law, [], parameters or {})
    for wrapper in wrappers:
        entry: dict[str, Any] = {"law": wrapper} if isinstance(wrapper, str) else dict(wrapper)
        if not isinstance(entry.get("law"), str) or not entry.keys() <= {"law", "parameters"}:
            raise InputError(f'a wrapper is a name, or {{"law": name, "parameters": {{…}}}}; got {entry}.')
        made = _call(entry["law"], [made], entry.get("parameters") or {})
    return made


def neurons(material: Material, *, count: int, time: float | None = None, amplitude: float = 0.02) -> dict[str, Any]:
    """Return the entry for ``points`` of a network whose neurons answer as ``material`` does.

    Parameters
    ----------
    material : Material
        Any small-strain law, wrapped or not, whose class is known by name and that keeps its arguments.
    count, time, amplitude
        As for :class:`~pointlaw.networks.law_points.LawPoints`.

    Notes
    -----
    Raises ``InputError`` when the class is not known, an argument is not plain data, or the description makes a law
    that answers differently.
    """
    description = _describe(material)
    copy = make_material(**description)
    m, rng = material.kinematics.size, np.random.default_rng(0)
    same = copy.kinematics == material.kinematics and copy.state_layout.sizes == material.state_layout.sizes
    if same:
        strain = amplitude * rng.uniform(-1.0, 1.0, (count, m)) + material.kinematics.reference
        first, again = material.initial_state(count), copy.initial_state(count)
        one, other = (law.update(strain, first, time or 1.0, tangent=False).stress for law in (material, copy))
        same = np.array_equal(first, again) and np.array_equal(one, other, equal_nan=True)
    if not same:
        raise InputError(
            f"{description['law']} does not keep all arguments it was made with; write law, parameters and wrappers of "
            "the neurons by hand, as plain data."
        )
    options = {"time": time} if time is not None else {}
    return {"kind": "material", "count": count, **description, **options, "amplitude": amplitude}


def known_laws() -> dict[str, Callable[..., Material]]:
    """Return everything that a description may name."""
    return concrete_classes(materials, Material) | LAWS


def _call(name: str, before: list[Material], parameters: Mapping[str, Any]) -> Material:
    """Return ``name(*before, **parameters)``; names that do not exist become a sentence."""
    known = known_laws()
    advice = f" A law of your own is registered first: pointlaw.laws.LAWS['{name}'] = {name}."
    maker = named("law", name, known, advice=advice)
    made = call(name, maker, {key: _value(value, known) for key, value in parameters.items()}, before=before)
    if not isinstance(made, Material):
        raise InputError(f"'{name}' made a {type(made).__name__}; it must make a Material.")
    return made


def _value(value: Any, known: Mapping[str, Callable[..., Material]]) -> Any:
    """Return a parameter, laws and classes of laws put in for their descriptions."""
    if isinstance(value, Mapping) and isinstance(value.get("law"), str):
        return make_material(**value)
    return known.get(value, value) if isinstance(value, str) else value


def _describe(material: Material) -> dict[str, Any]:
    """Return class name and arguments of ``material`` as plain data."""
    kind: type[Material] = type(material)
    name = kind.__name__
    if known_laws().get(name) is not kind:
        raise InputError(
            f"the law {name} is not known by its name; register its class: pointlaw.laws.LAWS['{name}'] = {name}."
        )
    kept = vars(material)
    parameters = {
        argument: _plain(f"{name}: {argument}", kept[argument])
        for argument, how in inspect.signature(type(material)).parameters.items()
        if argument in kept and how.kind not in (how.VAR_POSITIONAL, how.VAR_KEYWORD)
    }
    return {"law": name, "parameters": parameters}


def _plain(what: str, value: Any) -> Any:
    """Return ``value`` as JSON holds it, without loss."""
    if isinstance(value, Material):
        return _describe(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
        return value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(what, entry) for entry in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(what, entry) for key, entry in value.items()}
    raise InputError(
        f"{what} is a {type(value).__name__}, which no law file can hold; register a function of plain data that makes "
        "the law: pointlaw.laws.LAWS['my_law'] = make, and name it as the 'law' of the neurons."
    )
