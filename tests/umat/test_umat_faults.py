"""What is wrong with a UMAT library is said before a run, and a crash during one is not silent."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from pointlaw.errors import InputError
from pointlaw.materials import UMAT, UMATCrash

PROPS = [210e3, 0.3, 250.0, 500.0, 20e3]


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"there is no file .*nowhere\.so"):
        UMAT(tmp_path / "nowhere.so")


def test_a_file_that_is_no_library_is_refused(tmp_path):
    path = tmp_path / "law.so"
    path.write_text("not a library")
    with pytest.raises(InputError, match="cannot be loaded"):
        UMAT(path)


def test_a_library_that_was_rebuilt_is_not_taken_for_the_old_one(c_library):
    strain = np.full((1, 6), 1e-3)
    old = UMAT(c_library("}"))
    before = old.update(strain, old.initial_state(1), 1.0).stress
    library = c_library("for (int i = 0; i < n; i++) stress[i] *= 2.0; }")
    with pytest.raises(InputError, match=r"libc\.so was rebuilt after this Python loaded it.* restart Python"):
        UMAT(library)
    assert np.array_equal(old.update(strain, old.initial_state(1), 1.0).stress, before)
    renamed = UMAT(library.rename(library.with_name("libother.so")))
    assert np.array_equal(renamed.update(strain, renamed.initial_state(1), 1.0).stress, 2.0 * before)


def test_a_library_that_is_not_the_one_asked_for_is_refused(c_library):
    library = c_library("}")
    found = hashlib.sha256(library.read_bytes()).hexdigest()
    assert UMAT(library).sha256 == UMAT(library, sha256=found).sha256 == found
    with pytest.raises(InputError, match=f"has the SHA-256 {found}, not 0123 as asked for"):
        UMAT(library, sha256="0123")


def test_a_library_without_the_symbol_is_refused(c_library):
    with pytest.raises(InputError, match="has no symbol umat_"):
        UMAT(c_library("int other(void) { return 1; }", head=""))


def test_a_library_with_an_undefined_symbol_is_refused_by_its_name(c_library):
    with pytest.raises(InputError, match="undefined symbol: my_missing_routine_"):
        UMAT(c_library("my_missing_routine_(); }", head="void my_missing_routine_(void); void umat_(void) {"))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"ntens": 5}, "ntens = 5 must be 6"),
        ({"nstatv": -1}, "nstatv = -1"),
        ({"nstatv": 2, "initial_statev": [1.0]}, "initial_statev has 1 values"),
    ],
)
def test_a_wrong_option_gets_a_sentence(tmp_path, options, sentence):
    with pytest.raises(InputError, match=sentence):
        UMAT(tmp_path / "any.so", **options)


def test_a_umat_that_refuses_its_ntens_is_reported_with_what_it_was_given(fortran_library):
    with pytest.raises(UMATCrash, match=r"called XIT in a trial call with NTENS = 3; .*nstatv = 7, 5 props"):
        UMAT(fortran_library, props=PROPS, nstatv=7, ntens=3)


def test_a_wrong_number_of_props_is_reported_with_what_it_was_given(fortran_library):
    with pytest.raises(UMATCrash, match="4 props"):
        UMAT(fortran_library, props=PROPS[:4], nstatv=13)


def test_a_umat_written_for_fewer_components_is_found_out(c_library):
    body = "for (int j = 0; j < n; j++) for (int i = 4; i < n; i++) ddsdde[i + n * j] = 0.0; }"
    with pytest.raises(InputError, match=r"rows \[5, 6\] of DDSDDE zero; it seems to be written for another NTENS"):
        UMAT(c_library(body))


def test_a_umat_written_for_more_components_is_found_out(c_library):
    with pytest.raises(InputError, match="writes beyond STRESS"):
        UMAT(c_library("stress[5] = 1.0; }"), ntens=4)


def test_a_umat_that_wants_more_state_is_found_out(c_library):
    with pytest.raises(InputError, match="writes beyond STATEV"):
        UMAT(c_library("statev[3] = 1.0; }"), nstatv=3)


def test_a_umat_that_reads_more_props_is_found_out(c_library):
    with pytest.raises(InputError, match="may read more props"):
        UMAT(c_library("stress[0] += props[2]; }"), props=[1.0, 2.0])


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("*(volatile int *)8 = 1; }", "crashed with SIGSEGV in a trial call"),
        ("abort(); }", "crashed with SIGABRT in a trial call"),
        ("exit(0); }", "ended the process"),
    ],
)
def test_a_crash_in_the_trial_call_is_reported(c_library, body, sentence):
    with pytest.raises(UMATCrash, match=sentence):
        UMAT(c_library(body))


@pytest.mark.parametrize(
    ("deed", "sentence"),
    [
        ("*(volatile int *)8 = 1", "crashed with SIGSEGV at point 2"),
        ("raise(SIGFPE)", "crashed with SIGFPE at point 2"),
        ("abort()", "crashed with SIGABRT at point 2"),
        ("xit_()", "called XIT at point 2"),
    ],
)
def test_a_crash_during_the_run_raises_and_leaves_the_process_alive(c_library, deed, sentence):
    law = UMAT(c_library(f"if (dstran[0] > 0.01) {deed}; }}"))
    strain = np.zeros((4, 6))
    answer = law.update(strain, law.initial_state(4), 1.0)
    strain[2, 0] = 0.02
    with pytest.raises(UMATCrash, match=sentence):
        law.update(strain, law.initial_state(4), 1.0)
    assert np.array_equal(law.update(0.0 * strain, law.initial_state(4), 1.0).stress, answer.stress)


def test_points_that_are_not_finite_fail_before_the_umat_sees_them(c_library):
    law = UMAT(
        c_library("if (dstran[0] != dstran[0] || stress[0] != stress[0] || statev[0] > 1e300) xit_(); }"), nstatv=1
    )
    strain, state = 1e-3 * np.ones((5, 6)), law.initial_state(5)
    wanted = law.update(strain, state, 1.0)
    strain[1, 0], strain[2, 3], state[3, law.state_layout["statev"]] = np.nan, -np.inf, np.inf
    answer = law.update(strain, state, 1.0)
    assert answer.status.tolist() == [1, -1, -1, -1, 1]
    for name in ("stress", "tangent", "state"):
        np.testing.assert_array_equal(getattr(answer, name)[[0, 4]], getattr(wanted, name)[[0, 4]])
    assert np.isnan(answer.stress[1:4]).all()
    assert (law.update(strain[1:3], state[1:3], 1.0, tangent=False).status == -1).all()


def test_a_stop_during_the_run_ends_the_process_with_a_message_and_a_failure(c_library):
    library = c_library("if (dstran[0] > 0.01) exit(0); }")
    script = (
        "import sys, numpy as np; from pointlaw.materials import UMAT\n"
        "law = UMAT(sys.argv[1]); law.update(np.full((1, 6), 0.02), law.initial_state(1), 1.0); print('went on')"
    )
    done = subprocess.run([sys.executable, "-c", script, library], capture_output=True, text=True, check=False)
    assert done.returncode == 70
    assert f"ended by STOP or exit() inside the UMAT library {library}" in done.stderr
    assert "went on" not in done.stdout
