"""SubInfoMax on the paper's own form of data at 32 pixels: digits over garments, the Hessian regulariser over λ.

As `sub-infomax-digits`, but for a digit that lies somewhere on the garment, as MNIST's do on STL-10's photographs. Its
pixels say about as much of one class as of the other; the contrast learns the garment alone. `sub-infomax-centred` is
the same with digits that stay in the middle, where it learns both.
"""

from contrafact.bench.sub_infomax import digits_on_garments

RECIPE = digits_on_garments(
    "over",
    "SubInfoMax: digits over garments, the Hessian regulariser over its weight",
    "pairs share both classes and differ in the digit's place",
)
