"""What every recipe must say: transcribed by hand from the papers' facts (methods.md), never from the recipes.

Each block says where its values come from: SAID in methods.md (section in the comment), READ in the authors' released
code beyond what methods.md holds, or CHOSEN by us because neither says. A field that no block of a row names must be at
its part's default, so that nothing is changed in silence. docs/recipes.md explains the choices.
"""

from itertools import product

from samnesia.train.recipes.transfer import PRETRAINED_ON, TUNED_ON  # lists of names

Row = dict[str, object]
TABLE: dict[str, Row] = {}


def row(name: str, *blocks: Row) -> None:
    """Later blocks win; a value None stands for the absence of the thing."""
    assert name not in TABLE, name
    TABLE[name] = {"recipe": name} | {key: value for block in blocks for key, value in block.items()}


# what the words of the papers mean -----------------------------------------------------------------------------------

SGD = {"optimizer.kind": "SGD", "optimizer.momentum": 0.9, "optimizer.nesterov": False, "optimizer.decoupled": False,
       "optimizer.decayed": "all"}  # fmt: skip
CE = {"loss.kind": "CrossEntropy", "loss.smoothing": 0.0}
BCE = {"loss.kind": "BinaryCrossEntropy", "loss.smoothing": 0.0}
COSINE = {"schedule.kind": "Cosine", "schedule.warmup_epochs": 0.0, "schedule.final": 0.0}
NONE = {"method.kind": "Unperturbed"}
ALWAYS = {"when.start_epoch": 0.0, "when.stop_epoch": None, "when.interval_steps": 1, "when.fresh_state": False}
UNCLIPPED = {"clip_norm": None}
WHOLE_BATCH = {"micro_batch": None, "device_batch": None}


def sam(rho: float, rho_min: float | None = None) -> Row:
    return {"method.kind": "SAM", "method.rho": rho, "method.rho_min": rho_min}


def kwon(rho: float, eta: float, scaled: str = "weight") -> Row:
    """§2: T = |w| + eta element-wise on parameters named weight, 1 elsewhere; squared convention: all, no eta."""
    return {"method.kind": "ASAM", "method.rho": rho, "method.rho_min": None, "method.eta": eta,
            "method.scaling": "element", "method.scaled": scaled, "method.objective": None}  # fmt: skip


def cifar(classes: int, fill: str, **augmentation: object) -> Row:
    mean = {10: [0.4914, 0.4822, 0.4465], 100: [0.5071, 0.4865, 0.4409]}[classes]
    std = {10: [0.2470, 0.2435, 0.2616], 100: [0.2673, 0.2564, 0.2762]}[classes]
    return {
        "data.kind": "Images", "data.source.kind": "Torchvision", "data.source.name": f"CIFAR{classes}",
        "data.source.root": "data/cifar", "data.num_classes": classes, "data.image_size": 32,
        "data.augmentation.kind": "PadCropFlip", "data.augmentation.padding": 4, "data.augmentation.fill": fill,
        "data.mean": mean, "data.std": std,
    } | {f"data.augmentation.{key}": value for key, value in augmentation.items()}  # fmt: skip


def crops(smallest: float) -> Row:
    return {"data.augmentation.kind": "RandomResizedCropFlip", "data.augmentation.scale": [smallest, 1.0]}


IMAGENET = {"data.kind": "Images", "data.source.kind": "Folder", "data.source.root": "data/imagenet",
            "data.num_classes": 1000, "data.image_size": 224}  # fmt: skip


# our own problems, whose radii are those of benchmarks/results/radii.json (another test) ----------------------------

DIGITS = SGD | CE | COSINE | UNCLIPPED | {
    "data.kind": "Digits", "model.kind": "CNN", "model.channels": [16, 32], "model.hidden": 128,
    "optimizer.lr": 0.05, "optimizer.weight_decay": 5e-4, "schedule.warmup_epochs": 2.0,
    "when.start_epoch": 4.0, "epochs": 80, "batch_size": 80, "micro_batch": None, "device_batch": None,
    "checkpoints.every_epochs": 20,
}  # fmt: skip
DIGITS_RADII = {
    "digits": {"sam": sam(0.2), "asam": kwon(1.5, 0.01), "obf": {"method.kind": "OBF", "method.rho": 0.1},
               "gsam": {"method.kind": "GSAM", "method.rho": 0.3, "method.alpha": 0.2},
               "random": {"method.kind": "Random", "method.rho": 0.2}, "sgd": NONE},
    "digits-noisy": {"sam": sam(0.4), "asam": kwon(2.0, 0.01), "obf": {"method.kind": "OBF", "method.rho": 0.7},
                     "gsam": {"method.kind": "GSAM", "method.rho": 0.3, "method.alpha": 0.2},
                     "random": {"method.kind": "Random", "method.rho": 0.05}, "sgd": NONE},
}  # fmt: skip
for problem, methods in DIGITS_RADII.items():
    for ending, method in methods.items():
        row(f"{problem}-{ending}", DIGITS, {"data.flipped": 0.4 if problem == "digits-noisy" else 0.0}, method)

