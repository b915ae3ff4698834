"""Students: names, sizes of the published ones, and weights that the seed decides."""

from __future__ import annotations

import numpy as np
import pytest

from nslib.errors import BadParameter, UnknownName
from nslib.train import costs, embedding, networks, students

PATCHES = np.random.default_rng(0).normal(-4, 2, (3, 96, 64)).astype(np.float32)


@pytest.fixture(scope="module")
def small():
    return students.named("mobilenetv3-small-0.05-24", seed=3)


@pytest.mark.parametrize(("name", "student"), [
    ("mobilenet-1.0", students.Student("mobilenet", 1.0, 2048)),
    ("mobilenet-0.25-512", students.Student("mobilenet", 0.25, 512)),
    ("mobilenetv3-small-2.0", students.Student("mobilenetv3-small", 2.0, 2048)),
    ("mobilenetv3-small-0.5", students.Student("mobilenetv3-small", 0.5, 1024)),
    ("mobilenetv3-large-1.5", students.Student("mobilenetv3-large", 1.5, 1920)),
    ("mobilenet-1", students.Student("mobilenet", 1.0, 2048)),
])
def test_a_name_says_kind_width_and_dimensions(name, student):
    assert students.parse(name) == student


@pytest.mark.parametrize("name", students.STUDENTS)
def test_every_listed_student_has_a_name_that_parses(name):
    assert students.parse(name).kind in students.KINDS


@pytest.mark.parametrize(("name", "error", "said"), [
    ("mobilnet-0.5", UnknownName, "Did you mean mobilenet"),
    ("mobilenet", BadParameter, "kind-alpha"),
    ("mobilenet-wide", BadParameter, "kind-alpha"),
    ("mobilenet-0.01", BadParameter, "0.05 to 4"),
])
def test_other_names_are_refused(name, error, said):
    with pytest.raises(error, match=said):
        students.parse(name)


def test_they_give_vectors_for_patches(small):
    found = small(PATCHES, training=False)
    assert list(found) == ["embedding"] and found["embedding"].shape == (3, 24)
    assert costs.cost(small).outputs == {"embedding": 24}
    assert np.ptp(np.asarray(found["embedding"]), axis=0).max() > 0, "patches differ"


def test_the_seed_decides_the_weights(small):
    same, other = (students.named("mobilenetv3-small-0.05-24", seed) for seed in (3, 4))
    assert embedding.revision(same) == embedding.revision(small) != embedding.revision(other)


def test_frills_network_has_its_dimensions_and_there_is_a_student_well_below_the_teacher():
    frill = costs.cost(students.named("mobilenetv3-small-2.0"))
    assert frill.outputs == {"embedding": 2048}
    teacher = costs.cost(networks.trill_mini())
    least = costs.cost(students.named("mobilenet-0.05-256"))
    assert least.parameters < teacher.parameters / 8 and least.multiply_adds < teacher.multiply_adds / 8


def test_mobilenets_multiply_adds_are_those_of_its_paper():
    import keras

    body = keras.applications.MobileNet((224, 224, 3), include_top=True, weights=None)
    counted = costs.cost(body).multiply_adds
    # Howard et al., table 8: 569 million
    assert counted == pytest.approx(569e6, rel=0.005)
