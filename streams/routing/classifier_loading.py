"""Classifiers as settings and published models name them. NumPy is imported only where a learned one is wanted."""

from typing import TYPE_CHECKING

from streams.config.settings import Settings, SettingsError
from streams.routing.classifier import Classifier
from streams.routing.features_classifier import FeaturesClassifier

if TYPE_CHECKING:
    from streams.routing.learned.classifier import LearnedClassifier


class UnusableModelError(Exception):
    """A model can't be loaded by this version; the message is one line that says why."""


def uses_models(settings: Settings) -> bool:
    """Whether the classifier has a learned part, which models can be activated for."""
    return settings.routing.classifier != "features"


def configured_classifier(settings: Settings) -> Classifier:
    """Make the local classifier that the settings name.

    Raises:
        SettingsError: The model file can't be used.
    """
    if not uses_models(settings):
        return FeaturesClassifier()
    # NumPy takes a fifth of a second to import, and every restart of a worker waits for it.
    from streams.routing.learned.classifier import LearnedClassifier  # noqa: PLC0415
    from streams.routing.learned.model_file import ModelError  # noqa: PLC0415

    path = settings.routing.model
    try:
        learned = LearnedClassifier.shipped() if path is None else LearnedClassifier.load(path)
    except ModelError as error:
        raise SettingsError(f"routing.model: {error}") from None
    except OSError as error:
        raise SettingsError(f"routing.model: {path}: {error.strerror}") from None
    return _for_router(learned, settings)


def shipped_classifier(settings: Settings) -> Classifier:
    """Make a classifier of the model that ships with the package."""
    from streams.routing.learned.classifier import LearnedClassifier  # noqa: PLC0415

    return _for_router(LearnedClassifier.shipped(), settings)


def published_classifier(settings: Settings, file: bytes, name: str) -> Classifier:
    """Make a classifier of a published model file.

    Args:
        settings: Of the router that it is for.
        file: Its bytes.
        name: What errors call it.

    Raises:
        UnusableModelError: It is damaged, or was made for other features than this version has.
    """
    return _for_router(published_model(file, name), settings)


def published_model(file: bytes, name: str) -> "LearnedClassifier":
    """Read a published model file; see `published_classifier`."""
    from streams.routing.learned.classifier import LearnedClassifier  # noqa: PLC0415
    from streams.routing.learned.model_file import ModelError  # noqa: PLC0415

    try:
        return LearnedClassifier.loads(file, name)
    except ModelError as error:
        raise UnusableModelError(str(error)) from None
    except Exception as error:
        # Whatever a damaged archive makes the libraries below do, it must not end a worker.
        raise UnusableModelError(f"{name}: can't be read: {error!r}") from error


def _for_router(learned: "LearnedClassifier", settings: Settings) -> Classifier:
    from streams.routing.learned.router_classifier import LearnedRouterClassifier  # noqa: PLC0415

    return LearnedRouterClassifier(learned, goes_up_from=settings.routing.boundary[0])
