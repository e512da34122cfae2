-- What happened on the way, read from the routes of the results: a result comes once, a hop perhaps twice.
SELECT
    sum(arrayUniq(arrayFilter((tier, why) -> startsWith(why, 'escalated'), `route.tier`, `route.why`))) AS escalations,
    sum(arrayUniq(arrayFilter((tier, why) -> startsWith(why, 'promoted'), `route.tier`, `route.why`))) AS promotions,
    sum(countEqual(`route.stage`, 'validate')) AS validations
FROM {database:Identifier}.requests
WHERE at >= {since:DateTime64(6, 'UTC')} AND at < {until:DateTime64(6, 'UTC')}
    AND ({tag:String} = '' OR has(tags, {tag:String}))
