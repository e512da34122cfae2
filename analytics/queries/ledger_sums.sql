-- What the rows of a topic add up to, from the first to before the last offset of each partition.
SELECT count() AS rows, ifNull(sum(cost_usd), 0) AS cost
FROM {database:Identifier}.{view:Identifier}
WHERE cluster = {cluster:String} AND topic = {topic:String}
    AND offset >= arrayElement({starts:Array(UInt64)}, partition + 1)
    AND offset < arrayElement({ends:Array(UInt64)}, partition + 1)
