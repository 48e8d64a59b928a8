"""Small files as other programs write them, for a StyleGAN2 of 6 layers and 12 latent dimensions."""

import json

import numpy as np
import torch
from torch import nn

L, D, K = 12, 4, 6


def rng(seed=0):
    return np.random.default_rng(seed)


def rows(count=D, seed=0):
    return np.linalg.qr(rng(seed).normal(size=(L, L)))[0][:count].astype(np.float32)


def ganspace(path, stdev=None):
    """decomposition.py of harskish/ganspace: what np.savez_compressed is given there."""
    stdev = np.linspace(2, 1, D).astype(np.float32) if stdev is None else stdev
    arrays = {"act_comp": rows()[:, None], "act_mean": np.zeros((1, L)), "act_stdev": stdev}
    arrays |= {"lat_comp": rows()[:, None], "lat_mean": rng(1).normal(size=(1, L)), "lat_stdev": stdev}
    arrays |= {"var_ratio": np.full(D, 0.25), "random_stdevs": np.full(D, 0.5)}
    np.savez_compressed(path, **{name: array.astype(np.float32) for name, array in arrays.items()})


def factor(path):
    """closed_form_factorization.py of rosinality/stylegan2-pytorch: right singular vectors, a column each."""
    weight = torch.randn(30, L, generator=torch.Generator().manual_seed(0))
    torch.save({"ckpt": "stylegan2.pt", "eigvec": torch.svd(weight).V}, path)


def deformator(path, kind):
    """models/deformator_0.pt below args.json, of anvoynov/GANLatentDiscovery; returns its weights."""
    torch.manual_seed(0)
    path.parent.mkdir(parents=True, exist_ok=True)
    (path.parent.parent / "args.json").write_text(json.dumps({"deformator": kind, "gan_type": "StyleGAN2"}))
    if kind == "ortho":
        state = {"log_mat_half": torch.randn(L, L)}
    elif kind == "fc":
        layers = {f"fc{i}": nn.Linear(L if i == 1 else 5, L if i == 4 else 5) for i in (1, 2, 3, 4)}
        layers |= {f"bn{i}": nn.BatchNorm1d(5) for i in (1, 2, 3)}
        state = nn.ModuleDict(layers).state_dict()
        for name in state:
            if "running" in name:
                state[name] = torch.rand_like(state[name]) + 0.5
    else:
        state = {"linear.weight": torch.randn(L, D), "linear.bias": torch.randn(L)}
    torch.save(state, path)
    return state


def latentclr(path, depth):
    """final_model.pt of catlab-team/latentclr: depth 0 for its global directions; returns the model's weights."""
    torch.manual_seed(0)
    if depth == 0:
        state = {"params": torch.randn(D, L)}
    else:
        state = {}
        for i in range(D):
            layers = {}
            for j in range(1, depth + 1):
                layers[f"linear_{j}"] = nn.Linear(L, L, bias=j < depth or depth == 1)
                if j < depth:
                    layers[f"batchnorm_{j}"] = nn.BatchNorm1d(L)
            net = nn.ModuleDict(layers).state_dict()
            for name in net:
                if "running" in name or ("batchnorm" in name and name.endswith(("weight", "bias"))):
                    net[name] = torch.rand_like(net[name]) + 0.5
            state |= {f"nets.{i}.{name}": value for name, value in net.items()}
    optimizer = {"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 0.001}]}
    content = {"iteration": 3, "optimizer": optimizer, "model": state, "projector": {}, "scheduler": None}
    torch.save(content | {"scaler": None}, path)
    return state
