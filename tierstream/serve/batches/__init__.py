"""Files and batches over HTTP, as OpenAI has them: `/v1/files` and `/v1/batches`."""
