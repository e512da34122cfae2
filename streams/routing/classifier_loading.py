"""Classifiers as settings and published models name them."""

from io import BytesIO

from streams.config.settings import Settings, SettingsError
from streams.routing.classifier import Classifier
from streams.routing.learned import model_file as outcomes_file
from streams.routing.learned.classifier import LearnedClassifier
from streams.routing.learned.router_classifier import LearnedRouterClassifier
from streams.routing.model_archive import ModelError, kind_of
from streams.routing.request_classifier.classifier import RequestClassifier

TrainedModel = RequestClassifier | LearnedClassifier
"""What a model file holds: trained on requests, or on outcomes."""


class UnusableModelError(Exception):
    """A model can't be loaded by this version; the message is one line that says why."""


def configured_classifier(settings: Settings) -> Classifier:
    """Make the local classifier that the settings name.

    Raises:
        SettingsError: The model file can't be used.
    """
    path = settings.routing.model
    if path is None:
        return shipped_classifier(settings)
    try:
        return published_classifier(settings, path.read_bytes(), str(path))
    except UnusableModelError as error:
        raise SettingsError(f"routing.model: {error}") from None
    except OSError as error:
        raise SettingsError(f"routing.model: {path}: {error.strerror}") from None


def shipped_classifier(settings: Settings) -> Classifier:
    """Make a classifier of the model that ships with the package."""
    return RequestClassifier.shipped(settings.routing.boundary[0])


def published_classifier(settings: Settings, file: bytes, name: str) -> Classifier:
    """Make a classifier of a published model file.

    Args:
        settings: Of the router that it is for.
        file: Its bytes.
        name: What errors call it.

    Raises:
        UnusableModelError: It is damaged, or was made for other features than this version has.
    """
    goes_up_from = settings.routing.boundary[0]
    model = published_model(file, name, goes_up_from)
    if isinstance(model, RequestClassifier):
        return model
    return LearnedRouterClassifier(model, RequestClassifier.shipped(goes_up_from), goes_up_from)


def published_model(file: bytes, name: str, goes_up_from: float = 0.5) -> TrainedModel:
    """Read a published model file; see `published_classifier`."""
    try:
        if kind_of(BytesIO(file), name) == outcomes_file.KIND:
            return LearnedClassifier.loads(file, name)
        return RequestClassifier.loads(file, name, goes_up_from)
    except ModelError as error:
        raise UnusableModelError(str(error)) from None
    except Exception as error:
        # Whatever a damaged archive makes the libraries below do, it must not end a worker.
        raise UnusableModelError(f"{name}: can't be read: {error!r}") from error
