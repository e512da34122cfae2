-- What some users ask nearly the same again and again, day by day: each of `signatures` belongs to the group of the same
-- place in `groups`, and each group to the user of its number in `owners`.
SELECT
    asking,
    toStartOfDay(bucket) AS day,
    tier,
    sum(alike.requests) AS requests,
    sum(alike.input_tokens) AS input_tokens,
    sum(alike.output_tokens) AS output_tokens
FROM
(
    SELECT
        bucket,
        tier,
        requests,
        input_tokens,
        output_tokens,
        arrayDistinct(arrayMap(
            place -> {groups:Array(UInt32)}[place],
            arrayFilter(
                place -> bitCount(bitXor(signature, {signatures:Array(UInt64)}[place])) <= {bits:UInt8}
                    AND user_id = {owners:Array(String)}[{groups:Array(UInt32)}[place]]
                    AND feature = {features:Array(String)}[{groups:Array(UInt32)}[place]]
                    AND query_type = {query_types:Array(String)}[{groups:Array(UInt32)}[place]],
                range(1, length({signatures:Array(UInt64)}) + 1)
            )
        )) AS askings
    FROM {database:Identifier}.{questions:Identifier}
    PREWHERE user_id IN {owners:Array(String)}
    WHERE bucket >= {since:DateTime('UTC')} AND bucket < {until:DateTime('UTC')} AND tier > 0 AND signature != 0
) AS alike
ARRAY JOIN askings AS asking
GROUP BY asking, day, tier
ORDER BY day