# the whole family on digits-noisy; CHOSEN: benchmarks/results/radii_family.json (another test), and what is
# not there SAM's radius or what corresponds to it
FAMILY = {
    "sam-steps": {"kind": "SAM", "rho": 0.4, "steps": 2},
    "layer-sam": {"kind": "LayerSAM", "rho": 0.025},
    "asam-after": {"kind": "ASAMAfterNorm", "rho": 6.0},
    "asam-before": {"kind": "ASAMBeforeNorm", "rho": 0.4},
    "obf-steps": {"kind": "OBF", "rho": 0.7, "steps": 2},
    "sam-interval": {"kind": "IntervalSAM", "rho": 0.4, "k": 5},
    "sam-late": {"kind": "LateSAM", "rho": 0.4},
    "looksam": {"kind": "LookSAM", "rho": 0.4},
    "ae-sam": {"kind": "AESAM", "rho": 0.4},
    "esam": {"kind": "ESAM", "rho": 0.4},
    "momentum-sam": {"kind": "MomentumSAM", "rho": 3.0},
    "mesa": {"kind": "MESA", "weight": 0.8},
    "saf": {"kind": "SAF", "weight": 0.3},
    "lookbehind": {"kind": "Lookbehind", "rho": 0.2},
    "lookbehind-asam": {"kind": "LookbehindASAM", "rho": 0.5},
    "friendly-sam": {"kind": "FriendlySAM", "rho": 0.4},
    "vasso": {"kind": "VaSSO", "rho": 0.4},
    "fisher-sam": {"kind": "FisherSAM", "rho": 0.04},
    "sparse-sam": {"kind": "SparseSAM", "rho": 0.4},
    "sam-on": {"kind": "SAMON", "rho": 2.0},
    "rwp": {"kind": "RWP", "rho": 0.3},
    "filter-sam": {"kind": "FilterSAM", "rho": 0.05},
    "linf-sam": {"kind": "LinfSAM", "rho": 0.003},
    "gcsam": {"kind": "GCSAM", "rho": 0.4},
    "zsharp": {"kind": "ZSharp", "rho": 0.4},
    "le-sam": {"kind": "LESAM", "rho": 0.4},
    "wsam": {"kind": "WSAM", "rho": 0.2},
    "stable-sam": {"kind": "StableSAM", "rho": 0.4},
    "functional-sam": {"kind": "FunctionalSAM", "rho": 0.4},
    "penalty": {"kind": "GradientNormPenalty", "rho": 0.4},
    "imbsam": {"kind": "ImbSAM", "rho": 0.4},
    "focal-sam": {"kind": "FocalSAM", "rho": 0.4},
    "lookahead": {"kind": "Lookahead", "alpha": 0.5},
    "shrink": {"kind": "ShrinkAndPerturb", "share": 1e-05},
}
BASELINES = {
    "ema": {"average.kind": "EMA", "average.decay": 0.998},
    "swa": {"average.kind": "SWA", "average.start_epoch": 40.0},
    "smoothing": {"loss.smoothing": 0.2},
}
for ending, fields in FAMILY.items():
    method = {f"method.{key}": value for key, value in fields.items()}
    row(f"digits-noisy-{ending}", DIGITS, {"data.flipped": 0.4}, method)
for ending, fields in BASELINES.items():
    row(f"digits-noisy-{ending}", DIGITS, {"data.flipped": 0.4}, NONE, fields)

# CHOSEN: learning rate and weight decay by SGD alone, benchmarks/results/problems.json (another test)
OURS = SGD | CE | COSINE | UNCLIPPED | WHOLE_BATCH | {
    "schedule.warmup_epochs": 2.0, "when.start_epoch": 4.0, "checkpoints.every_epochs": 20,
}  # fmt: skip
OUR_PROBLEMS = {
    "digits-few": {"data.kind": "Digits", "data.train": 400, "model.kind": "MLP", "model.hidden": [64, 64],
                   "model.norm": False, "optimizer.lr": 0.1, "optimizer.weight_decay": 2e-3, "epochs": 60,
                   "batch_size": 40},
    "digits-shortcut": {"data.kind": "Digits", "data.marks": 0.95, "model.kind": "MLP", "model.hidden": [64, 64],
                        "optimizer.lr": 0.3, "optimizer.weight_decay": 5e-4, "epochs": 40, "batch_size": 80},
    "photographs": {"data.kind": "Photographs", "model.kind": "CNN", "model.channels": [16, 32], "model.hidden": 64,
                    "optimizer.lr": 0.03, "optimizer.weight_decay": 2e-3, "epochs": 15, "batch_size": 64},
    "wine": {"data.kind": "Table", "model.kind": "MLP", "model.hidden": [64, 64], "optimizer.lr": 0.003,
             "optimizer.weight_decay": 0.01, "epochs": 100, "batch_size": 16, "checkpoints.every_epochs": 50},
}  # fmt: skip
OUR_RADII = {
    "digits-few": {"sam": sam(0.2), "asam": kwon(0.1, 0.01), "obf": {"method.kind": "OBF", "method.rho": 0.05},
                   "gsam": {"method.kind": "GSAM", "method.rho": 0.2, "method.alpha": 0.1},
                   "random": {"method.kind": "Random", "method.rho": 2.0}, "sgd": NONE},
    "digits-shortcut": {"sam": sam(0.05), "asam": kwon(0.25, 0.01), "obf": {"method.kind": "OBF", "method.rho": 0.4},
                        "gsam": {"method.kind": "GSAM", "method.rho": 0.05, "method.alpha": 0.1},
                        "random": {"method.kind": "Random", "method.rho": 4.0}, "sgd": NONE},
    "photographs": {"sam": sam(0.002), "asam": kwon(0.01, 0.01), "obf": {"method.kind": "OBF", "method.rho": 0.002},
                    "gsam": {"method.kind": "GSAM", "method.rho": 0.005, "method.alpha": 0.3},
                    "random": {"method.kind": "Random", "method.rho": 1.0}, "sgd": NONE},
    "wine": {"sam": sam(0.0005), "asam": kwon(0.01, 0.01), "obf": {"method.kind": "OBF", "method.rho": 0.02},
             "gsam": {"method.kind": "GSAM", "method.rho": 0.001, "method.alpha": 0.3},
             "random": {"method.kind": "Random", "method.rho": 0.2}, "sgd": NONE},
}  # fmt: skip
for problem, methods in OUR_RADII.items():
    for ending, method in methods.items():
        row(f"{problem}-{ending}", OURS, OUR_PROBLEMS[problem], method)

