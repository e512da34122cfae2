-- How the requests of the period ended.
SELECT status, sum(results.requests) AS requests
FROM {database:Identifier}.{results:Identifier} AS results
WHERE bucket >= {since:DateTime('UTC')} AND bucket < {until:DateTime('UTC')}
GROUP BY status
ORDER BY requests DESC, status
