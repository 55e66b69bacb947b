"""A sample is the same in every batch, process and order; damaged ones are named."""

import pickle
import random
import warnings

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from samnesia.perturb.errors import ConfigurationError, DamagedSampleWarning
from samnesia.train.parts.data import Folder, Images, PadCropFlip, Plain, RandomResizedCropFlip, Shards
from tests.data.image_files import encoded, folders, samples, shard

AUGMENTATIONS = {
    "pad-crop-flip": PadCropFlip(),
    "cifar-autoaugment": PadCropFlip(cutout=8, cutout_probability=0.5, autoaugment=True),
    "resized-crop": RandomResizedCropFlip(),
    "autoaugment": RandomResizedCropFlip(autoaugment="original", erasing=0.5),
    "randaugment": RandomResizedCropFlip(scale=(0.05, 1.0), autoaugment="rand-m9-mstd0.5-inc1"),
    "colours": RandomResizedCropFlip(color_jitter=0.4),
}


class Batches(Dataset):
    """As a loop loads: batches of training samples, in epoch 3."""

    def __init__(self, split):
        self.split = split

    def __len__(self):
        return len(self.split)

    def __getitems__(self, indices):
        return self.split.batch(indices, 3)


def as_it_is(batch):
    return batch


def loaded(split, batches, workers, context=None):
    loader = DataLoader(
        Batches(split),
        batch_sampler=batches,
        num_workers=workers,
        collate_fn=as_it_is,
        multiprocessing_context=context,
        generator=torch.Generator(),
    )
    return [(x.clone(), y.clone()) for x, y in loader]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return str(folders(tmp_path_factory.mktemp("images")))


def train_split(root, augmentation=None, seed=0, **options):
    return Images(Folder(root), image_size=24, augmentation=augmentation or PadCropFlip(), **options).load(seed).train


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_a_sample_is_the_same_in_any_batch_and_order(root, name):
    split = train_split(root, AUGMENTATIONS[name])
    whole, labels = split.batch(range(12), 3)
    assert whole.dtype == torch.float32 and labels.dtype == torch.int64
    assert whole.shape == (12, 3, 24, 24)
    some = [11, 0, 4, 4]
    torch.manual_seed(99), random.seed(99), np.random.seed(99)
    inputs, targets = pickle.loads(pickle.dumps(split)).batch(some, 3)
    assert torch.equal(inputs, whole[some])
    assert torch.equal(targets, labels[some])


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_seed_epoch_and_index_decide(root, name):
    split = train_split(root, AUGMENTATIONS[name])
    first = split.batch(range(12), 0)[0]
    others = [
        split.batch(range(12), 1)[0],
        train_split(root, AUGMENTATIONS[name], seed=1).batch(range(12), 0)[0],
        split.batch(range(12))[0],
    ]
    for other in others:
        changed = (first != other).flatten(1).any(dim=1)
        assert changed.sum() >= 9  # by chance, some are drawn alike


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_samples_of_an_epoch_are_drawn_each_for_itself(tmp_path, name):
    root = folders(tmp_path, each=4)
    for file in root.rglob("*.jpg"):
        file.write_bytes(encoded(0))  # all alike, so that only the draws tell them apart
    inputs = train_split(str(root), AUGMENTATIONS[name]).batch(range(12), 0)[0]
    assert len(inputs.unique(dim=0)) >= 6


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_the_generators_of_the_process_are_left_alone(root, name):
    split = train_split(root, AUGMENTATIONS[name])

    def states():
        return random.getstate(), pickle.dumps(np.random.get_state()), torch.get_rng_state().tolist()

    before = states()
    split.batch([0, 1, 2], 0)
    split.batch([0, 1, 2])
    assert states() == before


@pytest.mark.parametrize(
    ("workers", "context"), [(0, None), (1, "fork"), (2, "fork"), pytest.param(1, "spawn", marks=pytest.mark.slow)]
)
def test_worker_processes_make_the_same_samples(root, workers, context):
    split = train_split(root, AUGMENTATIONS["cifar-autoaugment"])
    batches = [[3, 1, 4], [5, 9], [2, 6], [8]]
    whole, labels = split.batch(range(12), 3)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*fork", DeprecationWarning)
        found = loaded(split, batches, workers, context)
    for (inputs, targets), batch in zip(found, batches, strict=True):
        assert torch.equal(inputs, whole[batch])
        assert torch.equal(targets, labels[batch])


