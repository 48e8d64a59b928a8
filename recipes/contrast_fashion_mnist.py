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
# One budget of some five minutes, and one network: 512 features of Locatello et al.'s encoder at twice its width. The
# encoders of LORD and OverLORD are of this kind, at their width. A small budget visits 20,000 images often enough to
# find their codes, 60,000 only six times. ContraLORD has the temperature and momentum of MoCo's quick preset.
CONTRAST = {"encoder": "locatello", "width": 2.0, "steps": 3000}
SMALL = {
    "MoCo": CONTRAST,
    "SimCLR": CONTRAST,
    "LORD": {"num_images": 20_000, "steps": 8000, "encoder_steps": 3000},
    "OverLORD": {"num_images": 20_000},
    "ContraLORD": {
        "num_images": 20_000, "encoder": "locatello", "encoder_width": 2.0, "steps": 3000, "encoder_steps": 3000,
        "encoder_batch_size": 128, "latent_rate": 0.05, "encoder_rate": 1e-4, "latent_weight": 10.0, "temperature": 0.2,
        "momentum": 0.99,
    },
}  # fmt: skip


def row_of(name: str) -> Row:
    """A method beside its published numbers."""
    first, fifth = PUBLISHED[name]
    numbers = {"top 1": (first, None), "top 5": (fifth, None)}
    return Row(name, name.lower(), numbers, SETTINGS.get(name, {}), SMALL[name], source="fashion-mnist")


RECIPE = Recipe(
    title="Linear probe of contrastive encoders on Fashion-MNIST; published: the same methods on CIFAR-10",
    table="ContraLORD, Table 1 (CIFAR-10 rows), on Fashion-MNIST",
    rows=tuple(row_of(name) for name in PUBLISHED),
    columns={"top 1": ("linear_probe", "top1"), "top 5": ("linear_probe", "top5"), "k-NN": ("knn_probe", "score")},
    presets={"small": "quick", "paper": "paper"},
    num_train=60_000,
    num_test=10_000,
    remark="one budget of some five minutes (training times beside it), no class labels; MoCo, SimCLR and ContraLORD "
    "have one network, whose features are read, of LORD and OverLORD the codes; fitted on the training images, tested "
    "on the published test images; the published numbers are of ResNet-50 after 200 epochs on CIFAR-10",
)
