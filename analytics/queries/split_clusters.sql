-- How two neighbouring tiers did, by query type and by how sure the router was that the lower one would do: -1 where it did
-- not say. Of the hours of the period one in {every} is read, chosen by a hash, with all requests that were settled in it. What was decided before that hour
-- counts as not said.
WITH
hours AS
(
    -- Of so many hours one is read; the sorting key begins with the hour, so that others are not even looked at.
    SELECT {since:DateTime('UTC')} + 3600 * number AS hour
    FROM numbers(toUInt64(dateDiff('hour', {since:DateTime('UTC')}, {until:DateTime('UTC')})))
    WHERE intHash32(toUnixTimestamp(hour)) % {every:UInt32} = 0
),
settled AS
(
    SELECT
        request_id,
        revision,
        toString(query_type) AS query_type,
        ifNull(tier, 0) AS answered_by,
        arrayExists(
            (stage, to, outcome) -> startsWith(stage, 'infer') AND to = {lower:UInt8} AND outcome != ''
                AND (outcome = 'ok' OR lower_check),
            `route.stage`, `route.tier`, `route.outcome`
        ) AS lower_answered,
        arrayExists(
            why -> startsWith(why, concat('escalated from tier ', toString({lower:UInt8}), ': check: ')), `route.why`
        ) AS lower_check,
        arrayExists(
            (to, why) -> to = {upper:UInt8} AND startsWith(why, concat('escalated from tier ', toString({lower:UInt8}))),
            `route.tier`, `route.why`
        ) AS is_escalated,
        arrayMap(
            which -> arrayExists(
                (stage, to, outcome) -> stage = 'validate' AND to = which.1 AND outcome = which.2,
                `route.stage`, `route.tier`, `route.outcome`
            ),
            [({lower:UInt8}, 'judge_pass'), ({lower:UInt8}, 'judge_fail'), ({upper:UInt8}, 'judge_pass'), ({upper:UInt8}, 'judge_fail')]
        ) AS verdicts,
        arraySum(
            (stage, to, cost) -> if(startsWith(stage, 'infer') AND to = {upper:UInt8}, cost, toDecimal128(0, 12)),
            `route.stage`, `route.tier`, `route.cost_usd`
        ) AS upper_cost,
        input_tokens,
        cached_tokens,
        output_tokens
    FROM {database:Identifier}.requests_log
    WHERE at >= {since:DateTime('UTC')} AND at < {until:DateTime('UTC')}
        AND toStartOfHour(at) IN (SELECT hour FROM hours)
    LIMIT 1 BY request_id, revision
),
decided AS
(
    SELECT request_id, revision, arraySum(arraySlice(scores, 1, {lower:UInt8})) AS sure
    FROM {database:Identifier}.hops_log
    WHERE toStartOfHour(at) IN (SELECT hour FROM hours) AND stage = 'classify' AND length(scores) >= {upper:UInt8}
)
SELECT
    query_type,
    if(decided.request_id = '', -1, toInt8(least({bins:UInt8} - 1, floor(decided.sure * {bins:UInt8})))) AS bin,
    avg(decided.sure) AS sure,
    count() AS requests_read,
    countIf(lower_answered) AS lower_answers,
    countIf(lower_answered AND lower_check) AS lower_check_failures,
    countIf(verdicts[1] OR verdicts[2]) AS lower_judged,
    countIf(verdicts[1] AND NOT verdicts[2]) AS lower_passed,
    countIf(answered_by = {upper:UInt8}) AS upper_answers,
    countIf(verdicts[3] OR verdicts[4]) AS upper_judged,
    countIf(verdicts[3] AND NOT verdicts[4]) AS upper_passed,
    [countIf(is_direct), countIf(is_after)] AS requests,
    [sumIf(upper_cost, is_direct), sumIf(upper_cost, is_after)] AS costs,
    [sumIf(input_tokens - cached_tokens, is_direct), sumIf(input_tokens - cached_tokens, is_after)] AS fresh,
    [sumIf(cached_tokens, is_direct), sumIf(cached_tokens, is_after)] AS cached,
    [sumIf(output_tokens, is_direct), sumIf(output_tokens, is_after)] AS output
FROM
(
    SELECT
        *,
        answered_by = {upper:UInt8} AND NOT is_escalated AS is_direct,
        answered_by = {upper:UInt8} AND is_escalated AS is_after
    FROM settled
) AS settled
ANY LEFT JOIN decided ON decided.request_id = settled.request_id AND decided.revision = settled.revision
GROUP BY query_type, bin
ORDER BY query_type, bin
