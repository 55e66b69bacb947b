"""Curvature: leading eigenvalues, spectral density, trace."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from samnesia.examine.parts.part import Entry, Part, Values, in_order, latest, rounded
from samnesia.train.parts.checks import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from samnesia.examine.bench import Bench
    from samnesia.examine.chosen import Place
    from samnesia.measure.curvature.density import SpectralDensity
    from samnesia.measure.curvature.operators import Matrix
    from samnesia.measure.curvature.pairs import Eigenpairs
    from samnesia.measure.subject import Subject

_COLUMNS = 4  # of the figure along training


@dataclass(frozen=True)
class Curvature(Part):
    """Curvature of the loss: leading eigenvalues at both ends of the spectrum, its density, trace and norm."""

    k: int = 5
    """Eigenvalues at each end."""
    tolerance: float = 1e-3
    """Residual of an eigenpair that is enough, relative to the eigenvalue."""
    products: int = 100
    """Most passes for the eigenvalues; those that have not reached the tolerance by then are marked."""
    steps: int = 50
    """Passes per vector for the density."""
    vectors: int = 2
    """Random vectors that the density is a mean over."""
    trace_vectors: int = 50
    """Most random vectors for trace and Frobenius norm; fewer where errors below 5 % come earlier."""
    gauss_newton: bool = False
    """Also of the generalized Gauss-Newton matrix."""

    def __post_init__(self) -> None:
        for name, least in (("k", 1), ("products", 2 * self.k), ("steps", 2), ("vectors", 1), ("trace_vectors", 1)):
            value = getattr(self, name)
            require(
                value >= least,
                f"cannot measure curvature with {name} {value}, because it must be {least} or more; change it",
            )
        require(
            0.0 < self.tolerance < 1.0,
            f"cannot measure curvature with a tolerance of {self.tolerance}, because it is relative to the eigenvalue; "
            "use 1e-3, say",
        )

    @property
    def name(self) -> str:
        """On the command line."""
        return "curvature"

    def measure(self, bench: Bench, place: Place) -> Values:
        """Of the Hessian, and of the Gauss-Newton matrix if asked for."""
        from samnesia.measure.curvature.operators import GaussNewton, Hessian

        matrices: dict[str, Matrix] = {"hessian": Hessian()}
        if self.gauss_newton:
            matrices["gauss_newton"] = GaussNewton()
        subject, seed = bench.subject(place), bench.look.seed
        return {name: self._of(subject, matrix, seed) for name, matrix in matrices.items()}

    def _of(self, subject: Subject, matrix: Matrix, seed: int) -> Values:
        from samnesia.measure.curvature.density import spectral_density
        from samnesia.measure.curvature.spectrum import eigenpairs
        from samnesia.measure.curvature.trace import moments

        pairs = eigenpairs(
            subject, self.k, matrix=matrix, tolerance=self.tolerance, seed=seed, max_products=self.products
        )
        density = spectral_density(subject, matrix=matrix, steps=self.steps, vectors=self.vectors, seed=seed)
        found = moments(subject, matrix=matrix, vectors=self.trace_vectors, relative_error=0.05, seed=seed)
        return {"eigenvalues": pairs.as_dict(), "density": density.as_dict(), "moments": found.as_dict()}

    def figures(self, entries: Sequence[Entry]) -> Iterator[tuple[str, Figure]]:
        """The density and the leading eigenvalues; along training, spectra and λmax."""
        from samnesia.measure.curvature.figures import density_along_figure, draw_density, draw_eigenvalues
        from samnesia.measure.figures import panels

        last = latest(entries)
        for matrix in next(iter(last.values())).values:
            name = "curvature" + ("" if matrix == "hessian" else f"-{matrix.replace('_', '-')}")
            figure, (left, right) = panels(2, width=4.0)
            draw_density(left, {label: _density(entry.values[matrix]["density"]) for label, entry in last.items()})
            left.set_title("Spectral density")
            _draw_leading(right, {label: entry.values[matrix]["eigenvalues"] for label, entry in last.items()})
            yield name, figure
            if len({entry.epoch for entry in entries}) == 1:
                continue
            densities = _by_epoch(entries, lambda values: _density(values[matrix]["density"]))  # noqa: B023 (used here)
            pairs = _by_epoch(entries, lambda values: _pairs(values[matrix]["eigenvalues"]))  # noqa: B023
            shared = set.intersection(*(set(one) for one in densities.values()))
            several = len(shared) > 1
            shown = _some(sorted(shared if several else {epoch for one in densities.values() for epoch in one}))
            some = {label: {e: one[e] for e in shown if e in one} for label, one in densities.items()}
            yield f"{name}-spectra-along", density_along_figure(some, pairs=pairs)
            figure, (left, right) = panels(2, width=4.0)
            draw_eigenvalues(left, pairs)
            left.set(title="Ends of the spectrum")
            _draw_along(right, entries, matrix)
            yield f"{name}-along", figure

    def rows(self, values: Values) -> Mapping[str, str]:
        """λmax, its ratio to the fifth, λmin, trace; those that have not converged with a star."""
        found: dict[str, str] = {}
        for matrix, one in values.items():
            ending = "" if matrix == "hessian" else f" ({matrix.replace('_', '-')})"
            pairs = one["eigenvalues"]
            found[f"λmax{ending}"] = _eigenvalue(pairs["largest"][0])
            if "ratio_1_5" in pairs:
                found[f"λmax / λ5{ending}"] = f"{pairs['ratio_1_5']:.3g}"
            if pairs["smallest"]:
                found[f"λmin{ending}"] = _eigenvalue(pairs["smallest"][0])
            found[f"trace{ending}"] = rounded(one["moments"]["trace"])
            found[f"Frobenius norm{ending}"] = rounded(one["moments"]["frobenius_norm"])
        return found


def _density(plain: Values) -> SpectralDensity:
    import numpy as np

    from samnesia.measure.curvature.density import SpectralDensity

    nodes, weights = (np.array(plain[name], dtype=float) for name in ("nodes", "weights"))
    return SpectralDensity(nodes, weights, plain["matrix"], plain["dimension"], plain["products"], plain["error"])


def _pairs(plain: Values) -> Eigenpairs:
    """Without vectors: to be drawn."""
    from samnesia.measure.curvature.pairs import Eigenpairs, Pair

    ends: dict[str, Any] = {
        end: tuple(Pair(pair["value"], pair["distance"], [], pair["converged"]) for pair in plain[end])
        for end in ("largest", "smallest")
    }
    about = {name: plain[name] for name in ("matrix", "products", "tolerance", "dimension", "error")}
    return Eigenpairs(**ends, **about)


def _by_epoch(entries: Sequence[Entry], of: Any) -> dict[str, dict[float, Any]]:
    return {label: {e.epoch: of(e.values) for e in entries if e.label == label} for label in in_order(entries)}


def _some(epochs: Sequence[float]) -> list[float]:
    """A few of them, spread over their order, the last one included and the initial weights only if there is room."""
    trained = [epoch for epoch in epochs if epoch > 0] or list(epochs)
    if len(trained) <= _COLUMNS:
        return trained
    return [trained[round(i * (len(trained) - 1) / (_COLUMNS - 1))] for i in range(_COLUMNS)]


def _draw_leading(axes: Axes, found: Mapping[str, Values]) -> None:
    """The largest eigenvalues by their rank."""
    from samnesia.measure.figures import colour, marker, tidy

    for index, (label, one) in enumerate(found.items()):
        values = [pair["value"] for pair in one["largest"]]
        axes.plot(
            range(1, len(values) + 1), values, color=colour(index), marker=marker(index), markersize=4, label=label
        )
    axes.set(xlabel="rank", ylabel="eigenvalue", title="Largest eigenvalues")
    axes.set_ylim(bottom=0)
    axes.set_xticks(range(1, 1 + max(len(one["largest"]) for one in found.values())))
    tidy(axes, legend=True)


def _draw_along(axes: Axes, entries: Sequence[Entry], matrix: str) -> None:
    """Trace along training."""
    from samnesia.measure.figures import colour, tidy, whole_steps

    found = _by_epoch(entries, lambda values: values[matrix]["moments"]["trace"])
    for index, (label, traces) in enumerate(found.items()):
        epochs = sorted(traces)
        errors = [traces[epoch]["error"] or 0.0 for epoch in epochs]
        values = [traces[epoch]["value"] for epoch in epochs]
        axes.errorbar(
            epochs, values, errors, color=colour(index), marker="o", markersize=3, linewidth=1.3, capsize=2, label=label
        )
    axes.set(xlabel="epoch", ylabel="trace", title="Trace")
    whole_steps(axes)
    tidy(axes, legend=True)


def _eigenvalue(pair: Values) -> str:
    return f"{pair['value']:.4g}" + ("" if pair["converged"] else " *")
