"""ContraLORD, Table 1: linear probes of frozen codes on CIFAR-10, CIFAR-100 and ImageNet-100, from the user's files."""

from contrafact.bench.recipe import Recipe, Row

METHODS = {"CMC": "cmc", "MoCo": "moco", "SimCLR": "simclr", "LORD": "lord", "OverLORD": "overlord"}
METHODS["ContraLORD"] = "contralord"
PUBLISHED = {
    "cifar10": {
        "MoCo": (0.9330, 0.9985),
        "SimCLR": (0.9200, 0.9981),
        "LORD": (0.8513, 0.9622),
        "OverLORD": (0.9162, 0.9861),
        "ContraLORD": (0.9401, 0.9989),
    },
    "cifar100": {
        "MoCo": (0.7170, 0.9023),
        "SimCLR": (0.7158, 0.9011),
        "LORD": (0.6332, 0.8705),
        "OverLORD": (0.6996, 0.8953),
        "ContraLORD": (0.7267, 0.9097),
    },
    "imagenet100": {
        "CMC": (0.6620, 0.8875),
        "MoCo": (0.7280, 0.9104),
        "LORD": (0.6732, 0.8926),
        "OverLORD": (0.7016, 0.9045),
        "ContraLORD": (0.7623, 0.9252),
    },
}
IMAGES, EPOCHS = {"cifar10": 50_000, "cifar100": 50_000, "imagenet100": 126_689}, 200
# Images per step of each method's stages, by the field that counts the steps.
BATCHES = {
    "cmc": {"steps": 256},
    "moco": {"steps": 256},
    "simclr": {"steps": 256},
    "lord": {"steps": 128, "encoder_steps": 128},
    "overlord": {"steps": 32, "encoder_steps": 32},
    "contralord": {"steps": 128, "encoder_steps": 256},
}


def row_of(name: str, dataset: str) -> Row:
    """A method on a dataset for 200 epochs of each stage; latent optimisation has a code of every training image."""
    method = METHODS[name]
    settings: dict[str, object] = {s: EPOCHS * IMAGES[dataset] // batch for s, batch in BATCHES[method].items()}
    if method in ("lord", "overlord", "contralord"):
        settings |= {"num_images": IMAGES[dataset], "reconstruction": "multiscale"}
    first, fifth = PUBLISHED[dataset][name]
    numbers = {"top 1": (first, None), "top 5": (fifth, None)}
    return Row(f"{name}, {dataset}", method, numbers, settings, source=dataset, scales=("paper",))


RECIPE = Recipe(
    title="Linear probe of frozen codes",
    table="ContraLORD (Anonymous 2021), Table 1",
    rows=tuple(row_of(name, dataset) for dataset, numbers in PUBLISHED.items() for name in numbers),
    columns={"top 1": ("linear_probe", "top1"), "top 5": ("linear_probe", "top5"), "k-NN": ("knn_probe", "score")},
    presets={"paper": "paper"},
    num_train=130_000,
    num_test=10_000,
    data={"paper": {"split": "train"}},
    remark="needs a GPU and, in the data folder, cifar-10-batches-py, cifar-100-python (or the binary versions) and a "
    "folder imagenet100 with train and val, in each a hundred of ImageNet's folders (n01558993, …); "
    "contrast-fashion-mnist is the same table at small scale. Codes are the discriminative ones where a method has "
    "them, learned without class labels. LORD and OverLORD have their own encoders here, no ResNet-50; photographs are "
    "rebuilt by the multi-scale distance, as no perceptual network is at hand",
)
