"""A policy: a settings file that is merged over the current settings."""

import pytest

from streams.config.settings import SettingsError, load_over


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TIERSTREAM_CONFIG", raising=False)
    (tmp_path / "now.toml").write_text('[routing]\nclassifier = "learned"\nboundary = [0.4, 0.5]\n')

    def merged(text):
        (tmp_path / "new.toml").write_text(text)
        return load_over(tmp_path / "now.toml", tmp_path / "new.toml")

    return merged


def test_tables_merge_and_lists_replace(files):
    found = files('[routing]\nboundary = [0.6, 0.7]\n[[routing.rules]]\nname = "all"\nwhen = {}\nfloor = 2\n')
    assert found.routing.classifier == "learned"
    assert found.routing.boundary == (0.6, 0.7)
    assert [rule.name for rule in found.routing.rules] == ["all"]


def test_a_preset_of_the_policy_counts(files):
    assert files('[routing]\npreset = "max-quality"\n').routing.boundary == (0.4, 0.5)
    assert len(files('[routing]\npreset = "two-tier"\n').tiers) == 2


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[routing", "not valid TOML"),
        ("[routing]\nboundry = [0.1, 0.2]\n", "boundry"),
        ('[[routing.rules]]\nname = "x"\nwhen = {}\ntier = 9\n', "tier 9 does not exist"),
    ],
)
def test_what_is_wrong_is_said_with_the_name_of_the_policy(files, text, told):
    with pytest.raises(SettingsError) as raised:
        files(text)
    assert "new.toml" in str(raised.value)
    assert told in str(raised.value)


def test_a_missing_policy_is_named(tmp_path):
    with pytest.raises(SettingsError, match="no such policy file"):
        load_over(None, tmp_path / "none.toml")
