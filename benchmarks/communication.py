"""What a step communicates: every collective with its bytes, for plain training and for each method.

    python benchmarks/communication.py [--worlds 8 2 64] [--out FILE]

Many ranks are simulated: each is a thread of this process with a replica (or shard) and a batch of its own, and the
threaded process group of torch.testing carries out every collective between them. DistributedDataParallel and
fully_shard run unchanged on it. A thread for a rank says nothing about time; what is counted here is not a matter of
time. The tests count the same on two real processes.

Bytes are those of the whole tensor, as each rank has it before or after: what is reduced by an all-reduce or a
reduce-scatter, what an all-gather results in, what is broadcast. A ring of N ranks sends 2 (N - 1) / N of it from each
rank in an all-reduce, and (N - 1) / N in the other two.

Counted is the third step: DistributedDataParallel rearranges its buckets after the first, and methods measure their
perturbation at some steps, of which step 0 is one. The first number of ranks gets all methods, the others a few: 64
threads take their minutes. Writes ``benchmarks/results/communication.json``, and its tables into
``docs/distributed.md`` unless it was told to write elsewhere.
"""

from __future__ import annotations

import argparse
import copy
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel
from torch.testing._internal.distributed import multi_threaded_pg as threaded
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import samnesia
from samnesia.models.small import small_cnn
from samnesia.train.log import environment, write_json

RESULTS = Path(__file__).parent / "results" / "communication.json"
PAGE = Path(__file__).parent.parent / "docs" / "distributed.md"
LIMIT = 300.0  # seconds for all threads together: one that fails must not let the others wait for ever
COUNTED_STEP = 2
BATCH = 2  # of each rank

Job = Callable[[int], Any]
Collectives = dict[str, list[int]]  # kind -> [number, bytes]


@dataclass(frozen=True)
class Collective:
    kind: str
    bytes: int
    scalar: bool
    in_backward: bool


class _Record(threading.local):
    """What this thread is recording; threads are ranks."""

    collectives: list[Collective] | None = None
    in_backward = False
    in_collective = False

    def note(self, name: str, arguments: Sequence[Any]) -> None:
        if self.collectives is None:
            return
        tensors = [[leaf for leaf in tree_leaves(a) if isinstance(leaf, Tensor)] for a in arguments]
        sizes = [sum(t.numel() * t.itemsize for t in of_argument) for of_argument in tensors]
        scalar = not self.in_backward and all(t.numel() == 1 for of_argument in tensors for t in of_argument)
        self.collectives.append(Collective(_kind(name), max(sizes, default=0), scalar, self.in_backward))


record = _Record()


def _kind(name: str) -> str:
    """The kind behind the names that torch's process groups and operators have had for it."""
    spellings = {"allreduce": "all_reduce", "reduce_scatter": "reduce_scatter", "broadcast": "broadcast"}
    spellings |= {"allgather": "all_gather", "all_gather": "all_gather"}
    return next((kind for spelling, kind in spellings.items() if spelling in name), name)


@contextmanager
def recording() -> Iterator[list[Collective]]:
    """Collectives that this rank takes part in, in their order; a simulated rank reports them by itself."""
    record.collectives = found = []
    try:
        yield found
    finally:
        record.collectives = None


class Watch(TorchDispatchMode):
    """Reports the collectives of real process groups, also those that C++ begins: all are operators of c10d."""

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function.namespace == "c10d":
            record.note(function._schema.name, args)
        return function(*args, **(kwargs or {}))


def backward(loss: Tensor) -> None:
    record.in_backward = True
    try:
        loss.backward()
    finally:
        record.in_backward = False


# -- simulated ranks -------------------------------------------------------------------------------------------------


class SimulatedRank(threaded.ProcessLocalGroup):
    """A rank of torch's threaded process group that reports what it is called for."""


def _reporting(name: str, collective: Callable[..., Any]) -> Callable[..., Any]:
    def reported(self: Any, *args: Any, **kwargs: Any) -> Any:
        if record.in_collective:  # one is made of another here
            return collective(self, *args, **kwargs)
        record.in_collective = True
        try:
            record.note(name, args)
            return collective(self, *args, **kwargs)
        finally:
            record.in_collective = False

    return reported


for _name, _method in vars(threaded.ProcessLocalGroup).items():
    if any(word in _name for word in ("allreduce", "gather", "scatter", "broadcast", "alltoall", "barrier")):
        setattr(SimulatedRank, _name, _reporting(_name, _method))


def _create(store: Any, rank: int, size: int, timeout: timedelta) -> SimulatedRank:
    dist.distributed_c10d._store_based_barrier(rank, store, "", size, timeout)
    return SimulatedRank(rank, size)


dist.Backend.register_backend("simulated", _create, devices=["cpu"])


