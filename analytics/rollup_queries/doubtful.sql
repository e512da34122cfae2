SELECT
    toDateTime(intDiv(toUnixTimestamp(at), {seconds:UInt32}) * {seconds:UInt32}, 'UTC') AS bucket,
    request_id,
    revision,
    call_id,
    attempt_id,
    stage,
    n,
    purpose,
    tier,
    provider,
    model,
    started_at,
    ending AS outcome,
    attempt_calls,
    parts,
    known_cost_usd AS cost_usd
FROM {database:Identifier}.{calls:Identifier}
WHERE at >= {since:DateTime('UTC')} AND at < {until:DateTime('UTC')} AND is_doubtful