# CHOSEN: learning rates by the base optimizer alone, benchmarks/results/transfer_settings.json (another test)
TRANSFER = CE | COSINE | UNCLIPPED | WHOLE_BATCH | {
    "checkpoints.every_epochs": None, "checkpoints.last": 1, "checkpoints.best": False,
}  # fmt: skip
SMALL_NET = SGD | {"model.kind": "CNN", "model.channels": [16, 32], "model.hidden": 64, "schedule.warmup_epochs": 2.0}
FROM_TEXT = {
    "optimizer.kind": "AdamW", "optimizer.weight_decay": 0.05, "optimizer.decayed": "matrices",
    "data.kind": "Text", "model.kind": "Transformer",
}  # fmt: skip
TRANSFERRED = {
    "transfer-low": SMALL_NET | {
        "data.kind": "Digits", "data.classes": [0, 1, 2, 3, 4], "data.train": 500, "optimizer.lr": 0.03,
        "optimizer.weight_decay": 5e-4, "when.start_epoch": 2.0, "epochs": 12, "batch_size": 50},
    "transfer-high": SMALL_NET | {
        "data.kind": "Digits", "data.classes": [5, 6, 7, 8, 9], "data.train": 50, "optimizer.lr": 0.03,
        "optimizer.weight_decay": 0.0, "epochs": 30, "batch_size": 10,
        "model.weights": "runs/transfer-low-sgd", "model.new_head": True},
    "transfer-patches": SMALL_NET | {
        "data.kind": "Photographs", "data.side": 8, "optimizer.lr": 0.1, "optimizer.weight_decay": 5e-4,
        "when.start_epoch": 2.0, "epochs": 12, "batch_size": 64},
    "transfer-digits": SMALL_NET | {
        "data.kind": "Digits", "data.train": 100, "optimizer.lr": 0.1, "optimizer.weight_decay": 0.0, "epochs": 30,
        "batch_size": 20, "model.weights": "runs/transfer-patches-sgd", "model.new_head": True},
    "text-modules": FROM_TEXT | {
        "data.modules": list(PRETRAINED_ON), "data.per_region": 8, "optimizer.lr": 0.01, "schedule.warmup_epochs": 0.5,
        "epochs": 4, "batch_size": 64},
    "text-few": FROM_TEXT | {
        "data.modules": list(TUNED_ON), "data.labelled": 8, "optimizer.lr": 0.01, "schedule.warmup_epochs": 2.0,
        "epochs": 24, "batch_size": 16, "model.weights": "runs/text-modules-adamw", "model.new_head": True},
}  # fmt: skip
TRANSFER_RADII = {  # sam, asam, gsam, obf
    "transfer-low": (0.02, 1.0, 0.02, 0.05),
    "transfer-high": (0.02, 0.25, 0.02, 0.1),
    "transfer-patches": (0.05, 0.5, 0.05, 0.05),
    "transfer-digits": (0.2, 0.5, 0.2, 0.05),
    "text-few": (0.2, 0.5, 0.2, 0.05),
}
for task, fields in TRANSFERRED.items():
    row(f"{task}-{'adamw' if task.startswith('text') else 'sgd'}", TRANSFER, fields, NONE)
for task, (of_sam, of_asam, of_gsam, of_obf) in TRANSFER_RADII.items():
    row(f"{task}-sam", TRANSFER, TRANSFERRED[task], sam(of_sam))
    row(f"{task}-asam", TRANSFER, TRANSFERRED[task], kwon(of_asam, 0.01))
    row(f"{task}-gsam", TRANSFER, TRANSFERRED[task],
        {"method.kind": "GSAM", "method.rho": of_gsam, "method.alpha": 0.2})  # fmt: skip
    row(f"{task}-obf", TRANSFER, TRANSFERRED[task], {"method.kind": "OBF", "method.rho": of_obf})


# Vani et al. ---------------------------------------------------------------------------------------------------------

# SAID, §4.4: all scripts m = 64; global batch 4096; local 512 (ViT), 256 (ResNet)
VANI = {"batch_size": 4096, "micro_batch": 64}
# SAID, §4.5
VANI_VIT = VANI | BCE | ALWAYS | IMAGENET | crops(0.05) | {
    "device_batch": 512, "epochs": 300,
    "schedule.kind": "Linear", "schedule.warmup_epochs": 32.0, "schedule.final": 0.01,  # 3e-3 -> 3e-5 linear
    "optimizer.kind": "AdamW", "optimizer.lr": 3e-3, "optimizer.weight_decay": 0.3, "optimizer.decayed": "matrices",
    "clip_norm": 1.0,
    "model.kind": "Timm", "model.class_token": False, "model.pooling": "avg",
    "model.head_zero": True, "model.head_bias": -10.0,
    "data.crop_pct": 0.875, "data.interpolation": "bilinear",
}  # fmt: skip
VANI_RESNET = VANI | CE | SGD | ALWAYS | IMAGENET | crops(0.05) | UNCLIPPED | {
    "device_batch": 256, "epochs": 90,
    "schedule.kind": "Linear", "schedule.warmup_epochs": 16.0, "schedule.final": 0.01,  # 1.6 -> .016 linear
    "optimizer.lr": 1.6, "optimizer.weight_decay": 0.001, "optimizer.decoupled": True, "optimizer.decayed": "matrices",
    "model.kind": "Timm", "data.crop_pct": 0.875, "data.interpolation": "bilinear",
}  # fmt: skip
VANI_BASE = {
    "vit-s32": ("adamw", VANI_VIT | {"model.name": "vit_small_patch32_224"}),
    "vit-s16": ("adamw", VANI_VIT | {"model.name": "vit_small_patch16_224"}),
    "resnet-50": ("sgd", VANI_RESNET | {"model.name": "resnet50"}),
    "resnet-101": ("sgd", VANI_RESNET | {"model.name": "resnet101"}),
}

