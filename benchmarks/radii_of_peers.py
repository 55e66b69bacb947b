"""Whether `samnesia.convert_rho` is right: each peer trains a small net in float64, and so does what it converts to.

Peers run in environments of their own, those without a package from a clone:

    python -m venv jaxenv && jaxenv/bin/pip install "jax[cpu]" optax
    python -m venv composerenv
    composerenv/bin/pip install torch torchvision torchmetrics mosaicml-cli "importlib-metadata<9" \\
        coolname tabulate py-cpuinfo psutil tqdm
    composerenv/bin/pip install --no-deps mosaicml torch-optimizer pytorch-ranger  # it asks for torch < 2.7.1
    git clone https://github.com/davda54/sam clones/davda54/sam
    git clone https://github.com/SamsungLabs/ASAM clones/SamsungLabs/ASAM
    git clone https://github.com/juntang-zhuang/GSAM clones/juntang-zhuang/GSAM
    git clone https://github.com/google-research/big_vision clones/google-research/big_vision
    python benchmarks/radii_of_peers.py --jax jaxenv/bin/python --composer composerenv/bin/python --clones clones

writes benchmarks/results/radii_of_peers.json (seconds). A row's *difference* is the largest of any weight after six
steps; *from unperturbed* is how far the same training without a perturbation ends, so that agreement says something.
pytorch-optimizer, which shares our environment, is held against by `tests/perturb/test_conversion.py`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

import samnesia

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "peer_radii"))
import problem  # noqa: E402 (shared with environments that have no package of ours)
from torch_peers import network, sgd, steps  # noqa: E402

RESULTS = HERE / "results" / "radii_of_peers.json"
TOLERANCE = 1e-10


@dataclass(frozen=True)
class Peer:
    """A source that `convert_rho` knows: the program that trains it, and where its code is."""

    source: str
    program: str
    clone: str = ""  # repository
    imported_from: str = ""  # folder inside it

    def answers(self, python: str, clones: Path) -> dict[str, Any]:
        """What its program says, with the commit of a clone."""
        command = [python, str(HERE / "peer_radii" / self.program), self.source]
        if not self.clone:
            return _answer(command)
        folder = clones / self.clone
        answer = _answer([*command, str(folder / self.imported_from)])
        log = subprocess.run(
            ["git", "-C", str(folder), "log", "-1", "--format=%H %cs"], capture_output=True, text=True, check=True
        )
        return {**answer, "versions": {self.clone: log.stdout.strip(), **answer["versions"]}}


def _answer(command: list[str]) -> dict[str, Any]:
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    answer: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return answer


TORCH, JAX, COMPOSER = "torch", "jax", "composer"
PEERS = {
    Peer("davda54/sam", "torch_peers.py", clone="davda54/sam"): TORCH,
    Peer("SamsungLabs/ASAM", "torch_peers.py", clone="SamsungLabs/ASAM"): TORCH,
    Peer("SamsungLabs/ASAM:SAM", "torch_peers.py", clone="SamsungLabs/ASAM"): TORCH,
    Peer("juntang-zhuang/GSAM", "torch_peers.py", clone="juntang-zhuang/GSAM"): TORCH,
    Peer(
        "google-research/big_vision",
        "jax_peers.py",
        clone="google-research/big_vision",
        imported_from="big_vision/trainers/proj/gsam",
    ): JAX,
    Peer("optax.contrib.sam", "jax_peers.py"): JAX,
    Peer("composer.algorithms.SAM", "torch_peers.py"): COMPOSER,
}
"""Each peer, and the environment that its program runs in."""


def ours(conversion: samnesia.Conversion | None) -> torch.Tensor:
    """The last weights of the converted method, or of the base optimizer alone."""
    model = network()
    optimizer = sgd(model)
    method = samnesia.unperturbed(model, optimizer) if conversion is None else conversion.build(model, optimizer)
    for x, y in steps(optimizer):
        for _ in method.passes():
            F.cross_entropy(model(x), y).backward()
        optimizer.step()
        optimizer.zero_grad()
    return torch.nn.utils.parameters_to_vector(model.parameters()).detach()


def compare(source: str, said: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A row for each case of a source."""
    unperturbed = ours(None)
    for answer in said["answers"]:
        theirs = torch.tensor(answer["weights"], dtype=torch.float64)
        conversion = samnesia.convert_rho(source=source, **answer["settings"])
        yield {
            "source": source,
            "settings": answer["settings"],
            **({"called": answer["called"]} if "called" in answer else {}),
            "here": str(conversion).split("  # ")[0],
            "versions": said["versions"],
            "difference": float((ours(conversion) - theirs).abs().max()),
            "from unperturbed": float((unperturbed - theirs).abs().max()),
            "weights": answer["weights"],
        }


def main() -> None:
    """Run every peer and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jax", required=True, help="interpreter that has jax and optax")
    parser.add_argument("--composer", required=True, help="interpreter that has mosaicml")
    parser.add_argument("--clones", required=True, type=Path, help="folder of OWNER/NAME clones")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    from samnesia.train.log import environment, write_json

    pythons = {TORCH: sys.executable, JAX: given.jax, COMPOSER: given.composer}
    rows = []
    for peer, where in PEERS.items():
        for row in compare(peer.source, peer.answers(pythons[where], given.clones)):
            rows.append(row)
            print(f"{row['difference']:.1e}  of {row['from unperturbed']:.1e}  {row['source']} {row['settings']}")
    made = {"date": datetime.now(UTC).date().isoformat(), "steps": problem.STEPS, "environment": environment()}
    write_json(given.out, {**made, "rows": rows})
    if not all(row["difference"] <= TOLERANCE for row in rows):
        raise SystemExit(f"some rows differ by more than {TOLERANCE:g}")


if __name__ == "__main__":
    main()
