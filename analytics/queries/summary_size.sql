-- How many results there are since the start of the window, repeats included: whether it is quick to read them.
SELECT count() AS results
FROM {database:Identifier}.requests_log
WHERE at >= {since:DateTime64(6, 'UTC')}
