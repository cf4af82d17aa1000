"""Every line of `.env` is the same value on the host and in a container, or is rejected."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.problems import Refusal
from deploy.settings import env_file, knobs
from tests.servers import ComposeSite, HostSite, Serve

ABSENT = None
SHOW = "import json, os; print(json.dumps(dict(os.environ)))"
# A line (or lines) of .env, and the value of V by it.
TAKEN = {
    # --- without quotes ---
    "V=a": "a",
    "V = a": "a",
    "V =a": "a",
    "  V=a": "a",
    "\tV=a": "a",
    "V=\ta": "a",
    "V=a  \t": "a",
    "V=a b": "a b",
    "V=a  b": "a  b",
    "V=": "",
    "V=   ": "",
    "export V=a": "a",
    " export   V=a": "a",
    "exportV=a": ABSENT,
    "V=a=b": "a=b",
    "V==": "=",
    "V=it's": "it's",
    'V=say "hi"': 'say "hi"',
    "V=a'": "a'",
    r"V=a\nb": r"a\nb",
    r"V=C:\dir\\": r"C:\dir\\",
    "V=a;b&c|d": "a;b&c|d",
    "V=~/x*?`y`!(z)<>%41": "~/x*?`y`!(z)<>%41",
    'V={"a": [1, 2]}': '{"a": [1, 2]}',
    "V=postgres://me:p@db:5432/shop?x=1": "postgres://me:p@db:5432/shop?x=1",
    "V=caf\u00e9 \u65e5\u672c \U0001f600": "caf\u00e9 \u65e5\u672c \U0001f600",
    "V=a\nV=b": "b",
    "V=a\nV=": "",
    "V.W-X=a": ABSENT,
    "v=a": ABSENT,
    # --- comments ---
    "V=a # b": "a",
    "V=a #b": "a",
    "V=a # it's $b": "a",
    "V=a#b": "a#b",
    "V=#abc": "#abc",
    "V='a' # b": "a",
    "V='a'#b": "a",
    'V="a"\t# it\'s': "a",
    "V='a # b'": "a # b",
    'V="a # b"': "a # b",
    "# V=a": ABSENT,
    "  #V=a": ABSENT,
    "# it's\nV=a": "a",
    # --- in single quotes ---
    "V=''": "",
    "V='a'": "a",
    "V= 'a' ": "a",
    "V=' a '": " a ",
    "export V='a'": "a",
    "V='pa$word'": "pa$word",
    "V='$2b$12$Pg8A.R220'": "$2b$12$Pg8A.R220",
    "V='$$ ${A} ${A:-d} $'": "$$ ${A} ${A:-d} $",
    r"V='a\nb\\c\$d'": r"a\nb\\c\$d",
    r"V='it\'s $x'": "it's $x",
    "V='say \"hi\"'": 'say "hi"',
    "V='a\nb'": "a\nb",
    "V='-----BEGIN\n\n  b=c # d\n'": "-----BEGIN\n\n  b=c # d\n",
    # --- in double quotes ---
    'V=""': "",
    'V="a b"': "a b",
    'V="it\'s"': "it's",
    r'V="a\nb\tc\rd"': "a\nb\tc\rd",
    r'V="a\"b\\c"': r'a"b\c',
    r'V="\\n"': r"\n",
    r'V="a\$b \$\$ \${A}"': "a$b $$ ${A}",
    r'V="\\\$b"': r"\$b",
    r'V="\x41\u0041\q\101"': r"\x41\u0041\q\101",
    'V="a\nb"': "a\nb",
    'V="a\\\nb"': "a\\\nb",
    # --- files of other systems ---
    "V=a\r": "a",
    "V='a'\r": "a",
    "V=\r": "",
    "V='a\r\nb'\r": "a\r\nb",
    "# V=a\r\n\r\nV=b\r": "b",
}
# What has no one meaning, with what is wrong and what to write instead.
QUOTES = "write V='...', in single quotes"
REJECTED = {
    **dict.fromkeys(
        (
            *("V=pa$word", "V=$2b$12$Pg8A.R220", "V=$a", "V=${A}", "V=${A:-d}", "V=${A-d}"),
            *("V=$$", "V=a$", "V=a$1", "V=$b # c", 'V="$a"', 'V="${A:-d}"', 'V="a$"', r'V="\\$a"'),
        ),
        ("a $", "which Compose takes for a variable", QUOTES),
    ),
    **dict.fromkeys(("V= #a", "V=a\t#b", "V= # a"), ("a # that may begin a comment", QUOTES)),
    **dict.fromkeys((r'V="a\0b"', r'V="a\cb"'), ("in double quotes", QUOTES)),
    **dict.fromkeys(("V='a", 'V="a', "V='a\\'"), ("no closing quote", QUOTES)),
    **dict.fromkeys(
        ("V='a'b", "V='a' b", "V='a''b'", "V=\"a\"'b'", "V='it's'"),
        ("text after the closing quote", QUOTES, "\\' for one inside"),
    ),
    **dict.fromkeys(
        ("V", "export V", "V a", "V: a", "set V=a", "'V'=a", "2V=a", "V+=a", "=a", "V\u00a0=a"),
        ("sets nothing", "write NAME=value"),
    ),
    **dict.fromkeys(("V=\u00a0a", "V=a\rb", "V=a\x0b", "V=a\0b"), ("plain spaces",)),
    "V='a\0b'": ("a NUL", "leave it out"),
    "PATH=/opt/bin": ("sets PATH", "choose another name"),
    "INSTANCE=blue": ("sets INSTANCE", "choose another name"),
}


@pytest.mark.parametrize("lines", TAKEN)
def test_a_line_has_the_value_that_is_meant(lines: str, tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(f"A=x\n{lines}\nB=y\n".encode())
    found = env_file.read(tmp_path / ".env")
    assert (found["A"], found.get("V"), found["B"]) == ("x", TAKEN[lines], "y")


@pytest.mark.parametrize("lines", REJECTED)
def test_a_line_with_two_meanings_is_rejected(lines: str, tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(f"A=x\n{lines}\nB=y\n".encode())
    with pytest.raises(Refusal) as caught:
        env_file.read(tmp_path / ".env")
    sentence = str(caught.value)
    assert sentence.startswith(f"{tmp_path / '.env'} line 2 "), sentence
    assert all(part in sentence for part in REJECTED[lines]), sentence
    for value in ("word", "Pg8A"):
        assert value not in sentence, "a password would be in the log"


def test_the_line_is_counted_in_the_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"\xef\xbb\xbf# one\r\nV='a\r\nb'\r\n\r\nW=a$b\r\n")
    with pytest.raises(Refusal, match=r"\.env line 5 sets W"):
        env_file.read(tmp_path / ".env")


@pytest.mark.parametrize("content", [b"V=caf\xe9\n", b"V=\xff\xfea\n"])
def test_what_is_no_utf_8_is_rejected(content: bytes, tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(content)
    with pytest.raises(Refusal, match="make it a text file in UTF-8"):
        env_file.read(tmp_path / ".env")


@pytest.mark.parametrize("command", ["serve", "app", "local", "check", "rollout", "status"])
def test_nothing_starts_with_a_password_that_means_two_things(command: str) -> None:
    site = HostSite(env_file="HASH='$2b$12$Pg8A.R220'\nMAIL_PASSWORD=pa$word\n")
    try:
        done = subprocess.run(
            [sys.executable, "-m", "deploy", command],
            cwd=site.folder,
            env=site.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        left = {path.name for path in site.folder.iterdir()} & {".run", "instance"}
    finally:
        site.clean_up()
    said = done.stdout + done.stderr
    assert done.returncode == 2, said
    assert ".env line 2 sets MAIL_PASSWORD to a value with a $" in said
    assert "write MAIL_PASSWORD='...', in single quotes" in said
    assert "word" not in said.replace("PASSWORD", ""), "the log has the password"
    assert not left, "something was started"


@pytest.mark.docker
def test_a_container_gets_the_values_that_the_host_reads(shared_site: Serve) -> None:
    """All of the table in one `.env`, each V with a name of its own, in the real services."""
    served = shared_site("compose", WORKERS=4, THREADS=4)
    lines = [
        "\ufeff# A byte order mark stands before this.",
        *("RUN_DIR=/srv/elsewhere", "THREADS='3' # few", "WORKERS=2", "GREETING='from .env'"),
        *(
            re.sub(r"(?m)^([ \t]*(?:export +)?)V(?=[ \t]*=)", rf"\1V{n}", line)
            for n, line in enumerate(TAKEN)
        ),
    ]
    # The shell wins for what is a setting.
    site = ComposeSite(WORKERS=1, GREETING="from the shell", APP_IMAGE=f"{served.name}-app")
    try:
        (site.folder / ".env").write_bytes("\n".join([*lines, ""]).encode())
        host = knobs.read(site.environment, site.folder).environment
        ran = site.compose("run", "--rm", "--no-deps", "-T", "app", "python", "-c", SHOW)
    finally:
        site.clean_up()
    container = json.loads(ran.stdout)
    assert container["RUN_DIR"] == "/run/web", "this is of the host alone"
    assert (host["WORKERS"], host["THREADS"], host["GREETING"]) == ("1", "3", "from .env")
    names = {*("WORKERS", "THREADS", "GREETING"), *(f"V{n}" for n in range(len(TAKEN)))}
    assert {n: container.get(n) for n in names} == {n: host.get(n) for n in names}
    assert [host.get(f"V{n}") for n in range(len(TAKEN))] == list(TAKEN.values())
