"""The layers of the Lua: which folder may use which, and which modules call Redis."""

import re

import pytest

from synckairos.core import library

FOLDER = library._folder()
MODULES = library._modules(FOLDER)

USES = {
    "bounds": set(),
    "text": set(),
    "schemas": set(),
    "call": {"bounds", "text", "schemas"},
    "controls": {"bounds"},
    "modes": set(),
    "rules": {"controls"},
    "storage": {"bounds", "text", "schemas", "controls", "modes", "rules"},
    "config": {"bounds", "text", "controls", "modes", "rules", "storage"},
    "transitions": {"text", "call", "controls", "rules", "storage", "config"},
    "views": {"bounds", "text", "schemas", "call", "controls", "modes", "rules", "storage", "transitions"},
    "functions": {"bounds", "text", "schemas", "call", "rules", "storage", "config", "transitions", "views"},
}
"""What each folder may use besides its own modules and the server."""

CALLS_REDIS = {
    "storage/time.lua": {"TIME"},
    "storage/server.lua": {"INFO"},
    "storage/record.lua": {"HGET", "HMGET"},
    "storage/moving.lua": {"HDEL", "HMGET", "HSET", "PEXPIRE", "PTTL", "UNLINK"},
    "storage/session.lua": {"EXISTS", "HDEL", "HGET", "HGETALL", "HMGET", "HSET", "PEXPIRE", "UNLINK"},
    "storage/participants.lua": {"HEXISTS", "HGET"},
    "storage/requests.lua": {"HGET"},
    "storage/alarms.lua": {"SPUBLISH", "ZADD", "ZRANGE", "ZREM", "ZSCORE"},
    "storage/events.lua": {"SPUBLISH", "UNLINK", "XADD", "XLEN", "XRANGE", "XREVRANGE"},
    "storage/quota.lua": {
        "HDEL",
        "HEXISTS",
        "HGET",
        "HSET",
        "PEXPIRE",
        "ZADD",
        "ZRANGE",
        "ZREM",
        "ZSCORE",
    },
    "storage/throttle.lua": {"HGET", "HMGET", "HSET", "PEXPIRE"},
}
"""Every module that calls Redis, with the commands that it needs."""


def _code(module: str) -> str:
    lines = (FOLDER / module).read_text(encoding="utf-8").splitlines()
    return "\n".join(line for line in lines if not line.lstrip().startswith("--"))


def _layer(module: str) -> str:
    return module.partition("/")[0].removesuffix(".lua")


def _name(module: str) -> str:
    return module.removesuffix(".lua").replace("/", "_")


@pytest.mark.parametrize("module", MODULES)
def test_a_module_uses_those_above_it_in_the_layers_that_it_may_use(module: str) -> None:
    code = re.sub(r"'(?:[^'\\\n]|\\.)*'", "''", _code(module))
    above = MODULES[: MODULES.index(module)]
    layer = _layer(module)
    used = {other for other in MODULES if re.search(rf"(?<![\w.:]){_name(other)}\.", code)}
    assert used <= set(above), "the manifest has it below"
    assert {_layer(other) for other in used} <= USES[layer] | {layer}


def test_only_storage_calls_redis() -> None:
    calls = {module for module in MODULES if re.search(r"redis\.p?call\b", _code(module))}
    assert calls == set(CALLS_REDIS)


@pytest.mark.parametrize("module", CALLS_REDIS)
def test_a_module_calls_the_commands_that_it_is_known_for(module: str) -> None:
    words = set(re.findall(r"\('([A-Z]+)'|\{ '([A-Z]+)'", _code(module)))
    assert {first or second for first, second in words} == CALLS_REDIS[module]


FUNCTIONS = {
    name: module
    for module in MODULES
    for name in re.findall(r"function_name = '(sk_\w+)',", (FOLDER / module).read_text(encoding="utf-8"))
}
"""The module that registers each function."""

TRANSITIONS = "functions/transitions.lua"
"""Its functions share KEYS, ARGV and reply: the block at its head names them once."""


def _block(text: str, start: str) -> str:
    """The lines of a comment from the one that begins with `start` on."""
    return re.split(r"\n(?!--)", text[text.index(start) :], maxsplit=1)[0]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_registered_function_has_its_block(name: str) -> None:
    text = "\n" + (FOLDER / FUNCTIONS[name]).read_text(encoding="utf-8")
    block = _block(text, f"\n-- {name} ")
    if FUNCTIONS[name] == TRANSITIONS:
        block += _block(text, "\n-- The functions that carry out a transition")
    for heading in ("KEYS", "ARGV", "Reply", "Refusals", "Publishes"):
        assert re.search(rf"^-- {heading}\b", block, re.MULTILINE), heading
