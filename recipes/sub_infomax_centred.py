"""SubInfoMax on digits in the middle of garments at 32 pixels, the Hessian regulariser over λ.

As `sub-infomax-over`, without the one thing that keeps the contrast from the digit: its place.
"""

from contrafact.bench.sub_infomax import digits_on_garments

RECIPE = digits_on_garments(
    "centred",
    "SubInfoMax: digits in the middle of garments, the Hessian regulariser over its weight",
    "pairs share both classes, the digit stays in the middle",
)
