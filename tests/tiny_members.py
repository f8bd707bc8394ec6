"""Every member of `HarmClassifier`, made tiny: random weights, a tokenizer of few words, a guard on a real socket."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertForSequenceClassification, BertModel, PreTrainedTokenizerFast

from classifiers.artifact import ConversationCard, sha256_of
from classifiers.calibration import IsotonicCard, TemperatureCard
from classifiers.cascade import BandCard, CascadeCard, DearCard, save_cascade
from classifiers.embedding import EmbeddingCard, EmbeddingTensors, WindowsCard, save_embedding
from classifiers.embedding.files import encoder_files, encoder_sha256
from classifiers.ensemble import EnsembleCard, EnsemblePartCard, save_ensemble
from classifiers.lexical.artifact import ConversationCard as TurnsCard
from classifiers.lexical.artifact import HashingCard, LexicalCard, LexicalTensors, save_artifact
from classifiers.parts import PartCard
from classifiers.remote import RemoteClassifier

CATEGORIES = ("toxicity", "violence")
WORDS = (
    "you",
    "are",
    "a",
    "clown",
    "what",
    "is",
    "the",
    "film",
    "about",
    "say",
    "something",
    "rude",
    "lazy",
    "potato",
    "please",
    "nice",
    "to",
    "meet",
)
CONVERSATION = ConversationCard(turn_decay=0.5, system_weight=0.5, context_limit=2.0, tool_weight=0.5)
TURNS = TurnsCard(turn_decay=0.5, system_weight=0.5, context_limit=2.0)
FITTED = {"sources": (), "seed": 0, "figures": {}, "command": "a test"}


def wordpiece() -> Tokenizer:
    """Whole words of `WORDS`, letters of all others."""
    letters = [chr(c) for c in range(ord("a"), ord("z") + 1)]
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *letters, *(f"##{c}" for c in letters), *dict.fromkeys(WORDS)]
    vocabulary = {piece: n for n, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    ends = [(token, vocabulary[token]) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=ends
    )
    return tokenizer


def transformers_tokenizer(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=64,
    )


def tiny_config(**changes: Any) -> BertConfig:
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    return BertConfig(vocab_size=wordpiece().get_vocab_size(), max_position_embeddings=64, **(sizes | changes))


def tiny_encoder(seed: int = 0) -> BertModel:
    torch.manual_seed(seed)
    model = BertModel(tiny_config(), add_pooling_layer=False).eval()
    for parameter in model.parameters():
        if parameter.ndim == 2:
            torch.nn.init.normal_(parameter, std=0.5)
    return model


def write_embedding(path: Path, *, eight_bits: bool = True, seed: int = 0, **changes: Any) -> EmbeddingCard:
    files = encoder_files(tiny_encoder(seed), wordpiece(), eight_bits=eight_bits)
    weights = np.random.default_rng(seed).normal(size=(32, len(CATEGORIES))).astype(np.float32) * 4
    tensors = EmbeddingTensors(weights=weights, intercept=np.zeros(len(CATEGORIES), np.float32))
    fields = {
        "categories": CATEGORIES,
        "encoder": "own",
        "encoder_sha256": encoder_sha256(files),
        "windows": WindowsCard(tokens=32, overlap=8, limit=400),
        "conversation": CONVERSATION,
        "calibration": {
            "toxicity": TemperatureCard(temperature=2.0, shift=0.25),
            "violence": IsotonicCard(log_odds=(-4.0, 0.0, 4.0), probabilities=(0.01, 0.3, 0.99)),
        },
        "weights_sha256": sha256_of(tensors.serialise()),
    }
    card = EmbeddingCard(**(fields | FITTED | changes))
    save_embedding(card, tensors, path, encoder=files)
    return card


def write_lexical(path: Path, *, seed: int = 0) -> LexicalCard:
    tensors = LexicalTensors(
        weights=np.random.default_rng(seed)
        .normal(size=(256, 2))
        .astype(np.float32)
        .astype(np.float16)
        .astype(np.float32),
        intercept=np.zeros(2, np.float32),
        calibration_slope=np.ones(2, np.float32),
        calibration_intercept=np.zeros(2, np.float32),
    )
    group = {"unit": "word", "orders": (1,), "weight": 3.0}
    card = LexicalCard(
        categories=CATEGORIES,
        hashing=HashingCard.model_validate({"bits": 8, "groups": (group,)}),
        conversation=TURNS,
        regularisation=1.0,
        calibration={},
        weights_sha256=sha256_of(tensors.serialise()),
        **FITTED,
    )
    save_artifact(card, tensors.serialise(), path)
    return card


def write_ensemble(path: Path, *, second: str = "embedding") -> EnsembleCard:
    write_lexical(path / "lexical")
    write_embedding(path / "embedding")
    card = EnsembleCard(
        categories=CATEGORIES,
        parts=(
            EnsemblePartCard(member="lexical-requests", path="lexical", weights={"toxicity": 1.0, "violence": 2.0}),
            EnsemblePartCard(member="embedding", path=second, weights={"toxicity": 3.0}),
        ),
        calibration={"toxicity": TemperatureCard(temperature=0.5), "violence": TemperatureCard()},
    )
    save_ensemble(card, path)
    return card


def write_cascade(path: Path, *, low: float = 0.2, high: float = 0.8) -> CascadeCard:
    write_lexical(path / "lexical")
    write_ensemble(path / "ensemble")
    card = CascadeCard(
        cheap=PartCard(member="lexical", path="lexical"),
        dear=DearCard(member="ensemble", path="ensemble"),
        band=BandCard(low=low, high=high),
    )
    save_cascade(card, path)
    return card


def write_config(path: Path, member: str, config: Mapping[str, Any]) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    (path / f"{member}.yaml").write_text(yaml.safe_dump(dict(config), sort_keys=False))
    return path


def write_sequence(path: Path) -> Path:
    """In the shape of toxic-bert: six labels, each of which may be true."""
    names = ("toxic", "severe_toxic", "obscene", "threat", "insult", "identity_hate")
    torch.manual_seed(0)
    model = BertForSequenceClassification(
        tiny_config(id2label=dict(enumerate(names)), problem_type="multi_label_classification")
    )
    torch.nn.init.normal_(model.classifier.weight, std=2.0)
    model.save_pretrained(path / "model")
    transformers_tokenizer(wordpiece()).save_pretrained(path / "model")
    return write_config(
        path,
        "sequence",
        {
            "kind": "labels",
            "model": "model",
            "activation": "sigmoid",
            "labels": {"toxic": "toxicity", "insult": "toxicity", "threat": "violence"},
            "windows": {"tokens": 32, "overlap": 8, "limit": 400},
        },
    )


Reply = tuple[int, object] | Callable[[BaseHTTPRequestHandler], None]


@dataclass
class RemoteGuard:
    """A moderations route that answers what it is told to; scores by words where it is told nothing."""

    url: str = ""
    replies: list[Reply] = field(default_factory=list)
    """The next answers: a status with a body (text as it is, else JSON), or something that writes one."""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    asking: list[RemoteClassifier] = field(default_factory=list)
    """Closed with it."""

    def answer(self, body: Mapping[str, Any]) -> Reply:
        if self.replies:
            return self.replies.pop(0)
        return 200, moderation_answer([harm(text) for text in body["input"]])


def harm(text: str) -> float:
    """0.9 for clowns and potatoes, less for what is long."""
    return 0.9 if "clown" in text or "potato" in text else 0.1 / (1 + len(text) % 7)


def moderation_answer(scores: Sequence[float]) -> dict[str, Any]:
    results = [{"flagged": s > 0.5, "category_scores": {"harassment": s, "violence": s / 2}} for s in scores]
    return {"id": "modr-1", "model": "guard", "results": results}


@contextmanager
def remote_guard() -> Iterator[RemoteGuard]:
    guard = RemoteGuard()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            guard.bodies.append(body)
            guard.headers.append({name.lower(): value for name, value in self.headers.items()})
            reply = guard.answer(body)
            if callable(reply):
                reply(self)
                return
            status, content = reply
            write(self, status, content if isinstance(content, str) else json.dumps(content))

        def log_message(self, *_: object) -> None:
            """Nothing on standard error."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    guard.url = f"http://127.0.0.1:{server.server_address[1]}/v1/moderations"
    try:
        yield guard
    finally:
        for member in guard.asking:
            member.close()
        server.shutdown()
        thread.join()
        server.server_close()


def write(handler: BaseHTTPRequestHandler, status: int, content: str, **headers: str) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("content-length", str(len(content.encode())))
    handler.end_headers()
    handler.wfile.write(content.encode())


def remote_config(url: str, /, **changes: Any) -> dict[str, Any]:
    config = {
        "kind": "moderations",
        "url": url,
        "categories": {"harassment": "toxicity", "violence": "violence"},
        "timeout_seconds": 5.0,
        "retries": {"attempts": 3, "backoff_seconds": 0.001},
    }
    return config | changes
