"""The typed events of a streamed response, in the order in which they come.

    response.created, response.in_progress
      response.output_item.added
        response.content_part.added
          response.output_text.delta ...
          response.output_text.done
        response.content_part.done
      response.output_item.done
    response.completed | response.incomplete

`response.failed` can come in place of any but the first four. `sequence_number` counts from 0 without a gap. There is
no [DONE] behind the last one, as there is none at OpenAI's.
"""

from __future__ import annotations

from itertools import count
from typing import Literal

from pydantic import BaseModel, ConfigDict
from pydantic_core import to_json

from server.api.chat.answers import TokenLogprobs
from server.api.events import PLACE, TextEvent
from server.api.responses.answers import OutputMessage, OutputText, Progress, ResponseObject


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True)


class LifecycleEvent(_Event):
    """The response as it stands."""

    type: Literal[
        "response.created", "response.in_progress", "response.completed", "response.incomplete", "response.failed"
    ]
    response: ResponseObject
    sequence_number: int


class ItemEvent(_Event):
    """The message begins or ends."""

    type: Literal["response.output_item.added", "response.output_item.done"]
    output_index: int = 0
    item: OutputMessage
    sequence_number: int


class PartEvent(_Event):
    """Its text begins or ends."""

    type: Literal["response.content_part.added", "response.content_part.done"]
    item_id: str
    output_index: int = 0
    content_index: int = 0
    part: OutputText
    sequence_number: int


class TextDoneEvent(_Event):
    """All of the text."""

    type: Literal["response.output_text.done"] = "response.output_text.done"
    item_id: str
    output_index: int = 0
    content_index: int = 0
    text: str
    logprobs: tuple[TokenLogprobs, ...]
    sequence_number: int


class TextDeltaEvent(_Event):
    """New text. What differs between two of them stands last."""

    type: Literal["response.output_text.delta"] = "response.output_text.delta"
    item_id: str
    output_index: int = 0
    content_index: int = 0
    logprobs: tuple[TokenLogprobs, ...] = ()
    delta: str
    sequence_number: int


class EventWriter:
    """Writes the events of one response, numbered."""

    def __init__(self, item_id: str) -> None:
        self._item_id = item_id
        self._numbers = count()
        template = TextDeltaEvent(item_id=item_id, delta=PLACE, sequence_number=0)
        # Most events are deltas: serialising a model for each would take longer than choosing its token.
        self._before_text = TextEvent.around(_written(template)).before

    def opening(self, response: ResponseObject) -> bytes:
        """What comes before the first text."""
        return b"".join(
            (
                self._response("response.created", response),
                self._response("response.in_progress", response),
                self._item("response.output_item.added", "in_progress", ()),
                self._part("response.content_part.added", OutputText(text="")),
            )
        )

    def delta(self, text: str, logprobs: tuple[TokenLogprobs, ...]) -> bytes:
        """New text, or new tokens where they are reported: text may lag behind them. Nothing if there is neither."""
        if logprobs:
            number = next(self._numbers)
            event = TextDeltaEvent(item_id=self._item_id, delta=text, logprobs=logprobs, sequence_number=number)
            return _written(event)
        if not text:
            return b""
        return self._before_text + to_json(text) + f',"sequence_number":{next(self._numbers)}}}\n\n'.encode()

    def closing(self, response: ResponseObject) -> bytes:
        """What comes behind the last text: the response is whole, or as long as it may be."""
        (message,) = response.output
        (part,) = message.content
        done = TextDoneEvent(
            item_id=self._item_id, text=part.text, logprobs=part.logprobs, sequence_number=next(self._numbers)
        )
        ended: Literal["response.completed", "response.incomplete"] = "response.completed"
        if response.status == "incomplete":
            ended = "response.incomplete"
        return b"".join(
            (
                _written(done),
                self._part("response.content_part.done", part),
                self._item("response.output_item.done", message.status, message.content),
                self._response(ended, response),
            )
        )

    def failure(self, response: ResponseObject) -> bytes:
        """The end of a response that failed."""
        return self._response("response.failed", response)

    def _response(
        self,
        kind: Literal[
            "response.created", "response.in_progress", "response.completed", "response.incomplete", "response.failed"
        ],
        response: ResponseObject,
    ) -> bytes:
        return _written(LifecycleEvent(type=kind, response=response, sequence_number=next(self._numbers)))

    def _item(
        self,
        kind: Literal["response.output_item.added", "response.output_item.done"],
        status: Progress,
        content: tuple[OutputText, ...],
    ) -> bytes:
        item = OutputMessage(id=self._item_id, status=status, content=content)
        return _written(ItemEvent(type=kind, item=item, sequence_number=next(self._numbers)))

    def _part(
        self, kind: Literal["response.content_part.added", "response.content_part.done"], part: OutputText
    ) -> bytes:
        return _written(PartEvent(type=kind, item_id=self._item_id, part=part, sequence_number=next(self._numbers)))


def _written(event: LifecycleEvent | ItemEvent | PartEvent | TextDoneEvent | TextDeltaEvent) -> bytes:
    return f"event: {event.type}\ndata: {event.model_dump_json()}\n\n".encode()