# SAID, §4.6, the table as it stands there; "prop .04->.02" falls with the learning rate, C 1000 is chance
VANI_RUNS = """
run                | vit-s32                         | resnet-50                         | vit-s16                         | resnet-101
sam                | prop .6->0                      | prop .04->.02                     | constant .6                     | prop .04->.02
obf                | constant .6, gamma 1            | constant .04, gamma 1e-12         | constant .6, gamma 1            | constant .04, gamma 1e-12
random             | constant .6                     | constant .04                      | -                               | -
gsam               | alpha .4, raw, prop             | alpha .01, normalized, prop       | alpha 1.0, raw, prop            | alpha .01, normalized, prop
gsam-obf           | alpha .4, normalized, constant, gamma 1 | alpha .01, raw, constant, gamma 1e-12 | alpha .4, normalized, constant, gamma 1 | alpha .01, raw, constant, gamma 1e-12
asam               | after, constant 6.0             | before, prop .8->.4               | -                               | -
asam-obf           | after, constant 6.0, gamma 1e-12 | before, constant .8, gamma 1e-12 | -                               | -
"""  # noqa: E501
VANI_RADII = {"vit": ".6->0", "resnet": ".04->.02"}  # SAID, §4.5, last line: rho max/min


def radius(words: str, net: str) -> Row:
    """``constant .6``, ``prop .6->0``; without numbers, those of the net's base settings."""
    policy, _, numbers = words.partition(" ")
    highest, _, lowest = (numbers or VANI_RADII[net.split("-")[0]]).partition("->")
    return {"method.rho": float(highest), "method.rho_min": float(lowest) if policy == "prop" else None}


def vani_run(run: str, net: str, cell: str) -> tuple[str, Row]:
    """The ending of the name and the fields of the method, of one cell of the table."""
    words = [word.strip() for word in cell.split(",")]
    policy = next(word for word in words if word.startswith(("constant", "prop")))
    told = dict(word.split() for word in words if word.startswith(("alpha", "gamma")))
    fields = radius(policy, net)
    # SAID, §4.3: "p is sigmoid by default and the training script never passes anything else"; lambda = 1/C: chance
    forgetting = {"threshold": None, "gamma": float(told.get("gamma", 0)), "link": "sigmoid"}
    if run in ("sam", "random"):
        fields["method.kind"] = {"sam": "SAM", "random": "Random"}[run]
        # SAID, §4.4: first pass is forward only (for BN)
        return run, fields | ({"method.clean_statistics": True} if run == "random" else {})
    if run == "obf":
        return run, fields | {"method.kind": "OBF"} | {f"method.{key}": value for key, value in forgetting.items()}
    if run.endswith("-obf"):
        fields |= {"method.objective.kind": "OutputBias"}
        fields |= {f"method.objective.{key}": value for key, value in forgetting.items()}
    else:
        fields |= {"method.objective": None}
    if run.startswith("gsam"):
        backup = next(word for word in words if word in ("raw", "normalized"))
        return run, fields | {"method.kind": "GSAM", "method.alpha": float(told["alpha"]), "method.backup": backup}
    order = words[0]
    fields["method.kind"] = {"after": "ASAMAfterNorm", "before": "ASAMBeforeNorm"}[order]
    return run.replace("asam", f"asam-{order}"), fields


HEADER, *LINES = [[cell.strip() for cell in line.split("|")] for line in VANI_RUNS.strip().splitlines()]
for run, *cells in LINES:
    for net, cell in zip(HEADER[1:], cells, strict=True):
        if cell != "-":
            ending, fields = vani_run(run, net, cell)
            row(f"vani-{net}-{ending}", VANI_BASE[net][1], fields)
for net, (base, fields) in VANI_BASE.items():  # SAID, §4.6: vanilla everywhere
    row(f"vani-{net}-{base}", fields, NONE)
for net in ("vit-s32", "resnet-50"):  # SAID, §4.6: label smoothing .1, shrink-perturb 1e-5, on these two
    base, fields = VANI_BASE[net]
    row(f"vani-{net}-smoothing-{base}", fields, NONE, {"loss.smoothing": 0.1})
    row(f"vani-{net}-shrink-perturb-{base}", fields, NONE, {"shrink_perturb": 1e-5})

