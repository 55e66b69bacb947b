"""Small data sets in the formats in which the real ones lie on disk."""

import hashlib
import io
import json
import pickle
import tarfile

import numpy as np
import torchvision
from PIL import Image
from scipy.io import savemat


def photograph(number, height=30, width=40):
    """A smooth image, different for each number: what JPEG keeps."""
    rng = np.random.default_rng(number)
    coarse = Image.fromarray(rng.integers(0, 256, (4, 5, 3), dtype=np.uint8))
    return coarse.resize((width, height), Image.Resampling.BICUBIC)


def encoded(number, kind="jpeg", **size):
    stream = io.BytesIO()
    photograph(number, **size).save(stream, kind)
    return stream.getvalue()


def jpeg(path, number, **size):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(number, **size))


def folders(root, splits=("train", "val"), classes=("ant", "bee", "cat"), each=4, **size):
    """A folder per split and class, with `each` JPEG files; returns the root."""
    number = 0
    for split in splits:
        for name in classes:
            for index in range(each):
                jpeg(root / split / name / f"{index}.jpg", number, **size)
                number += 1
    return root


def shard(path, members, format=tarfile.PAX_FORMAT):
    """A tar file of (name, bytes)."""
    with tarfile.open(path, "w", format=format) as tar:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def samples(numbers, classes=3):
    """The members of WebDataset samples."""
    for number in numbers:
        yield f"{number:06}.jpg", encoded(number)
        yield f"{number:06}.cls", str(number % classes).encode()


def cifar(root, classes, monkeypatch, per_batch=6):
    """CIFAR's python batches with fewer images. torchvision checks against the sums of these files from here on."""
    kind = {10: torchvision.datasets.CIFAR10, 100: torchvision.datasets.CIFAR100}[classes]
    labels = {10: "labels", 100: "fine_labels"}[classes]
    folder = root / kind.base_folder
    folder.mkdir(parents=True)
    rng = np.random.default_rng(classes)
    content = {}
    for name, _ in kind.train_list + kind.test_list:
        content[name] = {
            "data": rng.integers(0, 256, (per_batch, 3072), dtype=np.uint8),
            labels: rng.integers(0, classes, per_batch).tolist(),
        }
    content[kind.meta["filename"]] = {kind.meta["key"]: [f"class {number}" for number in range(classes)]}
    sums = {}
    for name, batch in content.items():
        written = pickle.dumps(batch, protocol=2)
        (folder / name).write_bytes(written)
        sums[name] = hashlib.md5(written, usedforsecurity=False).hexdigest()
    monkeypatch.setattr(kind, "train_list", [[name, sums[name]] for name, _ in kind.train_list])
    monkeypatch.setattr(kind, "test_list", [[name, sums[name]] for name, _ in kind.test_list])
    monkeypatch.setattr(kind, "meta", {**kind.meta, "md5": sums[kind.meta["filename"]]})
    return content


def aircraft(root):
    """FGVC-Aircraft: lists of images and variants; 3 classes, 4 images in each of train, val and test."""
    data = root / "fgvc-aircraft-2013b" / "data"
    names = ["707-320", "Boeing 717", "Cessna 172"]
    for first, split in ((0, "train"), (4, "val"), (8, "test")):
        for number in range(first, first + 4):
            jpeg(data / "images" / f"{number:07}.jpg", number)
        rows = [f"{number:07} {names[number % 3]}" for number in range(first, first + 4)]
        (data / f"images_variant_{split}.txt").write_text("\n".join(rows) + "\n")
    (data / "variants.txt").write_text("\n".join(names) + "\n")


def flowers(root, monkeypatch):
    """Oxford Flowers: MATLAB files of labels from 1, and of the numbers in each split."""
    folder = root / "flowers-102"
    for number in range(1, 10):
        jpeg(folder / "jpg" / f"image_{number:05}.jpg", number)
    savemat(folder / "imagelabels.mat", {"labels": np.array([[102, 1, 2] * 3])})
    savemat(folder / "setid.mat", {"trnid": [[1, 4, 7]], "valid": [[2, 5, 8]], "tstid": [[3, 6, 9]]})
    files = dict(torchvision.datasets.Flowers102._file_dict)
    for key in ("label", "setid"):
        name = files[key][0]
        files[key] = name, hashlib.md5((folder / name).read_bytes(), usedforsecurity=False).hexdigest()
    monkeypatch.setattr(torchvision.datasets.Flowers102, "_file_dict", files)


def pets(root):
    """Oxford-IIIT Pets: a list of image, class, species and breed for each split."""
    folder = root / "oxford-iiit-pet"
    (folder / "annotations").mkdir(parents=True)
    for first, split in ((0, "trainval"), (6, "test")):
        rows = []
        for number in range(first, first + 6):
            name = f"breed_{number % 3}_{number}"
            jpeg(folder / "images" / f"{name}.jpg", number)
            rows.append(f"{name} {number % 3 + 1} 1 1")
        (folder / "annotations" / f"{split}.txt").write_text("\n".join(rows) + "\n")


def cars(root):
    """Stanford Cars: MATLAB structures of file name and class from 1."""
    folder = root / "stanford_cars"
    (folder / "devkit").mkdir(parents=True)
    for split, place in (("train", "devkit/cars_train_annos.mat"), ("test", "cars_test_annos_withlabels.mat")):
        rows = np.zeros(4, dtype=[("fname", "O"), ("class", "O")])
        for number in range(4):
            rows[number] = f"{number:05}.jpg", number % 2 + 1
            jpeg(folder / f"cars_{split}" / f"{number:05}.jpg", number)
        savemat(folder / place, {"annotations": rows})
    savemat(folder / "devkit" / "cars_meta.mat", {"class_names": np.array(["Audi", "BMW"], dtype=object)})


def food(root):
    """Food-101: JSON lists of images by class."""
    folder = root / "food-101"
    (folder / "meta").mkdir(parents=True)
    for split, first in (("train", 0), ("test", 4)):
        lists = {name: [f"{name}/{first + number}" for number in range(3)] for name in ("pie", "soup")}
        (folder / "meta" / f"{split}.json").write_text(json.dumps(lists))
        for number, name in enumerate(sum(lists.values(), [])):
            jpeg(folder / "images" / f"{name}.jpg", number)
