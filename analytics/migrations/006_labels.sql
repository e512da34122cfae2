-- What is known of how good an answer was, made of steps that are told anyway: a row for each piece of evidence.
--
-- The steps of a request are published together, so that one pass over `hops` has a verdict, the answer that it is about
-- and the check that it failed side by side; `at` is the time of that record, by which windows of time are read fast. The
-- same evidence can be here twice, for steps before a rest are: group by request, revision, tier, model and source.
--
-- A failed check sends its answer to `escalate`, whose reason names it; all other endings of a call are no evidence. A
-- filter of the provider says nothing of the tier. Of a comparison only a win of the candidate counts: it is better than
-- an answer that was published as good, while a loss or a tie may be between two good answers or two bad ones.
CREATE VIEW IF NOT EXISTS {database}.labels AS
SELECT
    evidence.cluster AS cluster,
    evidence.request_id AS request_id,
    evidence.revision AS revision,
    evidence.at AS at,
    request.user_id AS user_id,
    request.query_type AS query_type,
    evidence.tier AS tier,
    evidence.model AS model,
    evidence.source AS source,
    evidence.kind AS kind,
    evidence.value AS value,
    abs(2 * evidence.value - 1) AS weight
FROM
(
    SELECT
        cluster,
        request_id,
        revision,
        at,
        step.4 AS tier,
        multiIf(
            step.2 = 'validate',
            arrayLast(answer -> startsWith(answer.2, 'infer') AND answer.3 = 'ok' AND answer.4 = tier, steps).5,
            step.5
        ) AS model,
        multiIf(step.2 = 'validate', 'judge', step.2 = 'feedback', 'feedback', step.2 = 'shadow', 'shadow', 'check') AS source,
        step.3 AS kind,
        multiIf(
            source = 'judge', if(kind = 'judge_pass', 1.0, 0.0),
            source = 'feedback', least(greatest(step.6[1], 0.0), 1.0),
            source = 'shadow', 1.0,
            0.0
        ) AS value
    FROM
    (
        SELECT
            cluster,
            request_id,
            revision,
            at,
            arraySort(groupArrayIf(
                (
                    idx,
                    toString(stage),
                    toString(outcome),
                    assumeNotNull(tier),
                    concat(toString(provider), if(provider = '', '', '/'), toString(model)),
                    scores
                ),
                tier IS NOT NULL AND (startsWith(stage, 'infer') OR stage IN ('validate', 'feedback', 'shadow'))
            )) AS steps,
            groupArrayIf(
                extract(detail, '^check: ([^ :,]+)'), stage = 'escalate' AND startsWith(detail, 'check: ')
            ) AS failed_checks
        FROM {database}.hops
        WHERE startsWith(stage, 'infer') OR stage IN ('validate', 'feedback', 'shadow', 'escalate')
        GROUP BY cluster, topic, partition, offset, at, request_id, revision
    )
    ARRAY JOIN steps AS step
    WHERE multiIf(
        step.2 = 'validate', step.3 IN ('judge_pass', 'judge_fail'),
        step.2 = 'feedback', step.3 != 'unmatched' AND length(step.6) = 1,
        step.2 = 'shadow', step.3 = 'win',
        step.3 NOT IN ('ok', 'filtered') AND has(failed_checks, step.3)
    )
) AS evidence
ANY LEFT JOIN
(
    SELECT request_id, revision, user_id, query_type FROM {database}.requests
) AS request USING (request_id, revision);
