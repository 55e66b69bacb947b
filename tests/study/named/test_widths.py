"""The study of widths: what it runs, and that it does."""

import math
from dataclasses import replace

import pytest
import torch

from samnesia.study.engine.run import run_study
from samnesia.study.named import widths as module
from samnesia.study.named.widths import FAMILIES, GEOMETRIES, PLAIN, configuration, method_name, widths
from samnesia.train.parts.methods import Training, Unperturbed


def lengths(model, geometry, rho, share=False):
    """Length of each tensor's perturbation, or its share of the tensor's norm, in the first step."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    made = Training(model, optimizer, torch.nn.functional.cross_entropy, 0.0, 0.1)
    method = GEOMETRIES[geometry].method(rho).build(made)
    before = [p.detach().clone() for p in model.parameters()]
    images, labels = torch.randn(8, 1, 8, 8), torch.randint(0, 10, (8,))
    for one in method.passes():
        moved = [(p.detach() - w).norm() for p, w in zip(model.parameters(), before, strict=True)]
        one.loss(model(images), labels).backward()
    if not share:
        return [float(length) for length in moved]
    return [float(m / w.norm()) for m, w in zip(moved, before, strict=True) if w.norm() > 0]  # biases begin at zero


def test_radii_mean_in_each_ball_what_the_page_says():
    torch.manual_seed(0)
    model = FAMILIES["mlp"].model(16).build((1, 8, 8), 10)
    assert math.hypot(*lengths(model, "l2", 0.3)) == pytest.approx(0.3, rel=1e-3)
    assert lengths(model, "layer", 0.1, share=True) == pytest.approx([0.1] * 6, rel=1e-3)
    assert math.hypot(*lengths(model, "layers", 0.2, share=True)) == pytest.approx(0.2, rel=1e-3)


def test_it_is_asked_as_it_was_announced():
    design = widths().design
    assert design.seeds == (0, 1, 2) and not set(design.seeds) & set(design.tuning_seeds)
    assert len(list(design.cells())) * len(design.seeds) == 990
    for geometry, of in GEOMETRIES.items():
        assert all(b == 2 * a for a, b in zip(of.radii, of.radii[1:], strict=False))
        assert set(of.fixed) == set(FAMILIES)
        for rho in of.fixed.values():
            assert method_name(geometry, rho) in design.factor("method").levels
    assert len(design.primary) == 9 and {one.smallest for one in design.primary} == {1.0}
    assert all(len(one.over["net"]) == 5 and one.control == {"method": PLAIN} for one in design.primary)


@pytest.mark.parametrize("family", FAMILIES)
def test_nets_grow_with_their_width_and_nothing_else_does(family):
    configs = [configuration(f"{family}-{width}", Unperturbed(), 3) for width in FAMILIES[family].widths]
    counts = [sum(p.numel() for p in config.model.build((1, 8, 8), 10).parameters()) for config in configs]
    assert counts == sorted(set(counts)) and counts[-1] > 20 * counts[0]
    same = {replace(config, recipe="", model=configs[0].model, optimizer=configs[0].optimizer) for config in configs}
    assert len(same) == 1


def test_levels_name_the_runs():
    work = widths().work
    assert work({"net": "cnn-28", "method": PLAIN}, 2).config == configuration("cnn-28", Unperturbed(), 2)
    config = work({"net": "vit-80", "method": "layer-0.0125"}, 1).config
    assert (config.method, config.seed) == (GEOMETRIES["layer"].method(0.0125), 1)


def test_a_small_form_of_it_runs(tmp_path, monkeypatch):
    """Two widths, one radius in each ball, two epochs."""
    tiny = replace(FAMILIES["mlp"], widths=(8, 12, 16))
    monkeypatch.setattr(module, "FAMILIES", {"mlp": tiny})
    for name, of in GEOMETRIES.items():
        monkeypatch.setitem(GEOMETRIES, name, replace(of, radii=(of.fixed["mlp"],)))

    def short(*args, **options):
        config = configuration(*args, **options)
        return replace(config, epochs=2, when=replace(config.when, start_epoch=0.0))

    monkeypatch.setattr(module, "configuration", short)
    results = run_study(widths(quick=True), tmp_path, workers=1, progress=False, seeds=(0,))
    assert list(results.table["status"]) == ["finished"] * 8
    assert results.table["last.test_accuracy"].notna().all()
    assert list(results.table["gradient_evaluations"]) == [20.0, 40.0, 40.0, 40.0] * 2
