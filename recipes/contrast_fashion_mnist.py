"""MoCo and SimCLR by a linear probe on Fashion-MNIST, the embedded stand-in for ContraLORD's CIFAR-10 (Table 1)."""

from contrafact.bench.recipe import Recipe, Row

RECIPE = Recipe(
    title="Linear probe of contrastive encoders on Fashion-MNIST; published: the same methods on CIFAR-10",
    table="ContraLORD, Table 1 (CIFAR-10 rows), on Fashion-MNIST",
    rows=(
        Row("MoCo", "moco", {"top 1": (0.9330, None), "top 5": (0.9985, None)}, source="fashion-mnist"),
        Row("SimCLR", "simclr", {"top 1": (0.9200, None), "top 5": (0.9981, None)}, source="fashion-mnist"),
    ),
    columns={"top 1": ("linear_probe", "top1"), "top 5": ("linear_probe", "top5"), "k-NN": ("knn_probe", "score")},
    presets={"small": "quick", "paper": "paper"},
    num_train=60_000,
    num_test=10_000,
    remark="fitted on frozen codes of the training images, tested on the published test images; the published numbers "
    "are of ResNet-50 after 200 epochs on CIFAR-10",
)
