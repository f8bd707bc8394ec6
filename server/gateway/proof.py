"""The proof that an upstream steers as the gateway will report, by asking it over its own API.

1. Its list of models has the one that is served.
2. A plan for a bank that nobody has is refused in the plugin's words. A server without the plugin ignores plans and
   answers; one with it names the bank that it has, and that has to be the gateway's: same names, weights, scopes and
   limits.
3. Each bundle's canary, at strengths 0 and 1, changes the log-probabilities as its manifest says.

Only a refusal can prove 2: without the plugin, good plans and bad ones are answered alike.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import httpx

from breakers.bundles import Bundle
from breakers.plan import AppliedStrength, Plan, Reason
from breakers.vllm_plugin.catalogue import Catalogue
from breakers.vllm_plugin.messages import PlanMessage, encode_plan
from server.engines.checks import CANARY, CheckResult, Verdict, failing
from server.gateway.canary import check_canary
from server.gateway.errors import UnprovenError, UpstreamUnavailableError
from server.gateway.upstream import Upstream, reason_of

PLUGIN = "plugin"
"""The check that the upstream has the plugin, and this bank."""

BANK_REFUSED = re.compile(r"the plan is for bank '[^']*'; loaded: ([0-9a-f]{12})")
"""What the plugin says of a plan that was made for another bank."""

_NO_BANK = "none has this one"
_IDS_AT_ONCE = 100
"""Log-probabilities that one request asks for; vLLM gives up to 128."""
_SHOWN = 300
"""Characters of an answer in a message."""

NEUTRAL: Mapping[str, Any] = {
    "max_tokens": 1,
    "temperature": 1.0,
    "top_p": 1.0,
    "top_k": 0,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
}
"""Sampling that leaves the distribution as it is, whatever the model's own defaults are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedUpstream:
    """What the gateway expects of its upstream."""

    bundles: Sequence[Bundle]
    model: str | None = None
    """Its own name for the model; None for the first that it lists."""
    accepted: frozenset[str] = frozenset()
    """Names of bundles that may act otherwise than they declare: they were made on another model."""

    @property
    def bank(self) -> str:
        """Digest of the bank that it should have."""
        return Catalogue(self.bundles).digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Proven:
    """What was found."""

    card: Mapping[str, Any]
    """Of the model, as the upstream lists it."""
    results: tuple[CheckResult, ...]

    @property
    def model(self) -> str:
        """The upstream's name for it."""
        return str(self.card["id"])


async def prove(upstream: Upstream, wanted: WantedUpstream) -> Proven:
    """Ask for all of the proof.

    Raises:
        UpstreamUnavailableError: it does not answer.
        UnprovenError: it answers, and not as it should.
    """
    card = await find_model(upstream, wanted.model)
    model = str(card["id"])
    results: list[CheckResult] = []
    if wanted.bundles:
        await prove_plugin(upstream, model, wanted.bank)
        detail = f"plans for another bank are refused; loaded: {wanted.bank}"
        results.append(CheckResult(name=PLUGIN, verdict=Verdict.PASSED, detail=detail))
    for bundle in wanted.bundles:
        results.append(await _prove_canary(upstream, model, bundle, wanted))
    if bad := failing(results):
        found = "; ".join(f"{result.name}: {result.detail}" for result in bad)
        raise UnprovenError(f"{upstream.address.shown} does not act as it would report: {found}")
    return Proven(card=card, results=tuple(results))


async def find_model(upstream: Upstream, wanted: str | None) -> Mapping[str, Any]:
    """The card of the served model.

    Raises:
        UpstreamUnavailableError, UnprovenError: as `prove`.
    """
    answer = await _ask(upstream, "GET", "/v1/models")
    cards = answer.get("data")
    models = [card for card in cards if isinstance(card, dict) and card.get("id")] if isinstance(cards, list) else []
    names = [str(card["id"]) for card in models]
    found = next((card for card in models if wanted in (None, card["id"])), None)
    if found is None:
        raise UnprovenError(
            f"{upstream.address.shown} serves {', '.join(names) or 'no model'}; wanted {wanted or 'one at least'}"
        )
    return found