# SAID, §4.6 CIFAR fine-tuning: 100 epochs, batch 512, m 64, SGD momentum .9, wd 0, clip 1, 5 epochs warm-up, lr -> 0;
# §4.4: local 512/128. CHOSEN: linear decay as in the base settings, ImageNet's views at 224 pixels, a new head.
TUNING = SGD | ALWAYS | crops(0.05) | {
    "epochs": 100, "batch_size": 512, "micro_batch": 64, "optimizer.weight_decay": 0.0, "clip_norm": 1.0,
    "schedule.kind": "Linear", "schedule.warmup_epochs": 5.0, "schedule.final": 0.0,
    "data.kind": "Images", "data.source.kind": "Torchvision", "data.source.root": "data/cifar", "data.image_size": 224,
    "model.kind": "Timm", "model.new_head": True,
}  # fmt: skip
TUNED = {
    "vit-s32": {"optimizer.lr": 0.003, "device_batch": 512, "model.name": "vit_small_patch32_224",
                "model.class_token": False, "model.pooling": "avg", "model.head_zero": True, "model.head_bias": -10.0},
    "resnet-50": {"optimizer.lr": 0.01, "device_batch": 128, "model.name": "resnet50"},
}  # fmt: skip
RHO = {"vit-s32": 0.05, "resnet-50": 0.1}
# ViT always BCE; ResNet CE in the first protocol (perturbed pretraining, then SGD), BCE in the second
LOSSES = {("vit-s32", 1): BCE, ("vit-s32", 2): BCE, ("resnet-50", 1): CE, ("resnet-50", 2): BCE}
for net, classes in product(TUNED, (10, 100)):
    base = VANI_BASE[net][0]
    shared = TUNING | TUNED[net] | {"data.source.name": f"CIFAR{classes}", "data.num_classes": classes}
    for pretrained in ("sam", "obf"):
        row(f"vani-{net}-cifar{classes}-after-{pretrained}-sgd", shared, LOSSES[net, 1], NONE,
            {"model.weights": f"runs/vani-{net}-{pretrained}"})  # fmt: skip
    second = shared | LOSSES[net, 2] | {"model.weights": f"runs/vani-{net}-{base}"}
    row(f"vani-{net}-cifar{classes}-after-{base}-sam", second, sam(RHO[net]))
    row(f"vani-{net}-cifar{classes}-after-{base}-obf", second,
        {"method.kind": "OBF", "method.rho": RHO[net], "method.rho_min": None, "method.threshold": None,
         "method.gamma": 1e-12, "method.link": "sigmoid"})  # fmt: skip


# Foret et al. --------------------------------------------------------------------------------------------------------

# READ in google-research/sam: batch 256 on 8 replicas, each with its own perturbation (SAID, §1); Nesterov's momentum;
# cosine without warm-up; crops of images mirrored at the border; cutout of 16 pixels. SAID, §1: clip 5.0.
FORET = SGD | CE | COSINE | ALWAYS | {
    "batch_size": 256, "micro_batch": 256 // 8, "device_batch": None, "clip_norm": 5.0, "optimizer.nesterov": True,
}  # fmt: skip
# READ: learning rates and weight decays of Wide-ResNet, Shake-Shake and PyramidNet+ShakeDrop; CHOSEN: PyramidNet
# without ShakeDrop has those with it; depth 272 and alpha 200
FORET_NETS = {
    "wrn-28-10": {"model.kind": "WideResNet", "model.depth": 28, "model.width": 10,
                  "optimizer.lr": 0.1, "optimizer.weight_decay": 5e-4},
    "shake-shake": {"model.kind": "ShakeShake", "model.depth": 26, "model.width": 96,
                    "optimizer.lr": 0.02, "optimizer.weight_decay": 1e-3},
    "pyramidnet": {"model.kind": "PyramidNet", "model.depth": 272, "model.alpha": 200.0, "model.shakedrop": 0.0,
                   "optimizer.lr": 0.1, "optimizer.weight_decay": 5e-4},
    "pyramidnet-shakedrop": {"model.kind": "PyramidNet", "model.depth": 272, "model.alpha": 200.0,
                             "model.shakedrop": 0.5, "optimizer.lr": 0.1, "optimizer.weight_decay": 5e-4},
}  # fmt: skip
# CHOSEN: AutoAugment comes with cutout
VIEWS = {"basic": {}, "cutout": {"cutout": 16}, "autoaugment": {"cutout": 16, "autoaugment": True}}


def foret_rho(net: str, classes: int, view: str) -> float:
    """SAID, §1: CIFAR-10 .05, CIFAR-100 .1, Shake-Shake .02, PyramidNet .2 with AutoAugment."""
    if net == "shake-shake":
        return 0.02
    if net.startswith("pyramidnet") and view == "autoaugment":
        return 0.2
    return {10: 0.05, 100: 0.1}[classes]


for net, classes, view, epochs in product(FORET_NETS, (10, 100), VIEWS, (200, 1800)):
    for ending, method in (("sgd", NONE), ("sam", sam(foret_rho(net, classes, view)))):
        row(f"foret-{net}-cifar{classes}-{view}-{epochs}-{ending}", FORET, FORET_NETS[net],
            cifar(classes, "reflect", **VIEWS[view]), {"epochs": epochs}, method)  # fmt: skip

# SAID, §9: ResNet-32, CIFAR-10, 200 epochs, symmetric noise, rho .1, but .05 at 80 %. CHOSEN: drawn from all classes,
# Wide-ResNet's learning rate and weight decay, mixup with alpha 1 (READ: the default of the released code)
RESNET_32 = FORET | {"model.kind": "CifarResNet", "model.depth": 32, "optimizer.lr": 0.1,
                     "optimizer.weight_decay": 5e-4, "epochs": 200}  # fmt: skip
for percent in (20, 40, 60, 80):
    noisy = RESNET_32 | cifar(10, "reflect") | {"data.flipped": percent / 100, "data.noise": "all"}
    for ending, method in (("sgd", NONE), ("sam", sam(0.05 if percent == 80 else 0.1))):
        name = f"foret-resnet-32-noise-{percent}"
        row(f"{name}-{ending}", noisy, method, {"data.relabel": None, "data.mixing": None})
        row(f"{name}-mixup-{ending}", noisy, method,
            {"data.mixing.kind": "Mixing", "data.mixing.mixup": 1.0, "data.mixing.cutmix": 0.0})  # fmt: skip
        row(f"{name}-bootstrap-{ending}", noisy, method, {"data.relabel": f"runs/{name}-{ending}/predicted.npy"})

