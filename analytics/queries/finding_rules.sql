-- Whether rules decided on the tier of some of the requests of a feature that were answered there.
SELECT
    toString(feature) AS feature,
    toString(query_type) AS query_type,
    assumeNotNull(tier) AS tier,
    uniqExact(request_id) AS requests,
    uniqExactIf(request_id, startsWith(why, 'rule ')) AS by_rule,
    topKIf(1)(why, startsWith(why, 'rule ')) AS rules
FROM
(
    SELECT
        feature, query_type, tier, request_id,
        arrayFirst((why, stage) -> startsWith(stage, 'infer'), `route.why`, `route.stage`) AS why
    FROM {database:Identifier}.requests_log
    PREWHERE at >= {since:DateTime('UTC')} AND at < {until:DateTime('UTC')}
        AND feature IN {features:Array(String)} AND tier IN {tiers:Array(UInt8)}
    WHERE revision = 0
        AND (feature, query_type, assumeNotNull(tier)) IN
            arrayZip({features:Array(String)}, {query_types:Array(String)}, {tiers:Array(UInt8)})
        AND arrayFirst((to, stage) -> startsWith(stage, 'infer'), `route.tier`, `route.stage`) = tier
)
GROUP BY feature, query_type, tier
