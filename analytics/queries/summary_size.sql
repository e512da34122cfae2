-- How many results there are since the start of the window, repeats included, counted up to a limit.
SELECT count() AS results
FROM
(
    SELECT 1
    FROM {database:Identifier}.requests_log
    WHERE at >= {since:DateTime64(6, 'UTC')}
    LIMIT {limit:UInt64}
)
