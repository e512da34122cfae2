"""The fields of a request, those of its parts included."""

from collections.abc import Iterator
from typing import get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError

from topics.requests import Request


def request_fields(model: type[BaseModel] = Request, above: str = "") -> Iterator[tuple[str, object]]:
    """Yield each field with its type, by its way from the request, such as `context.data_class`."""
    for name, field in model.model_fields.items():
        yield above + name, field.rebuild_annotation()
        is_list = get_origin(field.annotation) is tuple
        part = get_args(field.annotation)[0] if is_list else field.annotation
        if isinstance(part, type) and issubclass(part, BaseModel):
            yield from request_fields(part, f"{above}{name}.{'0.' if is_list else ''}")


def takes_null(annotation: object) -> bool:
    """Whether null stands for an absent value."""
    try:
        TypeAdapter(annotation).validate_json("null", strict=True)
    except ValidationError:
        return False
    return True


def takes_text_alone(annotation: object) -> bool:
    """Whether a value is any text within limits, so that its type needs no words."""
    schema = TypeAdapter(annotation).json_schema()
    kinds = [one for one in schema.get("anyOf", [schema]) if one.get("type") != "null"]
    return all(one.get("type") == "string" and not {"enum", "const", "format"} & one.keys() for one in kinds)
