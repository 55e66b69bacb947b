"""SAM in a script of timm's kind: an image folder, mixup with soft targets, bfloat16, EMA of the weights, a schedule.

Two lines differ from the script without SAM; both are marked. The batch is mixed before the passes, which all see it.

    python examples/timm_script.py [--data FOLDER] [--model NAME] [--epochs N] [--rho 0.05] [--device cuda]

Without `--data` a folder of the 8 x 8 digits that come with scikit-learn is made, as PNG files of 32 pixels.
"""

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

import timm
import torch
from PIL import Image
from sklearn.datasets import load_digits
from timm.data import Mixup, create_dataset, create_loader
from timm.loss import SoftTargetCrossEntropy
from timm.optim import create_optimizer_v2
from timm.scheduler import create_scheduler_v2
from timm.utils import AverageMeter, ModelEmaV3, accuracy

import samnesia


def make_folder(root, classes=4, training=60, validation=20):
    """root/{train,validation}/CLASS/NUMBER.png"""
    images, labels = load_digits(return_X_y=True)
    for label in range(classes):
        for number, pixels in enumerate(images[labels == label][: training + validation]):
            folder = root / ("train" if number < training else "validation") / str(label)
            folder.mkdir(parents=True, exist_ok=True)
            image = Image.fromarray((pixels.reshape(8, 8) * 15).astype("uint8"))
            image.resize((32, 32), Image.Resampling.BICUBIC).convert("RGB").save(folder / f"{number}.png")


def loader(root, split, arguments):
    return create_loader(
        create_dataset("", root, split=split),
        input_size=(3, arguments.size, arguments.size),
        batch_size=arguments.batch_size,
        is_training=split == "train",
        scale=(0.6, 1.0),
        hflip=0.0,
        color_jitter=0.0,
        crop_pct=1.0,
        num_workers=arguments.workers,
        use_prefetcher=False,
        persistent_workers=arguments.workers > 0,
    )


def train(arguments, root):
    torch.manual_seed(arguments.seed)
    device = torch.device(arguments.device)
    training, validation = (loader(root, split, arguments) for split in ("train", "validation"))
    num_classes = len(list(Path(root, "train").iterdir()))
    model = timm.create_model(arguments.model, num_classes=num_classes).to(device)
    optimizer = create_optimizer_v2(model, opt="sgd", lr=arguments.lr, weight_decay=1e-4, momentum=0.9)
    sam = samnesia.sam(model, optimizer, rho=arguments.rho)  # changed: SAM around timm's optimizer
    scheduler, epochs = create_scheduler_v2(optimizer, "cosine", num_epochs=arguments.epochs, warmup_epochs=1)
    mixup = Mixup(mixup_alpha=0.1, cutmix_alpha=0.0, label_smoothing=0.1, num_classes=num_classes)
    ema = ModelEmaV3(model, decay=0.9)
    criterion = SoftTargetCrossEntropy()

    for epoch in range(epochs):
        model.train()
        losses = AverageMeter()
        for inputs, targets in training:
            inputs, targets = mixup(inputs.to(device), targets.to(device))
            for p in sam.passes():  # changed: forward and backward in a loop
                with torch.autocast(device.type, torch.bfloat16):
                    loss = criterion(model(inputs), targets)
                loss.backward()
                if p.index == 0:
                    losses.update(loss.item(), len(inputs))
            torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
            optimizer.zero_grad()
            ema.update(model)
        scheduler.step(epoch + 1)
        top1 = evaluate(ema.module, validation, device)
        print(f"epoch {epoch}: training loss {losses.avg:.3f}, validation accuracy of the EMA {top1:.1f} %")
    return model


@torch.no_grad()
def evaluate(model, batches, device):
    model.eval()
    correct = AverageMeter()
    for inputs, targets in batches:
        with torch.autocast(device.type, torch.bfloat16):
            outputs = model(inputs.to(device))
        correct.update(accuracy(outputs, targets.to(device))[0].item(), len(inputs))
    return correct.avg


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="folder with train/CLASS and validation/CLASS; default: digits made on the spot")
    parser.add_argument("--model", default="test_resnet")
    parser.add_argument("--size", type=int, default=32, help="pixels")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--batch-size", type=int, default=24)
    parser.add_argument("--lr", type=float, default=0.05)
    parser.add_argument("--rho", type=float, default=0.05)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with TemporaryDirectory() as made:
        if arguments.data is None:
            make_folder(Path(made))
        train(arguments, arguments.data or made)


if __name__ == "__main__":
    main()
