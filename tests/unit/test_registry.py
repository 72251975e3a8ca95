"""Registries of catalogues."""

import pytest

from media_inference.registry import Registry


def test_entries_are_found_by_key_in_their_order() -> None:
    registry = Registry("word", ["bb", "a"], key=len)  # type: ignore[arg-type]  # any key will do
    assert list(registry.values()) == ["bb", "a"]


def test_two_entries_with_one_key_are_refused() -> None:
    with pytest.raises(ValueError, match="two entries claim the word 'a'"):
        Registry("word", ["a", "b", "a"], key=str)


def test_a_namespace_gives_its_instances_of_the_type() -> None:
    registry = Registry.of(str, {"x": "one", "y": 2, "z": "three"}, "word", key=str)
    assert list(registry) == ["one", "three"]
