"""The door: HTTP for clients of OpenAI's and Anthropic's APIs, in front of the topics."""
