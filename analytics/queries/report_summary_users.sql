-- The users whose requests of the period cost most.
SELECT user_id, sum(question.requests) AS requests, sum(question.cost_usd) AS cost
FROM {database:Identifier}.questions_by_hour AS question
WHERE bucket >= {since:DateTime('UTC')} AND bucket < {until:DateTime('UTC')}
    AND user_id != ''
GROUP BY user_id
ORDER BY cost DESC, user_id
LIMIT {top:UInt32}
