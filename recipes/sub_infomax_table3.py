"""SubInfoMax, Table 3: orthogonality without and with the permutation, and the Hessian regulariser."""

from contrafact.bench.sub_infomax import regularisers_by_weight

PUBLISHED = {  # per regulariser and λ: accuracy on (DC, BC) of z, z0, z1, and the gaps
    ("ortho", 0.001): (97.0, 62.4, 76.6, 48.4, 73.2, 54.0, 3.4, 5.6),
    ("ortho", 0.1): (69.3, 59.6, 51.2, 39.9, 46.3, 42.7, 4.9, 2.8),
    ("permuted_ortho", 0.001): (97.0, 62.2, 77.1, 52.4, 71.8, 57.0, 5.3, 4.6),
    ("permuted_ortho", 0.1): (97.2, 61.6, 88.0, 56.9, 82.2, 60.0, 5.8, 3.1),
    ("hessian", 0.001): (92.4, 57.2, 60.7, 46.7, 47.9, 34.6, 12.8, 12.1),
    ("hessian", 0.1): (93.6, 56.3, 74.7, 42.4, 57.5, 50.9, 17.2, 8.5),
}

RECIPE = regularisers_by_weight("Table 3", ("DC", "BC"), PUBLISHED)
