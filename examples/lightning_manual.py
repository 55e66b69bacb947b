"""SAM in Lightning's Trainer by manual optimization: the loop over passes stands in `training_step`.

Clipping, schedule and logging are Lightning's own. Automatic optimization works as well (docs/loops.md), but there its
clipping acts in every pass; here the gradient is clipped that is stepped.
"""

import lightning
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn

import samnesia

BATCH = 100


class Digits(lightning.LightningModule):
    def __init__(self, epochs, rho=0.1):
        super().__init__()
        self.automatic_optimization = False
        self.net = nn.Sequential(nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 10))
        self.epochs, self.rho, self.losses = epochs, rho, []

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)
        self.method = samnesia.sam(self, optimizer, rho=self.rho)
        return [optimizer], [torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=self.epochs)]

    def training_step(self, batch, index):
        x, y = batch
        optimizer = self.optimizers()
        for p in self.method.passes():
            loss = F.cross_entropy(self.net(x), y)
            self.manual_backward(loss)
            if p.index == 0:
                self.losses.append(loss.item())
        self.clip_gradients(optimizer, gradient_clip_val=1.0, gradient_clip_algorithm="norm")
        optimizer.step()
        optimizer.zero_grad()

    def on_train_epoch_end(self):
        self.lr_schedulers().step()
        print(f"epoch {self.current_epoch}: training loss {sum(self.losses) / len(self.losses):.3f}")
        self.losses.clear()


def loader():
    images, labels = (torch.as_tensor(array) for array in load_digits(return_X_y=True))
    dataset = torch.utils.data.TensorDataset(images.float() / 16, labels)
    return torch.utils.data.DataLoader(dataset, batch_size=BATCH, shuffle=True)


def fit(epochs=3):
    lightning.seed_everything(0, verbose=False)
    module = Digits(epochs)
    trainer = lightning.Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=epochs,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, loader())
    return module


if __name__ == "__main__":
    fit()
