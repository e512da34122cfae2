-- Paid calls for requests, each once, as their first end has them; comparisons in the shadow are no part of a request.
SELECT
    request_id,
    end.1 AS at_ms,
    attempt_id,
    purpose,
    tier,
    concat(provider, '/', model) AS ref,
    end.2 AS error_kind,
    end.3 AS input_tokens,
    end.4 AS output_tokens,
    end.5 AS cached_tokens,
    end.6 AS cache_written_tokens,
    end.7 AS reasoning_tokens,
    end.8 AS cost_usd,
    end.9 AS provider_ms,
    toBool(end.10) AS in_batch
FROM
(
    SELECT
        log.request_id AS request_id,
        any(log.attempt_id) AS attempt_id,
        toString(any(log.purpose)) AS purpose,
        any(log.tier) AS tier,
        toString(any(log.provider)) AS provider,
        toString(any(log.model)) AS model,
        argMin(
            (
                toUnixTimestamp64Milli(log.at), toString(log.error_kind), log.input_tokens, log.output_tokens,
                log.cached_tokens, log.cache_written_tokens, log.reasoning_tokens, log.cost_usd,
                ifNull(log.provider_ms, 0.0), log.provider_batch != ''
            ),
            (log.at, log.offset)
        ) AS end
    FROM {database:Identifier}.calls_log AS log
    WHERE log.cluster = {cluster:String} AND log.event = 'ended' AND log.revision = 0 AND log.purpose != 'shadow'
        AND log.at >= {since:DateTime64(3, 'UTC')} AND log.at < {horizon:DateTime64(3, 'UTC')}
    GROUP BY log.request_id, log.call_id
)
