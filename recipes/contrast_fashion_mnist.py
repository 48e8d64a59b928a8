"""ContraLORD's Table 1 at small scale: linear probes on Fashion-MNIST, the embedded stand-in for its CIFAR-10."""

from contrafact.bench.recipe import Recipe, Row

PUBLISHED = {
    "MoCo": (0.9330, 0.9985),
    "SimCLR": (0.9200, 0.9981),
    "LORD": (0.8513, 0.9622),
    "OverLORD": (0.9162, 0.9861),
    "ContraLORD": (0.9401, 0.9989),
}
# A code of 128 numbers for the probe, where the quick presets have the one number a factor benchmark asks for.
SETTINGS = {
    "LORD": {"factor_dim": 128, "num_images": 60_000},
    "OverLORD": {"factor_dim": 128, "num_images": 60_000},
    "ContraLORD": {"num_images": 60_000},
}
# The quick preset is made for factors: here a wider network, and the paper's w.
SMALL = {"ContraLORD": {"encoder": "conv", "encoder_width": 0.5, "encoder_steps": 1500, "latent_weight": 10.0}}


def row_of(name: str) -> Row:
    """A method beside its published numbers."""
    first, fifth = PUBLISHED[name]
    numbers = {"top 1": (first, None), "top 5": (fifth, None)}
    # A small budget visits 20,000 images often enough to find their codes; 60,000 only six times.
    small = ({"num_images": 20_000} if name in SETTINGS else {}) | SMALL.get(name, {})
    return Row(name, name.lower(), numbers, SETTINGS.get(name, {}), small, source="fashion-mnist")


RECIPE = Recipe(
    title="Linear probe of contrastive encoders on Fashion-MNIST; published: the same methods on CIFAR-10",
    table="ContraLORD, Table 1 (CIFAR-10 rows), on Fashion-MNIST",
    rows=tuple(row_of(name) for name in PUBLISHED),
    columns={"top 1": ("linear_probe", "top1"), "top 5": ("linear_probe", "top5"), "k-NN": ("knn_probe", "score")},
    presets={"small": "quick", "paper": "paper"},
    num_train=60_000,
    num_test=10_000,
    remark="one budget: the quick presets, none given class labels, training times beside them; fitted on frozen codes "
    "of the training images, tested on the published test images; the published numbers are of ResNet-50 after 200 "
    "epochs on CIFAR-10",
)
