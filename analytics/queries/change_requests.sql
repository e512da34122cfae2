-- How many requests got a result in a period, by feature and query type.
SELECT toString(feature) AS feature, toString(query_type) AS query_type, sum(results.requests) AS requests
FROM {database:Identifier}.{results:Identifier} AS results
WHERE bucket >= {since:DateTime('UTC')} AND bucket < {until:DateTime('UTC')}
GROUP BY feature, query_type