# SAID, §1: m in {1,4,16,64,256} (unverified). CHOSEN: net and data, rho of CIFAR-10
for m in (1, 4, 16, 64, 256):
    row(f"foret-resnet-32-cifar10-m{m}-sam", RESNET_32, cifar(10, "reflect"), sam(0.05), {"micro_batch": m})

# SAID, §1: ResNet-50/101/152, 100/200/400 epochs, rho .05. CHOSEN (remembered, to be checked): batch 4096, lr 1.0,
# weight decay 1e-4, smoothing .1, m = 128
for depth, epochs in product((50, 101, 152), (100, 200, 400)):
    for ending, method in (("sgd", NONE), ("sam", sam(0.05))):
        row(f"foret-resnet-{depth}-imagenet-{epochs}-{ending}", FORET, IMAGENET, crops(0.08), method,
            {"model.kind": "Timm", "model.name": f"resnet{depth}", "epochs": epochs, "batch_size": 4096,
             "micro_batch": 128, "device_batch": 256, "optimizer.lr": 1.0, "optimizer.weight_decay": 1e-4,
             "loss.smoothing": 0.1})  # fmt: skip

# SAID, §1, command for EfficientNet-L2-475: lr .1, batch 512, 10 epochs, smoothing .1, clip 1.0; default weight decay
# .001; fine-tuning rho .05. CHOSEN: the same for every data set and for B7, m = 16
TUNING_NETS = {
    "b7": {"model.name": "tf_efficientnet_b7.ra_in1k", "data.image_size": 600, "data.crop_pct": 0.949},
    "l2": {"model.name": "tf_efficientnet_l2.ns_jft_in1k_475", "data.image_size": 475, "data.crop_pct": 0.936},
}
TUNING_SETS = {  # number of classes, and where they are: torchvision's names and splits
    "aircraft": (100, "FGVCAircraft", "trainval"), "flowers": (102, "Flowers102", "train+val"),
    "pets": (37, "OxfordIIITPet", "trainval"), "cars": (196, "StanfordCars", "train"),
    "cifar10": (10, "CIFAR10", "train"), "cifar100": (100, "CIFAR100", "train"),
    "birdsnap": (500, None, "train"), "food101": (101, "Food101", "train"),
}  # fmt: skip
for net, data in product(TUNING_NETS, TUNING_SETS):
    classes, known, split = TUNING_SETS[data]
    source = {"data.source.kind": "Torchvision", "data.source.name": known, "data.source.root": "data/torchvision"}
    if known is None:
        source = {"data.source.kind": "Folder", "data.source.root": f"data/{data}"}
    elif data.startswith("cifar"):
        source["data.source.root"] = "data/cifar"
    for ending, method in (("sgd", NONE), ("sam", sam(0.05))):
        row(f"foret-efficientnet-{net}-{data}-{ending}", FORET, crops(0.08), TUNING_NETS[net], source, method,
            {"data.kind": "Images", "data.num_classes": classes, "data.source.train": split,
             "data.interpolation": "bicubic", "model.kind": "Timm", "model.pretrained": True,
             "optimizer.lr": 0.1, "optimizer.weight_decay": 1e-3, "epochs": 10, "batch_size": 512, "micro_batch": 16,
             "device_batch": 16, "loss.smoothing": 0.1, "clip_norm": 1.0})  # fmt: skip


# Kwon et al. ---------------------------------------------------------------------------------------------------------

# SAID, §2: lr .1, weight decay 5e-4, batch 128, 200 epochs cosine, label smoothing .1. READ: one process, so m is the
# batch; the last batch of an epoch is smaller; images padded with black
KWON = SGD | CE | COSINE | ALWAYS | UNCLIPPED | WHOLE_BATCH | {
    "optimizer.lr": 0.1, "optimizer.weight_decay": 5e-4, "batch_size": 128, "epochs": 200, "loss.smoothing": 0.1,
    "drop_last": False,
}  # fmt: skip
KWON_NETS = {  # SAID: WRN-28-10 "and others"; READ: which others
    "wrn-28-10": {"model.kind": "WideResNet", "model.depth": 28, "model.width": 10},
    "wrn-28-2": {"model.kind": "WideResNet", "model.depth": 28, "model.width": 2},
    "resnet-20": {"model.kind": "CifarResNet", "model.depth": 20},
    "resnet-56": {"model.kind": "CifarResNet", "model.depth": 56},
}
KWON_RADII = {10: (0.05, 0.5), 100: (0.1, 1.0)}  # SAID, §2: SAM, ASAM
for net, classes in product(KWON_NETS, KWON_RADII):
    plain, adaptive = KWON_RADII[classes]
    # SAID, §2: class default eta .01, the paper's too; "but example script default eta 0"
    for ending, method in (("sgd", NONE), ("sam", sam(plain)), ("asam", kwon(adaptive, 0.01)),
                           ("asam-eta0", kwon(adaptive, 0.0))):  # fmt: skip
        row(f"kwon-{net}-cifar{classes}-{ending}", KWON, KWON_NETS[net], cifar(classes, "constant"), method)


# Mordido et al. ------------------------------------------------------------------------------------------------------

