"""MuDeNet in PyTorch, from the method's text alone, with the reference's names."""

import torch
from torch import nn
from torch.nn import functional as F


class Stem(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 7, padding=3)

    def forward(self, x):
        return F.avg_pool2d(F.relu(self.conv(x)), 2)


class Block(nn.Module):
    def __init__(self, width, kernel):
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, kernel, padding=(kernel - 1) // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, kernel, padding=(kernel - 1) // 2, bias=False)
        self.bn2 = nn.BatchNorm2d(width)

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + x)


class Descriptor(nn.Module):
    def __init__(self, width, embedding):
        super().__init__()
        self.stem = Stem(width)
        self.blocks = nn.ModuleList(
            nn.Sequential(*(Block(width, k) for _ in range(n))) for n, k in [(1, 3), (2, 3), (2, 5)]
        )
        self.projections = nn.ModuleList(nn.Conv2d(width, embedding, 1) for _ in range(3))

    def forward(self, x):
        x = self.stem(x)
        maps = []
        for blocks, projection in zip(self.blocks, self.projections):
            x = blocks(x)
            maps.append(projection(x))
        return maps


class Layers(nn.Module):
    def __init__(self, layers):
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x):
        return self.layers(x)


class Autoencoder(nn.Module):
    def __init__(self, width, embedding, latent, size):
        super().__init__()
        channels = [3, width // 2, width, embedding, embedding, embedding]
        layers = []
        for a, b in zip(channels, channels[1:]):
            layers += [nn.Conv2d(a, b, 3, stride=2, padding=1), nn.ReLU()]
        layers += [nn.Conv2d(embedding, latent, size // 32), nn.ReLU()]
        self.encoder = Layers(layers)
        self.decoders = nn.ModuleList(Layers(self.decoder(embedding, latent, size // 64)) for _ in range(3))

    @staticmethod
    def decoder(embedding, latent, first):
        layers = [nn.ConvTranspose2d(latent, embedding, first, stride=first)]
        for _ in range(5):
            layers += [nn.ReLU(), nn.ConvTranspose2d(embedding, embedding, 3, stride=2, padding=1, output_padding=1)]
        return layers

    def forward(self, x):
        z = self.encoder(x)
        return [decoder(z) for decoder in self.decoders]


def loss(a, b):
    """Squared difference summed over channels, averaged over batch and pixels, averaged over levels."""
    return torch.stack([((x - y) ** 2).sum(1).mean() for x, y in zip(a, b)]).mean()
