"""The terminal chat: a loop over lines, where a line is a turn or a slash command."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TextIO

from server.cli.client import ReplyError, ServerClient
from server.policy.planner import Toggle
from server.policy.profiles import Profile

HELP = """\
/breaker NAME off|on|STRENGTH|default   switch one breaker: off, the gate decides, a fixed strength, the profile's
/breakers                               list breakers and how they are switched
/profile default|off|strict             what holds for breakers that are not switched
/reset                                  forget the conversation
/help                                   this text
/quit                                   leave (so does the end of input)"""

_DIM, _PLAIN = "\x1b[2m", "\x1b[0m"


class UsageError(Exception):
    """A slash command that cannot be followed; the message says what was wanted."""


class Terminal:
    """One conversation with one server."""

    def __init__(
        self,
        client: ServerClient,
        *,
        model: str,
        system: str | None,
        temperature: float,
        max_tokens: int | None,
        out: TextIO,
        problems: TextIO,
    ) -> None:
        self._client = client
        self._model = model
        self._options = {"temperature": temperature} | ({} if max_tokens is None else {"max_tokens": max_tokens})
        self._opening = [] if system is None else [{"role": "system", "content": system}]
        self._turns: list[dict[str, str]] = []
        self._toggles: dict[str, Toggle] = {}
        self._profile: Profile | None = None
        self._out = out
        self._problems = problems
        self._commands: dict[str, Callable[[list[str]], None]] = {
            "/breaker": self._breaker,
            "/breakers": self._breakers,
            "/profile": self._set_profile,
            "/reset": self._reset,
            "/help": self._help,
        }

    def run(self, lines: TextIO) -> None:
        """Follow lines until they end or one is `/quit`; prompts only where someone sees it."""
        self._say(f"{self._model}; /help lists commands", dim=True)
        for line in _prompted() if lines.isatty() else lines:
            if not self.follow(line.strip()):
                return

    def follow(self, line: str) -> bool:
        """Do what one line asks; False to leave."""
        if line == "/quit":
            return False
        try:
            if line.startswith("/"):
                self._command(line)
            elif line:
                self._turn(line)
        except (UsageError, ReplyError) as problem:
            self._problems.write(f"{problem}\n")
            self._problems.flush()
        except KeyboardInterrupt:
            self._say("\n(stopped; this turn is forgotten)", dim=True)
        return True

    def _command(self, line: str) -> None:
        name, *arguments = line.split()
        command = self._commands.get(name)
        if command is None:
            known = ", ".join([*self._commands, "/quit"])
            raise UsageError(f"unknown command {name}; known: {known}")
        command(arguments)

    def _turn(self, text: str) -> None:
        asked = {"role": "user", "content": text}
        body = {
            "model": self._model,
            "messages": [*self._opening, *self._turns, asked],
            "scalpel": self._scalpel(),
            **self._options,
        }
        reply, report = "", None
        for chunk in self._client.stream(body):
            report = chunk.get("scalpel") or report
            for choice in chunk["choices"]:
                piece = choice["delta"].get("content") or ""
                reply += piece
                self._out.write(piece)
                self._out.flush()
        self._out.write("\n")
        self._turns += [asked, {"role": "assistant", "content": reply}]
        if report is not None:
            self._say(describe_report(report), dim=True)

    def _scalpel(self) -> dict[str, Any]:
        options: dict[str, Any] = {"breakers": self._toggles}
        return options if self._profile is None else options | {"profile": self._profile.value}

    def _breaker(self, arguments: list[str]) -> None:
        if len(arguments) != 2:
            raise UsageError("wanted /breaker NAME off|on|STRENGTH|default")
        name, setting = arguments
        cards = {card["name"]: card for card in self._client.breakers()}
        if name not in cards:
            raise UsageError(f"no breaker {name!r} is loaded; loaded: {', '.join(sorted(cards)) or 'none'}")
        if setting == "default":
            self._toggles.pop(name, None)
        else:
            self._toggles[name] = parse_toggle(setting, cards[name]["strength_max"])
        self._say(f"{name}: {setting}", dim=True)

    def _breakers(self, arguments: list[str]) -> None:
        _none_wanted("/breakers", arguments)
        for card in self._client.breakers():
            toggle = self._toggles.get(card["name"])
            setting = f"default ({card['default']})" if toggle is None else _shown(toggle)
            self._say(f"{card['name']}  {card['kind']}  {setting}  {card['description']}".rstrip())

    def _set_profile(self, arguments: list[str]) -> None:
        names = [profile.value for profile in Profile]
        if len(arguments) != 1 or arguments[0] not in names:
            raise UsageError(f"wanted /profile {'|'.join(names)}")
        self._profile = Profile(arguments[0])
        self._say(f"profile: {self._profile}", dim=True)

    def _reset(self, arguments: list[str]) -> None:
        _none_wanted("/reset", arguments)
        self._turns.clear()
        self._say("the conversation is forgotten", dim=True)

    def _help(self, arguments: list[str]) -> None:
        _none_wanted("/help", arguments)
        self._say(HELP)

    def _say(self, text: str, *, dim: bool = False) -> None:
        coloured = dim and self._out.isatty()
        self._out.write(f"{_DIM}{text}{_PLAIN}\n" if coloured else f"{text}\n")
        self._out.flush()


def parse_toggle(setting: str, strength_max: float) -> Toggle:
    """`off`, `on` or a strength, as a toggle.

    Raises:
        UsageError: it is none of these, or out of range.
    """
    if setting in ("off", "on"):
        return setting == "on"
    wanted = f"off, on, default or a number in [0, {strength_max:g}]"
    try:
        strength = float(setting)
    except ValueError:
        raise UsageError(f"strength is {setting!r}; wanted {wanted}") from None
    if not 0 <= strength <= strength_max:
        raise UsageError(f"strength is {setting}; wanted {wanted}")
    return strength


def describe_report(report: dict[str, Any]) -> str:
    """A report in one line."""
    potentials = ", ".join(f"{name} {value:.2f}" for name, value in report["harm_potential"].items())
    applied = ", ".join(
        f"{name} {entry['strength']:g} ({entry['reason']})" for name, entry in report["applied"].items()
    )
    # Only the embedded engine knows.
    tokens = report["tokens_steered"]
    steered = "" if tokens is None else f" | {tokens} tokens steered"
    return f"[harm potential: {potentials or 'unknown'} | applied: {applied or 'nothing loaded'}{steered}]"


def _prompted() -> Iterator[str]:
    import readline  # noqa: F401  line editing and history for `input`

    while True:
        try:
            yield input("> ")
        except EOFError:
            return
        except KeyboardInterrupt:
            return


def _none_wanted(command: str, arguments: list[str]) -> None:
    if arguments:
        raise UsageError(f"{command} takes no arguments")


def _shown(toggle: Toggle) -> str:
    if isinstance(toggle, bool):
        return "on" if toggle else "off"
    return f"{toggle:g}"