# SAID, §5: ResNet-34/50, SGD momentum .9, lr .1, wd 5e-4, batch 128, 200 epochs, x.1 at 50/100/150, plain CE; rho .05
# (SAM) / .5 (ASAM) in the README commands; eta 0. READ: a 3 x 3 stem without pooling
MORDIDO = SGD | CE | ALWAYS | UNCLIPPED | WHOLE_BATCH | {
    "optimizer.lr": 0.1, "optimizer.weight_decay": 5e-4, "batch_size": 128, "epochs": 200, "drop_last": False,
    "schedule.kind": "Steps", "schedule.warmup_epochs": 0.0, "schedule.gamma": 0.1,
    "schedule.milestones": [50 / 200, 100 / 200, 150 / 200], "model.kind": "Timm", "model.small_stem": True,
}  # fmt: skip
for depth, classes in product((34, 50), (10, 100)):
    for ending, method in (("sgd", NONE), ("sam", sam(0.05)), ("asam", kwon(0.5, 0.0))):
        row(f"mordido-resnet-{depth}-cifar{classes}-{ending}", MORDIDO, cifar(classes, "constant"), method,
            {"model.name": f"resnet{depth}"})  # fmt: skip


# Zhou et al. ---------------------------------------------------------------------------------------------------------

# SAID, §6: lr .01, batch 128, wd 1e-4, momentum .9, smoothing .1 over the K - 1 wrong classes: the wrong ones get .1
# together, which is a share of .1 K / (K - 1) over all K; momentum starts at zero at the switch
ZHOU = SGD | CE | UNCLIPPED | WHOLE_BATCH | {
    "optimizer.lr": 0.01, "optimizer.weight_decay": 1e-4, "batch_size": 128, "drop_last": False,
    "loss.smoothing": 1 / 9, "schedule.kind": "Steps", "schedule.warmup_epochs": 0.0,
}  # fmt: skip
ZHOU_NETS = {
    # fig. 1a: 200 epochs, SGD until 175; x.2 from 30 %, x.04 from 60 %; cutout 16 with probability 1/2
    "wrn-16-8": (cifar(10, "constant", cutout=16, cutout_probability=0.5)
                 | {"model.kind": "WideResNet", "model.depth": 16, "model.width": 8, "epochs": 200,
                    "schedule.milestones": [0.3, 0.6], "schedule.gamma": 0.2}, 175.0),
    # defaults: 160 epochs, SAM from 150; x.1 at 80 (the second milestone, 160, never takes effect)
    "vgg-16": (cifar(10, "constant")
               | {"model.kind": "VGG", "model.depth": 16, "epochs": 160, "schedule.milestones": [80 / 160],
                  "schedule.gamma": 0.1}, 150.0),
}  # fmt: skip
# rho 2.0, "meant with the adaptive flag": squared convention, all parameters, no eta. CHOSEN: plain SAM with .05
ZHOU_METHODS = {"sam": sam(0.05), "asam": kwon(2.0, 0.0, scaled="all")}
for net, (fields, late) in ZHOU_NETS.items():
    row(f"zhou-{net}-cifar10-sgd", ZHOU, fields, ALWAYS, NONE)
    for ending, method in ZHOU_METHODS.items():
        row(f"zhou-{net}-cifar10-{ending}", ZHOU, fields, ALWAYS, method)
        switch = {"when.start_epoch": late, "when.stop_epoch": None}
        row(f"zhou-{net}-cifar10-late-{ending}", ZHOU, fields, switch, {"when.fresh_state": True}, method)
        row(f"zhou-{net}-cifar10-late-kept-{ending}", ZHOU, fields, switch, {"when.fresh_state": False}, method)

# SAID, §6: late adversarial training: "same switch", one SGD, plain CE, no input normalisation, cutout off; PGD-10,
# L-inf, eps .0157, step .00784, random start
NAKED = CE | {"data.mean": None, "data.std": None, "data.augmentation.cutout": 0,
              "data.augmentation.cutout_probability": 1.0}  # fmt: skip
PGD = {"adversary.kind": "Adversary", "adversary.norm": "linf", "adversary.steps": 10, "adversary.random_start": True,
       "adversary.stop_epoch": None}  # fmt: skip
for net, (fields, late) in ZHOU_NETS.items():
    for phase, start in {"": None, "-at": 0.0, "-late-at": late}.items():
        small = {"adversary.eps": 0.0157, "adversary.step": 0.00784, "adversary.start_epoch": start}
        attacked = {"adversary": None} if start is None else PGD | small
        row(f"zhou-{net}-cifar10-robust{phase}-sgd", ZHOU, fields, NAKED, ALWAYS, NONE, attacked)

# CHOSEN: the same on digits, with radii by validation, benchmarks/results/late_adversarial.json (another test)
DIGITS_EPS, DIGITS_RHO = 0.15, 0.05
for phase, start in {"": None, "-at": 0.0, "-late-at": 30.0}.items():
    small = {"adversary.eps": DIGITS_EPS, "adversary.step": DIGITS_EPS / 2, "adversary.start_epoch": start}
    for ending, method in (("sgd", NONE), ("sam", sam(DIGITS_RHO))):
        row(f"digits-robust{phase}-{ending}", SGD, CE, UNCLIPPED, WHOLE_BATCH, ALWAYS, method,
            {"adversary": None} if start is None else PGD | small,
            {"data.kind": "Digits", "model.kind": "MLP", "model.hidden": [64, 64], "optimizer.lr": 0.1,
             "optimizer.weight_decay": 5e-4, "schedule.kind": "Steps", "schedule.warmup_epochs": 2.0,
             "schedule.milestones": [0.3, 0.6], "schedule.gamma": 0.2, "epochs": 40, "batch_size": 80,
             "checkpoints.every_epochs": 20})  # fmt: skip


