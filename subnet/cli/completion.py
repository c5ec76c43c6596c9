"""``subnet completion SHELL``: commands, subcommands, options and their choices, as a script for the shell.

The script holds them all, so that a press of TAB starts no Python; print it anew after an upgrade.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum, StrEnum
from functools import cache
from typing import Annotated, Any, Literal, get_args, get_origin

import typer

from subnet.cli import COMMANDS
from subnet.cli.building import build, functions, leaves, subcommands_of
from subnet.cli.common import Json, LogJson, Verbose, print_json


class Shell(StrEnum):
    """The shells whose completion is known."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


@dataclass(frozen=True)
class Option:
    """An option of a command: its long name, what it is, and what may follow it."""

    name: str
    help: str
    takes_value: bool
    choices: tuple[str, ...]


def command(
    shell: Annotated[Shell, typer.Argument(help="bash, zsh or fish.")],
    as_json: Json = False,
    verbose: Verbose = False,
    log_json: LogJson = False,
) -> None:
    """Print the completion of a shell.

    bash: subnet completion bash > ~/.local/share/bash-completion/completions/subnet.
    zsh: into a file _subnet in a folder of $fpath. fish: ~/.config/fish/completions/subnet.fish.
    """
    script = {Shell.BASH: bash, Shell.ZSH: zsh, Shell.FISH: fish}[shell]()
    if as_json:
        print_json({"shell": shell.value, "script": script})
    else:
        typer.echo(script, nl=False)


@cache
def groups() -> dict[str, dict[str, str]]:
    """The subcommands, with what they do, of each command that has some."""
    found = {}
    for name in COMMANDS:
        subcommands = subcommands_of(build(name))
        if subcommands:
            found[name] = {word: _brief(one.help) for word, one in subcommands.items()}
    return found


def seconds() -> dict[str, dict[str, str]]:
    """What may stand after each command: a subcommand, or one of its first argument's choices."""
    found = dict(groups())
    for name in COMMANDS:
        if name not in found:
            first = [one for one in build(name).params if not one.opts[0].startswith("-")][:1]
            choices = _choices(functions(name)[name], first[0].name) if first else ()
            found |= {name: dict.fromkeys(choices, "")} if choices else {}
    return found


def options() -> Iterator[tuple[str, list[Option]]]:
    """Each command's words, and its options."""
    for name in COMMANDS:
        known = functions(name)
        for words, one in leaves(name):
            found = [parameter for parameter in one.params if parameter.opts[0].startswith("-")]
            yield words, [_option(parameter, known[words]) for parameter in found]


def _option(parameter: Any, function: Callable[..., Any]) -> Option:
    long = next((name for name in parameter.opts if name.startswith("--")), parameter.opts[0])
    takes_value = not getattr(parameter, "is_flag", False)
    return Option(long, _brief(parameter.help), takes_value, _choices(function, parameter.name))


def _choices(function: Callable[..., Any], name: str) -> tuple[str, ...]:
    """What a parameter may be, where its type says so; typer's own objects tell it differently in each version."""
    signature = inspect.signature(function, eval_str=True)
    if name not in signature.parameters:
        return ()
    kinds = [signature.parameters[name].annotation]
    while kinds:
        kind = kinds.pop()
        if get_origin(kind) is Literal:
            return tuple(map(str, get_args(kind)))
        if isinstance(kind, type) and issubclass(kind, Enum):
            return tuple(str(one.value) for one in kind)
        kinds += get_args(kind)[:1] if get_origin(kind) is Annotated else get_args(kind)
    return ()


def _brief(text: str | None) -> str:
    line = (text or "").strip().split("\n")[0].split(" [env:")[0]
    return "".join(one for one in line if one.isalnum() or one in " .,;/=-()").rstrip(".")


def bash() -> str:
    """Words by position: the command, a group's subcommand, then options, what they take, and files."""
    subcommands = "\n".join(f"        {name}) words='{' '.join(known)}' ;;" for name, known in seconds().items())
    known, values = [], []
    for words, found in options():
        known.append(f"        '{words}') words='{' '.join(one.name for one in found)} --help' ;;")
        values += [f"        '{words} {one.name}') words='{' '.join(one.choices)}' ;;" for one in found if one.choices]
    return _BASH.format(
        commands=" ".join([*COMMANDS, "--help", "--version"]),
        groups="|".join(groups()),
        subcommands=subcommands,
        options="\n".join(known),
        values="\n".join(values),
    )


