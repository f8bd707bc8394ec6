"""A bundle made from interventions in memory verifies, and declares what was measured."""

import pytest
import torch
from tiny import tiny_model

from breakers.architectures import resolve_sites
from breakers.bank import BankEntry, Scope
from breakers.bundles import load_bundle, verify_base
from breakers.bundles.canary import canary_cosine
from breakers.bundles.making import BundleDraft, make_bundle
from breakers.errors import BundleFormatError
from breakers.fingerprint import fingerprint_model
from breakers.interventions import Mask
from breakers.sites import Component, Site

# Halving every channel of the residual stream moves it by half its norm.
HALF = Mask(site=Site(layer=1, component=Component.RESID), keep=torch.full((32,), 0.5))


def draft(name: str = "half") -> BundleDraft:
    entry = BankEntry(name=name, scope=Scope.ALL, interventions=(HALF,))
    return BundleDraft(entry=entry, behaviour="toxicity", base_id="tiny", licence="Apache-2.0", command="pytest")


def test_what_is_made_verifies_and_acts_as_declared(tmp_path) -> None:
    model = tiny_model("llama")
    made = make_bundle(model, draft(), [[3, 4], [5]], tmp_path / "half")
    again = load_bundle(tmp_path / "half")
    assert again.manifest == made.manifest
    verify_base(again, fingerprint_model(model))
    assert again.manifest.dose_p95 == pytest.approx(0.5)
    assert again.manifest.canary.token_ids == [3, 4]
    sites = resolve_sites(model)
    assert canary_cosine(model, sites, again.bank_entry(), again.manifest.canary) == pytest.approx(1.0, abs=1e-5)
    assert (tmp_path / "half" / "card.md").read_text().startswith("# half")


def test_no_prompt_and_unusable_names_are_refused(tmp_path) -> None:
    model = tiny_model("llama")
    with pytest.raises(BundleFormatError, match="at least one"):
        make_bundle(model, draft(), [], tmp_path / "half")
    with pytest.raises(BundleFormatError, match=r"'Half a name': name: .*pattern"):
        make_bundle(model, draft("Half a name"), [[3, 4]], tmp_path / "half")
    assert not list(tmp_path.iterdir())
