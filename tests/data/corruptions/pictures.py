"""Images to corrupt, drawn by whole numbers: the same on every machine."""

import torch


def picture(count: int, channels: int, side: int) -> torch.Tensor:
    """A slope, a dark disc and a bright bar, which stand elsewhere in each image and channel; multiples of 1/255."""
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    found = torch.empty(count, channels, side, side)
    for number in range(count):
        for channel in range(channels):
            level = (40 + 30 * channel + (rows * (3 + number) + columns * (2 + channel)) * 100 // (5 * side)) % 256
            middle = side // 2 + (number % 3 - 1) * side // 5
            disc = 16 * ((rows - middle) ** 2 + (columns - side // 3) ** 2) < side * side
            level = torch.where(disc, 20 + 15 * channel, level)
            bar = (rows * 8 // side == 6 - number % 2) & (columns * 8 > side)
            found[number, channel] = torch.where(bar, 230 - 40 * channel, level) / 255
    return found