def simulate(world: int, job: Job) -> list[Any]:
    """What `job(rank)` returns on each of `world` ranks, each of them a thread in which torch.distributed is set up.

    It replaces global state of torch.distributed meanwhile, and so belongs in a process of its own.
    """
    answers: dict[int, Any] = {}
    failures: list[BaseException] = []
    store = dist.HashStore()

    def work(rank: int) -> None:
        try:
            dist.init_process_group("simulated", store=store, rank=rank, world_size=world)
            answers[rank] = job(rank)
            dist.destroy_process_group()
        except BaseException as error:
            failures.append(error)
            threaded.ProcessLocalGroup.exception_handle(error)  # ends the others, which wait for this one

    threaded.ProcessLocalGroup.reset()
    threaded._install_threaded_pg()
    torch._C._distributed_c10d._set_thread_isolation_mode(True)
    try:
        ranks = [threading.Thread(target=work, args=(rank,), daemon=True) for rank in range(world)]
        for rank in ranks:
            rank.start()
        for rank in ranks:
            rank.join(LIMIT)
    finally:
        torch._C._distributed_c10d._set_thread_isolation_mode(False)
        threaded._uninstall_threaded_pg()
    if failures:
        raise failures[0]
    if any(rank.is_alive() for rank in ranks):
        raise TimeoutError(f"{world} simulated ranks did not end within {LIMIT} s")
    return [answers[rank] for rank in range(world)]


# -- what is trained -------------------------------------------------------------------------------------------------

Build = Callable[[nn.Module, torch.optim.Optimizer], samnesia.PerturbedGradient]


def method(preset: Callable[..., samnesia.PerturbedGradient], **options: Any) -> Build:
    return lambda model, optimizer: preset(model, optimizer, **{"loss": F.cross_entropy, **options})


BOTH_SCOPES = {
    "sam": (samnesia.sam, {}),
    "sam, 3 ascent steps": (samnesia.sam, {"steps": 3}),
    "asam": (samnesia.asam, {}),
    "asam, filter": (samnesia.asam, {"scaling": "filter"}),
    "asam, layer": (samnesia.asam, {"scaling": "layer"}),
    "obf": (samnesia.obf, {"rho": 0.05}),
    "gsam": (samnesia.gsam, {}),
    "gsam, normalized": (samnesia.gsam, {"backup": "normalized"}),
    "random": (samnesia.random_perturbation, {"rho": 0.05}),
    "random, clean statistics": (samnesia.random_perturbation, {"rho": 0.05, "clean_statistics": True}),
}
IN_BATCH: dict[str, Build | None] = {
    "plain": None,
    "unperturbed": method(samnesia.unperturbed),
    **{name: method(preset, **options) for name, (preset, options) in BOTH_SCOPES.items()},
}
PER_RANK: dict[str, Build | None] = {
    name: method(preset, sync="rank", **options) for name, (preset, options) in BOTH_SCOPES.items()
}


def replicated(model: nn.Module) -> nn.Module:
    """Small buckets, so that this small model has several, too."""
    return DistributedDataParallel(model, bucket_cap_mb=0.02)


def sharded(model: nn.Module) -> nn.Module:
    """Each layer with weights on its own, then the rest."""
    for layer in model:
        if any(True for _ in layer.parameters()):
            fully_shard(layer)
    return fully_shard(model)


def kept_gathered(model: nn.Module) -> nn.Module:
    """Gathered weights stay from forward to backward: one gather a pass in place of two."""
    for layer in model:
        if any(True for _ in layer.parameters()):
            fully_shard(layer, reshard_after_forward=False)
    return fully_shard(model)


