"""ASAM in a loop on Lightning Fabric, in bf16 mixed precision."""

import torch
import torch.nn.functional as F
from lightning.fabric import Fabric
from sklearn.datasets import load_digits
from torch import nn

import samnesia

fabric = Fabric(accelerator="cpu", devices=1, precision="bf16-mixed")
fabric.seed_everything(0, verbose=False)
images, labels = (torch.as_tensor(array) for array in load_digits(return_X_y=True))
dataset = torch.utils.data.TensorDataset(images.float() / 16, labels)
loader = fabric.setup_dataloaders(torch.utils.data.DataLoader(dataset, batch_size=100, shuffle=True))

model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
model, optimizer = fabric.setup(model, torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9))
asam = samnesia.asam(model, optimizer, rho=0.5, loss=F.cross_entropy)  # on what Fabric has wrapped

for epoch in range(3):
    losses = []
    for x, y in loader:
        for p in asam.passes():
            fabric.backward(p.loss(model(x), y))
        fabric.clip_gradients(model, optimizer, max_norm=1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(asam.last_step.loss)
    print(f"epoch {epoch}: training loss {sum(losses) / len(losses):.3f}")
