"""Complaints about settings files, in one sentence: where, what is wrong, what to write instead."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from support import assert_sentence

from napari_dmu.microscope.checking import file_error


class Step(BaseModel):
    model_config = ConfigDict(extra="forbid")

    rate: float = Field(default=1, gt=0)
    begin: int = 0
    end: int = 1

    @model_validator(mode="after")
    def _check(self) -> Step:
        if self.begin >= self.end:
            raise ValueError("begin must be smaller than end")
        return self


class File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    images: str
    step: Step | None = None
    steps: tuple[Step, ...] = ()


def complaint(content: Any) -> str:
    with pytest.raises(ValidationError) as refusal:
        File.model_validate(content)
    error = file_error(refusal.value, "a.yaml", File)
    assert_sentence(error)
    return str(error)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"image": "x"}, "In 'a.yaml' there is no setting 'image': write 'images' if that is meant."),
        (
            {"images": "x", "zzz": 1},
            "In 'a.yaml' there is no setting 'zzz': choose from images, step, steps.",
        ),
        (
            {"images": "x", "step": {"rates": 1}},
            "In 'a.yaml' there is no setting 'step.rates': write 'rate' if that is meant.",
        ),
        (
            {"images": "x", "steps": [{}, {"begn": 1}]},
            "In 'a.yaml' there is no setting 'steps.1.begn': write 'begin' if that is meant.",
        ),
        ({"step": None}, "'a.yaml' cannot be used because the images is missing: give it a value."),
        (
            {"images": "x", "step": {"rate": 0}},
            "'a.yaml' cannot be used because a value of 0 is not possible for the step rate: choose one above 0.",
        ),
    ],
    ids=["a letter left out", "a stranger", "in an entry", "in a list", "missing", "out of range"],
)
def test_the_sentence_names_the_file_and_the_way_out(content: dict[str, Any], sentence: str) -> None:
    assert complaint(content) == sentence


def test_entries_that_do_not_go_together_are_told_with_their_place() -> None:
    said = complaint({"images": "x", "steps": [{"begin": 0}, {"begin": 3}]})
    assert said == "'a.yaml' cannot be used at steps.1: begin must be smaller than end."
