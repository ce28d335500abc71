"""The page: whole, self-contained, and drawn for laws that fail as well."""

import base64
import dataclasses
import io
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from pointlaw.data import Dataset, sample
from pointlaw.errors import EnvironmentProblem, InputError
from pointlaw.laws import LearnedMaterial, draw_page, explain, judge, measure, measure_alone, panels
from pointlaw.laws.explain import Explanation, Shapley
from pointlaw.materials import J2, Material, NeoHooke, PlaneStrain, Response, Uniaxial
from pointlaw.paths import gaussian_process
from pointlaw.tensors import FINITE_STRAIN_3D, PLANE_STRAIN, UNIAXIAL

pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def found(law: LearnedMaterial, paths):
    return measure(law, paths[1], paths=3)


def size(picture: bytes) -> tuple[int, int]:
    from matplotlib.image import imread

    height, width = imread(io.BytesIO(picture)).shape[:2]
    return width, height


def test_the_page_is_one_picture(law, paths, found, tmp_path: Path) -> None:
    explanation = explain(law, paths[1], teacher=PlaneStrain(J2(E=210e3, nu=0.3, yield_stress=250.0, H=2000.0)))
    draw_page(found, tmp_path / "new" / "page.png", card=law.card, explanation=explanation)
    width, height = size((tmp_path / "new" / "page.png").read_bytes())
    assert width > 2000
    assert height > 1500


def test_the_html_page_has_every_figure_and_needs_nothing_else(law, found, tmp_path: Path) -> None:
    draw_page(found, tmp_path / "page.html", card=law.card.model_copy(update={"name": "<b>steel</b> & co"}))
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert not re.search(r"https?://|<script|<link", text)
    assert "<h1>&lt;b&gt;steel&lt;/b&gt; &amp; co</h1>" in text
    for line in judge(found.figures):
        assert line.goal.label in text
        assert line.value is None or line.shown in text
    assert found.dataset.sha256[:12] in text
    assert law.card.provenance.training_sha256[:12] in text
    assert f"longest path {law.card.envelope.arc_length:.3g}" in text
    (picture,) = re.findall(r"data:image/png;base64,([^\"]+)", text)
    assert size(base64.b64decode(picture))[0] > 1500


def test_a_page_without_a_teacher_can_be_drawn(law, tmp_path: Path) -> None:
    draw_page(measure_alone(law, law.card.envelope, paths=2), tmp_path / "alone.svg", card=law.card)
    assert "svg" in (tmp_path / "alone.svg").read_text(encoding="utf-8")[:500]


class Failing(Material):
    """Answers with NaN, everywhere or on every other point."""

    kinematics = PLANE_STRAIN

    def __init__(self, every: int):
        self.every = every

    def update(self, strain, state, dt, *, tangent=True):
        stress = strain.copy()
        stress[:: self.every] = np.nan
        matrix = np.tile(np.eye(3), (len(strain), 1, 1)) if tangent else None
        return Response(stress, matrix, state.copy())


def test_a_law_that_fails_gets_its_page(paths, tmp_path: Path) -> None:
    draw_page(measure(Failing(2), paths[1]), tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "not finite" in text
    assert 'aria-label="bad"' in text


def finite() -> Dataset:
    path = gaussian_process(3, seed=0, steps=4, bound=0.2, kinematics=FINITE_STRAIN_3D)
    return sample(NeoHooke(mu=1.0, K=5.0), path)


def uniaxial() -> Dataset:
    law = Uniaxial(J2(E=210e3, nu=0.3, yield_stress=250.0, H=2000.0))
    return sample(law, gaussian_process(3, seed=0, steps=4, bound=0.01, kinematics=UNIAXIAL))


def test_every_panel_can_draw_nine_components_one_and_none_that_is_finite(paths) -> None:
    from matplotlib.figure import Figure

    cases = [
        (NeoHooke(mu=1.0, K=5.0), finite()),
        (Uniaxial(J2(E=210e3, nu=0.3, yield_stress=250.0, H=2000.0)), uniaxial()),
        (Failing(1), paths[1]),
    ]
    for law, data in cases:
        audit = measure(law, data)
        axes = Figure().subplots(2, 4).ravel()
        panels.table(axes[0], judge(audit.figures), judge(audit.figures))
        panels.curves(axes[1], audit, 0, "a path", "MPa")
        for one, draw in zip(axes[2:], (panels.errors, panels.refinement, panels.drift, panels.eigenvalues,
                                        panels.cycles), strict=False):  # fmt: skip
            draw(one, audit)
            assert one.get_title(loc="left") or one.get_title()
        panels.envelope(axes[7], audit, None)
        assert axes[7].get_xlabel().startswith("step" if data.strain.shape[2] == 1 else "strain ")


def test_the_saliency_of_each_component_is_drawn_with_shapley_values_and_without() -> None:
    from matplotlib.figure import Figure

    axes = Figure().subplots(2)
    whole = Explanation(np.ones((1, 3)), None, np.diag([3.0, 1.0, 0.0]), None)
    panels.shapley(axes[0], whole, ("a", "b", "c"))
    assert [bar.get_width() for bar in axes[0].patches] == [75.0, 25.0, 0.0]
    shared = Shapley(np.ones((1, 2, 3)), np.full(1, 6.0), (0, 1, 3))
    panels.shapley(axes[1], dataclasses.replace(whole, shapley=shared), ("a", "b", "c"))
    assert [label.get_text() for label in axes[1].get_yticklabels()] == ["a\n75 %", "b\n25 %", "c\n0 %"]


def test_another_suffix_is_refused(found, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"page.docx has none of these suffixes"):
        draw_page(found, tmp_path / "page.docx")


def test_without_matplotlib_there_is_a_sentence(found, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(EnvironmentProblem, match=r"pip install 'pointlaw\[plot\]'"):
        draw_page(found, tmp_path / "page.png")
    assert not (tmp_path / "page.png").exists()
