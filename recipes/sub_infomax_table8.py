"""SubInfoMax, Table 8: six runs of permuted orthogonality that differ in their initialisation alone."""

from contrafact.bench.sub_infomax import initialisations

RUNS = {  # runs 0 to 5
    "DC, z": (97.2, 97.0, 97.0, 97.2, 97.2, 97.0),
    "BC, z": (61.6, 62.3, 61.3, 61.6, 61.4, 58.3),
    "DC, z0": (88.0, 86.8, 85.4, 83.0, 80.8, 71.6),
    "BC, z0": (56.9, 59.3, 57.8, 59.7, 57.7, 56.5),
    "DC, z1": (82.2, 80.8, 79.6, 81.2, 75.6, 69.7),
    "BC, z1": (60.0, 59.6, 57.6, 56.2, 54.7, 48.1),
    "DC, gap": (5.8, 6.0, 5.8, 1.8, 5.2, 1.9),
    "BC, gap": (3.1, 0.3, 0.2, 3.5, 3.0, 8.4),
    "diagonal": (100, 100, 0, 0, 0, 0),
}

RECIPE = initialisations("Table 8", "permuted_ortho", RUNS, "3.4 and 7.4")
