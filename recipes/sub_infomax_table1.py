"""SubInfoMax, Table 1: the supervised ceiling, each half of r trained on the labels of one task."""

from contrafact.bench.sub_infomax import disjoint_labels

PUBLISHED = (97.3, 64.5, 97.3, 10.1, 11.7, 64.5, 85.6, 54.4)

RECIPE = disjoint_labels("Table 1", ("DC", "BC"), PUBLISHED)
