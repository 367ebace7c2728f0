"""Writes what PyTorch computes for MuDeNet's networks and losses, from the method's text alone.

Ran with PyTorch 2.11.0 (CPU) and Python 3.11: python make_goldens.py
Width 4, embedding 8, latent 32, 64 pixels, batch 2; weights, image and target are seeded here and stored.
"""

import torch
from safetensors.torch import save_file
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


torch.manual_seed(20)
torch.set_num_threads(1)
size, width, embedding, latent = 64, 4, 8, 32
networks = {
    "teacher": Descriptor(width, embedding),
    "structural_student": Descriptor(width, embedding),
    "autoencoder": Autoencoder(width, embedding, latent, size),
    "logical_student": Descriptor(width, embedding),
}
for module in networks["teacher"].modules():
    if isinstance(module, nn.BatchNorm2d):
        nn.init.uniform_(module.running_mean, -0.3, 0.3)
        nn.init.uniform_(module.running_var, 0.5, 1.5)
        nn.init.uniform_(module.weight, 0.5, 1.5)
        nn.init.uniform_(module.bias, -0.3, 0.3)
image = torch.randn(2, 3, size, size)
E = torch.randn(2, embedding, size // 4, size // 4)
for name, network in networks.items():
    save_file({k: v.clone() for k, v in network.state_dict().items()}, f"{name}.safetensors")

golden = {"image": image, "E": E}


def keep(prefix, maps):
    golden.update({f"{prefix}.{level}": m.detach()[:, :, ::8, ::8].contiguous() for level, m in enumerate(maps)})


def keep_gradients(prefix, network):
    for name, parameter in network.named_parameters():
        golden[f"{prefix}.{name}"] = parameter.grad.clone()


T, S1, A, S2 = networks.values()
T.eval()
keep("teacher.eval", T(image))

# Stage 1 (Eq. 16), the target brought to 128² of 256 bilinearly.
T.train()
up = F.interpolate(E, scale_factor=2, mode="bilinear", align_corners=False)
distillation = loss([up] * 3, T(image))
distillation.backward()
golden["loss.distillation"] = distillation.detach()
keep_gradients("distillation.teacher", T)

# Stage 2 (Eq. 3, 5, 7, 8) with the teacher as it was stored.
from safetensors.torch import load_file

T.load_state_dict(load_file("teacher.safetensors"))
T.eval()
for network in (S1, A, S2):
    network.train()
with torch.no_grad():
    target = T(image)
s1, a, s2 = S1(image), A(image), S2(image)
keep("structural.train", s1)
keep("autoencoder.train", a)
terms = {"structural": loss(target, s1), "autoencoder": loss(target, a), "logical": loss([m.detach() for m in a], s2)}
sum(terms.values()).backward()
golden.update({f"loss.{name}": term.detach() for name, term in terms.items()})
for name in ("structural_student", "autoencoder", "logical_student"):
    keep_gradients(f"joint.{name}", networks[name])

# A-014 let through: only the autoencoder's gradient is another.
A.zero_grad()
a, s2 = A(image), S2(image)
(loss(target, a) + loss(a, s2)).backward()
keep_gradients("flow.autoencoder", A)
save_file({name: tensor.contiguous() for name, tensor in golden.items()}, "golden.safetensors")
