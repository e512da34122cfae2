SELECT
    toDateTime(intDiv(toUnixTimestamp(at), {seconds:UInt32}) * {seconds:UInt32}, 'UTC') AS bucket,
    purpose,
    tier,
    provider,
    model,
    feature,
    query_type,
    service_class,
    escalated,
    outcome,
    in_batch,
    count() AS rows,
    countIf(is_first) AS calls,
    countIf(is_first AND shares > 1) AS shared_calls,
    sum(call.input_tokens) AS input_tokens,
    sum(call.cached_tokens) AS cached_tokens,
    sum(call.cache_written_tokens) AS cache_written_tokens,
    sum(call.output_tokens) AS output_tokens,
    sum(call.reasoning_tokens) AS reasoning_tokens,
    sum(cost) AS cost_usd,
    sum(fresh_cost) AS fresh_cost_usd,
    sum(cached_cost) AS cached_cost_usd,
    sum(written_cost) AS cache_written_cost_usd,
    -- What rounding and the splitting of shared calls leave over is with the output.
    sum(cost - fresh_cost - cached_cost - written_cost) AS output_cost_usd,
    sumIf(cost, is_estimated) AS estimated_cost_usd,
    sum(cost * (shares - 1)) AS sharing_saved_usd,
    sum(toDecimal128(toDecimal128(call.cached_tokens, 0) * (input_rate - cached_rate), 12) / 1000000) AS cache_saved_usd,
    countIf(is_first AND call.batch_size > 1) AS batched_calls,
    sumIf(call.batch_size, is_first) AS batch_size_sum,
    sumIf(call.batch_wait_ms, is_first) AS batch_wait_ms_sum,
    sum(call.provider_ms) AS provider_ms_sum
FROM
(
    SELECT
        *,
        cost_usd AS cost,
        toDecimal128(toDecimal128(input_tokens - least(input_tokens, cached_tokens + cache_written_tokens), 0) * input_rate, 12)
            / 1000000 AS fresh_cost,
        toDecimal128(toDecimal128(cached_tokens, 0) * cached_rate, 12) / 1000000 AS cached_cost,
        toDecimal128(toDecimal128(cache_written_tokens, 0) * cache_write_rate, 12) / 1000000 AS written_cost
    FROM {database:Identifier}.{calls:Identifier}
    WHERE at >= {since:DateTime('UTC')} AND at < {until:DateTime('UTC')}
) AS call
GROUP BY bucket, purpose, tier, provider, model, feature, query_type, service_class, escalated, outcome, in_batch
