"""Writes features of torchvision's wide_resnet50_2 with weights that follow from their index.

Ran with PyTorch 2.11.0, torchvision 0.26.0 and Python 3.11: python make_wide_resnet.py
"""

import torch
from safetensors.torch import save_file
from torchvision.models import wide_resnet50_2

net = wide_resnet50_2(weights=None).eval()
with torch.no_grad():
    for name, tensor in net.state_dict().items():
        if tensor.dim() == 0 or name.startswith(("layer4", "fc")):
            continue
        wave = torch.sin(torch.arange(tensor.numel(), dtype=torch.float64) * 0.7 + len(name)).float().reshape(tensor.shape)
        if tensor.dim() == 4:
            tensor.copy_(wave * (0.8 / tensor[0].numel()) ** 0.5)
        elif name.endswith(("weight", "running_var")):
            tensor.copy_(1.0 + 0.3 * wave)
        else:
            tensor.copy_(0.1 * wave)
    image = torch.sin(torch.arange(3 * 64 * 64, dtype=torch.float64) * 0.013).float().reshape(1, 3, 64, 64)
    x = net.maxpool(net.relu(net.bn1(net.conv1(image))))
    golden = {}
    for layer in (1, 2, 3):
        x = getattr(net, f"layer{layer}")(x)
        golden[f"layer{layer}.mean"] = x[0].mean((1, 2)).contiguous()
        golden[f"layer{layer}.first"] = x[0, :4].contiguous()
        print(layer, x.shape, x.mean().item(), x.std().item())
save_file(golden, "golden.safetensors")
