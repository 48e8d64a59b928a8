"""SubInfoMax, Table 4: the supervised ceiling of digit class and location, each half of r on the labels of one task."""

from contrafact.bench.sub_infomax import disjoint_labels

PUBLISHED = (98.2, 99.9, 98.2, 13.4, 11.7, 99.9, 86.5, 86.5)

RECIPE = disjoint_labels("Table 4", ("DC", "DL"), PUBLISHED)
