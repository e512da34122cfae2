-- What the calls of those users cost in two periods whose cost changed most, and of all others together; both periods are
-- read from the same table.
SELECT
    place <= {top:UInt32} AS is_named,
    if(is_named, user_id, '') AS user,
    if(is_named, user_provider, '') AS provider,
    if(is_named, user_model, '') AS model,
    sum(ranked.calls_before) AS calls_before,
    sum(ranked.calls_after) AS calls_after,
    sum(ranked.tokens_before) AS tokens_before,
    sum(ranked.tokens_after) AS tokens_after,
    sum(ranked.cost_before) AS cost_before,
    sum(ranked.cost_after) AS cost_after
FROM
(
    SELECT *, dense_rank() OVER (ORDER BY abs(changed) DESC, user_id) AS place
    FROM
    (
        SELECT *, sum(cost_after - cost_before) OVER (PARTITION BY user_id) AS changed
        FROM
        (
            SELECT
                user_id,
                toString(provider) AS user_provider,
                toString(model) AS user_model,
                sumIf(users.rows, is_before) AS calls_before,
                sumIf(users.rows, is_after) AS calls_after,
                sumIf(users.input_tokens + users.output_tokens, is_before) AS tokens_before,
                sumIf(users.input_tokens + users.output_tokens, is_after) AS tokens_after,
                sumIf(users.cost_usd, is_before) AS cost_before,
                sumIf(users.cost_usd, is_after) AS cost_after
            FROM
            (
                SELECT
                    *,
                    bucket >= {since:DateTime('UTC')} AND bucket < {until:DateTime('UTC')} AS is_after,
                    bucket >= {versus_since:DateTime('UTC')} AND bucket < {versus_until:DateTime('UTC')} AS is_before
                FROM {database:Identifier}.{users:Identifier}
                WHERE is_after OR is_before
            ) AS users
            GROUP BY user_id, user_provider, user_model
        )
    )
) AS ranked
GROUP BY is_named, user, provider, model
ORDER BY is_named DESC, user, provider, model
