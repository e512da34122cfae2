-- The hours of which the ledger holds something that the roll-ups were not built from, oldest first, with the hash of what
-- it holds now. A result changes what is known of the calls before it, so it counts for the hours since its request came,
-- and so does the end of a call, which counted as unknown before.
-- An hour is built once more when nothing can come late any more, which also mends what two builders at once may do.
WITH
held AS
(
    SELECT hour, cluster, topic, partition, max(offset) AS last
    FROM {database:Identifier}.calls_log
    ARRAY JOIN arrayMap(
        n -> toStartOfHour(at) - 3600 * n, range(1 + least(24, greatest(0, dateDiff('hour', started_at, at))))
    ) AS hour
    WHERE at >= {since:DateTime('UTC')}
    GROUP BY hour, cluster, topic, partition
    UNION ALL
    SELECT toStartOfHour(at) AS hour, cluster, topic, partition, max(offset) AS last
    FROM {database:Identifier}.hops_log
    WHERE at >= {since:DateTime('UTC')}
    GROUP BY hour, cluster, topic, partition
    UNION ALL
    SELECT hour, cluster, topic, partition, max(offset) AS last
    FROM {database:Identifier}.requests_log
    ARRAY JOIN arrayMap(
        n -> toStartOfHour(at) - 3600 * n, range(1 + least(24, greatest(0, dateDiff('hour', source_at, at))))
    ) AS hour
    WHERE at >= {since:DateTime('UTC')}
    GROUP BY hour, cluster, topic, partition
),
due AS
(
    SELECT
        hour,
        groupBitXor(cityHash64(cluster, topic, partition, last)) AS offsets,
        -- The number counts changes of what is built: after each, all hours are built once more.
        cityHash64(offsets, hour + 3600 + {lifetime_s:UInt32} < now(), 3) AS covered
    FROM held
    WHERE hour >= {since:DateTime('UTC')}
    GROUP BY hour
)
SELECT due.hour AS hour, due.covered AS covered
FROM due
LEFT ANY JOIN
(
    SELECT hour, argMax(covered, built_at) AS covered FROM {database:Identifier}.rollup_hours GROUP BY hour
) AS built ON built.hour = due.hour
WHERE due.covered != built.covered
ORDER BY hour
