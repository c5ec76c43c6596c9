"""The three texts of ``subnet deploy``: a systemd unit, a pm2 ecosystem file, a compose file."""

from __future__ import annotations

import getpass
import json
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from subnet.errors import ConfigError
from subnet.keys import WALLETS

if TYPE_CHECKING:
    from subnet.cli.deploy import Neuron

DRAIN: Final = 30  # seconds to end what is under way


@dataclass(frozen=True)
class Made:
    """A text, the file it is for, and what to do with it."""

    file: str
    text: str
    next: str


def systemd(neuron: Neuron, folder: Path, user: str | None, *, gpu: bool) -> Made:
    """A unit that may write its own state and cache and nothing else, and can't read the coldkey."""
    who = user or getpass.getuser()
    home = Path(os.path.expanduser(f"~{who}"))
    if not home.is_absolute():
        raise ConfigError(
            f"there is no user {who} here, so that the path of the coldkey to hide is not known",
            remedy="Make the user first, or run this on the machine that has it.",
        )
    coldkey = Path(WALLETS.replace("~", str(home))) / neuron.wallet / "coldkey"
    state, devices = f"/var/lib/{neuron.name}", "no" if gpu else "yes"
    command = " ".join(map(_quoted, (_program(), *neuron.words(state))))
    text = _UNIT.format(
        name=_percent(f"{neuron.target} on subnet {neuron.netuid}"),
        user=_percent(who),
        folder=_percent(str(folder)),
        command=command,
        state=neuron.name,
        coldkey=_quoted(f"-{coldkey}", variables=False),
        devices=devices,
        drain=DRAIN,
    )
    file = f"{neuron.name}.service"
    then = f"save it in /etc/systemd/system/, then: systemctl daemon-reload && systemctl enable --now {neuron.name}"
    return Made(file, text, then)


_UNIT = """\
[Unit]
Description={name}
Wants=network-online.target
After=network-online.target time-sync.target
StartLimitIntervalSec=0

[Service]
Type=exec
User={user}
WorkingDirectory={folder}
ExecStart={command}
Environment=PYTHONUNBUFFERED=1 SUBNET_CACHE_DIR=/var/cache/{state}
Restart=always
RestartSec=5
KillSignal=SIGTERM
TimeoutStopSec={drain}
LimitNOFILE=65536
UMask=0077
StateDirectory={state}
StateDirectoryMode=0700
CacheDirectory={state}

# It may write its state and cache, and read the rest but the coldkey. A just-in-time compiler, as torch has, needs
# memory that is written and run, so MemoryDenyWriteExecute is not set.
ProtectSystem=strict
ProtectHome=read-only
InaccessiblePaths={coldkey}
PrivateTmp=yes
PrivateDevices={devices}
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
LockPersonality=yes
RemoveIPC=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
"""


def pm2(neuron: Neuron, folder: Path) -> Made:
    """An ecosystem file, as JSON; pm2 starts it again when it ends, and waits while it drains."""
    state = str(Path("~/.local/state/subnet").expanduser())
    app = {
        "name": neuron.name,
        "script": _program(),
        "args": neuron.words(state),
        "interpreter": "none",
        "cwd": str(folder),
        "autorestart": True,
        "restart_delay": 5000,
        "kill_timeout": DRAIN * 1000,
        "env": {"PYTHONUNBUFFERED": "1"},
    }
    file = f"{neuron.name}.json"
    return Made(file, json.dumps({"apps": [app]}, indent=2) + "\n", f"save it, then: pm2 start {file} && pm2 save")


def compose(neuron: Neuron, *, gpu: bool, host_network: bool) -> Made:
    """A compose file: the current folder's code in an image of its own, one hotkey of the wallet, a volume of state."""
    inside = "/home/neuron/.bittensor/wallets"
    key = f"{neuron.wallet}/hotkeys/{neuron.hotkey}"
    service: dict[str, Any] = {
        "build": {"context": ".", "dockerfile_inline": _IMAGE.format(uid=os.getuid() or 1000)},
        "command": ["subnet", *neuron.words("/state")],
        "restart": "unless-stopped",
        "init": True,
        "stop_grace_period": f"{DRAIN}s",
        "read_only": True,
        "tmpfs": ["/tmp"],  # noqa: S108 - the container's own
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "ulimits": {"nofile": 65536},
        "environment": {"PYTHONUNBUFFERED": "1", "SUBNET_CACHE_DIR": "/state/cache"},
        "volumes": [
            {"type": "volume", "source": "state", "target": "/state"},
            {
                "type": "bind",
                "source": f"{WALLETS}/{key}",
                "target": f"{inside}/{key}",
                "read_only": True,
                "bind": {"create_host_path": False},
            },
        ],
    }
    if host_network:
        service["network_mode"] = "host"  # the chain is on this machine's loopback
    elif neuron.port is not None:
        service["ports"] = [f"{neuron.port}:{neuron.port}"]
    if neuron.metrics_port is not None:
        ask = f"import urllib.request as u; u.urlopen('http://127.0.0.1:{neuron.metrics_port}/health', timeout=5)"
        check = {"test": ["CMD", "python", "-c", ask], "interval": "30s", "timeout": "10s", "start_period": "120s"}
        service["healthcheck"] = check
    if gpu:
        wanted = {"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}
        service["deploy"] = {"resources": {"reservations": {"devices": [wanted]}}}
    lines = [f"name: {neuron.name}", "services:", "  neuron:", *_yaml(service, 4), "volumes:", "  state: {}"]
    then = "save it as compose.yaml beside your pyproject.toml, then: docker compose up --build --detach"
    return Made("compose.yaml", "\n".join(lines) + "\n", then)


# The hotkey's file is its owner's alone, so that the container's user has the number of who made this.
_IMAGE = """\
FROM python:3.12-slim
RUN useradd --uid {uid} --create-home neuron && mkdir /state && chown neuron /state
WORKDIR /app
COPY . .
RUN pip install --no-cache-dir .
USER neuron
"""


def _yaml(value: Any, indent: int) -> list[str]:
    """Lines of YAML: mappings as blocks, texts and lists as JSON, which YAML takes; ``$`` doubled for compose."""
    lines = []
    for name, one in value.items():
        if isinstance(one, dict):
            lines += [f"{' ' * indent}{name}:", *_yaml(one, indent + 2)]
        elif isinstance(one, str) and "\n" in one:
            body = [f"{' ' * (indent + 2)}{line}" for line in one.replace("$", "$$").splitlines()]
            lines += [f"{' ' * indent}{name}: |", *body]
        else:
            lines.append(f"{' ' * indent}{name}: {json.dumps(one, ensure_ascii=False).replace('$', '$$')}")
    return lines


def _program() -> str:
    """The ``subnet`` of this environment."""
    beside = Path(sys.executable).with_name("subnet")
    return str(beside) if beside.exists() else shutil.which("subnet") or str(beside)


def _percent(text: str) -> str:
    return text.replace("%", "%%")


def _quoted(word: str, *, variables: bool = True) -> str:
    """One word of ExecStart: systemd's own quoting, its specifiers and variables taken literally; other lines have no
    variables, and a doubled ``$`` would stay two."""
    safe = _percent(word).replace("$", "$$" if variables else "$")
    if word and all(one.isalnum() or one in "-_./:=,+@%" for one in word):
        return safe
    return '"' + safe.replace("\\", "\\\\").replace('"', '\\"') + '"'
