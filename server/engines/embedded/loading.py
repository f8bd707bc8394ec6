"""From settings to an engine: load, resolve, check, wire together."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from breakers.architectures import resolve_sites
from breakers.bank import Bank
from breakers.runtime import TorchRuntime
from server.engines.base import EngineInfo
from server.engines.embedded.banks import Banks, LoadedBank, Packing
from server.engines.embedded.cache import SlotCache
from server.engines.embedded.config import (
    AUTOMATIC_PREFIX_SLOTS,
    PREFIX_BLOCK,
    EmbeddedEngineConfig,
    LoadedModel,
    Resolved,
    resolve,
    resolve_device,
)
from server.engines.embedded.engine import EmbeddedEngine
from server.engines.embedded.errors import EmbeddedLoadError
from server.engines.embedded.executor import Executor
from server.engines.embedded.grammar.compiler import GrammarCompiler
from server.engines.embedded.grammar.vocabulary import Vocabulary
from server.engines.embedded.loop import StepLoop, StepWatcher
from server.engines.embedded.mailbox import Mailbox
from server.engines.embedded.positions import usable_positions
from server.engines.embedded.prefix import PrefixCache
from server.engines.embedded.runtime import EngineRuntime
from server.engines.embedded.scheduler import Scheduler
from server.engines.embedded.selfcheck import check_packed_forward, rows_are_independent
from server.engines.embedded.selftest import SelfTest
from server.engines.embedded.stepper import Stepper, padded_rows
from server.engines.embedded.swapping import BankSwapper
from server.engines.embedded.tokenizer import HuggingFaceTokenizer

logger = logging.getLogger(__name__)


def load_model(directory: Path, *, dtype: str = "float32") -> LoadedModel:
    """Read a model and its tokenizer from a directory. Runs no code of the model's and reads safetensors only.

    Raises:
        EmbeddedLoadError: there is no such directory, or transformers cannot read it.
    """
    from transformers import AutoModelForCausalLM

    require_model_directory(directory)
    try:
        model = AutoModelForCausalLM.from_pretrained(
            directory, dtype=getattr(torch, dtype), use_safetensors=True, local_files_only=True
        )
    except (OSError, ValueError, KeyError) as error:
        raise EmbeddedLoadError(f"{directory} cannot be loaded: {error}") from error
    return LoadedModel(model=model.eval(), tokenizer=load_tokenizer(directory), model_id=directory.name)


def load_tokenizer(directory: Path) -> Any:
    """Read a model directory's tokenizer.

    Raises:
        EmbeddedLoadError: transformers cannot read it.
    """
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(directory, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise EmbeddedLoadError(f"{directory} cannot be loaded: {error}") from error


def require_model_directory(directory: Path) -> None:
    """Refuse what is no model directory.

    Raises:
        EmbeddedLoadError: naming it.
    """
    if not (directory / "config.json").is_file():
        raise EmbeddedLoadError(f"{directory} is not a model directory: it has no config.json")


def load_embedded_engine(config: EmbeddedEngineConfig, watcher: StepWatcher | None = None) -> EmbeddedEngine:
    """Build an engine, ready to `start`. Sets torch's thread count for the whole process.

    Args:
        config: how.
        watcher: hears of its steps.

    Raises:
        EmbeddedLoadError: the model cannot be read, settings do not fit it, or the self-check refuses it.
        UnsupportedModelError: the model's architecture has no site table.
        SiteError, InterventionError: a bundle does not fit the model.
    """
    loaded = config.model
    if isinstance(loaded, Path):
        loaded = load_model(loaded, dtype=config.dtype)
    device = resolve_device(config.device, cuda_available=torch.cuda.is_available())
    model = loaded.model.to(device=device, dtype=getattr(torch, config.dtype)).eval()
    resolved = _resolve(config, device, model)
    torch.set_num_threads(resolved.threads)
    bank = Bank(resolve_sites(model), config.bundles, device=device, dtype=model.dtype, for_serving=True)
    cache = SlotCache(
        # The self-check runs two requests at once.
        slots=max(2, config.slots),
        max_length=resolved.max_model_len,
        device=torch.device(device),
        dtype=model.dtype,
        # Elsewhere memory is claimed at load, where its lack is told; in deterministic mode shapes have to stay.
        grows=device == "cpu" and not config.deterministic,
    )
    # Not in deterministic mode: with other numbers of rows the products may round differently.
    runtime = EngineRuntime(model, bank)
    executor = Executor(model, cache, runtime, pack_weights=not config.deterministic)
    error = check_packed_forward(executor)
    logger.info("self-check passed, error %.1e; cache of %.0f MiB", error, cache.bytes / 2**20)
    return _assemble(config, resolved, loaded, executor, runtime, watcher)


def _resolve(config: EmbeddedEngineConfig, device: str, model: PreTrainedModel) -> Resolved:
    return resolve(
        config,
        device=device,
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        parameters=sum(p.numel() for p in model.parameters()),
        model_positions=usable_positions(model.config.get_text_config(), config.max_model_len),
    )


def _assemble(
    config: EmbeddedEngineConfig,
    resolved: Resolved,
    loaded: LoadedModel,
    executor: Executor,
    runtime: TorchRuntime,
    watcher: StepWatcher | None,
) -> EmbeddedEngine:
    first = LoadedBank(0, runtime, slots=executor.cache.scratch + 1)
    if config.deterministic:
        first.packing = _deterministic_packing(config, executor, first)
    banks = Banks(first)
    rows, chunk = padded_rows(config.slots), config.deterministic_chunk
    prefixes = _prefixes(config, resolved, executor)
    mailbox = Mailbox(slots=config.slots, queue_size=config.queue_size)
    scheduler = Scheduler(
        mailbox,
        executor.cache,
        prefixes,
        slots=config.slots,
        prefill_budget=config.prefill_budget,
        fixed_chunk=chunk if config.deterministic else None,
    )
    stepper = Stepper(executor, rows=rows, chunk=chunk)
    model = executor.model
    swapper = BankSwapper(
        model=model,
        first=first,
        banks=banks,
        executor=executor,
        scheduler=scheduler,
        mailbox=mailbox,
        decode=(config.slots, rows),
    )
    vocab = int(model.get_input_embeddings().num_embeddings)
    info = EngineInfo(
        model_id=loaded.model_id,
        model_type=str(model.config.model_type),
        max_model_len=resolved.max_model_len,
        vocab=vocab,
        slots=config.slots,
        device=resolved.device,
        dtype=config.dtype,
        bundles=first.bank.names,
    )
    block = None if prefixes is None else prefixes.block
    tokenizer = HuggingFaceTokenizer(loaded.tokenizer)
    eos_ids = end_of_reply_ids(model, loaded.tokenizer)
    return EmbeddedEngine(
        info=info,
        tokenizer=tokenizer,
        banks=banks,
        swapper=swapper,
        vocab=vocab,
        eos_ids=eos_ids,
        grammars=GrammarCompiler(Vocabulary(tokenizer, size=vocab, end_ids=eos_ids)),
        mailbox=mailbox,
        loop=StepLoop(mailbox, scheduler, stepper, executor, banks, threads=resolved.threads, watcher=watcher),
        selftest=SelfTest(executor, mailbox, info, block=block, bitwise=config.deterministic),
        drain_seconds=config.drain_seconds,
    )


def _prefixes(config: EmbeddedEngineConfig, resolved: Resolved, executor: Executor) -> PrefixCache | None:
    block = config.deterministic_chunk if config.deterministic else PREFIX_BLOCK
    tokens = config.prefix_cache_tokens
    if tokens is None:
        tokens = AUTOMATIC_PREFIX_SLOTS * resolved.max_model_len
    if tokens < block:
        return None
    return PrefixCache(executor.cache, blocks=tokens // block, block=block, replies=not config.deterministic)


def _deterministic_packing(config: EmbeddedEngineConfig, executor: Executor, bank: LoadedBank) -> Packing:
    with executor.installed():
        independent = rows_are_independent(
            executor, bank.table, slots=config.slots, rows=padded_rows(config.slots), cache=executor.cache
        )
    packing = Packing.PADDED if independent else Packing.APART
    logger.info("deterministic mode: requests are %s", packing.value)
    return packing


def end_of_reply_ids(model: PreTrainedModel, tokenizer: Any) -> frozenset[int]:
    """Tokens that end a reply: those of the generation configuration and the tokenizer's own."""
    configured = model.generation_config.eos_token_id if model.generation_config is not None else None
    ids = set(configured) if isinstance(configured, (list, tuple)) else {configured}
    return frozenset(int(i) for i in ids | {tokenizer.eos_token_id} if i is not None)
