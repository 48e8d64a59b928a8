"""CIFAR-100: 60,000 photographs, 32 x 32, a hundred classes.

Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009, https://www.cs.toronto.edu/~kriz/cifar.html.
"""

from __future__ import annotations

from contrafact.data._cifar import CifarImages

FILES = ("cifar-100-python", "cifar-100-binary", "train.bin")

_CLASSES = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle
caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant flatfish
forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle
mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine
possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider squirrel streetcar
sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle wardrobe whale
willow_tree wolf woman worm
"""


class CIFAR100(CifarImages):
    """CIFAR-100: 50,000 training and 10,000 test images ``(3, size, size)`` with their fine labels.

    Args:
        path: folder of the batches, or the one that holds it; by default the dataset's places in the data folder.
        split: ``train``, ``test`` or ``all`` (train, then test).
        size: 32, 16 or 8: smaller by area averages.

    Raises:
        ValueError: unknown split or size, no files, or damaged ones.

    >>> from pathlib import Path
    >>> import contrafact as cf
    >>> Path("cifar").mkdir()  # the binary form: two labels, then 3,072 bytes, for each image
    >>> _ = Path("cifar/train.bin").write_bytes(bytes([0, 1]) + bytes(3072))
    >>> images = cf.data.CIFAR100("cifar")
    >>> len(images), images.class_names[images.labels[0]], images.batch([0]).shape
    (1, 'aquarium fish', torch.Size([1, 3, 32, 32]))
    """

    name = "cifar100"
    class_names = tuple(name.replace("_", " ") for name in _CLASSES.split())
    folders = ("cifar-100-python", "cifar-100-binary")
    batches = {"train": ("train",), "test": ("test",)}  # noqa: RUF012
    label_key, label_bytes = "fine_labels", 2
