-- The ways that requests of the last minutes took: the tier that they were first sent to, the one that answered, the end.
SELECT first_tier, tier, status, sum(results.requests) AS requests
FROM {database:Identifier}.results_by_minute AS results
WHERE bucket >= {since:DateTime('UTC')}
GROUP BY first_tier, tier, status
HAVING requests > 0
ORDER BY first_tier, tier, status
