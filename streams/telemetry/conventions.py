"""The names of OpenTelemetry's conventions for GenAI and for messaging, in one place, since both still move.

Sources: https://github.com/open-telemetry/semantic-conventions-genai (development, read at 1.42 of the others) and
https://opentelemetry.io/docs/specs/semconv/messaging/kafka/ (development).
"""

from typing import Final

GEN_AI_OPERATION: Final = "gen_ai.operation.name"
CHAT: Final = "chat"
"""Every call of ours is a chat completion."""
GEN_AI_PROVIDER: Final = "gen_ai.provider.name"
GEN_AI_REQUEST_MODEL: Final = "gen_ai.request.model"
GEN_AI_REQUEST_MAX_TOKENS: Final = "gen_ai.request.max_tokens"
GEN_AI_REQUEST_STREAM: Final = "gen_ai.request.stream"
GEN_AI_RESPONSE_MODEL: Final = "gen_ai.response.model"
GEN_AI_FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
GEN_AI_FIRST_CHUNK: Final = "gen_ai.response.time_to_first_chunk"
GEN_AI_INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
GEN_AI_OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
GEN_AI_CACHED_TOKENS: Final = "gen_ai.usage.cache_read.input_tokens"
GEN_AI_CACHE_WRITTEN_TOKENS: Final = "gen_ai.usage.cache_creation.input_tokens"

MESSAGING_SYSTEM: Final = "messaging.system"
KAFKA: Final = "kafka"
MESSAGING_OPERATION: Final = "messaging.operation.name"
MESSAGING_OPERATION_TYPE: Final = "messaging.operation.type"
PROCESS: Final = "process"
SEND: Final = "send"
MESSAGING_DESTINATION: Final = "messaging.destination.name"
MESSAGING_PARTITION: Final = "messaging.destination.partition.id"
MESSAGING_GROUP: Final = "messaging.consumer.group.name"
KAFKA_OFFSET: Final = "messaging.kafka.offset"

ERROR_TYPE: Final = "error.type"

STAGE: Final = "tierstream.stage"
OUTCOME: Final = "tierstream.outcome"
REQUEST_ID: Final = "tierstream.request_id"
CALL_ID: Final = "tierstream.call_id"
"""Of the rows of the call in the ledger."""
