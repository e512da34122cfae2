-- The paid calls that ended from {since} on and before {until}, once each and request, with what their results say.
--
-- Copies of a row, and a second end of a call, may lie up to a lifetime of a request away, and so does the result, which
-- comes after its calls. A call without an end counts once its time is up; it is `unknown` whether it was paid.
WITH
seen AS
(
    SELECT
        request_id,
        revision,
        call_id,
        any(log.attempt_id) AS attempt_id,
        any(log.purpose) AS purpose,
        any(log.tier) AS tier,
        any(log.provider) AS provider,
        any(log.model) AS model,
        min(log.at) AS first_at,
        max(log.deadline) AS deadline,
        max(log.event = 'ended') AS has_end,
        argMinIf(
            (
                log.at, log.error_kind, log.provider_ms, log.usage_source, log.input_tokens, log.output_tokens,
                log.cached_tokens, log.cache_written_tokens, log.reasoning_tokens, log.cost_usd, log.input_rate,
                log.cached_rate, log.cache_write_rate, log.shares, log.first_token_ms, log.batch_size, log.batch_wait_ms
            ),
            (log.at, log.offset),
            log.event = 'ended'
        ) AS end
    FROM {database:Identifier}.calls_log AS log
    WHERE log.at >= {since:DateTime('UTC')} - {lifetime_s:UInt32} AND log.at < {until:DateTime('UTC')} + {lifetime_s:UInt32}
    GROUP BY request_id, revision, call_id
    HAVING if(has_end, end.1, first_at) >= {since:DateTime('UTC')} AND if(has_end, end.1, first_at) < {until:DateTime('UTC')}
        AND (has_end OR deadline < now64(3))
),
settled AS
(
    SELECT request_id, revision, user_id, feature, query_type, service_class, tags, `route.tier` AS tiers, `route.why` AS whys
    FROM {database:Identifier}.requests_log
    WHERE at >= {since:DateTime('UTC')} - {lifetime_s:UInt32} AND at < {until:DateTime('UTC')} + {lifetime_s:UInt32}
)
SELECT
    if(has_end, end.1, first_at) AS at,
    toString(purpose) AS purpose,
    tier,
    toString(provider) AS provider,
    toString(model) AS model,
    multiIf(NOT has_end, 'unknown', end.2 = '', 'ok', toString(end.2)) AS outcome,
    ifNull(end.3, 0) AS provider_ms,
    end.4 = 'estimated' AS is_estimated,
    end.5 AS input_tokens,
    end.6 AS output_tokens,
    end.7 AS cached_tokens,
    end.8 AS cache_written_tokens,
    end.9 AS reasoning_tokens,
    end.10 AS cost_usd,
    toDecimal128(ifNull(end.11, 0), 6) AS input_rate,
    toDecimal128(ifNull(end.12, 0), 6) AS cached_rate,
    toDecimal128(coalesce(end.13, end.11, 0), 6) AS cache_write_rate,
    if(has_end, end.14, 1) AS shares,
    shares = 1 OR request_id = min(request_id) OVER (PARTITION BY call_id) AS is_first,
    end.15 AS first_token_ms,
    if(has_end, end.16, 1) AS batch_size,
    end.17 AS batch_wait_ms,
    settled.user_id AS user_id,
    toString(settled.feature) AS feature,
    toString(settled.query_type) AS query_type,
    toString(settled.service_class) AS service_class,
    arrayMap(tag -> toString(tag), settled.tags) AS tags,
    purpose = 'infer'
        AND arrayExists((to, why) -> startsWith(why, 'escalated') AND to <= tier, settled.tiers, settled.whys) AS escalated
FROM seen
ANY LEFT JOIN settled ON settled.request_id = seen.request_id AND settled.revision = seen.revision
