"""A method as a `torch.optim.Optimizer` whose step takes a closure, here output-bias forgetting around AdamW."""

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn

import samnesia

torch.manual_seed(0)
images, labels = (torch.as_tensor(array) for array in load_digits(return_X_y=True))
dataset = torch.utils.data.TensorDataset(images.float() / 16, labels)
loader = torch.utils.data.DataLoader(dataset, batch_size=100, shuffle=True)

model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Dropout(0.1), nn.Linear(64, 10))
method = samnesia.obf(model, torch.optim.AdamW(model.parameters(), lr=3e-3), rho=0.05, loss=F.cross_entropy)
optimizer = samnesia.as_optimizer(method)

for epoch in range(3):
    losses = []
    for x, y in loader:

        def closure(x=x, y=y):
            optimizer.zero_grad()
            loss = method.criterion(model(x), y)  # the objective on the ascent pass, the loss on the last
            loss.backward()
            return loss

        optimizer.step(closure)
        losses.append(method.last_step.loss)  # the training loss at the unperturbed weights
    print(f"epoch {epoch}: training loss {sum(losses) / len(losses):.3f}")
