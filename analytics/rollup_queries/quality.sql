-- A piece of evidence can be there twice, for steps before a rest are told again after a crash.
SELECT
    toDateTime(intDiv(toUnixTimestamp(at), {seconds:UInt32}) * {seconds:UInt32}, 'UTC') AS bucket,
    tier,
    model,
    source,
    feature,
    query_type,
    count() AS n,
    sum(value) AS good,
    sum(weight) AS weight
FROM
(
    SELECT
        label.request_id AS request_id,
        label.revision AS revision,
        label.tier AS tier,
        label.model AS model,
        toString(label.source) AS source,
        min(label.at) AS at,
        any(label.value) AS value,
        any(label.weight) AS weight,
        any(toString(label.query_type)) AS query_type,
        any(toString(settled.feature)) AS feature
    FROM
    (
        SELECT * FROM {database:Identifier}.labels
        WHERE at >= {since:DateTime('UTC')} AND at < {until:DateTime('UTC')}
    ) AS label
    ANY LEFT JOIN
    (
        SELECT request_id, revision, feature
        FROM {database:Identifier}.requests_log
        WHERE at >= {since:DateTime('UTC')} - {lifetime_s:UInt32} AND at < {until:DateTime('UTC')} + {lifetime_s:UInt32}
    ) AS settled ON settled.request_id = label.request_id AND settled.revision = label.revision
    GROUP BY request_id, revision, tier, model, source
)
GROUP BY bucket, tier, model, source, feature, query_type
