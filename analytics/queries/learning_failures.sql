-- How the first answers of the requests came out that a version of the classifier decided, by tier and kind of request.
WITH
    decided AS
    (
        SELECT request_id, revision, assumeNotNull(any(hop.tier)) AS tier
        FROM {database:Identifier}.hops AS hop
        WHERE cluster = {cluster:String} AND at >= {since:DateTime64(6, 'UTC')} AND at < {until:DateTime64(6, 'UTC')}
            AND stage = 'classify' AND outcome = 'routed' AND rule = '' AND hop.tier IS NOT NULL
            AND (classifier = {classifier:String} OR startsWith(classifier, concat({classifier:String}, ' then '))
                OR startsWith(classifier, concat({classifier:String}, ' under ')))
        GROUP BY request_id, revision
    ),
    evidence AS
    (
        SELECT
            request_id,
            revision,
            tier,
            countIf(source = 'check') > 0 AS is_failed,
            countIf(source = 'judge') > 0 AS is_judged,
            countIf(source = 'judge') > 0 AND avgIf(value, source = 'judge') < 0.5 AS is_refuted,
            countIf(source = 'feedback') > 0 AND avgIf(value, source = 'feedback') < 0.5 AS is_complained_of
        FROM {database:Identifier}.labels
        WHERE cluster = {cluster:String} AND at >= {since:DateTime64(6, 'UTC')}
        GROUP BY request_id, revision, tier
    ),
    kinds AS
    (
        SELECT request_id, revision, any(query_type) AS query_type
        FROM {database:Identifier}.requests
        WHERE cluster = {cluster:String} AND at >= {since:DateTime64(6, 'UTC')}
        GROUP BY request_id, revision
    )
SELECT
    toUInt8(decided.tier) AS tier,
    kinds.query_type AS query_type,
    count() AS decided,
    countIf(evidence.is_failed) AS failed,
    countIf(evidence.is_judged) AS judged,
    countIf(evidence.is_refuted) AS refuted,
    countIf(evidence.is_complained_of) AS complaints
FROM decided
ANY LEFT JOIN evidence
    ON evidence.request_id = decided.request_id AND evidence.revision = decided.revision AND evidence.tier = decided.tier
ANY LEFT JOIN kinds ON kinds.request_id = decided.request_id AND kinds.revision = decided.revision
GROUP BY tier, query_type
ORDER BY tier, query_type
