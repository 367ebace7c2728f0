"""Writes what PyTorch computes for MuDeNet's networks and losses, from the method's text alone.

Ran with PyTorch 2.11.0 (CPU) and Python 3.11: python make_goldens.py
Width 4, embedding 8, latent 32, 64 pixels, batch 2; weights, image and target are seeded here and stored.
"""

import torch
from networks import Autoencoder, Descriptor, loss
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F

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
