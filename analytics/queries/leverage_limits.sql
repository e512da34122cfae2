-- Which share of the cost of each model's answers is of calls within certain limits: three arrays of equal length, one
-- place for each model that calls could move to. Roll-ups know no sizes of single calls, so this reads the calls
-- themselves; a repeated row is in both sums of the share. Of the hours of the period one in {every}
-- is read, chosen by a hash.
WITH hours AS
(
    -- Of so many hours one is read; the sorting key begins with the hour, so that others are not even looked at.
    SELECT {since:DateTime('UTC')} + 3600 * number AS hour
    FROM numbers(toUInt64(dateDiff('hour', {since:DateTime('UTC')}, {until:DateTime('UTC')})))
    WHERE intHash32(toUnixTimestamp(hour)) % {every:UInt32} = 0
)
SELECT
    concat(provider, '/', model) AS ref,
    toFloat64(sum(cost_usd)) AS cost,
    arrayMap(
        part -> if(cost > 0, part / cost, 1),
        sumForEach(arrayMap(
            (window, input, output) -> if(
                input_tokens + output_tokens <= window AND input_tokens <= input AND output_tokens <= output,
                toFloat64(cost_usd),
                0
            ),
            {windows:Array(UInt64)}, {inputs:Array(UInt64)}, {outputs:Array(UInt64)}
        ))
    ) AS shares
FROM {database:Identifier}.calls_log
WHERE toStartOfHour(at) IN (SELECT hour FROM hours) AND event = 'ended' AND purpose = 'infer'
GROUP BY ref
