-- All who ask nearly the same as some users do again and again, wherever they are answered: each of `questions` belongs to
-- the group of the same place in `groups`, and each group to the user of its number in `owners`.
SELECT
    asking,
    user_id = {owners:Array(String)}[asking] AS is_own,
    if(is_own, toStartOfDay(bucket), toDateTime(0, 'UTC')) AS day,
    tier,
    sum(asked.requests) AS requests,
    sum(asked.input_tokens) AS input_tokens,
    sum(asked.output_tokens) AS output_tokens
FROM {database:Identifier}.questions_by_hour AS asked
ARRAY JOIN arrayDistinct(arrayMap(
    place -> {groups:Array(UInt32)}[place],
    arrayFilter(
        place -> bitCount(bitXor(signature, {questions:Array(UInt64)}[place])) <= {bits:UInt8},
        range(1, length({questions:Array(UInt64)}) + 1)
    )
)) AS asking
WHERE bucket >= {since:DateTime('UTC')} AND bucket < {until:DateTime('UTC')}
    AND feature IN {features:Array(String)} AND query_type IN {query_types:Array(String)} AND tier > 0 AND signature != 0
    AND feature = {features:Array(String)}[asking] AND query_type = {query_types:Array(String)}[asking]
GROUP BY asking, is_own, day, tier
ORDER BY day
