"""The door as others read it: an OpenAPI document, made from what reads the bodies."""
