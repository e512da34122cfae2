"""What an operator looks at and acts on: breakers, dead letters, versions of the model."""
