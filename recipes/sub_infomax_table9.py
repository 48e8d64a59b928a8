"""SubInfoMax, Table 9: six runs of the Hessian regulariser that differ in their initialisation alone."""

from contrafact.bench.sub_infomax import initialisations

RUNS = {  # runs 0 to 5
    "DC, z": (93.6, 73.0, 96.2, 93.9, 73.1, 92.2),
    "BC, z": (56.3, 56.0, 56.6, 56.6, 58.1, 56.9),
    "DC, z0": (74.7, 67.9, 73.7, 58.4, 42.2, 61.1),
    "BC, z0": (42.4, 47.9, 40.4, 36.6, 34.8, 36.4),
    "DC, z1": (57.5, 64.2, 66.5, 51.0, 40.0, 53.5),
    "BC, z1": (50.9, 49.4, 43.2, 37.5, 30.2, 37.2),
    "DC, gap": (17.2, 3.7, 7.2, 7.4, 2.2, 7.6),
    "BC, gap": (8.5, 1.5, 2.8, 0.9, 4.6, 0.8),
    "diagonal": (100, 100, 100, 100, 0, 100),
}

RECIPE = initialisations("Table 9", "hessian", RUNS, "22.8 and 7.4")
