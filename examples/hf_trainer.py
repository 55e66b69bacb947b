"""SAM in the Trainer of Hugging Face's transformers, with gradient accumulation, clipping, a schedule and AdamW.

The passes stand in `training_step`, whose `super()` does one forward and backward as ever: the loss, mixed precision
and the scaling for accumulation stay the Trainer's. `samnesia.as_optimizer` does not fit, because the Trainer calls
`optimizer.step()` without a closure. Each accumulated batch has its own perturbation (m-sharpness with
m = `per_device_train_batch_size`), which no scaling of its loss changes; the Trainer clips their sum.

A small BERT learns which module of Python's standard library a line of code is from.
"""

import re
import zlib
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import torch.nn.functional as F
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments, set_seed

import samnesia

MODULES = ("argparse", "ast", "pickle", "tarfile")
WORDS, LENGTH = 1024, 12  # words are known by a hash below WORDS; 0 is padding


class SAMTrainer(Trainer):
    """A Trainer whose steps are those of SAM around whichever optimizer it makes."""

    rho, method = 0.05, None

    def training_step(self, model, inputs, num_items_in_batch=None):
        if self.method is None or self.method.model is not model:  # here both are what the Trainer has wrapped
            self.method = samnesia.sam(model, self.optimizer, rho=self.rho)
        losses = []
        for _ in self.method.passes():
            losses.append(super().training_step(model, dict(inputs), num_items_in_batch))
        return losses[0]  # at the true weights: what the Trainer logs


def lines(per_module=64):
    """Lines as {"input_ids", "attention_mask", "labels"}."""
    samples = []
    for label, module in enumerate(MODULES):
        text = Path(find_spec(module).origin).read_text(encoding="utf-8")
        found = {tuple(re.findall(r"\w+", line)[:LENGTH]) for line in text.splitlines()}
        for words in sorted(words for words in found if len(words) >= 5)[:per_module]:
            tokens = [1 + zlib.crc32(word.encode()) % (WORDS - 1) for word in words]
            padding = [0] * (LENGTH - len(tokens))
            mask = [1] * len(tokens) + padding
            samples.append({"input_ids": tokens + padding, "attention_mask": mask, "labels": label})
    return samples


def network(dropout=0.1):
    set_seed(0)
    config = BertConfig(
        vocab_size=WORDS,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=LENGTH,
        num_labels=len(MODULES),
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
        initializer_range=0.1,
    )
    return BertForSequenceClassification(config)


def cross_entropy(output, labels, num_items_in_batch):
    """Divided by the samples of all accumulated batches, of which the last may be smaller."""
    return F.cross_entropy(output.logits, labels, reduction="sum") / num_items_in_batch


def trainer(model, directory, **options):
    """Without options: 5 epochs in batches of 2 x 16."""
    settings = {
        "num_train_epochs": 5,
        "per_device_train_batch_size": 16,
        "gradient_accumulation_steps": 2,
        "max_grad_norm": 1.0,
        "learning_rate": 5e-3,
        "weight_decay": 0.01,
        "lr_scheduler_type": "cosine",
        "logging_strategy": "epoch",
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": True,
    } | options
    arguments = TrainingArguments(directory, **settings)
    return SAMTrainer(model, arguments, train_dataset=lines(), compute_loss_func=cross_entropy)


if __name__ == "__main__":
    with TemporaryDirectory() as directory:
        run = trainer(network(), directory)
        run.train()
    for epoch, row in enumerate(run.state.log_history[:-1]):
        print(f"epoch {epoch}: training loss {row['loss']:.3f}")
