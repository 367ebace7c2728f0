"""Times a plain PyTorch loop of the joint training: 256 pixels, batch 8, bf16 by autocast, channels last.

python step_time.py [cpu|cuda] [WIDTH]: on the CPU (default, half width: 32) the processor seconds of each of seven steps,
on a GPU the images a second of the last 200 of 250 steps. Ran with PyTorch 2.11.0; the CPU with OMP_NUM_THREADS=1.
"""

import sys
import time

import torch
from networks import Autoencoder, Descriptor, loss

device = sys.argv[1] if len(sys.argv) > 1 else "cpu"
width = int(sys.argv[2]) if len(sys.argv) > 2 else 32
size, embedding, latent = 256, 2 * width, 32
torch.backends.cudnn.benchmark = True
teacher, structural, logical = (Descriptor(width, embedding) for _ in range(3))
autoencoder = Autoencoder(width, embedding, latent, size)
for network in (teacher, structural, autoencoder, logical):
    network.to(device, memory_format=torch.channels_last)
teacher.eval()
trained = [p for network in (structural, autoencoder, logical) for p in network.parameters()]
adam = torch.optim.Adam(trained, lr=1e-3)
image = torch.randn(8, 3, size, size).to(device, memory_format=torch.channels_last)


def step():
    adam.zero_grad()
    with torch.autocast(device, torch.bfloat16):
        with torch.no_grad():
            t = teacher(image)
        s1, a, s2 = structural(image), autoencoder(image), logical(image)
    t, s1, a, s2 = ([m.float() for m in maps] for maps in (t, s1, a, s2))
    total = loss(t, s1) + loss(t, a) + loss([m.detach() for m in a], s2)
    total.backward()
    adam.step()
    return total.item()


if device == "cpu":
    for _ in range(7):
        started = time.process_time()
        step()
        print(f"{time.process_time() - started:.2f}")
else:
    for _ in range(50):
        step()
    started = time.perf_counter()
    for _ in range(200):
        step()
    print(f"{200 * len(image) / (time.perf_counter() - started):.1f} images/s")
