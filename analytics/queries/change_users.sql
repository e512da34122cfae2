-- What the calls of those users cost in two periods whose cost changed most, and of all others together; both periods are
-- read from the same table.
WITH sums AS
(
    SELECT
        user_id,
        toString(provider) AS provider,
        toString(model) AS model,
        bucket >= {since:DateTime('UTC')} AND bucket < {until:DateTime('UTC')} AS is_after,
        bucket >= {versus_since:DateTime('UTC')} AND bucket < {versus_until:DateTime('UTC')} AS is_before,
        sum(users.rows) AS calls,
        sum(users.input_tokens + users.output_tokens) AS tokens,
        sum(users.cost_usd) AS cost
    FROM {database:Identifier}.{users:Identifier} AS users
    WHERE is_after OR is_before
    GROUP BY user_id, provider, model, is_after, is_before
),
most AS
(
    SELECT user_id
    FROM sums
    GROUP BY user_id
    ORDER BY abs(sumIf(cost, is_after) - sumIf(cost, is_before)) DESC, user_id
    LIMIT {top:UInt32}
)
SELECT
    user_id IN (SELECT user_id FROM most) AS is_named,
    if(is_named, user_id, '') AS user,
    if(is_named, provider, '') AS provider,
    if(is_named, model, '') AS model,
    sumIf(calls, is_before) AS calls_before,
    sumIf(calls, is_after) AS calls_after,
    sumIf(tokens, is_before) AS tokens_before,
    sumIf(tokens, is_after) AS tokens_after,
    sumIf(cost, is_before) AS cost_before,
    sumIf(cost, is_after) AS cost_after
FROM sums
GROUP BY is_named, user, provider, model
ORDER BY is_named DESC, user, provider, model
