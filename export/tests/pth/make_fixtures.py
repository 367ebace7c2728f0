"""Writes the .pth files of these tests. Ran with PyTorch 2.11.0 and Python 3.11: python make_fixtures.py"""

import os
from collections import OrderedDict

import torch

base = torch.arange(6, dtype=torch.float32).reshape(2, 3)
state = OrderedDict(
    {
        "conv.weight": torch.arange(24, dtype=torch.float32).reshape(2, 3, 2, 2),
        "conv.bias": torch.tensor([-1.5, 2.25]),
        "bn.num_batches_tracked": torch.tensor(7),
        "half": torch.arange(4, dtype=torch.float16),
        "transposed": base.T,
        "part": torch.arange(9, dtype=torch.float32)[3:5],
        "parameter": torch.nn.Parameter(torch.arange(3, dtype=torch.float32)),
    }
)
state._metadata = OrderedDict({"": {"version": 1}, "bn": {"version": 2}})
torch.save(state, "state-dict.pth")
torch.save(state, "state-dict-legacy.pth", _use_new_zipfile_serialization=False)


class Call:
    def __reduce__(self):
        return os.system, ("echo executed",)


torch.save({"weight": Call()}, "calls-system.pth")