async def prove_plugin(upstream: Upstream, model: str, bank: str) -> None:
    """Have a plan for no bank refused.

    Raises:
        UpstreamUnavailableError, UnprovenError: as `prove`.
    """
    plan = encode_plan(PlanMessage(plan=Plan(), bank=_NO_BANK))
    body = {"model": model, "prompt": [0], **NEUTRAL, "vllm_xargs": plan}
    response = await _send(upstream, "POST", "/v1/completions", body)
    if response.status_code == 200:
        raise UnprovenError(
            f"{upstream.address.shown} answers a request whose plan is for another bank; wanted a refusal: it has "
            "not got SCALPEL's plugin and would serve unsteered (docs/vllm.md says how to start it)"
        )
    found = BANK_REFUSED.search(response.text)
    if response.status_code != 400 or found is None:
        _raise_unexpected(upstream, response, "a plan for another bank to be refused with 400")
    elif found[1] != bank:
        raise UnprovenError(
            f"{upstream.address.shown} has bank {found[1]}; wanted {bank}: give the gateway the same bundles as "
            "vLLM's additional_config.scalpel has"
        )


async def _prove_canary(upstream: Upstream, model: str, bundle: Bundle, wanted: WantedUpstream) -> CheckResult:
    canary = bundle.manifest.canary
    on = {bundle.name: AppliedStrength(strength=1.0, reason=Reason.REQUEST)}
    steered = encode_plan(PlanMessage(plan=Plan(on), bank=wanted.bank))
    changes: list[float] = []
    for start in range(0, len(canary.logit_ids), _IDS_AT_ONCE):
        ids = canary.logit_ids[start : start + _IDS_AT_ONCE]
        before = await _logprobs(upstream, model, canary.token_ids, ids, {})
        after = await _logprobs(upstream, model, canary.token_ids, ids, steered)
        changes += [after[i] - before[i] for i in ids]
    name = f"{CANARY}{bundle.name}"
    return check_canary(name, changes, canary.change, accepted=bundle.name in wanted.accepted)


async def _logprobs(
    upstream: Upstream, model: str, prompt: Sequence[int], ids: Sequence[int], extra: Mapping[str, str]
) -> dict[int, float]:
    """Natural log-probabilities of tokens in the place after a prompt."""
    body = {
        "model": model,
        "prompt": list(prompt),
        **NEUTRAL,
        "logprobs": 1,
        "logprob_token_ids": list(ids),
        "return_tokens_as_token_ids": True,
        "vllm_xargs": dict(extra),
    }
    answer = await _ask(upstream, "POST", "/v1/completions", body)
    try:
        top = answer["choices"][0]["logprobs"]["top_logprobs"][0]
        return {i: float(top[f"token_id:{i}"]) for i in ids}
    except (LookupError, TypeError, ValueError) as error:
        raise UnprovenError(
            f"{upstream.address.shown} answers a canary with {json.dumps(answer)[:_SHOWN]}; wanted log-probabilities "
            f"of {len(ids)} tokens"
        ) from error


async def _ask(upstream: Upstream, method: str, path: str, body: object = None) -> dict[str, Any]:
    """The object in a good answer."""
    response = await _send(upstream, method, path, body)
    try:
        answer = response.json()
    except ValueError:
        answer = None
    if response.status_code != 200 or not isinstance(answer, dict):
        _raise_unexpected(upstream, response, f"200 and a JSON object from {method} {path}")
    return answer


async def _send(upstream: Upstream, method: str, path: str, body: object) -> httpx.Response:
    try:
        return await upstream.questions.request(method, path, json=body)
    except httpx.HTTPError as error:
        raise UpstreamUnavailableError(
            f"{upstream.address.shown} does not answer ({reason_of(error)}); wanted vLLM's server"
        ) from error


def _raise_unexpected(upstream: Upstream, response: httpx.Response, wanted: str) -> NoReturn:
    """What an answer that nobody expects means: a server that starts or stops, or another kind of server."""
    text = f"{upstream.address.shown} answers {response.status_code}: {response.text[:_SHOWN]!r}; wanted {wanted}"
    raise UpstreamUnavailableError(text) if response.status_code >= 500 else UnprovenError(text)
