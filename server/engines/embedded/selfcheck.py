"""The check at load: does this model, packed and cached, say what it says plain?

Models that do not call their attention by name give wrong tokens without an error (GPT-J, Bloom): nothing tells
them where one packed prompt ends. They are refused here, whatever their configuration claims.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from breakers.bank import StrengthTable
from breakers.plan import STRENGTH_STEPS, AppliedStrength, Plan, Reason
from server.engines.embedded.batch import PackedBatch, Work
from server.engines.embedded.cache import SlotCache
from server.engines.embedded.errors import SelfCheckError
from server.engines.embedded.executor import Executor

DECODE_STEPS = 3

LONGEST_PROMPT = 40

TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 5e-2, torch.float16: 2e-2}
"""Allowed error of the logits, as a share of their norm. Wrong attention errs by about 1."""


@dataclass(frozen=True, slots=True)
class _Texts:
    """Two random token sequences: the first `prompts` tokens of each are prefilled, the rest decoded one by one."""

    tokens: tuple[list[int], list[int]]
    prompts: tuple[int, int]


@torch.inference_mode()
def check_packed_forward(executor: Executor) -> float:
    """Compare packed prefill (one prompt in two chunks), and decode steps, with the model's plain forward.

    Returns:
        The largest error of any logits row, as a share of its norm.

    Raises:
        SelfCheckError: the model bypasses the attention interface, fails, or gives other logits.
    """
    model = executor.model
    texts = _texts(model, executor.cache.max_length)
    plain = [_plain_logits(model, tokens, prompt) for tokens, prompt in zip(texts.tokens, texts.prompts, strict=True)]
    name = type(model).__name__
    try:
        with executor.installed():
            packed = _packed_logits(executor, texts)
    except SelfCheckError:
        raise
    except Exception as error:
        raise SelfCheckError(f"{name} fails on packed tokens: {type(error).__name__}: {error}") from error
    errors = [_error(ours, theirs) for ours, theirs in zip(packed, plain, strict=True)]
    limit = TOLERANCE[model.dtype]
    if not max(errors) <= limit:
        raise SelfCheckError(
            f"{name} gives other logits packed than plain: off by {max(errors):.2g} of their norm, wanted {limit:g}"
        )
    return max(errors)


@torch.inference_mode()
def rows_are_independent(
    executor: Executor, table: StrengthTable, *, slots: int, rows: int, cache: SlotCache
) -> bool:
    """Whether the bits of a decode row, of `slots` padded to `rows`, are the same wherever and beside whatever it is.

    Mixtures of experts are never: rows are grouped by expert, so the shapes of products depend on all of them.

    Args:
        executor: installed, with the table's bank attached.
        table: all of its slots are free.
        slots: requests that run at once.
        rows: of the forward.
        cache: its slots are free; a position each is enough.
    """
    if any("expert" in name for name, _ in executor.model.named_modules()):
        return False
    generator = torch.Generator().manual_seed(0)
    vocab = _vocab(executor.model)
    try:
        for plan in (Plan(), _plan_of_all(table)):
            for slot in range(slots):
                table.assign(slot, plan, 0)
            tokens = torch.randint(vocab, (slots,), generator=generator).tolist()
            alone = _decode_logits(executor, table, cache, tokens[:1], rows)[0]
            for row in range(slots):
                crowd = [*tokens[1 : row + 1], tokens[0], *tokens[row + 1 :]]
                if not torch.equal(_decode_logits(executor, table, cache, crowd, rows)[row], alone):
                    return False
    finally:
        for slot in range(slots):
            table.release(slot)
    return True


def _plan_of_all(table: StrengthTable) -> Plan:
    """The least strength of every bundle: all of the bank's products take part."""
    least = AppliedStrength(strength=1 / STRENGTH_STEPS, reason=Reason.REQUEST)
    return Plan({entry.name: least for entry in table.bank.entries if entry.strength_max >= least.strength})


def _decode_logits(
    executor: Executor, table: StrengthTable, cache: SlotCache, tokens: Sequence[int], rows: int
) -> Tensor:
    works = [Work(slot=slot, start=0, token_ids=[token], wants_logits=True) for slot, token in enumerate(tokens)]
    batch = PackedBatch(works, [], cache=cache, rows_apart=True, pad_to=rows)
    logits = executor.forward(batch, table.gather(batch.host_slots, batch.host_positions))
    for work in works:
        cache.clear(work.slot, 1)
    return logits


def _vocab(model: PreTrainedModel) -> int:
    return int(model.get_input_embeddings().num_embeddings)


def _texts(model: PreTrainedModel, max_length: int) -> _Texts:
    """As long as it takes to leave a sliding window, if the window is short."""
    generator = torch.Generator().manual_seed(0)
    room = min(LONGEST_PROMPT, max_length - DECODE_STEPS)
    if room < 2:
        raise SelfCheckError(f"max_model_len is {max_length}; the self-check needs at least {DECODE_STEPS + 2}")
    prompts = (room, max(1, room * 5 // 8))
    first, second = (torch.randint(_vocab(model), (n + DECODE_STEPS,), generator=generator).tolist() for n in prompts)
    return _Texts((first, second), prompts)


def _plain_logits(model: PreTrainedModel, tokens: list[int], prompt: int) -> Float[Tensor, "row vocab"]:
    ids = torch.tensor([tokens], device=model.device)
    logits: Tensor = model(input_ids=ids, use_cache=False).logits[0, prompt - 1 :]
    return logits.float()


def _packed_logits(executor: Executor, texts: _Texts) -> list[Float[Tensor, "row vocab"]]:
    (first, second), (long, short) = texts.tokens, texts.prompts
    cut = long // 2
    _run(executor, [], [Work(slot=0, start=0, token_ids=first[:cut], wants_logits=False)])
    rest = Work(slot=0, start=cut, token_ids=first[cut:long], wants_logits=True)
    rows = [_run(executor, [], [rest, Work(slot=1, start=0, token_ids=second[:short], wants_logits=True)])]
    for step in range(DECODE_STEPS):
        works = [
            Work(slot=slot, start=end + step, token_ids=[tokens[end + step]], wants_logits=True)
            for slot, (tokens, end) in enumerate(zip(texts.tokens, texts.prompts, strict=True))
        ]
        rows.append(_run(executor, works, []))
    for slot, tokens in enumerate(texts.tokens):
        executor.cache.clear(slot, len(tokens))
    stacked = torch.stack(rows)
    return [stacked[:, 0], stacked[:, 1]]


def _run(executor: Executor, decode: list[Work], prefill: list[Work]) -> Float[Tensor, "row vocab"]:
    batch = PackedBatch(decode, prefill, cache=executor.cache)
    logits = executor.forward(batch, executor.idle_strengths(batch.tokens))
    layers = executor.model.config.get_text_config().num_hidden_layers
    if len(batch.layers_seen) != layers:
        raise SelfCheckError(
            f"{type(executor.model).__name__} bypasses the attention interface: "
            f"{len(batch.layers_seen)} of its {layers} layers came through it"
        )
    return logits


def _error(ours: Float[Tensor, "row vocab"], theirs: Float[Tensor, "row vocab"]) -> float:
    return float(((ours - theirs).norm(dim=1) / theirs.norm(dim=1).clamp_min(1e-9)).max())
