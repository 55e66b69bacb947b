"""SAM in a plain training loop, with clipping and a schedule: the changed line is the one over `passes()`."""

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn

import samnesia

torch.manual_seed(0)
images, labels = (torch.as_tensor(array) for array in load_digits(return_X_y=True))
dataset = torch.utils.data.TensorDataset(images.float() / 16, labels)
training, test = torch.utils.data.random_split(dataset, [1400, len(dataset) - 1400])
loader = torch.utils.data.DataLoader(training, batch_size=100, shuffle=True)

model = nn.Sequential(nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 10))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=5 * len(loader))
sam = samnesia.sam(model, optimizer, rho=0.05)

for _ in range(5):
    for x, y in loader:
        for _ in sam.passes():
            F.cross_entropy(model(x), y).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        scheduler.step()

model.eval()
with torch.no_grad():
    correct = sum((model(x).argmax(1) == y).sum().item() for x, y in torch.utils.data.DataLoader(test, batch_size=100))
print(f"test accuracy {100 * correct / len(test):.1f} %")