def test_evaluation_sees_every_image_without_augmentation(root):
    plain, augmented = train_split(root, Plain()), train_split(root, AUGMENTATIONS["randaugment"])
    assert torch.equal(plain.batch(range(12))[0], augmented.batch(range(12))[0])
    assert torch.equal(plain.batch(range(12), 5)[0], plain.batch(range(12))[0])


def test_what_is_sent_to_a_worker_is_small(root):
    """Names in one block: a million of them must not be a million objects in every worker process."""
    files = train_split(root).samples
    names = vars(files)["_files"]
    assert [names[index] for index in range(len(names))] == [files.name(index) for index in range(len(files))]
    assert len(pickle.dumps(files)) < sum(len(name) + 16 for name in names) + 1000


@pytest.fixture
def damaged(tmp_path):
    """Images of which number 5 is truncated, 6 is no image, and 7 is empty."""
    root = folders(tmp_path)
    file = root / "train" / "bee" / "1.jpg"
    file.write_bytes(file.read_bytes()[:-40])
    (root / "train" / "bee" / "2.jpg").write_bytes(b"no image")
    (root / "train" / "bee" / "3.jpg").write_bytes(b"")
    return str(root)


@pytest.mark.parametrize(
    ("index", "reason"), [(5, "truncated"), (6, "cannot identify image file$|cannot identify"), (7, "it is empty")]
)
def test_a_damaged_image_stops_with_its_name(damaged, index, reason):
    split = train_split(damaged)
    with pytest.raises(
        ConfigurationError, match=rf"bee/{index - 4}.jpg.*sample {index}\) is damaged: .*{reason}"
    ) as caught:
        split.batch([0, index], 0)
    assert "\n" not in str(caught.value) and "0x" not in str(caught.value)


def test_a_damaged_image_is_left_out_and_warned_of_once(damaged):
    split = train_split(damaged, damaged="skip")
    with pytest.warns(DamagedSampleWarning, match=r"bee/1.jpg \(sample 5\) is left out") as seen:
        inputs, labels = split.batch([4, 5, 8], 0)
    assert len(seen) == 1
    assert labels.tolist() == [1, 2]
    assert split.damaged == {5}
    assert torch.equal(inputs, train_split(damaged).batch([4, 8], 0)[0])
    assert len(split.batch([5, 4])[0]) == 1  # no second warning: it would be an error here
    with pytest.warns(DamagedSampleWarning, match="bee/3.jpg"):
        inputs, labels = split.batch([7], 0)
    assert inputs.shape == (0, 3, 24, 24) and labels.shape == (0,) and labels.dtype == torch.int64


def test_one_process_warns_for_all(damaged):
    split = train_split(damaged, damaged="skip")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the worker's warnings; its filters are those of the process it came from
        found = loaded(split, [[4, 5], [6, 7, 8]], 1, "fork")
    assert [labels.tolist() for _, labels in found] == [[1], [2]]
    assert split.damaged == set()
    assert len(split.batch(range(12), 3)[0]) == 9  # what the worker warned of is not warned of again
    assert split.damaged == {5, 6, 7}


def test_a_file_that_went_away_stops_even_where_damage_is_skipped(damaged):
    split = train_split(damaged, damaged="skip")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pathlib.Path.read_bytes", lambda _: (_ for _ in ()).throw(OSError(5, "Input/output error")))
        with pytest.raises(ConfigurationError, match=r"ant/1.jpg, because it cannot be read \(Input/output error\)"):
            split.batch([1], 0)


def test_a_damaged_member_of_a_shard_is_named(tmp_path):
    content = dict(samples(range(4)))
    content["000002.jpg"] = content["000002.jpg"][:-30]
    source = Shards(str(shard(tmp_path / "a.tar", content.items())))
    with pytest.raises(ConfigurationError, match=r"a.tar:000002.jpg, because the image \(sample 2\) is damaged"):
        Images(source, image_size=24).load(0).train.batch([2])
    skipping = Images(source, image_size=24, damaged="skip").load(0).train
    with pytest.warns(DamagedSampleWarning, match="a.tar:000002.jpg"):
        assert skipping.batch(range(4), 0)[1].tolist() == [0, 1, 0]


def test_a_truncated_image_is_found_wherever_it_ends(tmp_path):
    root = folders(tmp_path, each=1)
    file, whole = root / "train" / "bee" / "0.jpg", encoded(1)
    split = train_split(str(root))
    for length in range(0, len(whole) - 2, max(1, len(whole) // 40)):
        file.write_bytes(whole[:length])
        with pytest.raises(ConfigurationError, match="bee/0.jpg.* is damaged"):
            split.batch([1])
