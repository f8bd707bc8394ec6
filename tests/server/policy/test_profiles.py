"""Model names and the profiles in them."""

from __future__ import annotations

import pytest

from server.errors import UnknownModelError
from server.policy.profiles import Profile, ServedNames

NAMES = ServedNames("demo")


def test_every_name_has_its_profile() -> None:
    assert NAMES.all == {"demo": Profile.DEFAULT, "demo@off": Profile.OFF, "demo@strict": Profile.STRICT}
    assert [NAMES.profile(name) for name in NAMES.all] == list(Profile)


@pytest.mark.parametrize("model", ["other", "", "demo@", "demo@default", "demo@OFF", "demo@off ", "off"])
def test_another_name_is_refused_with_the_served_ones(model: str) -> None:
    with pytest.raises(UnknownModelError, match="served: demo, demo@off, demo@strict") as refused:
        NAMES.profile(model)
    assert refused.value.code == "model_not_found"
