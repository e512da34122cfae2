-- How the requests of the window ended.
SELECT status, count() AS requests
FROM {database:Identifier}.requests
WHERE at >= {since:DateTime64(6, 'UTC')} AND at < {until:DateTime64(6, 'UTC')}
    AND ({tag:String} = '' OR has(tags, {tag:String}))
GROUP BY status
ORDER BY requests DESC, status
