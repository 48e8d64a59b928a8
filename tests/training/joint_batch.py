"""Started by torchrun in two processes, or called in one: losses of a joint batch, their gradients, the queue."""

import json
import sys
from pathlib import Path

import torch

from contrafact.core.run import Run
from contrafact.losses.contrastive import nt_xent_loss, queue_infonce_loss, supervised_contrastive_loss, unit
from contrafact.methods.cmc import CMC
from contrafact.methods.moco import MoCo
from contrafact.methods.simclr import SimCLR
from contrafact.methods.sub_infomax import SubInfoMax
from contrafact.nn.encoders import ConvEncoder
from contrafact.training.gather import gathered, gathered_rows
from contrafact.training.momentum import FeatureQueue
from tests.training.toy_images import ToyImages, ToyPairs

JOINT = 6


def measure(run):
    """Every loss's value and parameter gradient, and the shared queue, on this process's share of the joint batch."""
    torch.manual_seed(0)
    encoder = ConvEncoder((1, 16, 16), 5, 0.1)
    queue = FeatureQueue(13, 5, torch.Generator().manual_seed(1))
    first, second = torch.rand(2, JOINT, 1, 16, 16, generator=torch.Generator().manual_seed(2)).unbind()
    share = slice(run.rank * JOINT // run.world_size, (run.rank + 1) * JOINT // run.world_size)
    labels = gathered_rows((torch.arange(JOINT) % 3)[share], run)
    measured = {}

    def losses():
        a, b = unit(encoder(first[share])), unit(encoder(second[share]))
        joint_a, joint_b = gathered(a, run), gathered(b, run)
        yield "nt_xent", nt_xent_loss(joint_a, joint_b, 0.5)
        yield "supcon", supervised_contrastive_loss(torch.cat([joint_a, joint_b]), labels.repeat(2), 0.5)
        gradient = torch.autograd.grad(nt_xent_loss(joint_a, joint_b, 0.5), joint_a, create_graph=True)[0]
        yield "double backward", (gradient[:, :2].norm(dim=1) * gradient[:, 2:].norm(dim=1)).sum()
        yield "moco", queue_infonce_loss(a, b.detach(), queue.features, 0.07)

    for number in range(4):
        name, loss = list(losses())[number]
        encoder.zero_grad()
        run.backward(loss, encoder.parameters())
        flat = torch.cat([p.grad.flatten() for p in encoder.parameters()])
        mean = gathered_rows(loss.detach()[None], run).mean()
        measured |= {name: mean, f"{name} gradient": flat.clone()}
    for _ in range(3):
        queue.push(gathered_rows(unit(encoder(first[share])), run))
    return measured | {"queue": queue.features, "place": queue.place}


METHODS = {
    "moco": MoCo(encoder="conv", width=0.1, steps=3, batch_size=4, queue_length=9, feature_dim=4, learning_rate=5.0),
    "simclr": SimCLR(encoder="conv", width=0.1, steps=3, batch_size=4, warmup_steps=1, feature_dim=4),
    "cmc": CMC(encoder="conv", width=0.2, steps=3, batch_size=4, num_negatives=5, feature_dim=4),
    "sub_infomax": SubInfoMax(
        encoder="conv",
        width=0.1,
        steps=3,
        batch_size=4,
        warmup_steps=1,
        regulariser="hessian",
        positives="joint_labels",
    ),
}


def learned_weights(folder):
    """Each method's sum of squared weights in this process; running statistics are each process's own."""
    sums = {}
    for name, method in METHODS.items():
        run = Run(folder / name, device="cpu", precision="float32", progress=False, resume=True)
        source = ToyPairs() if name == "sub_infomax" else ToyImages()
        encoder = method.fit(source, run).encoder
        sums[name] = [float(p.double().square().sum()) for p in encoder.parameters()]
    return sums


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    this = Run(folder, device="cpu", precision="float32", progress=False)
    torch.save(measure(this), folder / f"rank{this.rank}.pt")
    (folder / f"rank{this.rank}.json").write_text(json.dumps(learned_weights(folder)))
