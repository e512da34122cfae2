-- How requests ended by step of so many seconds and tier, and the tokens of the answers that were published. What lies
-- before `since` is summed up under the step 1970: to compare with.
SELECT
    if(results.bucket < {since:DateTime('UTC')}, toDateTime(0, 'UTC'),
        toStartOfInterval(results.bucket, toIntervalSecond({step:UInt32}), 'UTC')) AS step,
    tier,
    status,
    sum(results.requests) AS requests,
    sum(results.escalated) AS escalated,
    sum(results.judged) AS judged,
    sum(results.judge_failed) AS judge_failed,
    sum(results.check_failed) AS check_failed,
    sum(results.input_tokens) AS input_tokens,
    sum(results.cached_tokens) AS cached_tokens,
    sum(results.output_tokens) AS output_tokens
FROM {database:Identifier}.{results:Identifier} AS results
WHERE results.bucket >= {before:DateTime('UTC')} AND results.bucket < {until:DateTime('UTC')}
GROUP BY step, tier, status
ORDER BY step, tier, status
