"""GSAM in a loop on Accelerate with gradient accumulation: each micro-batch has its own perturbation."""

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from accelerate.utils import set_seed
from sklearn.datasets import load_digits
from torch import nn

import samnesia

set_seed(0)
accelerator = Accelerator(cpu=True, gradient_accumulation_steps=2)
images, labels = (torch.as_tensor(array) for array in load_digits(return_X_y=True))
dataset = torch.utils.data.TensorDataset(images.float() / 16, labels)

model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
model, optimizer, loader = accelerator.prepare(
    model,
    torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9),
    torch.utils.data.DataLoader(dataset, batch_size=50, shuffle=True),
)
gsam = samnesia.gsam(model, optimizer, rho=0.1, alpha=0.4, loss=F.cross_entropy)

for epoch in range(3):
    losses = []
    for x, y in loader:
        with accelerator.accumulate(model):
            for p in gsam.passes():
                accelerator.backward(p.loss(model(x), y))
            optimizer.step()  # Accelerate ignores it until the last micro-batch
            optimizer.zero_grad()
        losses.append(gsam.last_step.loss)
    print(f"epoch {epoch}: training loss {sum(losses) / len(losses):.3f}, {gsam.steps} steps")