def hybrid(model: nn.Module) -> nn.Module:
    """Two replicas, each sharded over half of the ranks."""
    mesh = init_device_mesh("cpu", (2, dist.get_world_size() // 2), mesh_dim_names=("replicas", "shards"))
    for layer in model:
        if any(True for _ in layer.parameters()):
            fully_shard(layer, mesh=mesh)
    return fully_shard(model, mesh=mesh)


PARTS: dict[str, tuple[Callable[[nn.Module], nn.Module], dict[str, Build | None]]] = {
    "DDP, sync='batch'": (replicated, IN_BATCH),
    "DDP, sync='rank'": (replicated, PER_RANK),
    "FSDP2": (sharded, IN_BATCH),
    "FSDP2, reshard_after_forward=False": (kept_gathered, IN_BATCH),
    "FSDP2, two replicas": (hybrid, IN_BATCH),
}


def batch_of(rank: int, step: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1000 * step + rank)
    return torch.randn(BATCH, 1, 8, 8, generator=generator), torch.randint(10, (BATCH,), generator=generator)


def train_step(
    model: nn.Module, optimizer: torch.optim.Optimizer, flow: samnesia.PerturbedGradient | None, x: Tensor, y: Tensor
) -> None:
    if flow is None:
        backward(F.cross_entropy(model(x), y))
    for p in () if flow is None else flow.passes():
        with torch.set_grad_enabled(p.needs_gradient):
            loss = p.loss(model(x), y)
        if p.needs_gradient:
            backward(loss)
    optimizer.step()
    optimizer.zero_grad()


def counted(model: nn.Module, build: Build | None, rank: int) -> list[Collective]:
    """The collectives of one step, on a wrapped model."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    flow = None if build is None else build(model, optimizer)
    for step in range(COUNTED_STEP):
        train_step(model, optimizer, flow, *batch_of(rank, step))
    with recording() as found:
        train_step(model, optimizer, flow, *batch_of(rank, COUNTED_STEP))
    return found


def summary(collectives: Sequence[Collective]) -> Collectives:
    """Number and bytes of each kind; all-reduces of one number, and those after the backward, apart."""
    sums: Collectives = {}
    for c in collectives:
        kind = c.kind
        if kind == "all_reduce" and c.scalar:
            kind = "scalar"
        elif kind == "all_reduce" and not c.in_backward:
            kind = "all_reduce_after_backward"
        number, total = sums.get(kind, (0, 0))
        sums[kind] = [number + 1, total + c.bytes]
    return sums


def count(world: int, names: Sequence[str] | None = None) -> dict[str, dict[str, Collectives]]:
    """part -> method -> what one step of it communicates, the same on every rank; `names` are the methods, or all."""
    torch.manual_seed(0)
    template = small_cnn(1, 10)

    def job(rank: int) -> dict[str, dict[str, Collectives]]:
        return {
            part: {
                name: summary(counted(wrap(copy.deepcopy(template)), build, rank))
                for name, build in methods.items()
                if names is None or name in names
            }
            for part, (wrap, methods) in PARTS.items()
        }

    answers = simulate(world, job)
    if any(answer != answers[0] for answer in answers):
        raise RuntimeError(f"of {world} ranks, some count other collectives than the rest")
    return answers[0]


# -- the table -------------------------------------------------------------------------------------------------------

SOME = ("plain", "sam", "gsam")
COLUMNS = {
    "all_reduce": "gradients, in the backward",
    "all_reduce_after_backward": "gradients, after it",
    "reduce_scatter": "reduce-scatter",
    "all_gather": "all-gather",
    "broadcast": "buffers",
    "scalar": "single numbers",
}


def table(parts: dict[str, dict[str, Collectives]]) -> str:
    """In Markdown: number of collectives and, behind it, their bytes, of each kind that a part has."""
    blocks = []
    for part, methods in parts.items():
        kinds = [kind for kind in COLUMNS if any(kind in collectives for collectives in methods.values())]
        lines = [f"| {part} | " + " | ".join(COLUMNS[kind] for kind in kinds) + " |", "|---" * (len(kinds) + 1) + "|"]
        for name, collectives in methods.items():
            cells = [collectives.get(kind, [0, 0]) for kind in kinds]
            lines.append(f"| {name} | " + " | ".join(f"{n} · {b:,} B" if n else "–" for n, b in cells) + " |")
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def worlds_table(worlds: dict[str, dict[str, dict[str, Collectives]]]) -> str:
    """In Markdown: all collectives of a step and their bytes, by the number of ranks."""
    ordered = sorted(worlds, key=int)
    lines = ["| | " + " | ".join(f"{world} ranks" for world in ordered) + " |", "|---" * (len(ordered) + 1) + "|"]
    for part, methods in worlds[ordered[0]].items():
        for name in methods:
            if name in SOME:
                cells = [[sum(c) for c in zip(*worlds[w][part][name].values(), strict=True)] for w in ordered]
                lines.append(f"| {part}: {name} | " + " | ".join(f"{n} · {b:,} B" for n, b in cells) + " |")
    return "\n".join(lines)


def show(mark: str, text: str) -> None:
    """Put `text` into the page, between the comments that name it."""
    before, rest = PAGE.read_text().split(f"<!-- {mark} -->\n")
    after = rest.split(f"<!-- end of {mark} -->")[1]
    PAGE.write_text(f"{before}<!-- {mark} -->\n\n{text}\n\n<!-- end of {mark} -->{after}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--worlds", nargs="+", type=int, default=[8, 2, 64])
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    first, *others = arguments.worlds
    worlds = {str(first): count(first), **{str(world): count(world, SOME) for world in others}}
    model = small_cnn(1, 10)
    results = {
        "date": datetime.now(UTC).date().isoformat(),
        "environment": environment(),
        "model": {
            "name": "samnesia.models.small.small_cnn(1, 10)",
            "gradient_bytes": sum(p.numel() * p.itemsize for p in model.parameters()),
            "parameters": sum(1 for _ in model.parameters()),
            "buffer_bytes": sum(b.numel() * b.itemsize for b in model.buffers()),
        },
        "worlds": worlds,
    }
    print(table(worlds[str(first)]), worlds_table(worlds), sep="\n\n")
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    write_json(arguments.out, results)
    if arguments.out == RESULTS:
        show("table", table(worlds[str(first)]))
        show("worlds", worlds_table(worlds))


if __name__ == "__main__":
    main()
