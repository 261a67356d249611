"""Numbers as the paper prints them, misprints included: what measurements are held against."""

from __future__ import annotations

TABLE1: dict[str, dict[str, dict[str, int]]] = {
    "twitter2015": {
        "train": {"PER": 2217, "LOC": 2091, "ORG": 928, "MISC": 940, "entities": 6176, "tweets": 4000},
        "dev": {"PER": 552, "LOC": 552, "ORG": 247, "MISC": 225, "entities": 1546, "tweets": 1000},
        "test": {"PER": 1816, "LOC": 1697, "ORG": 839, "MISC": 726, "entities": 5078, "tweets": 3257},
    },
    "twitter2017": {
        "train": {"PER": 2943, "LOC": 731, "ORG": 1674, "MISC": 701, "entities": 6049, "tweets": 3373},
        "dev": {"PER": 626, "LOC": 173, "ORG": 375, "MISC": 150, "entities": 1324, "tweets": 723},
        "test": {"PER": 621, "LOC": 178, "ORG": 395, "MISC": 157, "entities": 1351, "tweets": 723},
    },
}
"""Table 1: corpus → split → entities of each type, all entities, tweets."""

TABLE3: dict[str, dict[str, tuple[float, float, float]]] = {
    "full": {"twitter2015": (77.70, 76.04, 76.86), "twitter2017": (88.29, 88.75, 88.52)},
    "no-ips": {"twitter2015": (74.66, 77.08, 75.85), "twitter2017": (87.20, 88.23, 87.71)},
    "no-mgi": {"twitter2015": (75.09, 76.81, 75.94), "twitter2017": (86.87, 87.92, 87.39)},
    "no-row": {"twitter2015": (76.03, 76.70, 76.36), "twitter2017": (88.25, 87.92, 88.08)},
    "no-column": {"twitter2015": (76.12, 76.70, 76.41), "twitter2017": (87.79, 88.52, 88.15)},
}
"""Table 3, the ablation: variant (`mgips.config.VARIANTS`) → corpus → precision, recall, F1 in percent."""
