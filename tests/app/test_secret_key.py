"""Where the key that signs sessions comes from."""

from pathlib import Path

import pytest

from yourapplication import create_app


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the shell that runs the tests has set, these begin with nothing."""
    monkeypatch.delenv("SECRET_KEY", raising=False)
    monkeypatch.delenv("SECRET_KEY_FILE", raising=False)


@pytest.fixture
def secret_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SECRET_KEY_FILE", str(path := tmp_path / "secret_key"))
    path.write_text("\n from the file \n")
    return path


def test_the_key_comes_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, secret_file: Path
) -> None:
    monkeypatch.setenv("SECRET_KEY", "from the environment")
    assert create_app().secret_key == "from the environment"


@pytest.mark.parametrize("value", [None, ""])
def test_the_key_comes_from_the_file_if_the_environment_has_none(
    monkeypatch: pytest.MonkeyPatch, secret_file: Path, value: str | None
) -> None:
    if value is not None:
        monkeypatch.setenv("SECRET_KEY", value)
    assert create_app().secret_key == "from the file"


def test_a_key_that_nobody_set_is_long_and_new_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY_FILE", "")
    first, second = create_app().secret_key, create_app().secret_key
    assert first != second
    assert min(len(first), len(second)) == 64


def test_an_empty_file_counts_as_unset(secret_file: Path) -> None:
    secret_file.write_text("\n")
    assert create_app().secret_key.strip()


def test_a_file_that_is_not_there_is_an_error_in_one_sentence(secret_file: Path) -> None:
    secret_file.unlink()
    with pytest.raises(RuntimeError) as caught:
        create_app()
    sentence = f"SECRET_KEY_FILE '{secret_file}' cannot be read: No such file or directory."
    assert str(caught.value) == sentence


def test_a_file_that_is_no_text_is_an_error_in_one_sentence(secret_file: Path) -> None:
    secret_file.write_bytes(b"\xff\xfe")
    with pytest.raises(RuntimeError, match="is not text in UTF-8"):
        create_app()
