-- What was said of results in the period, by kind.
SELECT
    outcome,
    sum(feedback.said) AS said,
    (
        SELECT sum(every.retried) FROM {database:Identifier}.{feedback:Identifier} AS every
        WHERE bucket >= {since:DateTime('UTC')} AND bucket < {until:DateTime('UTC')}
    ) AS retried
FROM {database:Identifier}.{feedback:Identifier} AS feedback
WHERE bucket >= {since:DateTime('UTC')} AND bucket < {until:DateTime('UTC')}
GROUP BY outcome
ORDER BY said DESC, outcome
