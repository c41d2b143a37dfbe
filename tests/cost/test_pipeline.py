"""Pipeline models: what they are fed, and what is said where they are absent or odd."""

from __future__ import annotations

import pytest

from lab.cost.pipeline import mca
from lab.cost.pipeline.mca import Model, cycles, models
from lab.cost.pipeline.pairs import PairRow, pair
from lab.cost.pipeline.text import render
from lab.errors import InputError

installed = pytest.mark.skipif(mca.mca() is None, reason="needs llvm-mca (Debian package llvm)")
BASE = ["stp x29, x30, [sp, #-0x10]!", "mov x29, sp", "ldp x29, x30, [sp], #0x10", "ret"]


def test_a_pair_is_what_one_activation_executes() -> None:
    assert pair("base") == BASE
    push, pop = "str x30, [x18], #8", "ldr x30, [x18, #-8]!"
    assert pair("insertion-register-use-nonleaf") == [push, *BASE[:3], pop, "ret"] == pair("scs-clang")
    with pytest.raises(InputError, match="unknown proposal"):
        pair("no-such")


@installed
def test_models_that_are_one_are_named_once_and_loads_wait_for_stores() -> None:
    found = models()
    cores = [core for model in found for core in model.cores]
    assert len(cores) == len(set(cores)) and "cortex-a53" in cores
    assert any(len(model.cores) > 1 for model in found)
    a57 = next(model for model in found if "cortex-a57" in model.cores)
    base, pushed = cycles(a57, BASE), cycles(a57, ["str x30, [x18], #8", *BASE[:3], "ldr x30, [x18, #-8]!", "ret"])
    assert base is not None and pushed is not None and pushed > base
    assert cycles(a57, ["sdot z0.s, z1.b, z2.b"]) is None


def test_a_sequence_faster_than_the_base_is_flagged() -> None:
    model = Model("cortex-a57", ("cortex-a57", "cortex-a72"))
    rows = [PairRow("base", "cortex-a57", 4, 6.0, 6.0), PairRow("odd", "cortex-a57", 6, 5.5, 6.0)]
    rows.append(PairRow("pac", "cortex-a57", 6, None, 6.0))
    assert [row.artefact for row in rows] == [False, True, False]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lab.cost.pipeline.text.version", lambda: "LLVM version 1")
        text = render(rows, [model])
    assert "5.50*" in text and "artefact of the model" in text and "n/a" in text
    assert text.startswith("MODEL:") and "one model: cortex-a57, cortex-a72" in text
    assert max(map(len, text.splitlines())) <= 70


def test_without_llvm_mca_the_message_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mca, "mca", lambda: None)
    with pytest.raises(InputError, match="not installed; install"):
        mca._path()
