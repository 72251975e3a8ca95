"""Of boxes that show one thing, the surest stays."""

import numpy as np

from media_inference.models.nms import nms

BOXES = np.array([[0, 0, 10, 10], [0, 0, 10, 8], [20, 20, 30, 30], [2, 2, 5, 5]], np.float32)
SCORES = np.array([0.8, 0.9, 0.5, 0.7], np.float32)


def test_the_surest_of_overlapping_boxes_stays() -> None:
    assert nms(BOXES, SCORES, 0.5).tolist() == [1, 3, 2]


def test_a_box_inside_another_goes_when_the_smaller_area_counts() -> None:
    assert nms(BOXES, SCORES, 0.5, of_smaller=True).tolist() == [1, 2]


def test_no_boxes_leave_none() -> None:
    assert nms(BOXES[:0], SCORES[:0], 0.5).tolist() == []


def test_equal_boxes_of_no_size_are_no_division_by_zero() -> None:
    assert nms(np.zeros((3, 4), np.float32), np.ones(3, np.float32), 0.5).tolist() == [0, 1, 2]


def test_boxes_of_one_look_leave_each_other_alone() -> None:
    assert nms(BOXES, SCORES, 0.5, looks=np.zeros(4, np.int64)).tolist() == [1, 0, 3, 2]
    assert nms(BOXES, SCORES, 0.5, looks=np.arange(4)).tolist() == [1, 3, 2]
