-- How good the answers to nearly the same questions were, tier by tier, in a part of the period: see `finding_alike`.
-- An answer that fails a check is seen by no judge.
SELECT
    asking,
    at_tier AS tier,
    uniqExactIf(id, has_answer) AS answers,
    uniqExactIf(id, has_failed) AS failed_checks,
    uniqExactIf(id, is_judged) AS judged,
    uniqExactIf(id, is_judged_bad) AS judged_bad
FROM
(
    SELECT
        (request_id, revision) AS id,
        asking,
        at_tier,
        arrayExists(why -> startsWith(why, concat('escalated from tier ', toString(at_tier), ': check: ')), whys)
            OR (is_degraded AND answered_by = at_tier AND startsWith(reason, 'check: ')) AS has_failed,
        has_failed OR arrayExists(
            (to, stage, outcome) -> to = at_tier AND startsWith(stage, 'infer') AND outcome = 'ok', tiers, stages, outcomes
        ) AS has_answer,
        arrayExists((to, outcome) -> to = at_tier AND outcome IN ('judge_pass', 'judge_fail'), tiers, outcomes) AS is_judged,
        arrayExists((to, outcome) -> to = at_tier AND outcome = 'judge_fail', tiers, outcomes) AS is_judged_bad
    FROM
    (
        SELECT
            request_id,
            revision,
            ifNull(tier, 0) AS answered_by,
            status = 'degraded' AS is_degraded,
            reason,
            `route.tier` AS tiers,
            `route.stage` AS stages,
            `route.why` AS whys,
            `route.outcome` AS outcomes,
            arrayDistinct(arrayMap(
                place -> {groups:Array(UInt32)}[place],
                arrayFilter(
                    place -> bitCount(bitXor(signature, {signatures:Array(UInt64)}[place])) <= {bits:UInt8}
                        AND feature = {features:Array(String)}[{groups:Array(UInt32)}[place]]
                        AND query_type = {query_types:Array(String)}[{groups:Array(UInt32)}[place]],
                    range(1, length({signatures:Array(UInt64)}) + 1)
                )
            )) AS askings
        FROM {database:Identifier}.requests_log
        PREWHERE at >= {since:DateTime('UTC')} AND at < {until:DateTime('UTC')} AND signature != 0
            AND arrayExists(question -> bitCount(bitXor(signature, question)) <= {bits:UInt8}, {signatures:Array(UInt64)})
    )
    ARRAY JOIN askings AS asking
    ARRAY JOIN range(1, 1 + arrayMax(tiers)) AS at_tier
)
GROUP BY asking, tier
HAVING answers > 0