# Published numbers, in percent: (measure, value, mark) ---------------------------------------------------------------

# Wortsman et al., and the same on digits -----------------------------------------------------------------------------


# SAID, §8: beta 1 for all shapes; a place for the net, or one per layer; simplexes of 2 to 6 endpoints; our digits are
# trained as one net is, with SAM's radius for one net
def spanned(kind: str, **fields: object) -> Row:
    return {"subspace.kind": kind, "subspace.beta": 1.0} | {f"subspace.{key}": value for key, value in fields.items()}


SHAPES = {"line": spanned("Line"), "curve": spanned("Curve"), "simplex": spanned("Simplex", n=3)}
for shape, ending in product(SHAPES, ("sgd", "sam")):
    for problem, whole, rho in (("digits-noisy", DIGITS | {"data.flipped": 0.4}, 0.4),
                                ("digits-few", OURS | OUR_PROBLEMS["digits-few"], 0.2)):  # fmt: skip
        row(f"subspaces-{problem}-{shape}-{ending}", whole, SHAPES[shape], NONE if ending == "sgd" else sam(rho))

# SAID, §8: SGD momentum .9, lr .1, cosine after 5 warm-up epochs, batch 128, wd 1e-4, 160 epochs; ImageNet WRN-50-2,
# batch 256, wd 5e-5, 200 epochs. CHOSEN: augmentations, the stem of ResNet-18 (docs/recipes.md)
WORTSMAN = SGD | CE | COSINE | NONE | ALWAYS | UNCLIPPED | WHOLE_BATCH | {
    "optimizer.lr": 0.1, "optimizer.weight_decay": 1e-4, "schedule.warmup_epochs": 5.0, "batch_size": 128,
    "epochs": 160,
}  # fmt: skip
WORTSMAN_NETS = {
    "resnet-20-cifar10": cifar(10, "constant") | {"model.kind": "CifarResNet", "model.depth": 20},
    "resnet-18-tinyimagenet": {
        "model.kind": "Timm", "model.name": "resnet18", "data.kind": "Images", "data.source.kind": "Folder",
        "data.source.root": "data/tiny-imagenet", "data.num_classes": 200, "data.image_size": 64,
        "data.augmentation.kind": "PadCropFlip", "data.augmentation.padding": 4, "data.augmentation.fill": "constant",
    },
    "wrn-50-2-imagenet": IMAGENET | crops(0.08) | {
        "model.kind": "Timm", "model.name": "wide_resnet50_2", "optimizer.weight_decay": 5e-5, "batch_size": 256,
        "epochs": 200,
    },
}  # fmt: skip
MORE = {"line-layerwise": spanned("Line", layerwise=True), "curve": spanned("Curve")}
MORE |= {f"simplex-{n}": spanned("Simplex", n=n) for n in (3, 4, 5, 6)}
for net, fields in WORTSMAN_NETS.items():
    row(f"wortsman-{net}-sgd", WORTSMAN, fields)
    for shape, span in {"line": spanned("Line"), **({} if net == "wrn-50-2-imagenet" else MORE)}.items():
        row(f"wortsman-{net}-{shape}-sgd", WORTSMAN, fields, span)


PUBLISHED = {
    "foret-wrn-28-10-cifar100-basic-200-sgd": ("error", 18.8, "unverified"),
    "foret-wrn-28-10-cifar100-basic-200-sam": ("error", 16.5, "text"),
    "foret-resnet-50-imagenet-100-sam": ("error", 22.5, "unverified"),
    "foret-resnet-50-imagenet-200-sam": ("error", 21.4, "unverified"),
    "foret-resnet-50-imagenet-400-sam": ("error", 20.9, "unverified"),
    "foret-resnet-50-imagenet-100-sgd": ("error", 22.9, "unverified"),
    "foret-resnet-50-imagenet-200-sgd": ("error", 22.3, "unverified"),
    "foret-resnet-50-imagenet-400-sgd": ("error", 22.3, "unverified"),
    "foret-resnet-152-imagenet-400-sam": ("error", 18.4, "unverified"),
    "foret-resnet-152-imagenet-400-sgd": ("error", 20.9, "unverified"),
    "kwon-wrn-28-10-cifar100-sgd": ("accuracy", 81.56, "unverified"),
    "kwon-wrn-28-10-cifar100-sam": ("accuracy", 83.42, "unverified"),
    "kwon-wrn-28-10-cifar100-asam": ("accuracy", 83.68, "unverified"),
}
NOISE = {  # §9, Foret Table 4 (text): at 20, 40, 60, 80 %
    "sgd": (84.8, 68.8, 48.2, 26.2),
    "sam": (95.1, 93.4, 90.5, 77.9),
    "bootstrap-sam": (95.4, 94.2, 91.8, 79.9),
}
for ending, values in NOISE.items():
    for percent, value in zip((20, 40, 60, 80), values, strict=True):
        PUBLISHED[f"foret-resnet-32-noise-{percent}-{ending}"] = ("accuracy", value, "text")

# §4.6: "the nearest published yardstick"; "these are not Vani's numbers", whose results are not readable
YARDSTICKS = {
    "vani-vit-s32": {"adamw": 68.4, "sam": 70.5, "gsam": 73.8},
    "vani-vit-s16": {"adamw": 74.4, "sam": 78.1, "gsam": 79.5},
    "vani-resnet-50": {"sgd": 76.0, "sam": 76.9, "gsam": 77.2},
    "vani-resnet-101": {"sgd": 77.8, "sam": 78.6, "gsam": 78.9},
}
