-- How many requests got a result in a period: of them a sample is read.
SELECT sum(results.requests) AS requests
FROM {database:Identifier}.{results:Identifier} AS results
WHERE bucket >= {since:DateTime('UTC')} AND bucket < {until:DateTime('UTC')}
