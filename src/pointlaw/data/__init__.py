"""Datasets: load histories with their answers, in HDF5 with named axes, units and a card."""

from pointlaw.data.atomic import check_writable, replacing, write_bytes
from pointlaw.data.card import DatasetCard, Units, check_units
from pointlaw.data.dataset import Dataset, merge
from pointlaw.data.polyconvex import PolyconvexFit, closest_polyconvex, polyconvex_margin
from pointlaw.data.respond import Answers, respond
from pointlaw.data.sample import sample
from pointlaw.data.scaling import Feature, FeatureMap, Scaling, feature_map
from pointlaw.data.settings_file import Settings, first_fault, read_settings
from pointlaw.data.store import load_dataset, save_dataset

__all__ = [
    "Answers",
    "Dataset",
    "DatasetCard",
    "Feature",
    "FeatureMap",
    "PolyconvexFit",
    "Scaling",
    "Settings",
    "Units",
    "check_units",
    "check_writable",
    "closest_polyconvex",
    "feature_map",
    "first_fault",
    "load_dataset",
    "merge",
    "polyconvex_margin",
    "read_settings",
    "replacing",
    "respond",
    "sample",
    "save_dataset",
    "write_bytes",
]