_BASH = """\
# Completion of `subnet` for bash; `subnet completion bash` wrote it.
_subnet() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD-1]}} command=${{COMP_WORDS[1]}} words=''
    if ((COMP_CWORD == 1)); then
        COMPREPLY=($(compgen -W '{commands}' -- "$current"))
        return
    fi
    if ((COMP_CWORD == 2)); then
        case $command in
{subcommands}
        esac
        if [[ $words ]]; then
            COMPREPLY=($(compgen -W "$words --help" -- "$current"))
            return
        fi
    fi
    case $command in
        {groups}) command="$command ${{COMP_WORDS[2]}}" ;;
    esac
    case "$command $previous" in
{values}
    esac
    if [[ ! $words && $current == -* ]]; then
        case $command in
{options}
        esac
    fi
    [[ $words ]] && COMPREPLY=($(compgen -W "$words" -- "$current"))
}}
complete -o bashdefault -o default -F _subnet subnet
"""


def zsh() -> str:
    """The same with what each word means."""

    def listed(found: dict[str, str]) -> str:
        return " ".join(f"'{word}:{text}'" if text else f"'{word}'" for word, text in found.items())

    subcommands = "\n".join(f"        {name}) list=({listed(known)}) ;;" for name, known in seconds().items())
    known, values = [], []
    for words, found in options():
        known.append(f"        '{words}') list=({listed({one.name: one.help for one in found})}) ;;")
        values += [
            f"        '{words} {one.name}') compadd {' '.join(one.choices)}; return ;;" for one in found if one.choices
        ]
    return _ZSH.format(
        commands=listed({name: _brief(text) for name, text in COMMANDS.items()}),
        groups="|".join(groups()),
        subcommands=subcommands,
        options="\n".join(known),
        values="\n".join(values),
    )


_ZSH = """\
#compdef subnet
# Completion of `subnet` for zsh; `subnet completion zsh` wrote it.
_subnet() {{
    local -a list
    local command=$words[2]
    if ((CURRENT == 2)); then
        list=({commands})
        _describe command list
        return
    fi
    if ((CURRENT == 3)); then
        case $command in
{subcommands}
        esac
        if (($#list)); then
            _describe command list
            return
        fi
    fi
    case $command in
        {groups}) command="$command $words[3]" ;;
    esac
    case "$command $words[CURRENT-1]" in
{values}
    esac
    if [[ $words[CURRENT] != -* ]]; then
        _files
        return
    fi
    case $command in
{options}
    esac
    _describe -o option list
}}
if [[ $funcstack[1] == _subnet ]]; then _subnet "$@"; else compdef _subnet subnet; fi
"""


def fish() -> str:
    """One line a word, each with the condition under which it is offered."""
    lines = ["# Completion of `subnet` for fish; `subnet completion fish` wrote it.", "complete -c subnet -e"]
    for name, text in COMMANDS.items():
        lines.append(f"complete -c subnet -n __fish_use_subcommand -f -a {name} -d '{_brief(text)}'")
    for name, known in seconds().items():
        unless = f"__fish_seen_subcommand_from {name}; and not __fish_seen_subcommand_from {' '.join(known)}"
        for word, text in known.items():
            lines.append(f"complete -c subnet -n '{unless}' -f -a {word} -d '{text}'")
    for words, found in options():
        seen = "; and ".join(f"__fish_seen_subcommand_from {word}" for word in words.split())
        for group, known in groups().items():
            seen += f"; and not __fish_seen_subcommand_from {group}" if words in known else ""  # create, wallet create
        for one in found:
            takes = f" -x -a '{' '.join(one.choices)}'" if one.choices else " -r" if one.takes_value else ""
            lines.append(f"complete -c subnet -n '{seen}' -l {one.name.removeprefix('--')}{takes} -d '{one.help}'")
    return "\n".join(lines) + "\n"
