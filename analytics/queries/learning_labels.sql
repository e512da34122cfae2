-- What to learn from: one label a source for each tier that a request was answered by, within the bound of its user.
--
-- A user's labels of a day beyond the bound of their source are left out, chosen by a hash, so that nobody decides by
-- what comes first. Judges look at a share of the answers: `represents` is how many of its tier and kind of request a
-- look stands for, because failed checks are all here. `offset` is where the text of the request is; a request whose id
-- stands for several is left out, since nobody knows which of them a label is about.
WITH
    evidence AS
    (
        SELECT
            request_id,
            revision,
            tier,
            source,
            any(model) AS model,
            any(user_id) AS user_id,
            any(query_type) AS query_type,
            max(at) AS last_at,
            avg(value) AS value
        FROM {database:Identifier}.labels
        WHERE cluster = {cluster:String} AND at >= {since:DateTime64(6, 'UTC')} AND at < {until:DateTime64(6, 'UTC')}
        GROUP BY request_id, revision, tier, source
    ),
    numbered AS
    (
        SELECT
            *,
            transform(toString(source), {sources:Array(String)}, {bounds:Array(UInt64)}, toUInt64(0)) AS bound,
            transform(toString(source), {sources:Array(String)}, {weights:Array(Float64)}, 0.0) AS source_weight,
            row_number() OVER (
                PARTITION BY source, user_id, toDate(last_at) ORDER BY cityHash64(request_id, revision, tier)
            ) AS number
        FROM evidence
    ),
    counted AS
    (
        SELECT
            *,
            countIf(number <= bound) OVER (PARTITION BY source) AS labels_of_source,
            countIf(number > bound) OVER (PARTITION BY source) AS beyond_bound,
            countIf(number <= bound) OVER (PARTITION BY source, tier, query_type) AS looks
        FROM numbered
    ),
    answers AS
    (
        SELECT answer_tier, query_type, count() AS answers
        FROM {database:Identifier}.requests
        ARRAY JOIN `route.tier` AS answer_tier, `route.stage` AS answer_stage, `route.outcome` AS answer_outcome
        WHERE cluster = {cluster:String} AND at >= {since:DateTime64(6, 'UTC')} AND at < {until:DateTime64(6, 'UTC')}
            AND startsWith(answer_stage, 'infer') AND answer_outcome = 'ok'
        GROUP BY answer_tier, query_type
    ),
    places AS
    (
        SELECT request_id, any(place) AS place
        FROM
        (
            SELECT request_id, revision, uniqExact(source_partition, source_offset) AS requests,
                any((source_partition, source_offset)) AS place
            FROM {database:Identifier}.requests
            WHERE cluster = {cluster:String} AND source_topic = {requests_topic:String}
                AND at >= {asked_since:DateTime64(6, 'UTC')}
            GROUP BY request_id, revision
            ORDER BY request_id, revision
        )
        GROUP BY request_id
        HAVING max(requests) = 1
    )
SELECT
    counted.request_id AS request_id,
    counted.revision AS revision,
    counted.user_id AS user_id,
    toUInt8(counted.tier) AS tier,
    counted.model AS model,
    counted.source AS source,
    counted.value AS value,
    counted.source_weight AS weight,
    if(
        counted.source = 'judge',
        least(greatest(answers.answers / counted.looks, 1.0), {most_represented:Float64}),
        1.0
    ) AS represents,
    counted.labels_of_source AS labels_of_source,
    counted.beyond_bound AS beyond_bound,
    places.place.1 AS partition,
    places.place.2 AS offset
FROM counted
LEFT JOIN answers ON answers.answer_tier = counted.tier AND answers.query_type = counted.query_type
INNER JOIN places ON places.request_id = counted.request_id
WHERE counted.number <= counted.bound AND counted.source_weight > 0 AND counted.value != 0.5
ORDER BY counted.last_at DESC, request_id, revision, tier, source
LIMIT {most:UInt64}
