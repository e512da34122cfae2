-- What the shadows of the window came to: a row for each candidate, and one for each of its query types.
-- The steps of a comparison are published as often as its record was delivered; of several ends the one that compared
-- counts, else the first. Costs and times are of comparisons whose request has its result: those of the candidate's
-- call, and those of the call that gave the answer, which may be a part of a shared one; not of one that a batch of the
-- provider answered, at its price and in its time.
WITH ended AS
(
    SELECT
        request_id,
        revision,
        splitByString(': ', detail)[1] AS name,
        min(hop.at) AS first_at,
        argMin(
            (hop.outcome, hop.provider, hop.model, hop.cost_usd, hop.provider_ms),
            (hop.outcome NOT IN ('win', 'tie', 'loss'), hop.at, hop.partition, hop.offset, hop.idx)
        ) AS last
    FROM {database:Identifier}.hops AS hop
    WHERE stage = 'shadow' AND outcome != 'compared'
        AND at >= {since:DateTime64(6, 'UTC')} AND at < {until:DateTime64(6, 'UTC')}
        AND ({name:String} = '' OR startsWith(detail, concat({name:String}, ': ')))
    GROUP BY request_id, revision, name
),
settled AS
(
    SELECT
        request_id,
        revision,
        query_type,
        tags,
        1 AS has_result,
        assumeNotNull(attempt_id) IN (
            SELECT attempt_id FROM {database:Identifier}.calls_log WHERE provider_batch != ''
        ) AS in_batch,
        arrayElement(`route.cost_usd`, indexOf(`route.attempt_id`, assumeNotNull(attempt_id))) AS cost_usd,
        arrayElement(`route.provider_ms`, indexOf(`route.attempt_id`, assumeNotNull(attempt_id))) AS provider_ms
    FROM {database:Identifier}.requests
    WHERE (request_id, revision) IN (SELECT request_id, revision FROM ended)
),
told AS
(
    SELECT
        ended.name AS name,
        ended.last.2 AS provider,
        ended.last.3 AS model,
        settled.query_type AS query_type,
        ended.first_at AS first_at,
        ended.last.1 AS outcome,
        outcome IN ('win', 'tie', 'loss') AS is_compared,
        is_compared AND settled.has_result = 1 AND NOT settled.in_batch AS is_paired,
        ended.last.4 AS candidate_cost,
        settled.cost_usd AS incumbent_cost,
        ended.last.5 AS candidate_ms,
        settled.provider_ms AS incumbent_ms
    FROM ended
    ANY LEFT JOIN settled ON settled.request_id = ended.request_id AND settled.revision = ended.revision
    WHERE {tag:String} = '' OR has(settled.tags, {tag:String})
)
SELECT
    name,
    provider,
    model,
    query_type,
    grouping(query_type) = 1 AS is_total,
    countIf(outcome = 'win') AS wins,
    countIf(outcome = 'tie') AS ties,
    countIf(outcome = 'loss') AS losses,
    countIf(outcome = 'failed') AS failed,
    countIf(outcome = 'unjudged') AS unjudged,
    countIf(outcome = 'unaffordable') AS unaffordable,
    countIf(outcome = 'late') AS late,
    countIf(is_paired) AS paired,
    sumIf(candidate_cost, is_paired) AS candidate_cost_usd,
    sumIf(incumbent_cost, is_paired) AS incumbent_cost_usd,
    if(paired = 0, NULL, quantileExactInclusiveIf(0.5)(candidate_ms, is_paired)) AS candidate_p50_ms,
    if(paired = 0, NULL, quantileExactInclusiveIf(0.5)(incumbent_ms, is_paired)) AS incumbent_p50_ms
FROM told
GROUP BY GROUPING SETS ((name, provider, model), (name, provider, model, query_type))
ORDER BY name, provider, model, is_total DESC, minIf(first_at, is_compared) = toDateTime64(0, 3, 'UTC'), minIf(first_at, is_compared)
