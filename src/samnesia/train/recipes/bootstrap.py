"""The labels of the Bootstrap arm: what a finished run predicts for its own training set (Foret et al., ICLR 2021)."""

from __future__ import annotations

from pathlib import Path


def write_predictions(run: Path | str, *, batch_size: int = 512) -> Path:
    """Write the classes that a run predicts for its training images into ``RUN/predicted.npy``, for ``data.relabel``.

    The weights are those of its last checkpoint, the images as evaluation sees them. The run that trains on these
    labels must have the same seed, because another one holds out others and has other wrong labels.

    Args:
        run: directory of a run on images.
        batch_size: images per forward.

    Returns:
        The file.

    Raises:
        ConfigurationError: if there is no run or no checkpoint, or its data are no images, or damaged.
    """
    import torch

    from samnesia.data.relabel import write_labels
    from samnesia.data.sample_split import SampleSplit
    from samnesia.models.weights import load_weights
    from samnesia.perturb.errors import ConfigurationError
    from samnesia.train.log import read_config

    run = Path(run)
    config = read_config(run)
    problem = config.data.load(config.seed)
    split = problem.train
    if not isinstance(split, SampleSplit):
        raise ConfigurationError(
            f"cannot write predictions for {run}, because only images take labels from a file; use a run on images"
        )
    net = config.network(problem.shape, problem.num_outputs)
    load_weights(net, run)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    net.to(device).eval()
    predicted = []
    with torch.inference_mode():
        for first in range(0, len(split), batch_size):
            inputs, _ = split.batch(range(first, min(first + batch_size, len(split))))
            predicted.append(net(inputs.to(device)).argmax(dim=1).cpu())
    labels = torch.cat(predicted).numpy()
    if len(labels) < len(split):
        raise ConfigurationError(
            f"cannot write predictions for {run}, because {len(split) - len(labels)} of its training images are "
            "damaged; mend them"
        )
    out = run / "predicted.npy"
    write_labels(str(out), split, labels)
    return out
