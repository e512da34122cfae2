-- What happened on the way of the requests of the period.
SELECT
    sum(results.escalations) AS escalations,
    sum(results.promotions) AS promotions,
    sum(results.validations) AS validations
FROM {database:Identifier}.{results:Identifier} AS results
WHERE bucket >= {since:DateTime('UTC')} AND bucket < {until:DateTime('UTC')}
