"""Times a plain PyTorch loop of the joint training: half width, 256 pixels, batch 8, bf16 by autocast, channels last.

Ran with PyTorch 2.11.0: OMP_NUM_THREADS=1 python step_time.py. Prints the processor seconds of each step.
"""

import time

import torch
from networks import Autoencoder, Descriptor, loss

size, width, embedding, latent = 256, 32, 64, 32
teacher, structural, logical = (Descriptor(width, embedding) for _ in range(3))
autoencoder = Autoencoder(width, embedding, latent, size)
for network in (teacher, structural, autoencoder, logical):
    network.to(memory_format=torch.channels_last)
teacher.eval()
trained = [p for network in (structural, autoencoder, logical) for p in network.parameters()]
adam = torch.optim.Adam(trained, lr=1e-3)
image = torch.randn(8, 3, size, size).to(memory_format=torch.channels_last)
for _ in range(7):
    started = time.process_time()
    adam.zero_grad()
    with torch.autocast("cpu", torch.bfloat16):
        with torch.no_grad():
            t = teacher(image)
        s1, a, s2 = structural(image), autoencoder(image), logical(image)
    t, s1, a, s2 = ([m.float() for m in maps] for maps in (t, s1, a, s2))
    (loss(t, s1) + loss(t, a) + loss([m.detach() for m in a], s2)).backward()
    adam.step()
    print(f"{time.process_time() - started:.2f}")
