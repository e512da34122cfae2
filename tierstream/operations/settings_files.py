"""The files that settings name: whether they are there and can be used. The settings themselves do no I/O."""

from streams.config.settings import Settings, SettingsError
from streams.routing.classifier_loading import configured_classifier


def file_problems(settings: Settings) -> list[str]:
    """Describe each file that would keep a worker or the embedded stack from starting, a line each."""
    found: list[str] = []
    try:
        configured_classifier(settings)
    except SettingsError as error:
        found.append(str(error))
    stack = settings.stack
    named = [("stack.simulator_config", stack.simulator_config)]
    named += [("stack.simulator_scripts", script) for script in stack.simulator_scripts]
    found.extend(f"{key}: {path}: no such file" for key, path in named if path is not None and not path.is_file())
    if stack.data_dir.exists() and not stack.data_dir.is_dir():
        found.append(f"stack.data_dir: {stack.data_dir}: not a folder")
    return found


def require_files(settings: Settings) -> None:
    """Check the files that the settings name.

    Raises:
        SettingsError: A line for each that can't be used.
    """
    if found := file_problems(settings):
        raise SettingsError(*found)
