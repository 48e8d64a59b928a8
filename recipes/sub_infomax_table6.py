"""SubInfoMax, Table 6: Table 3's regularisers on pairs that share digit class and location."""

from contrafact.bench.sub_infomax import regularisers_by_weight

PUBLISHED = {  # per regulariser and λ: accuracy on (DC, DL) of z, z0, z1, and the gaps
    ("ortho", 0.001): (82.6, 99.6, 44.3, 99.4, 33.6, 99.5, 10.7, 0.1),
    ("ortho", 0.1): (97.8, 99.6, 46.5, 83.9, 38.4, 86.7, 8.1, 2.8),
    ("permuted_ortho", 0.001): (96.6, 99.8, 45.5, 99.6, 44.5, 99.7, 1.0, 0.1),
    ("permuted_ortho", 0.1): (68.0, 99.8, 41.3, 99.7, 34.5, 98.6, 6.8, 1.1),
    ("hessian", 0.001): (86.6, 99.1, 46.7, 41.5, 41.7, 67.9, 5.0, 26.4),
    ("hessian", 0.1): (91.2, 99.1, 39.9, 48.1, 34.8, 64.7, 5.1, 16.6),
}

RECIPE = regularisers_by_weight("Table 6", ("DC", "DL"), PUBLISHED)
