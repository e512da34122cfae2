-- The steps that were published from {since} on and before {until}.
SELECT
    at,
    toString(stage) AS stage,
    toString(outcome) AS outcome,
    ifNull(tier, 0) AS tier,
    toString(provider) AS provider,
    toString(model) AS model,
    toString(if(stage = 'classify', if(rule = '', classifier, rule), '')) AS decided_by,
    queue_ms,
    dateDiff('microsecond', started_at, ended_at) / 1000 AS took_ms
FROM {database:Identifier}.hops
WHERE at >= {since:DateTime('UTC')} AND at < {until:DateTime('UTC')}
