-- The paid calls that ended from {since} on and before {until}, and those whose result was settled in that time, once
-- each and request, with what their results say. Which calls those of a family are is in its own file.
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
        any(log.stage) AS stage,
        any(log.n) AS n,
        any(log.purpose) AS purpose,
        any(log.tier) AS tier,
        any(log.provider) AS provider,
        any(log.model) AS model,
        min(log.started_at) AS started_at,
        min(log.at) AS first_at,
        max(log.deadline) AS deadline,
        max(log.event = 'ended') AS has_end,
        argMinIf(
            (
                log.at, log.error_kind, log.provider_ms, log.usage_source, log.input_tokens, log.output_tokens,
                log.cached_tokens, log.cache_written_tokens, log.reasoning_tokens, log.cost_usd, log.input_rate,
                log.cached_rate, log.cache_write_rate, log.shares, log.first_token_ms, log.batch_size, log.batch_wait_ms,
                log.provider_batch
            ),
            (log.at, log.offset),
            log.event = 'ended'
        ) AS end
    FROM {database:Identifier}.calls_log AS log
    WHERE log.at >= {since:DateTime('UTC')} - {lifetime_s:UInt32} AND log.at < {until:DateTime('UTC')} + {lifetime_s:UInt32}
    GROUP BY request_id, revision, call_id
    HAVING has_end OR deadline < now64(3)
),
settled AS
(
    SELECT
        request_id, revision, at AS settled_at, user_id, feature, query_type, service_class, tags,
        `route.tier` AS tiers, `route.why` AS whys, `route.attempt_id` AS attempts, `route.cost_usd` AS costs
    FROM {database:Identifier}.requests_log
    WHERE at >= {since:DateTime('UTC')} - {lifetime_s:UInt32} AND at < {until:DateTime('UTC')} + {lifetime_s:UInt32}
),
joined AS
(
    SELECT
        seen.*,
        if(has_end, end.1, first_at) AS ended_at,
        multiIf(NOT has_end, 'unknown', end.2 = '', 'ok', 'error') AS ending,
        settled_at,
        user_id,
        toString(feature) AS feature,
        toString(query_type) AS query_type,
        toString(service_class) AS service_class,
        arrayMap(tag -> toString(tag), tags) AS tags,
        indexOf(attempts, attempt_id) AS line,
        end.10 != arrayElement(costs, line) AS differs,
        purpose = 'infer' AND arrayExists((to, why) -> startsWith(why, 'escalated') AND to <= tier, tiers, whys) AS escalated
    FROM seen
    ANY LEFT JOIN settled ON settled.request_id = seen.request_id AND settled.revision = seen.revision
),
told AS
(
    SELECT
        *,
        settled_at > toDateTime64(0, 3, 'UTC') AS has_result,
        row_number() OVER (PARTITION BY call_id, ending ORDER BY request_id, revision) = 1 AS is_first,
        count() OVER of_call AS parts,
        maxIf(toNullable(end.10), ending = 'ok') OVER of_call AS part_cost,
        count() OVER of_attempt AS attempt_calls,
        max(NOT has_end) OVER of_attempt AS attempt_is_doubtful,
        maxIf(toNullable(end.10), ending = 'ok') OVER of_attempt AS attempt_cost,
        row_number() OVER (
            PARTITION BY request_id, revision, attempt_id ORDER BY NOT has_end, differs, ended_at, call_id
        ) AS place
    FROM joined
    WINDOW of_call AS (PARTITION BY call_id), of_attempt AS (PARTITION BY request_id, revision, attempt_id)
)
SELECT
    ended_at AS at,
    if(has_result, settled_at, ended_at) AS booked_at,
    multiIf(
        NOT has_end, 'unknown',
        purpose = 'shadow' AND line = 0, 'shadow',
        NOT has_result, 'unsettled',
        line = 0, 'unrouted',
        place > 1, 'duplicate',
        'routed'
    ) AS standing,
    ending,
    request_id,
    revision,
    call_id,
    attempt_id,
    toString(stage) AS stage,
    n,
    started_at,
    attempt_calls,
    attempt_calls > 1 OR attempt_is_doubtful AS is_doubtful,
    parts,
    if(has_end, end.10, coalesce(part_cost, attempt_cost)) AS known_cost_usd,
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
    is_first,
    end.15 AS first_token_ms,
    if(has_end, end.16, 1) AS batch_size,
    end.17 AS batch_wait_ms,
    end.18 != '' AS in_batch,
    user_id,
    feature,
    query_type,
    service_class,
    tags,
    escalated
FROM told
WHERE (at >= {since:DateTime('UTC')} AND at < {until:DateTime('UTC')})
    OR (booked_at >= {since:DateTime('UTC')} AND booked_at < {until:DateTime('UTC')})
